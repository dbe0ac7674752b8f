"""The most frequent word n-gram of a text.

Reads:  joined words and their hashes (stages/kernels/n_grams.py)
Writes: characters
Cost:   1.5 ns per byte of text for three n
Source: counting in a table of shared slots, as in Cormode and Muthukrishnan 2005 (count-min sketch)

Every n-gram is first counted in the slot of its hash, without a branch. A slot's count is at least that of each n-gram
in it, so the most frequent one is in a slot that has at least its count: few n-grams are compared and counted exactly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.eight_bytes import FACTOR, equal
from stages.kernels.hash_slots import table_bits, tally_bits

TOP = (2, 3, 4)  # n, each one more than the one before
SPREAD = np.uint64(0xD6E8FEB86659FD93)  # any odd number: keys that share a tally's slot do not share the table's
MOST = 255  # a tally counts no further


@kernel
def add_top_chars(
    joined: np.ndarray, at_byte: np.ndarray, at_char: np.ndarray, num_words: int, times: int, hashes: np.ndarray,
    keys: np.ndarray, tally: np.ndarray, chosen: np.ndarray, counts: np.ndarray, slots: np.ndarray, chars: np.ndarray,
) -> None:  # fmt: skip
    """For every n of TOP: characters of the most frequent n-gram, n * times words long, times how often it occurs.

    hashes[w] is that of `times` words from w on, and so is keys[w]; the other arrays are scratch.
    """
    for k, n in enumerate(TOP):
        length = n * times
        count = num_words - length + 1
        if count < 1:
            return
        fullest = _count_roughly(keys, hashes[length - times :], count, tally)
        most, best = _find_most_frequent(joined, at_byte, keys[:count], length, fullest, tally, chosen, counts, slots)
        num_chars: Any = np.int64(at_char[best + length]) - at_char[best]
        chars[k] += most * (num_chars + length - 1)


@kernel
def _count_roughly(keys: np.ndarray, later: np.ndarray, count: int, tally: np.ndarray) -> int:
    """Lengthen the n-grams of `keys` by what comes `later`, count each in its slot; the highest count, up to MOST."""
    bits = tally_bits(count)
    shift = np.uint64(64 - bits)
    tally[: 1 << bits] = 0
    highest: Any = 0
    for w in range(count):
        key = keys[w] * FACTOR + later[w]
        keys[w] = key
        slot_count: Any = np.int64(tally[key >> shift])
        slot_count += slot_count < MOST
        tally[key >> shift] = slot_count
        highest = max(highest, slot_count)
    return highest


@kernel
def _find_most_frequent(
    joined: np.ndarray, at_byte: np.ndarray, keys: np.ndarray, length: int, threshold: int, tally: np.ndarray,
    chosen: np.ndarray, counts: np.ndarray, slots: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """(count of the most frequent n-gram, the word where its first one begins).

    In slots that count `threshold`, the highest of all, the best may occur less often, found times. Then the threshold
    is found: whatever occurs as often is in a slot that counts as much, so a second look is the last.
    """
    shift = np.uint64(64 - tally_bits(len(keys)))
    most: Any = 1
    best: Any = 0
    while threshold > 1:
        num_chosen = 0
        for w in range(len(keys)):
            chosen[num_chosen] = w
            num_chosen += tally[keys[w] >> shift] >= threshold
        found, first = _count_exactly(joined, at_byte, keys, length, chosen, num_chosen, counts, slots)
        if found > 1:
            most, best = found, first
        threshold = 0 if found >= threshold or threshold == 2 else max(found, 2)
    return most, best


@kernel
def _count_exactly(
    joined: np.ndarray, at_byte: np.ndarray, keys: np.ndarray, length: int, chosen: np.ndarray, num_chosen: int,
    counts: np.ndarray, slots: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """(how often the most frequent of the chosen n-grams occurs among them, the word where its first one begins)."""
    bits = table_bits(num_chosen)
    shift, mask = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
    slots[: 1 << bits] = 0
    most: Any = 0
    best: Any = 0
    for c in range(num_chosen):
        w = chosen[c]
        slot = keys[w] * SPREAD >> shift
        entry: Any = c
        while slots[slot] != 0 and entry == c:
            other: Any = np.int64(slots[slot]) - 1
            if keys[chosen[other]] == keys[w] and _same_words(joined, at_byte, chosen[other], w, length):
                entry = other
            slot = (slot + np.uint64(1)) & mask
        if entry == c:
            slots[slot], counts[c] = c + 1, 0
        counts[entry] += 1
        if counts[entry] > most or (counts[entry] == most and entry < best):
            most, best = np.int64(counts[entry]), entry
    first: Any = np.int64(chosen[best])
    return most, first


@kernel
def _same_words(joined: np.ndarray, at_byte: np.ndarray, a: int, b: int, length: int) -> bool:
    """Whether the words from a and from b are the same, one by one."""
    for k in range(1, length + 1):
        if at_byte[a + k] - at_byte[a] != at_byte[b + k] - at_byte[b]:
            return False
    return equal(joined, at_byte[a], at_byte[b], at_byte[a + length] - at_byte[a])
