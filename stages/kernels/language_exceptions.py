"""Exceptions of the languages other than English: found, split into their parts, and put together from pieces.

Reads:  bytes of one text, the tables of word_rules.load (`t`), the number of a rule set (`r`)
Writes: rows of exceptions; first and last byte of every word
Cost:   constant per call; putting together takes one pass over the words, and one for every length where there is one
Source: spaCy 3.8 tokenizer.pyx (MIT): rules, and the matcher over words that `_apply_special_cases` runs at last
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.byte_masks import address_of
from stages.kernels.compiled import kernel
from stages.kernels.word_rules import (
    FIRST_PIECES,
    MAX_BYTES,
    MAX_PIECES,
    PAIR_BYTES,
    PAIRS,
    PARTS,
    PARTS_START,
    PIECES,
    PIECES_START,
    SLOT_START,
    SLOTS,
    TEXT,
    TEXT_START,
)

FNV_START, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
BLANK = 32


@kernel
def has_pair(t: np.ndarray, r: int, data: np.ndarray, i: int) -> bool:
    """Whether rule set r's table of byte pairs has data[i:i + 2]."""
    pair = np.int64(data[i]) << 8 | np.int64(data[i + 1])
    return t[t[PAIRS] + r * PAIR_BYTES + (pair >> 3)] >> (pair & 7) & 1 != 0


@kernel
def find_exception(t: np.ndarray, r: int, data: np.ndarray, start: int, end: int) -> int:
    """Row of the exception data[start:end] of rule set r, or -1."""
    length = end - start
    if length > t[t[MAX_BYTES] + r] or (length > 1 and not has_pair(t, r, data, start)):
        return -1
    key = FNV_START
    for i in range(start, end):
        key = (key ^ np.uint64(data[i])) * FNV_PRIME
    base = t[t[SLOT_START] + r]
    mask = np.uint64(t[t[SLOT_START] + r + 1] - base - 1)
    slot = key & mask
    while True:
        row: Any = t[t[SLOTS] + base + np.int64(slot)] - 1
        if row < 0:
            return -1
        text = t[t[TEXT_START] + row]
        if t[t[TEXT_START] + row + 1] - text == length:
            k = 0
            while k < length and data[start + k] == t[t[TEXT] + text + k]:
                k += 1
            if k == length:
                return row
        slot = (slot + np.uint64(1)) & mask


@kernel
def emit_exception(t: np.ndarray, row: int, start: int, starts: np.ndarray, ends: np.ndarray, at: int) -> int:
    """The words an exception is split into."""
    for p in range(t[t[PARTS_START] + row], t[t[PARTS_START] + row + 1]):
        size = t[t[PARTS] + p]
        starts[at], ends[at] = start, start + size
        at, start = at + 1, start + size
    return at


@kernel
def _starts_pieces(
    t: np.ndarray, r: int, data: np.ndarray, w: int, at: int, starts: np.ndarray, ends: np.ndarray
) -> bool:
    """Whether words w, or w and w + 1, may be the first pieces of an exception."""
    key = FNV_START
    for k in range(w, min(w + 2, at)):
        if ends[k] - starts[k] > t[t[MAX_BYTES] + r]:
            return False
        for i in range(starts[k], ends[k]):
            key = (key ^ np.uint64(data[i])) * FNV_PRIME
        bit = np.int64(key >> np.uint64(48))
        if t[t[FIRST_PIECES] + r * PAIR_BYTES + (bit >> 3)] >> (bit & 7) & 1:
            return True
    return False


@kernel
def _piece_row(
    t: np.ndarray, r: int, data: np.ndarray, w: int, length: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[int, bool]:
    """(row of the exception that words w..w + length are the pieces of, or -1; whether they become it). Pieces with
    single spaces between them that the exception has not are found, but stay as they are."""
    num_spaces = 0
    for k in range(w + 1, w + length):
        gap = starts[k] - ends[k - 1]
        if gap > 1 or (gap == 1 and data[ends[k - 1]] != BLANK):
            return -1, False
        num_spaces += gap
    start, end = starts[w], ends[w + length - 1]
    row = find_exception(t, r, data, start, end)
    is_exact = row >= 0
    if not is_exact and num_spaces and end - start - num_spaces <= t[t[MAX_BYTES] + r]:
        joined = np.empty(end - start - num_spaces, np.uint8)
        size = 0
        for k in range(w, w + length):
            for i in range(starts[k], ends[k]):
                joined[size] = data[i]
                size += 1
        row = find_exception(t, r, address_of(joined, 0), 0, size)
    if row < 0:
        return -1, False
    k = 0
    for p in range(t[t[PIECES_START] + row], t[t[PIECES_START] + row + 1]):
        size = t[t[PIECES] + p]
        if size and (k == length or ends[w + k] - starts[w + k] != size):
            return -1, False
        k += size > 0
    return (row, is_exact) if k == length else (-1, False)


@kernel
def join_pieces(
    t: np.ndarray, r: int, data: np.ndarray, first: int, at: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Replace runs of words first..at that make up an exception; longer runs go first, then earlier ones. Returns the
    next `at`."""
    max_bytes = t[t[MAX_BYTES] + r]
    for w in range(first, at):
        if _starts_pieces(t, r, data, w, at, starts, ends):
            for length in range(1, min(t[t[MAX_PIECES] + r], at - w) + 1):
                if ends[w + length - 1] - starts[w] > 2 * max_bytes:  # with a space after every byte
                    break
                if _piece_row(t, r, data, w, length, starts, ends)[0] >= 0:
                    return _rejoin(t, r, data, first, at, starts, ends)
    return at


@kernel
def _rejoin(t: np.ndarray, r: int, data: np.ndarray, first: int, at: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """As join_pieces, where there is such a run."""
    num_words = at - first
    row_W, length_W = np.full(num_words, -1, np.int64), np.zeros(num_words, np.int64)
    seen_W, starts_W = np.zeros(num_words, np.bool_), np.zeros(num_words, np.bool_)
    for w in range(num_words):
        starts_W[w] = _starts_pieces(t, r, data, first + w, at, starts, ends)
    for length in range(min(t[t[MAX_PIECES] + r], num_words), 0, -1):
        for w in range(num_words - length + 1):
            if not starts_W[w]:
                continue
            row, is_exact = _piece_row(t, r, data, first + w, length, starts, ends)
            if row >= 0:
                if is_exact and not seen_W[w] and not seen_W[w + length - 1]:
                    row_W[w], length_W[w] = row, length
                seen_W[w : w + length] = True
    old_starts, old_ends = np.empty(num_words, np.int64), np.empty(num_words, np.int64)
    for w in range(num_words):
        old_starts[w], old_ends[w] = starts[first + w], ends[first + w]
    w, at = 0, first
    while w < num_words:
        if row_W[w] >= 0:
            at = emit_exception(t, row_W[w], old_starts[w], starts, ends, at)
            w += length_W[w]
        else:
            starts[at], ends[at] = old_starts[w], old_ends[w]
            at, w = at + 1, w + 1
    return at
