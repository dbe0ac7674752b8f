"""Counts over the words of every text: symbols, letters, lengths, stop words.

Reads:  Utf8 and Words
Writes: counts per text
Cost:   about 0.5 ns per byte
Source: datatrove 0.10.1 gopher_quality_filter.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.kernels.chunks import HAS_LETTER, IS_SYMBOL, NON_ASCII
from stages.kernels.compiled import kernel
from stages.kernels.utf8 import Utf8
from stages.kernels.words import Words

LONGEST = 62  # bytes of a wanted word that are told apart by length before they are compared


@dataclass(frozen=True, kw_only=True)
class WordSet:
    """Words to look for: word k is `data[starts[k]:starts[k + 1]]` (uint8, int64); words that begin with byte b are
    by_byte[b] to by_byte[b + 1] (int64[257]), and bit n of lengths[b] (int64[256]) is set if one of them has n bytes,
    bit LONGEST for longer ones too."""

    data: np.ndarray
    starts: np.ndarray
    by_byte: np.ndarray
    lengths: np.ndarray


def word_set(words: Sequence[str]) -> WordSet:
    """The distinct words, empty ones left out."""
    encoded = sorted({w.encode() for w in words if w})
    lengths = np.zeros(256, np.int64)
    by_byte = np.searchsorted([word[0] for word in encoded], np.arange(257)).astype(np.int64)
    for word in encoded:
        lengths[word[0]] |= 1 << min(len(word), LONGEST)
    starts = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    return WordSet(data=np.frombuffer(b"".join(encoded), np.uint8), starts=starts, by_byte=by_byte, lengths=lengths)


def counts(text: Utf8, words: Words) -> np.ndarray:
    """int64[N, 4]: words, words that are not only symbols, the characters of those, words with a letter."""
    counts_N4 = np.zeros((len(text), 4), np.int64)
    _count(text.data, text.offsets, words.begin, words.end, words.starts, words.ends, words.kinds, counts_N4)
    return counts_N4


def distinct(text: Utf8, words: Words, wanted: WordSet) -> np.ndarray:
    """int64[N]: how many different words of the set are among the text's words; upper and lower case are different."""
    distinct_N = np.zeros(len(text), np.int64)
    if len(wanted.starts) > 1:
        _distinct(
            text.data, text.offsets, words.begin, words.end, words.starts, words.ends, wanted.data, wanted.starts,
            wanted.by_byte, wanted.lengths, distinct_N,
        )  # fmt: skip
    return distinct_N


@kernel
def _count(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, counts_N4: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(begin)):
        num_words = num_chars = num_with_letter = 0
        for w in range(begin[n], end[n]):
            kind = kinds[w]
            if not kind & IS_SYMBOL:
                num_words += 1
                num_chars += ends[w] - starts[w]
                if kind & NON_ASCII:
                    for i in range(offsets[n] + starts[w], offsets[n] + ends[w]):
                        num_chars -= data[i] & 0xC0 == 0x80
            num_with_letter += kind & HAS_LETTER
        counts_N4[n, 0], counts_N4[n, 1] = end[n] - begin[n], num_words
        counts_N4[n, 2], counts_N4[n, 3] = num_chars, num_with_letter


@kernel
def _distinct(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    wanted: np.ndarray, wanted_starts: np.ndarray, by_byte: np.ndarray, lengths: np.ndarray, distinct_N: np.ndarray,
) -> None:  # fmt: skip
    seen_by = np.full(len(wanted_starts) - 1, -1, np.int64)  # the last text a wanted word was seen in
    for n in range(len(begin)):
        for w in range(begin[n], end[n]):
            first, length = offsets[n] + starts[w], ends[w] - starts[w]
            byte = data[first]
            if not lengths[byte] >> min(length, LONGEST) & 1:
                continue
            for k in range(by_byte[byte], by_byte[byte + 1]):
                if wanted_starts[k + 1] - wanted_starts[k] != length or seen_by[k] == n:
                    continue
                i = 0
                while i < length and data[first + i] == wanted[wanted_starts[k] + i]:
                    i += 1
                if i == length:
                    seen_by[k] = n
                    distinct_N[n] += 1
