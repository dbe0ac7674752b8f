"""Tokenizers in sentencepiece's manner: byte-fallback BPE and Unigram, over characters, with `▁` for a space.

Reads:  Counts (tokenizer/sorted_counts.py) of texts as tokenizer/normalise.py's `counted_texts` makes them
Writes: the bytes of a tokenizer.json of the kind that Llama 2 has: a space is put before the text, spaces become `▁`,
        nothing is cut before the model, and a character that is no entry is written as `<0x00>` to `<0xFF>`
Cost:   BPE: `tokenizers` reads every word as often as it occurs, some 10 MB of text per second. Unigram:
        tokenizer/unigram.py
Source: Sennrich et al. 2016 (BPE), Kudo 2018 (Unigram), Kudo & Richardson 2018 (sentencepiece), Touvron et al. 2023
        (byte fallback in Llama). BPE is learned by `tokenizers`' BpeTrainer, which counts pairs in 32 bits: so more
        than MAX_CHARACTERS are refused

Decoding gives the text back, but for `▁` itself (U+2581), which becomes a space, as in sentencepiece. Ids: `<unk>`,
which never occurs, the 256 bytes, what was learned, the special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenizer.errors import TokenizerError
from tokenizer.normalise import normalizers_of
from tokenizer.one_thread import one_thread
from tokenizer.train import NO_LIMIT, NUM_BYTES, Options, with_special_tokens

if TYPE_CHECKING:
    import tokenizers

    from tokenizer.characters import Characters
    from tokenizer.sorted_counts import Counts

UNKNOWN = "<unk>"
NUM_RESERVED = 1 + NUM_BYTES  # ids before the first learned one
NUM_ALWAYS = 95  # characters that are always entries: `▁` and printable ASCII
MAX_CHARACTERS = (1 << 31) - 1
_SPACE = "\u2581"
_BETWEEN = "\U0010ffff"  # between the words that are given to `tokenizers`: no character of a text is assigned to it
_FEED_CHARACTERS = 1 << 20  # at a time


def train_byte_fallback(counts: Counts, options: Options) -> bytes:
    """The tokenizer.json of a BPE model. TokenizerError for too much text, and for a special token that was learned."""
    from tokenizers import models

    words = _words(counts, options)
    pieces, merges = _learn_bpe(words, options)
    vocab = {piece: id_ for id_, piece in enumerate([*_reserved(), *pieces])}
    model = models.BPE(vocab, merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=True)
    return with_special_tokens(_tokenizer(model, options), vocab, options.special_tokens)


def train_unigram(counts: Counts, options: Options) -> bytes:
    """The tokenizer.json of a Unigram model. TokenizerError for a special token that was learned."""
    from tokenizers import models

    from tokenizer import unigram

    words = _words(counts, options)
    learned = unigram.learn(words, _num_pieces(options), options.max_token_length or NO_LIMIT)
    # Text may read "<0x0A>": its six characters must be likelier than the entry of that name.
    below_all = 6 * min(learned.scores) - 1
    scored = [(name, below_all) for name in _reserved()] + list(zip(learned.pieces, learned.scores, strict=True))
    model = models.Unigram(scored, unk_id=0, byte_fallback=True)
    return with_special_tokens(_tokenizer(model, options), dict(scored), options.special_tokens)


def _num_pieces(options: Options) -> int:
    return options.vocab_size - NUM_RESERVED - len(options.special_tokens)


def _words(counts: Counts, options: Options) -> Characters:
    from tokenizer.characters import characters

    num_pieces = _num_pieces(options)
    if num_pieces < NUM_ALWAYS:
        raise TokenizerError(
            f"a vocabulary of {options.vocab_size}; expected at least "
            f"{options.vocab_size - num_pieces + NUM_ALWAYS}: bytes, ASCII, unknown and special tokens"
        )
    return characters(counts, max(0, num_pieces // 2 - NUM_ALWAYS))


def _reserved() -> list[str]:
    return [UNKNOWN, *(f"<0x{byte:02X}>" for byte in range(NUM_BYTES))]


def _learn_bpe(words: Characters, options: Options) -> tuple[list[str], list[tuple[str, str]]]:
    """Entries in the order of their ids, and merges."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    num_characters = int((np.diff(words.start_W) * words.count_W.astype(np.float64)).sum())
    if num_characters > MAX_CHARACTERS:
        raise TokenizerError(
            f"{num_characters:,} characters, counted with their weights; expected at most {MAX_CHARACTERS:,}, "
            "up to which `tokenizers` counts right"
        )
    alphabet = [chr(code) for code in words.alphabet.tolist()]
    trainer = trainers.BpeTrainer(
        vocab_size=_num_pieces(options), min_frequency=options.min_frequency, show_progress=False,
        initial_alphabet=alphabet, limit_alphabet=len(alphabet),
        # it makes tokens shorter than this, whatever its documentation says
        max_token_length=None if options.max_token_length is None else options.max_token_length + 1,
    )  # fmt: skip
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Split(_BETWEEN, behavior="removed")
    with one_thread():
        learner.train_from_iterator(_feed(words), trainer)
    model = json.loads(learner.to_str())["model"]
    ordered = sorted(model["vocab"].items(), key=lambda pair: pair[1])
    return [piece for piece, _ in ordered], [(left, right) for left, right in model["merges"]]


def _feed(words: Characters) -> Iterator[str]:
    """Every word as often as it occurs."""
    for word, count in zip(words.words(), words.count_W.tolist(), strict=True):
        at_once = max(1, _FEED_CHARACTERS // (len(word) + 1))
        for done in range(0, count, at_once):
            yield (word + _BETWEEN) * min(at_once, count - done)


def _tokenizer(model: Any, options: Options) -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer, decoders, normalizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [*normalizers_of(options.normalization), normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer
