"""spaCy's expressions for prefixes, suffixes, infixes, URLs and exceptions, on UTF-8 bytes.

Reads:  data[start:end] without white space, and Tables
Writes: lengths in bytes, positions, rows of exceptions
Cost:   constant per call, but for runs of dots, URLs and infixes: linear in what they look at
Source: spaCy 3.8 (MIT): lang/punctuation.py (TOKENIZER_PREFIXES, TOKENIZER_SUFFIXES), lang/en/punctuation.py (infixes),
        lang/tokenizer_exceptions.py (URL_PATTERN, after Diego Perini, MIT). Lookbehinds see no further than `start`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import unicode_tables
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import (
    AFTER_INFIX_DOT,
    BEFORE_INFIX_DOT,
    BEFORE_SUFFIX_DOT,
    CURRENCY,
    DIGIT,
    INFIX,
    PREFIX,
    SPACY_ALPHA,
    SPACY_LOWER,
    SPACY_UPPER,
    SUFFIX,
    URL_LABEL,
    WORD,
)
from stages.kernels.utf8 import class_at, class_before

FNV_START, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)

# compiled into the kernels as constants
_TABLES = unicode_tables.load()
_SPECIAL_HASH, _SPECIAL_ROW = _TABLES.special_hash, _TABLES.special_row
_SPECIAL_BYTES, _SPECIAL_START = _TABLES.special_bytes, _TABLES.special_start
_SPECIAL_FILTER, _SPECIAL_PIECES = _TABLES.special_filter, _TABLES.special_pieces
_SPECIAL_PAIRS, _PIECE_PAIRS = _TABLES.special_pairs, _TABLES.piece_pairs
_UNITS, _UNIT_LENGTHS = _TABLES.units, _TABLES.unit_lengths
MAX_SPECIAL_BYTES = int(np.diff(_SPECIAL_START).max())
MAX_UNIT_BYTES = int(_UNIT_LENGTHS.max())
DOT, HYPHEN, PLUS, COMMA, SLASH, COLON, DOLLAR, STAR, CARET, TILDE, AT = 46, 45, 43, 44, 47, 58, 36, 42, 94, 126, 64
PORT_DIGITS = 5  # at most, in a URL; at least 2


@kernel
def _is_digit(data: np.ndarray, start: int, i: int) -> bool:
    """Whether data[i] is an ASCII digit, and not before start."""
    return i >= start and 48 <= data[i] <= 57


@kernel
def _has_pair(pairs: np.ndarray, data: np.ndarray, i: int) -> bool:
    """Whether data[i:i + 2] is in a set of byte pairs."""
    pair = np.int64(data[i]) << 8 | np.int64(data[i + 1])
    return pairs[pair >> 3] >> (pair & 7) & 1 != 0


@kernel
def find_special(data: np.ndarray, start: int, end: int) -> int:
    """Row of the exception data[start:end], or -1."""
    if end - start > MAX_SPECIAL_BYTES or (end - start > 1 and not _has_pair(_SPECIAL_PAIRS, data, start)):
        return -1
    key = FNV_START
    for i in range(start, end):
        key = (key ^ np.uint64(data[i])) * FNV_PRIME
    bit = key >> np.uint64(48)
    if not _SPECIAL_FILTER[bit >> np.uint64(3)] >> np.uint8(bit & np.uint64(7)) & 1:
        return -1
    mask = np.uint64(len(_SPECIAL_HASH) - 1)
    slot = key & mask
    while _SPECIAL_HASH[slot] != 0:
        if _SPECIAL_HASH[slot] == key and _is_row(data, start, end, _SPECIAL_ROW[slot]):
            row: Any = np.int64(_SPECIAL_ROW[slot])
            return row
        slot = (slot + np.uint64(1)) & mask
    return -1


@kernel
def _is_row(data: np.ndarray, start: int, end: int, row: int) -> bool:
    """Whether data[start:end] is the text of an exception."""
    first, length = _SPECIAL_START[row], end - start
    if _SPECIAL_START[row + 1] - first != length:
        return False
    k = 0
    while k < length and data[start + k] == _SPECIAL_BYTES[first + k]:
        k += 1
    return k == length


@kernel
def piece_row(data: np.ndarray, w: int, length: int, at: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """Row of the exception that words w..w + length are the pieces of, or -1; with length 0, of any length."""
    start = starts[w]
    last_end = ends[at - 1]
    if last_end - start < 2 or not _has_pair(_PIECE_PAIRS, data, start):
        return -1
    longest = _SPECIAL_PIECES.shape[1] - 1
    for count in range(length if length else 1, (length if length else longest) + 1):
        if w + count > at or ends[w + count - 1] - start > MAX_SPECIAL_BYTES:
            break
        row = find_special(data, start, ends[w + count - 1])
        if row >= 0 and _SPECIAL_PIECES[row, count - 1] > 0 and _SPECIAL_PIECES[row, count] == 0:
            k = 0
            while k < count and ends[w + k] - starts[w + k] == _SPECIAL_PIECES[row, k]:
                k += 1
            if k == count:
                return row
    return -1


@kernel
def _run_after(data: np.ndarray, i: int, end: int, byte: int) -> int:
    """How many `byte` stand at data[i]."""
    first = i
    while i < end and data[i] == byte:
        i += 1
    return i - first


@kernel
def prefix_length(data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the prefix of data[start:end], start < end; 0 if there is none."""
    bits, size = class_at(data, start, end)
    if bits & PREFIX:
        return size
    byte = data[start]
    if byte == DOT:
        dots = _run_after(data, start, end, DOT)
        return dots if dots > 1 else 0
    if byte == PLUS:
        return 0 if start + 1 < end and _is_digit(data, start, start + 1) else 1
    return _dollar_length(data, start, end)


@kernel
def _dollar_length(data: np.ndarray, start: int, end: int) -> int:
    """Bytes of `US$`, `C$` or `A$` at data[start]; 0 if there is none."""
    byte = data[start]
    if (byte == 67 or byte == 65) and start + 1 < end and data[start + 1] == DOLLAR:
        return 2
    if byte == 85 and start + 2 < end and data[start + 1] == 83 and data[start + 2] == DOLLAR:
        return 3
    return 0


@kernel
def suffix_length(data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the longest suffix of data[start:end]; 0 if there is none."""
    if start >= end:
        return 0
    bits, size = class_before(data, start, end)
    byte = data[end - 1]
    if byte == DOT:
        return _dot_suffix(data, start, end)
    if bits & SUFFIX:
        two = (
            size == 3
            and end - start >= 6
            and bits & INFIX
            and _is_ellipsis(data, end - 3)
            and _is_ellipsis(data, end - 6)
        )
        return 6 if two else size
    if (byte == 115 or byte == 83) and end - start >= 2:  # 's and ’s
        if data[end - 2] == 39:
            return 2
        if end - start >= 4 and data[end - 4] == 0xE2 and data[end - 3] == 0x80 and data[end - 2] == 0x99:
            return 4
    if byte == PLUS:
        return 1 if _is_digit(data, start, end - 2) else 0
    return _after_digit(data, start, end, bits, size)


@kernel
def _is_ellipsis(data: np.ndarray, i: int) -> bool:
    """Whether U+2026 stands at data[i:i + 3]."""
    return data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6


@kernel
def _dot_suffix(data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the suffix that the dot at data[end - 1] ends."""
    first = end - 1
    while first > start and data[first - 1] == DOT:
        first -= 1
    if end - first > 1:
        return end - first
    if first == start:
        return 0
    bits, size = class_before(data, start, first)
    if bits & BEFORE_SUFFIX_DOT:
        return 1
    if first - size > start:
        before, _ = class_before(data, start, first - size)
        if bits & before & SPACY_UPPER:
            return 1
        is_degree = first - 3 >= start and data[first - 3] == 0xC2 and data[first - 2] == 0xB0
        letter = data[first - 1] | 32
        if is_degree and (letter == 102 or letter == 99 or letter == 107):
            return 1
    return 0


@kernel
def _after_digit(data: np.ndarray, start: int, end: int, bits: int, size: int) -> int:
    """Bytes of a currency sign or unit at the end, right after an ASCII digit; 0 if there is none."""
    first = end
    while first > start and end - first <= MAX_UNIT_BYTES and not _is_digit(data, start, first - 1):
        first -= 1
    length = end - first
    if length == 0 or length > MAX_UNIT_BYTES or not _is_digit(data, start, first - 1):
        return 0
    if (bits & CURRENCY and length == size) or _dollar_length(data, first, end) == length:
        return length
    for u in range(len(_UNIT_LENGTHS)):
        if _UNIT_LENGTHS[u] == length:
            k = 0
            while k < length and _UNITS[u, k] == data[first + k]:
                k += 1
            if k == length:
                return length
    return 0


@kernel
def next_infix(data: np.ndarray, start: int, i: int, end: int) -> tuple[int, int]:
    """(first byte, byte after it) of the first infix of data[start:end] at or after i; (end, end) if there is none."""
    before = 0
    if i > start:
        before, _ = class_before(data, start, i)
    while i < end:
        bits, size = class_at(data, i, end)
        if bits & INFIX:
            return i, i + size
        length = _infix_length(data, start, i, end, before)
        if length:
            return i, i + length
        before = bits
        i += size
    return end, end


@kernel
def _infix_length(data: np.ndarray, start: int, i: int, end: int, before: int) -> int:
    """Bytes of the infix at data[i] that is no icon, after a character of class `before`; 0 if there is none."""
    byte = data[i]
    digit_before = _is_digit(data, start, i - 1)
    if byte == DOT:
        dots = _run_after(data, i, end, DOT)
        if dots > 1:
            return dots
        return 1 if before & BEFORE_INFIX_DOT and _next_is(data, i + 1, end, AFTER_INFIX_DOT) else 0
    if byte == COMMA:
        return 1 if before & SPACY_ALPHA and _next_is(data, i + 1, end, SPACY_ALPHA) else 0
    next_fits = i + 1 < end and (_is_digit(data, start, i + 1) or data[i + 1] == HYPHEN)
    if digit_before and next_fits and byte in (PLUS, HYPHEN, STAR, CARET):
        return 1
    if not before & SPACY_ALPHA and not digit_before:
        return 0
    length = 0
    if byte in (SLASH, COLON, TILDE) or 60 <= byte <= 62:  # / : ~ < = >
        length = 1
    elif byte == HYPHEN:
        length = _run_after(data, i, end, HYPHEN)
        length = length if length <= 3 else 0
    elif byte == 0xE2 and i + 2 < end and data[i + 1] == 0x80 and (data[i + 2] == 0x93 or data[i + 2] == 0x94):
        length = 3  # – and —; — also doubled
        if data[i + 2] == 0x94 and i + 5 < end and data[i + 3] == 0xE2 and data[i + 4] == 0x80 and data[i + 5] == 0x94:
            length = 6
    return length if length and _next_is(data, i + length, end, SPACY_ALPHA) else 0


@kernel
def _next_is(data: np.ndarray, i: int, end: int, bit: int) -> bool:
    if i >= end:
        return False
    bits, _ = class_at(data, i, end)
    return bits & bit != 0


@kernel
def is_url(data: np.ndarray, start: int, end: int) -> bool:
    """Whether data[start:end] matches URL_PATTERN: a host, after an optional scheme or anything that ends in `@`."""
    dots = 0
    for i in range(start, end):
        dots += data[i] == DOT
    if dots == 0:
        return False
    if _is_host(data, start, end):
        return True
    after_scheme = _after_scheme(data, start, end)
    if after_scheme < end and _is_host(data, after_scheme, end):
        return True
    found, i = False, start + 1
    while not found and i < end - 1:
        found = data[i] == AT and _is_host(data, i + 1, end)
        i += 1
    return found


@kernel
def _after_scheme(data: np.ndarray, start: int, end: int) -> int:
    r"""The byte after `[\w\+\-\.]{2,}://` at start, or `end`."""
    i, count = start, 0
    while i < end:
        bits, size = class_at(data, i, end)
        byte = data[i]
        if not bits & WORD and byte != PLUS and byte != HYPHEN and byte != DOT:
            break
        i, count = i + size, count + 1
    if count < 2 or i + 3 >= end or data[i] != COLON or data[i + 1] != SLASH or data[i + 2] != SLASH:
        return end
    return i + 3


@kernel
def _is_host(data: np.ndarray, start: int, end: int) -> bool:
    """Whether data[start:end] is a domain or public IPv4 address with, perhaps, a port and a path."""
    i, labels, chars, edge, lower = start, 0, 0, 0, 1
    while i < end:  # labels of 1 to 64 characters, `-` and `_` only inside; then a top-level domain in lower case
        bits, size = class_at(data, i, end)
        byte = data[i]
        if byte == DOT:
            if chars == 0 or chars > 64 or not edge:
                return False
            labels, chars, lower = labels + 1, 0, 1
        elif bits & URL_LABEL or (chars and (byte == HYPHEN or byte == 95)):
            edge = bits & URL_LABEL
            chars += 1
            lower = lower and bits & SPACY_LOWER
        elif bits & SPACY_LOWER and labels:  # lower-case letters beyond U+FFFF only stand in the last label
            edge, lower, chars = 0, lower, chars + 1
        else:
            break
        i += size
    if labels and 2 <= chars <= 63 and lower and _is_port_and_path(data, i, end):
        return True
    return labels == 3 and _is_public_address(data, start, i) and _is_port_and_path(data, i, end)


@kernel
def _is_port_and_path(data: np.ndarray, i: int, end: int) -> bool:
    r"""Whether data[i:end] matches `(?::\d{2,5})?(?:[/?#]\S*)?$`."""
    if i < end and data[i] == COLON:
        i, digits = i + 1, 0
        while i < end:
            bits, size = class_at(data, i, end)
            if not bits & DIGIT:
                break
            i, digits = i + size, digits + 1
        if not 2 <= digits <= PORT_DIGITS:
            return False
    return i == end or data[i] == SLASH or data[i] == 63 or data[i] == 35


@kernel
def _is_public_address(data: np.ndarray, start: int, end: int) -> bool:
    """Whether data[start:end] is a dotted IPv4 address, not private, local, multicast or a network's first or last."""
    a = b = c = d = part = digits = 0
    for i in range(start, end):
        byte: Any = np.int64(data[i])
        if byte == DOT:
            a, b, c, d = b, c, d, 0
            part, digits = part + 1, 0
        elif 48 <= byte <= 57 and digits < 3 and not (digits == 1 and d == 0 and (part == 0 or part == 3)):
            d = d * 10 + byte - 48
            digits += 1
        else:
            return False
    if part != 3 or digits == 0 or not 1 <= a <= 223 or b > 255 or c > 255 or not 1 <= d <= 254:
        return False
    if a == 10 or a == 127 or (a == 169 and b == 254) or (a == 192 and b == 168):
        return False
    return not (a == 172 and 16 <= b <= 31)
