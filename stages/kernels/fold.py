"""Folding: every text of a batch to its words, normalised, one space between them.

Reads:  a string array's offsets and bytes (zero copy) and a FoldTable
Writes: Folded, the same layout: int64 offsets and UTF-8 bytes
Cost:   about 0.6 ns per ASCII byte, 5 ns per other character, more per number; the output takes at most 4 bytes per
        byte of input (address space: memory is touched as used)
Source: stages/kernels/fold_table.py has the rules

A byte that is not part of valid UTF-8 stands for U+FFFD. Nothing is read past a text's end.

Positions are unsigned: Numba then leaves out the test for negative indices, a third of the time here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stages.kernels import utf8
from stages.kernels.compiled import kernel
from stages.kernels.fold_table import ALONE, CLASS_MASK, DIGIT, DROP, JOIN, SEPARATOR, SLOW, SPACE, FoldTable
from stages.kernels.inlined import inlined

PADDING = 16
_SPACE_BYTE, _ZERO_BYTE = 0x20, 0x30
_REPLACEMENT, _REPLACEMENT_BYTES = 0xFFFD, 0xBDBFEF  # U+FFFD in UTF-8, first byte lowest


@dataclass(frozen=True)
class Folded:
    """N texts, with a space before and after each: text i is `data[offsets[i]:offsets[i + 1] - 1]`.

    `offsets` int64[N + 1]; `data` uint8, with PADDING bytes of no meaning after the last text, so that a kernel may
    load eight bytes at any position of a text.
    """

    offsets: np.ndarray
    data: np.ndarray


def fold(texts: pa.Array, table: FoldTable) -> Folded:
    """The folded form of `string` or `large_string` texts; a null folds to nothing."""
    text = utf8.view(texts)
    folded = np.empty(4 * int(text.offsets[-1] - text.offsets[0]) + len(text) + 1 + PADDING, np.uint8)
    folded_offsets = np.zeros(len(text) + 1, np.int64)
    _fold_batch(text.offsets, text.data, table.entries, table.pool, table.bytes, folded, folded_offsets)
    return Folded(folded_offsets, folded[: folded_offsets[-1] + PADDING])


@inlined
def _follow(data: np.ndarray, i: Any, end: Any) -> Any:
    """The byte at i if it continues a character, its bits as they stand there; otherwise, or at the end, 0."""
    byte = np.uint64(0)
    if i < end:
        byte = np.uint64(data[i])
    return byte if byte & np.uint64(0xC0) == np.uint64(0x80) else np.uint64(0)


@inlined
def _decode(data: np.ndarray, i: Any, end: Any) -> tuple[Any, Any, Any, Any]:
    """(code point, its bytes with the first one lowest, how many these are, how many are read) at data[i].

    For a byte that is not valid there: U+FFFD, its three bytes, one read. Unlike `utf8.decode` it refuses surrogates
    and overlong forms, so that what is hashed is always valid UTF-8.
    """
    one, low_six = np.uint64(1), np.uint64(0x3F)
    lead = np.uint64(data[i])
    if lead < np.uint64(0x80):
        return lead, lead, one, one
    second = _follow(data, i + one, end)
    if second and np.uint64(0xC2) <= lead < np.uint64(0xE0):
        code = (lead & np.uint64(0x1F)) << np.uint64(6) | second & low_six
        return code, lead | second << np.uint64(8), np.uint64(2), np.uint64(2)
    if second and np.uint64(0xE0) <= lead < np.uint64(0xF5):
        third = _follow(data, i + np.uint64(2), end)
        code = (second & low_six) << np.uint64(6) | third & low_six
        written = lead | second << np.uint64(8) | third << np.uint64(16)
        if third and lead < np.uint64(0xF0):
            code |= (lead & np.uint64(0x0F)) << np.uint64(12)
            if code >= np.uint64(0x800) and code >> np.uint64(11) != np.uint64(0xD800 >> 11):
                return code, written, np.uint64(3), np.uint64(3)
        elif third:
            fourth = _follow(data, i + np.uint64(3), end)
            code = (lead & np.uint64(0x07)) << np.uint64(18) | code << np.uint64(6) | fourth & low_six
            if fourth and np.uint64(0x10000) <= code < np.uint64(0x110000):
                return code, written | fourth << np.uint64(24), np.uint64(4), np.uint64(4)
    return np.uint64(_REPLACEMENT), np.uint64(_REPLACEMENT_BYTES), np.uint64(3), one


@inlined
def _skip_digits(data: np.ndarray, i: Any, end: Any, entries: np.ndarray) -> Any:
    """The position after the run of digits at i."""
    while i < end:
        code, _, _, num_read = _decode(data, i, end)
        if entries[code] & CLASS_MASK != DIGIT:
            break
        i += num_read
    return i


@inlined
def _skip_number(data: np.ndarray, i: Any, end: Any, entries: np.ndarray) -> Any:
    """The position after `digits (separator digits)?` at i."""
    i = _skip_digits(data, i, end, entries)
    if i < end:
        code, _, _, num_read = _decode(data, i, end)
        if entries[code] & SEPARATOR:
            after = _skip_digits(data, i + num_read, end, entries)
            if after > i + num_read:
                return after
    return i


@inlined
def _write(written: Any, num_bytes: Any, entry: Any, pool: np.ndarray, folded: np.ndarray, at: Any) -> Any:
    """Write a character's folded form at folded[at:]: itself, or what its entry names; the position after it."""
    folded_length = np.uint64(entry >> np.uint32(4) & np.uint32(15))
    if folded_length:
        start = np.uint64(entry >> np.uint32(8))
        for k in range(4):  # four in any case: one load and one store, where a loop would be guessed wrong
            folded[at + np.uint64(k)] = pool[start + np.uint64(k)]
        for k in range(4, np.int64(folded_length)):
            folded[at + np.uint64(k)] = pool[start + np.uint64(k)]
        return at + folded_length
    for k in range(4):
        folded[at + np.uint64(k)] = np.uint8(written >> np.uint64(8 * k))
    return at + num_bytes


@inlined
def _end_word(folded: np.ndarray, at: Any) -> Any:
    """Write a space unless one is there; the position after it."""
    folded[at] = _SPACE_BYTE
    return at + np.uint64(folded[at - np.uint64(1)] != _SPACE_BYTE)


@inlined
def _fold_other(
    data: np.ndarray, i: Any, end: Any, entries: np.ndarray, pool: np.ndarray, folded: np.ndarray, at: Any, alone: Any
) -> tuple[Any, Any, Any]:
    """Fold the character at i by the full table: (next i, next at, whether an ALONE word was just closed)."""
    code, written, num_bytes, num_read = _decode(data, i, end)
    entry = entries[code]
    kind = entry & CLASS_MASK
    if kind == DIGIT:
        folded[at] = _ZERO_BYTE
        return _skip_number(data, i, end, entries), at + np.uint64(1), False
    if kind == DROP:
        return i + num_read, at, alone
    if kind == SPACE:
        return i + num_read, _end_word(folded, at), False
    if kind == ALONE:
        at = _end_word(folded, at)
    joined = kind == JOIN and alone
    if joined:
        at -= np.uint64(1)  # over the space that closed the ALONE word
    at = _write(written, num_bytes, entry, pool, folded, at)
    alone = kind == ALONE or joined
    if alone:
        folded[at] = _SPACE_BYTE
        at += np.uint64(1)
    return i + num_read, at, alone


@inlined
def _fold_ascii(
    data: np.ndarray, i: Any, end: Any, byte_table: np.ndarray, folded: np.ndarray, at: Any
) -> tuple[Any, Any]:
    """Fold up to the next byte that needs the full table: (its position, position after what was written).

    Eight bytes at a time are folded without a branch, and again one by one where one of them needed the table.
    """
    one, eight = np.uint64(1), np.uint64(8)
    in_word = np.uint64(folded[at - one] != _SPACE_BYTE)
    while i + eight <= end:
        start, was_in_word, seen = at, in_word, np.uint8(0)
        for k in range(8):
            byte = byte_table[data[i + np.uint64(k)]]
            seen |= byte
            folded[at] = byte
            now_in_word = np.uint64(byte != _SPACE_BYTE)
            at += now_in_word | in_word
            in_word = now_in_word
        if seen & np.uint8(0x80):
            at, in_word = start, was_in_word
            break
        i += eight
    while i < end:
        byte = byte_table[data[i]]
        if byte == SLOW:
            break
        folded[at] = byte
        now_in_word = np.uint64(byte != _SPACE_BYTE)
        at += now_in_word | in_word
        in_word = now_in_word
        i += one
    return i, at


@inlined
def _fold_text(
    data: np.ndarray, i: Any, end: Any, entries: np.ndarray, pool: np.ndarray, byte_table: np.ndarray,
    folded: np.ndarray, at: Any,
) -> Any:  # fmt: skip
    """Fold one text to folded[at:], which a space precedes, and end it with one; the position after that."""
    first, alone = at, False
    while i < end:
        if byte_table[data[i]] != SLOW:
            i, at = _fold_ascii(data, i, end, byte_table, folded, at)
            alone = False
        else:
            i, at, alone = _fold_other(data, i, end, entries, pool, folded, at, alone)
    if at == first or folded[at - np.uint64(1)] != _SPACE_BYTE:
        folded[at] = _SPACE_BYTE
        at += np.uint64(1)
    return at


@kernel
def _fold_batch(
    offsets: np.ndarray, data: np.ndarray, entries: np.ndarray, pool: np.ndarray, byte_table: np.ndarray,
    folded: np.ndarray, folded_offsets: np.ndarray,
) -> None:  # fmt: skip
    folded[0] = _SPACE_BYTE
    at = np.uint64(1)
    folded_offsets[0] = at
    for n in range(len(offsets) - 1):
        start, end = np.uint64(offsets[n]), np.uint64(offsets[n + 1])
        at = _fold_text(data, start, end, entries, pool, byte_table, folded, at)
        folded_offsets[n + 1] = at
