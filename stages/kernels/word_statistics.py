"""Counts over the words of every text: symbols, letters, lengths, stop words.

Reads:  Utf8 and Words
Writes: counts per text
Cost:   about 2 ns per byte
Source: datatrove 0.10.1 gopher_quality_filter.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.utf8 import Utf8
from stages.kernels.words import HAS_LETTER, IS_SYMBOL, Words


@dataclass(frozen=True, kw_only=True)
class WordSet:
    """Words to look for: word k is `data[starts[k]:starts[k + 1]]` (uint8, int64); `begins` bool[256]: first bytes."""

    data: np.ndarray
    starts: np.ndarray
    begins: np.ndarray


def word_set(words: Sequence[str]) -> WordSet:
    """The distinct words, empty ones left out."""
    encoded = sorted({w.encode() for w in words if w})
    begins = np.zeros(256, np.bool_)
    begins[[w[0] for w in encoded]] = True
    starts = np.cumsum([0, *map(len, encoded)]).astype(np.int64)
    return WordSet(data=np.frombuffer(b"".join(encoded), np.uint8), starts=starts, begins=begins)


def counts(words: Words, num_chars: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """int64[N, 4]: words, words that are not only symbols, the characters of those, words with a letter.

    `num_chars` and `kinds` are what words.describe returned.
    """
    counts_N4 = np.zeros((len(words.first) - 1, 4), np.int64)
    _count(words.first, num_chars, kinds, counts_N4)
    return counts_N4


def distinct(text: Utf8, words: Words, wanted: WordSet) -> np.ndarray:
    """int64[N]: how many different words of the set are among the text's words; upper and lower case are different."""
    distinct_N = np.zeros(len(text), np.int64)
    if len(wanted.starts) > 1:
        _distinct(
            text.data, words.starts, words.ends, words.first, wanted.data, wanted.starts, wanted.begins, distinct_N
        )
    return distinct_N


@kernel
def _count(first: np.ndarray, num_chars: np.ndarray, kinds: np.ndarray, counts_N4: np.ndarray) -> None:
    for n in range(len(first) - 1):
        for w in range(first[n], first[n + 1]):
            counts_N4[n, 0] += 1
            if not kinds[w] & IS_SYMBOL:
                counts_N4[n, 1] += 1
                counts_N4[n, 2] += num_chars[w]
            counts_N4[n, 3] += (kinds[w] & HAS_LETTER) != 0


@kernel
def _distinct(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, first: np.ndarray, wanted: np.ndarray,
    wanted_starts: np.ndarray, begins: np.ndarray, distinct_N: np.ndarray,
) -> None:  # fmt: skip
    seen_by = np.full(len(wanted_starts) - 1, -1, np.int64)  # the last text a wanted word was seen in
    for n in range(len(first) - 1):
        for w in range(first[n], first[n + 1]):
            if not begins[data[starts[w]]]:
                continue
            for k in range(len(wanted_starts) - 1):
                length = wanted_starts[k + 1] - wanted_starts[k]
                if length != ends[w] - starts[w] or seen_by[k] == n:
                    continue
                i = 0
                while i < length and data[starts[w] + i] == wanted[wanted_starts[k] + i]:
                    i += 1
                if i == length:
                    seen_by[k] = n
                    distinct_N[n] += 1
