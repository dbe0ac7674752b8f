"""Train a byte-level BPE tokenizer with `tokenizers`.

Reads:  an iterator of texts
Writes: the bytes of a tokenizer.json, and the tokenizer_config.json that transformers reads beside it
Cost:   one thread, 2 to 5 MB of text per second; memory grows with the number of distinct pretokens, not with the text
Source: Sennrich et al. 2016 (BPE), Radford et al. 2019 (byte level, GPT-2's pattern), Llama 3's tokenizer (its pattern)

The result does not depend on the order of the texts: the trainer counts pretokens, takes the most frequent pair, and of
equals the one with the smallest ids. Ids: the 256 bytes in the order of their byte-level symbols, the merges in the
order they were learned, then the special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tokenizer.errors import TokenizerError
from tokenizer.one_thread import one_thread

if TYPE_CHECKING:
    import tokenizers

Pattern = Literal["llama3", "gpt2"]
Normalization = Literal["none", "NFC", "NFKC"]

NUM_BYTES = 256
# The trainer counts pairs in signed 32-bit numbers (tokenizers#437). No pair occurs more often than there are bytes.
MAX_TRAINING_BYTES = 2**31 - 1

# From tokenizer.json of Meta-Llama-3-8B.
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """`vocab_size` counts the 256 bytes and the special tokens. `max_token_length` is in bytes; None: no limit.

    The first special token begins and ends every document, the second fills up rows.
    """

    vocab_size: int
    min_frequency: int
    max_token_length: int | None
    pattern: Pattern
    normalization: Normalization
    special_tokens: tuple[str, ...]


def train(texts: Iterable[str], options: Options) -> bytes:
    """The tokenizer.json learned from `texts`; a smaller vocabulary than asked for where the text runs out of pairs.

    TokenizerError where the texts hold 2 GiB or more, or where a special token was learned as an ordinary one too.
    """
    from tokenizers import AddedToken, pre_tokenizers, trainers

    tokenizer = _untrained(options)
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size - len(options.special_tokens),
        min_frequency=options.min_frequency,
        # the trainer makes tokens shorter than this, whatever its documentation says: measured, and tested
        max_token_length=None if options.max_token_length is None else options.max_token_length + 1,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    with one_thread():
        tokenizer.train_from_iterator(_counted(texts), trainer)
    learned = tokenizer.get_vocab(with_added_tokens=False)
    for token in options.special_tokens:
        if token in learned:
            raise TokenizerError(
                f"special token {token!r} was learned from the text as an ordinary token; "
                "expected a name that the text cannot yield, such as '<|end_of_text|>'"
            )
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in options.special_tokens])
    return bytes(tokenizer.to_str(), "utf-8")


def _untrained(options: Options) -> tokenizers.Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    if options.normalization != "none":
        tokenizer.normalizer = {"NFC": normalizers.NFC, "NFKC": normalizers.NFKC}[options.normalization]()
    if options.pattern == "gpt2":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _counted(texts: Iterable[str]) -> Iterator[str]:
    num_bytes = 0
    for text in texts:
        num_bytes += len(text.encode())
        if num_bytes > MAX_TRAINING_BYTES:
            raise TokenizerError(
                f"more than {MAX_TRAINING_BYTES:,} bytes of training text, and the trainer counts pairs in 32 bits; "
                "expected a smaller sample (max_bytes)"
            )
        yield text


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
