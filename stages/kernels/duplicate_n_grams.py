"""Word n-grams of a text whose letters were seen before, wherever its words are parted.

Reads:  joined words (stages/kernels/n_grams.py)
Writes: characters
Cost:   2 ns per byte of text for six n
Source: datatrove 0.10.1 find_all_duplicate, which looks words joined without separators up in a set

Two passes leave out what cannot be a duplicate nor the original of one: n-grams of PREFIX and more bytes whose first
PREFIX bytes occur once at the start of a word; then, for every n, those whose length, first and last bytes do. What
is left (7% of 5-grams on real pages, 4% of 10-grams) is hashed whole and compared, each byte at most once for every
word of the longest n-gram.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.byte_masks import load_8
from stages.kernels.compiled import kernel
from stages.kernels.eight_bytes import FACTOR, FIRST_EIGHT, equal, hash_bytes
from stages.kernels.hash_slots import table_bits, tally_bits

DUPLICATE = (5, 6, 7, 8, 9, 10)  # n, in ascending order
PREFIX = 16
SPREAD = np.uint64(0xD6E8FEB86659FD93)  # any odd number


@kernel
def add_duplicate_chars(
    joined: np.ndarray, at_byte: np.ndarray, at_char: np.ndarray, num_words: int, times: int, tally: np.ndarray,
    near: np.ndarray, chosen: np.ndarray, keys: np.ndarray, slots: np.ndarray, chars: np.ndarray,
) -> None:  # fmt: skip
    """For every n of DUPLICATE: characters of n-grams, n * times words long, seen before. Arrays from `tally` to
    `slots` are scratch."""
    num_near = _find_near(joined, at_byte[: num_words + 1], DUPLICATE[0] * times, tally, near)
    for k, n in enumerate(DUPLICATE):
        length = n * times
        while num_near and near[num_near - 1] >> 1 > num_words - length:
            num_near -= 1
        num_near, num_chosen = _choose(joined, at_byte, length, near, num_near, tally, chosen)
        chars[k] += _duplicate_chars(joined, at_byte, at_char, length, chosen[:num_chosen], keys, slots)


@kernel
def _find_near(joined: np.ndarray, at_byte: np.ndarray, length: int, tally: np.ndarray, near: np.ndarray) -> int:
    """Words at which an n-gram of `length` or more words may be repeated, to `near`; their number.

    near[i] is 2 * word, and 1 more where the PREFIX bytes from the word on may begin another one too.
    """
    ends = at_byte[length:]
    bits = tally_bits(len(ends))
    shift = np.uint64(64 - bits)
    tally[: 1 << bits] = 0
    for w in range(len(ends)):
        slot = (load_8(joined, at_byte[w]) * FACTOR + load_8(joined, at_byte[w] + 8)) * SPREAD >> shift
        near[w] = slot
        tally[slot] = min(np.int64(tally[slot]) + 1, 2)
    num_near = 0
    for w in range(len(ends)):
        repeated = tally[near[w]] > 1
        near[num_near] = 2 * w + repeated
        num_near += repeated | (ends[w] - at_byte[w] < PREFIX)
    return num_near


@kernel
def _choose(
    joined: np.ndarray, at_byte: np.ndarray, length: int, near: np.ndarray, count: int, tally: np.ndarray,
    chosen: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """Keep of near[:count] what matters for n-grams of `length` or more words, and write to `chosen` those at which
    one of `length` words may be repeated; (number of the former, of the latter)."""
    ends = at_byte[length:]
    bits = tally_bits(count)
    shift = np.uint64(64 - bits)
    tally[: 1 << bits] = 0
    num_near = 0
    for i in range(count):
        item = near[i]
        w = np.uint64(item >> 1)
        start: Any = np.int64(at_byte[w])
        num_bytes: Any = np.int64(ends[w]) - start
        first, final = load_8(joined, start), load_8(joined, start + num_bytes - 8)
        if num_bytes < 8:
            first, final = first & FIRST_EIGHT[np.uint64(num_bytes)], np.uint64(0)
        slot = ((first + np.uint64(num_bytes)) * FACTOR + final) * SPREAD >> shift
        near[num_near], chosen[num_near] = item, slot
        matters: Any = np.int64(item & 1) | (num_bytes < PREFIX)
        tally[slot] = min(np.int64(tally[slot]) + matters, 2)
        num_near += matters
    num_chosen = 0
    for i in range(num_near):
        repeated = tally[chosen[i]] > 1
        chosen[num_chosen] = near[i] >> 1
        num_chosen += repeated
    return num_near, num_chosen


@kernel
def _duplicate_chars(
    joined: np.ndarray, at_byte: np.ndarray, at_char: np.ndarray, length: int, chosen: np.ndarray, keys: np.ndarray,
    slots: np.ndarray,
) -> int:  # fmt: skip
    """Characters of the chosen n-grams of `length` words that occurred before; behind one, the next is looked at."""
    bits = table_bits(len(chosen))
    shift, mask = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
    slots[: 1 << bits] = 0
    following, chars = 0, 0
    for c in range(len(chosen)):
        w: Any = np.int64(chosen[c])
        if w < following:
            continue
        start: Any = np.int64(at_byte[w])
        num_bytes: Any = np.int64(at_byte[w + length]) - start
        key = hash_bytes(joined, start, num_bytes)
        slot = key >> shift
        seen = False
        while slots[slot] != 0 and not seen:
            other = slots[slot] - 1
            before = at_byte[chosen[other]]
            if keys[other] == key and at_byte[chosen[other] + length] - before == num_bytes:
                seen = equal(joined, before, start, num_bytes)
            slot = (slot + np.uint64(1)) & mask
        if seen:
            chars += at_char[w + length] - at_char[w]
            following = w + length
        else:
            slots[slot], keys[c] = c + 1, key
    return chars
