"""Folding: every text of a batch to its words, normalised, one space between them.

Reads:  a string array's offsets and bytes (zero copy) and a FoldTable
Writes: Folded, the same layout: int64 offsets and UTF-8 bytes
Cost:   about 2 ns a byte; the output takes at most 4 bytes per byte of input (address space: memory is touched as used)
Source: stages/kernels/fold_table.py has the rules

A byte that is not part of valid UTF-8 stands for U+FFFD. Nothing is read past a text's end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from stages.kernels.fold_table import FoldTable

PADDING = 16


@dataclass(frozen=True)
class Folded:
    """N texts, with a space before and after each: text i is `data[offsets[i]:offsets[i + 1] - 1]`.

    `offsets` int64[N + 1]; `data` uint8, with PADDING bytes of no meaning after the last text, so that a kernel may
    load aligned eights of bytes.
    """

    offsets: np.ndarray
    data: np.ndarray


def text_bytes(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(offsets int64[N + 1], data uint8) of `string` or `large_string` texts, without a copy; a null is empty."""
    texts = texts.cast(pa.large_string())
    if texts.null_count:
        texts = pc.fill_null(texts, "")
    _, offsets_buffer, data_buffer = texts.buffers()
    offsets = np.zeros(1, np.int64)
    if len(texts):
        offsets = np.frombuffer(offsets_buffer, np.int64, len(texts) + 1, texts.offset * 8)
    return offsets, np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)


def fold(texts: pa.Array, table: FoldTable) -> Folded:
    """The folded form of `string` or `large_string` texts; a null folds to nothing."""
    offsets, data = text_bytes(texts)
    folded = np.empty(4 * int(offsets[-1] - offsets[0]) + len(texts) + 1 + PADDING, np.uint8)
    folded_offsets = np.zeros(len(texts) + 1, np.int64)
    _fold_batch(offsets, data, table.entries, table.pool, table.bytes, folded, folded_offsets)
    return Folded(folded_offsets, folded[: folded_offsets[-1] + PADDING])


@njit(nogil=True, cache=True)
def _decode(data, i, end):  # type: ignore[no-untyped-def]
    """(code point, its length in bytes) at data[i]; (0xFFFD, 1) for a byte that is not valid there."""
    lead = np.uint32(data[i])
    if lead < 0x80:
        return lead, 1
    length = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 0
    if length == 0 or i + length > end:
        return np.uint32(0xFFFD), 1
    code = lead & np.uint32(0x7F >> length)
    for k in range(1, length):
        follow = np.uint32(data[i + k])
        if follow & np.uint32(0xC0) != 0x80:
            return np.uint32(0xFFFD), 1
        code = code << np.uint32(6) | follow & np.uint32(0x3F)
    overlong = (length == 3 and code < 0x800) or (length == 4 and code < 0x10000)
    if overlong or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return np.uint32(0xFFFD), 1
    return code, length


@njit(nogil=True, cache=True)
def _skip_digits(data, i, end, entries):  # type: ignore[no-untyped-def]
    """The position after the run of digits at i."""
    while i < end:
        code, length = _decode(data, i, end)
        if entries[code] & 7 != 2:
            break
        i += length
    return i


@njit(nogil=True, cache=True)
def _skip_number(data, i, end, entries):  # type: ignore[no-untyped-def]
    """The position after `digits (separator digits)?` at i."""
    i = _skip_digits(data, i, end, entries)
    if i < end:
        code, length = _decode(data, i, end)
        if entries[code] & 8:
            after = _skip_digits(data, i + length, end, entries)
            if after > i + length:
                return after
    return i


@njit(nogil=True, cache=True)
def _write(data, i, length, entry, pool, folded, at):  # type: ignore[no-untyped-def]
    """Write a character's folded bytes at folded[at]; the position after them. `length` 0: a byte that is none."""
    if length == 0:
        folded[at], folded[at + 1], folded[at + 2] = 0xEF, 0xBF, 0xBD
        return at + 3
    folded_length = entry >> 4 & 15
    if folded_length:
        start = entry >> 8
        for k in range(folded_length):
            folded[at + k] = pool[start + k]
        return at + np.int64(folded_length)
    for k in range(length):
        folded[at + k] = data[i + k]
    return at + length


@njit(nogil=True, cache=True)
def _fold_other(data, i, end, entries, pool, folded, at, alone):  # type: ignore[no-untyped-def]
    """Fold the character at i by the full table: (next i, next at, whether an ALONE word was just closed)."""
    code, length = _decode(data, i, end)
    entry = entries[code]
    kind = entry & 7
    if kind == 2:
        folded[at] = 0x30
        return _skip_number(data, i, end, entries), at + 1, False
    if kind == 3:
        return i + length, at, alone
    if kind == 1:
        if folded[at - 1] != 0x20:
            folded[at] = 0x20
            at += 1
        return i + length, at, False
    if kind == 4 and folded[at - 1] != 0x20:
        folded[at] = 0x20
        at += 1
    if kind == 5 and alone:
        at -= 1  # over the space that closed the ALONE word
    valid_length = 0 if code == 0xFFFD else length
    at = _write(data, i, valid_length, entry, pool, folded, at)
    alone = kind == 4 or (kind == 5 and alone)
    if alone:
        folded[at] = 0x20
        at += 1
    return i + length, at, alone


@njit(nogil=True, cache=True)
def _fold_ascii(data, i, end, byte_table, folded, at):  # type: ignore[no-untyped-def]
    """Fold up to the next byte that needs the full table: (its position, position after what was written).

    folded[at - 1] exists. Unsigned positions spare Numba's test for negative indices, a third of the time here.
    """
    one, i, end, at = np.uint64(1), np.uint64(i), np.uint64(end), np.uint64(at)
    last = folded[at - one]
    while i < end:
        byte = byte_table[data[i]]
        if byte == 0xFF:
            break
        folded[at] = byte
        at += np.uint64((byte != 0x20) | (last != 0x20))
        last = byte
        i += one
    return np.int64(i), np.int64(at)


@njit(nogil=True, cache=True)
def _fold_text(data, i, end, entries, pool, byte_table, folded, at):  # type: ignore[no-untyped-def]
    """Fold one text to folded[at:], which a space precedes, and end it with one; the position after that."""
    first, alone = at, False
    while i < end:
        ascii_end, at = _fold_ascii(data, i, end, byte_table, folded, at)
        alone = alone and ascii_end == i
        i = ascii_end
        if i < end:
            i, at, alone = _fold_other(data, i, end, entries, pool, folded, at, alone)
    if at == first or folded[at - 1] != 0x20:
        folded[at] = 0x20
        at += 1
    return at


@njit(nogil=True, cache=True)
def _fold_batch(offsets, data, entries, pool, byte_table, folded, folded_offsets):  # type: ignore[no-untyped-def]
    folded[0] = 0x20
    folded_offsets[0] = at = np.int64(1)
    for n in range(len(offsets) - 1):
        at = _fold_text(data, offsets[n], offsets[n + 1], entries, pool, byte_table, folded, at)
        folded_offsets[n + 1] = at
