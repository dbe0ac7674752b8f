"""Repeated lines, paragraphs and word n-grams of a text, exactly: equal hashes are checked byte by byte.

Reads:  Utf8, and Words for n-grams
Writes: counts and lengths in characters per text
Cost:   about 3 ns per byte for lines, 15 for n-grams; scratch of 60 bytes per word of the longest text
Source: datatrove 0.10.1 gopher_repetition_filter.py (find_duplicates, find_top_duplicate, find_all_duplicate)

A duplicate 5-gram counts when its words *without separator* were seen before, and the search goes on behind it; a top
3-gram is the most frequent one, the first of equals, at its length with single spaces.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.lines import is_terminal, split_at_newlines, split_non_blank, strip
from stages.kernels.utf8 import Utf8, count_chars
from stages.kernels.words import Words

TOP = (2, 3, 4)  # n of the most frequent n-grams
DUPLICATE = (5, 6, 7, 8, 9, 10)  # n of the repeated ones

FNV_START, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
BASE = np.uint64(0x9E3779B97F4A7C15)  # of the rolling hash modulo 2 ** 64: any odd number
BASE_INVERSE = np.uint64(pow(0x9E3779B97F4A7C15, -1, 1 << 64))


def duplicate_lines(text: Utf8) -> np.ndarray:
    r"""int64[N, 6]: paragraphs (between `\n\n` of the stripped text), those seen before, their characters; the same of
    lines (between runs of `\n`)."""
    counts = np.zeros((len(text), 6), np.int64)
    _lines_batch(text.data, text.offsets, _longest(text), counts)
    return counts


def line_shapes(text: Utf8, short_N: np.ndarray, closing_N: np.ndarray) -> np.ndarray:
    r"""int64[N, 5] over lines that are not blank: their number, how many end in terminal punctuation (with closing_N[n]
    a closing mark may follow), how many have at most short_N[n] characters, characters of those seen before; and the
    text's number of `\n`."""
    counts = np.zeros((len(text), 5), np.int64)
    _shapes_batch(text.data, text.offsets, _longest(text), short_N, closing_N, counts)
    return counts


def n_gram_chars(text: Utf8, words: Words, times_N: np.ndarray) -> np.ndarray:
    """int64[N, 9]: characters in the most frequent n-gram for n of TOP (its length times its count), and in n-grams
    seen before for n of DUPLICATE. The n-grams of text n are n * times_N[n] (int64) words long."""
    chars = np.zeros((len(text), len(TOP) + len(DUPLICATE)), np.int64)
    most_words = int(np.diff(words.first).max(initial=0))
    _n_grams_batch(text.data, words.starts, words.ends, words.first, times_N, _longest(text), most_words, chars)
    return chars


def _longest(text: Utf8) -> int:
    return int(np.diff(text.offsets).max(initial=0))


@kernel
def _new_table(num_entries: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash table for so many entries: keys, and values pass << 32 | entry; a value of another pass is an empty slot."""
    size = 16
    while size < 2 * num_entries:
        size *= 2
    return np.zeros(size, np.uint64), np.zeros(size, np.int64)


@kernel
def _mixed(key: np.uint64) -> np.uint64:
    """The key with its high bits spread to the low ones, which choose the slot."""
    key ^= key >> np.uint64(32)
    key *= np.uint64(0xD6E8FEB86659FD93)
    return key ^ key >> np.uint64(32)


@kernel
def _equal(data: np.ndarray, a: int, b: int, length: int) -> bool:
    k = 0
    while k < length and data[a + k] == data[b + k]:
        k += 1
    return k == length


@kernel
def _duplicate_spans(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int, keys: np.ndarray, values: np.ndarray, turn: int
) -> tuple[int, int]:
    """(spans seen before, their characters) among the first `count` spans."""
    duplicates = chars = 0
    mask = np.uint64(len(keys) - 1)
    for s in range(count):
        start, length = starts[s], ends[s] - starts[s]
        key = FNV_START
        for i in range(start, start + length):
            key = (key ^ np.uint64(data[i])) * FNV_PRIME
        key = _mixed(key)
        slot = key & mask
        while values[slot] >> 32 == turn:
            other = values[slot] & 0xFFFFFFFF
            if (
                keys[slot] == key
                and ends[other] - starts[other] == length
                and _equal(data, starts[other], start, length)
            ):
                duplicates += 1
                chars += count_chars(data, start, start + length)
                break
            slot = (slot + np.uint64(1)) & mask
        else:
            keys[slot], values[slot] = key, turn << 32 | s
    return duplicates, chars


@kernel
def _lines_batch(data: np.ndarray, offsets: np.ndarray, longest: int, counts: np.ndarray) -> None:
    starts, ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    keys, values = _new_table(1024)
    turn = 0
    for n in range(len(offsets) - 1):
        start, end = offsets[n], offsets[n + 1]
        for kind in range(2):
            low, high = strip(data, start, end) if kind == 0 else (start, end)
            count = split_at_newlines(data, low, high, 2 - kind, starts, ends)
            if 2 * count > len(keys):
                keys, values = _new_table(count)
            turn += 1
            duplicates, chars = _duplicate_spans(data, starts, ends, count, keys, values, turn)
            counts[n, 3 * kind], counts[n, 3 * kind + 1], counts[n, 3 * kind + 2] = count, duplicates, chars


@kernel
def _shapes_batch(
    data: np.ndarray, offsets: np.ndarray, longest: int, short_N: np.ndarray, closing_N: np.ndarray, counts: np.ndarray
) -> None:
    starts, ends = np.empty(longest + 1, np.int64), np.empty(longest + 1, np.int64)
    keys, values = _new_table(1024)
    for n in range(len(offsets) - 1):
        count, newlines = split_non_blank(data, offsets[n], offsets[n + 1], starts, ends)
        if 2 * count > len(keys):
            keys, values = _new_table(count)
        for s in range(count):
            counts[n, 1] += is_terminal(data, starts[s], ends[s], closing_N[n])
            counts[n, 2] += count_chars(data, starts[s], ends[s]) <= short_N[n]
        _, chars = _duplicate_spans(data, starts, ends, count, keys, values, n + 1)
        counts[n, 0], counts[n, 3], counts[n, 4] = count, chars, newlines


@kernel
def _n_grams_batch(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, first: np.ndarray, times_N: np.ndarray, longest: int,
    most_words: int, chars: np.ndarray,
) -> None:  # fmt: skip
    joined = np.empty(longest, np.uint8)
    at_byte, at_char = np.zeros(most_words + 1, np.int64), np.zeros(most_words + 1, np.int64)
    sums, inverses = np.zeros(most_words + 1, np.uint64), np.zeros(most_words + 1, np.uint64)
    keys, counts = np.empty(most_words, np.uint64), np.empty(most_words, np.int32)
    entries, repeated = np.empty(most_words, np.int32), np.empty(most_words, np.bool_)
    all_slots = np.empty(_num_slots(most_words), np.int32)
    for n in range(len(first) - 1):
        low, num_words = first[n], first[n + 1] - first[n]
        _join(data, starts, ends, low, num_words, joined, at_byte, at_char, sums, inverses)
        slots = all_slots[: _num_slots(num_words)]  # a short text stays in a small part, so in a near cache
        repeated[:num_words] = True
        shorter = 0
        for k, n_gram in enumerate(TOP):
            length = n_gram * times_N[n]
            chars[n, k] = _top_chars(
                joined,
                at_byte,
                at_char,
                sums,
                inverses,
                num_words,
                length,
                shorter,
                keys,
                slots,
                counts,
                entries,
                repeated,
            )
            shorter = length
        for k, n_gram in enumerate(DUPLICATE):
            chars[n, len(TOP) + k] = _duplicate_chars(
                joined, at_byte, at_char, sums, inverses, num_words, n_gram * times_N[n], keys, slots
            )


@kernel
def _num_slots(num_words: int) -> int:
    """A power of two, at least four times the words: most look-ups end at the first slot."""
    size = 16
    while size < 4 * num_words:
        size *= 2
    return size


@kernel
def _join(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, low: int, num_words: int, joined: np.ndarray,
    at_byte: np.ndarray, at_char: np.ndarray, sums: np.ndarray, inverses: np.ndarray,
) -> None:  # fmt: skip
    """Words low..low + num_words end to end in `joined`. Before word w there are at_byte[w] bytes and at_char[w]
    characters; sums[w] is their hash, the sum of byte * BASE ** position, and inverses[w] is BASE ** -at_byte[w]."""
    i, num_chars, total = 0, 0, np.uint64(0)
    power, inverse = np.uint64(1), np.uint64(1)
    inverses[0] = inverse
    for w in range(num_words):
        for k in range(starts[low + w], ends[low + w]):
            byte = data[k]
            joined[i] = byte
            num_chars += (byte & 0xC0) != 0x80
            total += (np.uint64(byte) + np.uint64(1)) * power
            power *= BASE
            inverse *= BASE_INVERSE
            i += 1
        at_byte[w + 1], at_char[w + 1], sums[w + 1], inverses[w + 1] = i, num_chars, total, inverse


@kernel
def _same_words(joined: np.ndarray, at_byte: np.ndarray, a: int, b: int, length: int) -> bool:
    """Whether the words from a and from b are the same, one by one."""
    for k in range(1, length + 1):
        if at_byte[a + k] - at_byte[a] != at_byte[b + k] - at_byte[b]:
            return False
    return _equal(joined, at_byte[a], at_byte[b], at_byte[a + length] - at_byte[a])


@kernel
def _top_chars(
    joined: np.ndarray, at_byte: np.ndarray, at_char: np.ndarray, sums: np.ndarray, inverses: np.ndarray,
    num_words: int, length: int, shorter: int, keys: np.ndarray, slots: np.ndarray, counts: np.ndarray,
    entries: np.ndarray, repeated: np.ndarray,
) -> int:  # fmt: skip
    """Characters of the most frequent n-gram of `length` words, times how often it occurs; 0 in a shorter text.

    repeated[w] says whether the n-gram of `shorter` words at w occurs elsewhere too, and then the same for `length`: a
    longer n-gram cannot be repeated unless the shorter ones at its two ends are.
    """
    last = num_words - length
    if last < 0:
        return 0
    slots[:] = 0
    mask = np.uint64(len(slots) - 1)
    most: Any = 1
    best: Any = 0
    for w in range(last + 1):
        entries[w] = -1
        if not (repeated[w] and repeated[w + length - shorter if shorter else w]):
            continue
        key = _mixed((sums[w + length] - sums[w]) * inverses[w])
        slot = key & mask
        entry = w
        while slots[slot] != 0:
            other = slots[slot] - 1
            if keys[other] == key and _same_words(joined, at_byte, other, w, length):
                entry = other
                break
            slot = (slot + np.uint64(1)) & mask
        if entry == w:
            slots[slot], keys[w], counts[w] = w + 1, key, 0
        entries[w] = entry
        counts[entry] += 1
        if counts[entry] > most or (counts[entry] == most and entry < best):
            most, best = np.int64(counts[entry]), np.int64(entry)
    for w in range(last + 1):
        repeated[w] = entries[w] >= 0 and counts[entries[w]] > 1
    return most * (at_char[best + length] - at_char[best] + length - 1)


@kernel
def _duplicate_chars(
    joined: np.ndarray, at_byte: np.ndarray, at_char: np.ndarray, sums: np.ndarray, inverses: np.ndarray,
    num_words: int, length: int, keys: np.ndarray, slots: np.ndarray,
) -> int:  # fmt: skip
    """Characters of n-grams of `length` words whose joined text occurred before; behind one, the next is looked at."""
    slots[:] = 0
    mask = np.uint64(len(slots) - 1)
    w, chars = 0, 0
    while w <= num_words - length:
        start, num_bytes = at_byte[w], at_byte[w + length] - at_byte[w]
        key = _mixed((sums[w + length] - sums[w]) * inverses[w])
        slot = key & mask
        seen = False
        while slots[slot] != 0:
            other = slots[slot] - 1
            if keys[other] == key and at_byte[other + length] - at_byte[other] == num_bytes:
                seen = _equal(joined, at_byte[other], start, num_bytes)
                if seen:
                    break
            slot = (slot + np.uint64(1)) & mask
        if seen:
            chars += at_char[w + length] - at_char[w]
            w += length
        else:
            slots[slot], keys[w] = w + 1, key
            w += 1
    return chars
