"""A byte-level BPE tokenizer from the counts of pretokens.

Reads:  Counts (tokenizer/sorted_counts.py), of any number of texts
Writes: the bytes of a tokenizer.json, and the tokenizer_config.json that transformers reads beside it
Cost:   that of tokenizer/merge.py; the text itself is not looked at here
Source: Sennrich et al. 2016 (BPE), Radford et al. 2019 (byte level, GPT-2's pattern), Llama 3's and GPT-4o's patterns;
        the file is what `tokenizers`' BpeTrainer makes of the same texts, byte for byte

The result does not depend on the order of the texts. Ids: the 256 bytes in the order of their byte-level symbols, the
tokens in the order they were learned, then the special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tokenizer.errors import TokenizerError
from tokenizer.symbols import BYTE_OF_SYMBOL

if TYPE_CHECKING:
    import tokenizers

    from tokenizer.sorted_counts import Counts

Model = Literal["bpe", "bpe_byte_fallback", "unigram"]  # the last two: tokenizer/metaspace.py
Pattern = Literal["llama3", "gpt2", "gpt4o"]
Digits = Literal["1", "1-3"]
Normalization = Literal["none", "NFC", "NFKC"]

NUM_BYTES = 256
NO_LIMIT = 1 << 30  # bytes of a token


@dataclass(frozen=True, kw_only=True)
class Options:
    """`vocab_size` counts the 256 bytes and the special tokens. `max_token_length` is in bytes; None: no limit.
    `digits`: how many of a number are one pretoken; None: as the pattern has it.

    The first special token begins and ends every document, the second fills up rows.
    """

    vocab_size: int
    min_frequency: int
    max_token_length: int | None
    pattern: Pattern
    normalization: Normalization
    special_tokens: tuple[str, ...]
    digits: Digits | None = None


def train(counts: Counts, options: Options) -> bytes:
    """The tokenizer.json learned from pretokens and their counts; a smaller vocabulary than asked for where they run
    out of pairs.

    TokenizerError where a special token was learned as an ordinary one too.
    """
    from tokenizers import models

    tokenizer = untrained(options)
    vocab, merges = _learned(counts, options)
    tokenizer.model = models.BPE(vocab=vocab, merges=merges)
    return with_special_tokens(tokenizer, vocab, options.special_tokens)


def with_special_tokens(
    tokenizer: tokenizers.Tokenizer, vocab: Container[str], special_tokens: Sequence[str]
) -> bytes:  # fmt: skip
    """The tokenizer.json with special tokens behind the entries of its model, `vocab`; TokenizerError where one of
    them is among those."""
    from tokenizers import AddedToken

    for token in special_tokens:
        if token in vocab:
            raise TokenizerError(
                f"special token {token!r} was learned from the text as an ordinary token; "
                "expected a name that the text cannot yield, such as '<|end_of_text|>'"
            )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in special_tokens])
    return bytes(tokenizer.to_str(), "utf-8")


def train_on(texts: Iterable[str], options: Options) -> bytes:
    """The tokenizer.json learned from texts that are all at hand; stages/vocabulary.py counts shard by shard."""
    import pyarrow as pa

    from tokenizer.count import WordCounts
    from tokenizer.encode import string_buffers
    from tokenizer.normalise import normaliser
    from tokenizer.pretokenize import Pretokenizer

    words = WordCounts(Pretokenizer(options.pattern, options.digits))
    words.add(*string_buffers(normaliser(options.normalization)(pa.array(list(texts), pa.large_string()))))
    return train(words.arrays(), options)


def _learned(counts: Counts, options: Options) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges, as byte-level symbols."""
    from tokenizer.merge import Limits, learn

    symbols = sorted(BYTE_OF_SYMBOL)
    id_of_byte = np.zeros(NUM_BYTES, np.int32)
    id_of_byte[[BYTE_OF_SYMBOL[symbol] for symbol in symbols]] = np.arange(NUM_BYTES)
    limits = Limits(
        num_tokens=options.vocab_size - len(options.special_tokens), min_frequency=options.min_frequency,
        max_token_bytes=options.max_token_length or NO_LIMIT,
    )  # fmt: skip
    learned = learn(counts.data, counts.offsets, counts.counts, id_of_byte, limits)
    merges = []
    for left, right, token in zip(
        learned.left_M.tolist(), learned.right_M.tolist(), learned.token_M.tolist(), strict=True
    ):
        merges.append((symbols[left], symbols[right]))
        if token == len(symbols):
            symbols.append(symbols[left] + symbols[right])
    return {symbol: id_ for id_, symbol in enumerate(symbols)}, merges


def untrained(options: Options) -> tokenizers.Tokenizer:
    """The tokenizer but for its vocabulary and special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    from tokenizer.normalise import normalizers_of
    from tokenizer.pretokenize import expression

    tokenizer = Tokenizer(models.BPE())
    for normalizer in normalizers_of(options.normalization):
        tokenizer.normalizer = normalizer
    if options.pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(expression(options.pattern, options.digits)), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def transformers_config(special_tokens: Sequence[str]) -> bytes:
    """The tokenizer_config.json with which AutoTokenizer makes a PreTrainedTokenizerFast of the folder."""
    begin_and_end, pad = special_tokens[:2]
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin_and_end,
        "eos_token": begin_and_end,
        "pad_token": pad,
        "clean_up_tokenization_spaces": False,
    }
    return json.dumps(config, indent=1).encode()
