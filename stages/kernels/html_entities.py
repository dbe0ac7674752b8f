"""Character references of HTML: `&amp;`, `&#8217;`, `&#x2019;`, and the old ones without a semicolon.

Reads:  the bytes of a page from an `&` on
Writes: code points, and characters as UTF-8
Cost:   20 to 50 ns a reference; a table of 2,231 names, made at import in 3 ms
Source: https://html.spec.whatwg.org/#character-reference-state (13.2.5.72 to 80): numbers of windows-1252 controls
        stand for its characters, impossible numbers for U+FFFD; names from Python's `html.entities.html5`, which is the
        standard's list. NUL becomes U+FFFD; other controls, which no text has, a space, but for tabs and line ends
"""

from __future__ import annotations

from html.entities import html5
from typing import Any

import numpy as np

from stages.kernels.compiled import kernel

NUM_SLOTS = 8192  # of the hash table: a quarter filled
LONGEST_NAME = max(map(len, html5))  # 32 with its semicolon
LONGEST_OLD_NAME = max(len(name) for name in html5 if not name.endswith(";"))  # 6: names that do without
AMPERSAND, HASH, SEMICOLON, EQUALS = b"&#;="
REPLACEMENT = 0xFFFD
FNV_OFFSET, FNV_PRIME = 2166136261, 16777619  # Fowler, Noll, Vo: FNV-1a of 32 bits


def _fnv(name: bytes) -> int:
    value = FNV_OFFSET
    for byte in name:
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value


def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(name number + 1 by slot, where names begin in the bytes, the bytes, two code points by name)."""
    names = sorted(html5)
    starts = np.cumsum([0, *map(len, names)], dtype=np.int32)
    slots = np.zeros(NUM_SLOTS, np.int16)
    codes = np.zeros((len(names), 2), np.int32)
    for k, name in enumerate(names):
        slot = _fnv(name.encode()) % NUM_SLOTS
        while slots[slot]:
            slot = (slot + 1) % NUM_SLOTS
        slots[slot] = k + 1
        codes[k, : len(html5[name])] = [ord(c) for c in html5[name]]
    return slots, starts, np.frombuffer("".join(names).encode(), np.uint8), codes


_SLOTS, _STARTS, _NAMES, _CODES = _table()
# What numbers 0x80 to 0x9F mean: the characters of windows-1252; U+FFFD for those it lacks.
_WINDOWS_1252 = np.array([ord(bytes([c]).decode("cp1252", "replace")) for c in range(0x80, 0xA0)], np.int32)


@kernel
def reference_at(data: np.ndarray, i: int, end: int, in_attribute: bool) -> tuple[int, int, int]:
    """(code point, a second one or 0, bytes taken) of the reference at data[i] == `&`; no bytes where none begins."""
    if i + 2 < end and data[i + 1] == HASH:
        return _number(data, i, end)
    longest = min(end, i + 1 + LONGEST_NAME)
    stop = i + 1
    while stop < longest and _is_alphanumeric(data[stop]):
        stop += 1
    if stop == i + 1:
        return 0, 0, 0
    if stop < end and data[stop] == SEMICOLON:
        k = _find(data, i + 1, stop + 1)
        if k >= 0:
            return _CODES[k, 0], _CODES[k, 1], stop + 1 - i
    for last in range(min(stop, i + 1 + LONGEST_OLD_NAME), i + 2, -1):
        k = _find(data, i + 1, last)
        if k >= 0:
            if in_attribute and last < end and (data[last] == EQUALS or _is_alphanumeric(data[last])):
                return 0, 0, 0
            return _CODES[k, 0], _CODES[k, 1], last - i
    return 0, 0, 0


@kernel
def _is_alphanumeric(byte: int) -> bool:
    return 48 <= byte <= 57 or 97 <= byte | 32 <= 122


@kernel
def _find(data: np.ndarray, start: int, stop: int) -> int:
    """The number of the name data[start:stop], -1 where it is none."""
    value = np.uint32(FNV_OFFSET)
    for j in range(start, stop):
        value = (value ^ np.uint32(data[j])) * np.uint32(FNV_PRIME)
    slot = np.int64(value) % NUM_SLOTS
    k: Any
    while _SLOTS[slot]:
        k = np.int64(_SLOTS[slot]) - 1
        if _STARTS[k + 1] - _STARTS[k] == stop - start:
            same = True
            for j in range(stop - start):
                if _NAMES[_STARTS[k] + j] != data[start + j]:
                    same = False
                    break
            if same:
                return k
        slot = (slot + 1) % NUM_SLOTS
    return -1


@kernel
def _number(data: np.ndarray, i: int, end: int) -> tuple[int, int, int]:
    j = i + 2
    is_hex = data[j] | 32 == 120
    base = 16 if is_hex else 10
    if is_hex:
        j += 1
    first, code = j, 0
    while j < end:
        digit = _digit(data[j], base)
        if digit < 0:
            break
        code = min(code * base + digit, 0x110000)
        j += 1
    if j == first:
        return 0, 0, 0
    if j < end and data[j] == SEMICOLON:
        j += 1
    return _allowed(code), 0, j - i


@kernel
def _digit(byte: int, base: int) -> int:
    low: Any = np.int64(byte) | 32
    if 48 <= byte <= 57:
        return byte - 48
    if base == 16 and 97 <= low <= 102:
        return low - 87
    return -1


@kernel
def _allowed(code: int) -> int:
    """What a number stands for in text."""
    if 0x80 <= code < 0xA0:
        return _WINDOWS_1252[code - 0x80]
    if code == 0 or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return REPLACEMENT
    if code == 9 or code == 10 or code == 13:
        return code
    if code < 32 or code == 127:
        return 32
    return code


@kernel
def put_code(out: np.ndarray, at: int, code: int) -> int:
    """Write a code point as UTF-8 to `out` from `at` on, which has four bytes left; the position behind it."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at], out[at + 1] = 0xC0 | code >> 6, 0x80 | code & 63
        return at + 2
    if code < 0x10000:
        out[at], out[at + 1], out[at + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63
        return at + 3
    out[at], out[at + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 63
    out[at + 2], out[at + 3] = 0x80 | code >> 6 & 63, 0x80 | code & 63
    return at + 4
