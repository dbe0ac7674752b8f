"""What the words of a block say: learned weights of words and pairs, summed; words it shares with the title.

Reads:  the words of stages/kernels/html_words.py; a table of weights
Writes: `sums` int32[B, NUM_WORD_SUMS]
Cost:   about 2 ns a word
Source: docs/design.md, "Main text"; the table is learned by stages/html/training
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_features import W_FOLLOW, W_LEAST, W_MOST, W_SUM, W_TITLE
from stages.kernels.html_words import FIRST_WORD, MAX_WORDS
from stages.kernels.inlined import inlined

PAIR_PRIME = np.uint32(0xC2B2AE35)
TITLE_SLOTS = 512  # of a table of the title's words, of which at most MAX_TITLE_WORDS are taken
MAX_TITLE_WORDS = 64
SHORT_WORDS = 12  # of a block that may announce what follows it
# 256 / sqrt(n): a block's sum is divided by the root of its words, since long texts repeat what they say.
_ROOTS = np.array([0, *(round(256 / n**0.5) for n in range(1, 2 * MAX_WORDS + 1))], np.int64)


@inlined
def pair_hash(first: np.uint32, second: np.uint32) -> np.uint32:
    return (first * PAIR_PRIME) ^ second


@inlined
def note_title(words: np.ndarray, first: int, last: int, slots: np.ndarray) -> int:
    """Enter words[first:last] into `slots` (uint32[TITLE_SLOTS]); how many there are."""
    slots[:] = 0
    for k in range(first, min(last, first + MAX_TITLE_WORDS)):
        slot = np.int64(words[k]) % TITLE_SLOTS
        while slots[slot] and slots[slot] != words[k]:
            slot = (slot + 1) % TITLE_SLOTS
        slots[slot] = words[k]
    return min(last - first, MAX_TITLE_WORDS)


@inlined
def in_title(word: np.uint32, slots: np.ndarray) -> bool:
    slot = np.int64(word) % TITLE_SLOTS
    while slots[slot]:
        if slots[slot] == word:
            return True
        slot = (slot + 1) % TITLE_SLOTS
    return False


@inlined
def sum_words(
    b: int, counts: np.ndarray, words: np.ndarray, end: int, weights: np.ndarray, following: np.ndarray,
    slots: np.ndarray, sums: np.ndarray,
) -> None:  # fmt: skip
    """Fill sums[b] from the block's words, which end at `end`; `weights` int8, a power of two."""
    mask = np.uint32(len(weights) - 1)
    follow_mask = np.uint32(len(following) - 1)
    total: Any = 0
    least: Any = 0
    most: Any = 0
    follow: Any = 0
    in_both = 0
    before = np.uint32(0)
    first = counts[b, FIRST_WORD]
    is_short = end - first <= SHORT_WORDS
    for k in range(first, end):
        word = words[k]
        weight = np.int64(weights[word & mask]) + np.int64(weights[pair_hash(before, word) & mask])
        total += weight
        least, most = min(least, weight), max(most, weight)
        in_both += in_title(word, slots)
        if is_short:
            follow += np.int64(following[word & follow_mask])
            follow += np.int64(following[pair_hash(before, word) & follow_mask])
        before = word
    sums[b, W_SUM] = total * _ROOTS[2 * (end - first)] // 256
    sums[b, W_FOLLOW] = follow * _ROOTS[2 * (end - first)] // 256
    sums[b, W_LEAST], sums[b, W_MOST], sums[b, W_TITLE] = least, most, in_both
