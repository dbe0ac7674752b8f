"""Word n-grams that a text repeats, exactly: equal hashes are checked byte by byte.

Reads:  Utf8 and Words
Writes: characters per text
Cost:   about 4 ns per byte; scratch of 60 bytes per word and 1 per byte of the longest text
Source: datatrove 0.10.1 gopher_repetition_filter.py (find_top_duplicate, find_all_duplicate)

A top 3-gram is the most frequent one, the first of equals, at its length with single spaces. A duplicate 5-gram counts
when its words *without separator* were seen before, and the search goes on behind it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.byte_masks import load_8, store_8
from stages.kernels.chunks import NON_ASCII
from stages.kernels.compiled import kernel
from stages.kernels.duplicate_n_grams import DUPLICATE, add_duplicate_chars
from stages.kernels.eight_bytes import FACTOR, FIRST_EIGHT, SECOND_EIGHT, following_bytes, step
from stages.kernels.hash_slots import table_bits, tally_bits
from stages.kernels.top_n_grams import TOP, add_top_chars
from stages.kernels.utf8 import Utf8, is_padded
from stages.kernels.words import Words

MARGIN = 16  # bytes that may be loaded beside a text


def n_gram_chars(text: Utf8, words: Words, times_N: np.ndarray) -> np.ndarray:
    """int64[N, 9]: characters in the most frequent n-gram for n of TOP (its length times its count), and in n-grams
    seen before for n of DUPLICATE. The n-grams of text n are n * times_N[n] (int64) words long; texts are padded."""
    assert is_padded(text)
    chars = np.zeros((len(text), len(TOP) + len(DUPLICATE)), np.int64)
    most_words = int((words.end - words.begin).max(initial=0))
    most_bytes = int(np.diff(text.offsets).max(initial=0))
    _n_grams_batch(
        text.data, text.offsets, words.begin, words.end, words.starts, words.ends, words.kinds, times_N, most_bytes,
        most_words, chars,
    )  # fmt: skip
    return chars


@kernel
def _n_grams_batch(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, times_N: np.ndarray, most_bytes: int, most_words: int, chars: np.ndarray,
) -> None:  # fmt: skip
    joined = np.zeros(most_bytes + 3 * MARGIN, np.uint8)
    at_byte, at_char = np.empty(most_words + 1, np.int32), np.empty(most_words + 1, np.int32)
    hashes, keys = np.empty(most_words, np.uint64), np.empty(most_words, np.uint64)
    tally, slots = np.empty(1 << tally_bits(most_words), np.uint8), np.empty(1 << table_bits(most_words), np.int32)
    chosen, near = np.empty(most_words, np.uint32), np.empty(most_words, np.uint32)
    for n in range(len(offsets) - 1):
        its = slice(begin[n], end[n])
        _join(data, offsets[n], starts[its], ends[its], kinds[its], joined, at_byte, at_char, hashes)
        num_words, times = end[n] - begin[n], times_N[n]
        _group(hashes, num_words, times, keys)
        add_top_chars(joined, at_byte, at_char, num_words, times, hashes, keys, tally, chosen, near, slots, chars[n])
        add_duplicate_chars(
            joined, at_byte, at_char, num_words, times, tally, near, chosen, keys, slots, chars[n, len(TOP) :]
        )


@kernel
def _join(
    data: np.ndarray, base: int, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, joined: np.ndarray,
    at_byte: np.ndarray, at_char: np.ndarray, hashes: np.ndarray,
) -> None:  # fmt: skip
    """Words end to end in `joined`, from MARGIN on. Word w begins at byte at_byte[w], after at_char[w] characters.

    Loads up to MARGIN bytes behind a word: 99.6% of words then need no loop.
    """
    at, num_chars = MARGIN, 0
    at_byte[0], at_char[0] = at, 0
    for w in range(len(starts)):
        start: Any = base + starts[w]
        length: Any = np.int64(ends[w]) - starts[w]
        first, second = load_8(data, start), load_8(data, start + 8)
        store_8(joined, at, first)
        store_8(joined, at + 8, second)
        at_most_16 = np.uint64(min(length, 16))
        first, second = first & FIRST_EIGHT[at_most_16], second & SECOND_EIGHT[at_most_16]
        state = step(step(np.uint64(length), first), second)
        num_chars += length
        if kinds[w] & NON_ASCII:
            num_chars -= following_bytes(first) + following_bytes(second)
        i = 16
        while i < length:
            group = load_8(data, start + i)
            store_8(joined, at + i, group)
            group &= FIRST_EIGHT[np.uint64(min(length - i, 8))]
            state = step(state, group)
            num_chars -= following_bytes(group)
            i += 8
        at += length
        hashes[w], at_byte[w + 1], at_char[w + 1] = state, at, num_chars


@kernel
def _group(hashes: np.ndarray, num_words: int, times: int, keys: np.ndarray) -> None:
    """Turn hashes of one word into those of the `times` words from it on; the same to `keys`."""
    keys[:num_words] = hashes[:num_words]
    for ahead in range(1, times):
        later = hashes[ahead:num_words]
        for w in range(len(later)):
            keys[w] = keys[w] * FACTOR + later[w]
    if times > 1:
        hashes[:num_words] = keys[:num_words]
