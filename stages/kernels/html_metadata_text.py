r"""The values of metadata: attributes of a tag, strings of JSON, and either as a line of clean text.

Reads:  regions of a page, never a byte beyond them
Writes: positions; characters in UTF-8 without controls, white space collapsed, references decoded once
Cost:   1 ns per byte of attributes, 3 ns per byte of text
Source: https://html.spec.whatwg.org/#before-attribute-name-state (attributes; a quote that does not close ends with the
        region), RFC 8259 section 7 (`\u` in JSON, surrogates in pairs). Dropped characters are our choice

A value is first copied into a buffer of MAX_VALUE_BYTES, which bounds what any of them costs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_entities import put_code, reference_at
from stages.kernels.utf8 import decode

MAX_VALUE_BYTES = 8192  # of a value as it stands in the page; what is longer is cut
QUOTE, AMPERSAND, APOSTROPHE, SLASH, LESS, EQUALS, GREATER, BACKSLASH = b"\"&'/<=>\\"
SPACE = 32
REPLACEMENT = 0xFFFD


@kernel
def lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def is_alphanumeric(byte: int) -> bool:
    """A letter or digit of ASCII, or part of any other character."""
    return 48 <= byte <= 57 or 97 <= byte | 32 <= 122 or byte >= 0x80


@kernel
def equals(data: np.ndarray, start: int, end: int, word: np.ndarray, first: int, last: int) -> bool:
    """data[start:end], A to Z in either case, is word[first:last], which is in lower case."""
    if end - start != last - first:
        return False
    for k in range(end - start):  # noqa: SIM110 - Numba
        if lower(data[start + k]) != word[first + k]:
            return False
    return True


@kernel
def strip(data: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """data[start:end] without white space and controls at its ends."""
    while start < end and data[start] <= SPACE:
        start += 1
    while end > start and data[end - 1] <= SPACE:
        end -= 1
    return start, end


@kernel
def next_attribute(data: np.ndarray, i: int, end: int) -> tuple[int, int, int, int, int]:
    """(position behind the attribute, its key's start and end, its value's start and end) from i on; an empty key
    where none is left. An attribute without a value has an empty one."""
    while i < end and (data[i] <= SPACE or data[i] == SLASH or data[i] == GREATER):
        i += 1
    key = i
    if i < end:
        i += 1  # a `=` in the first place is part of the key
    while i < end and data[i] > SPACE and data[i] != EQUALS and data[i] != SLASH and data[i] != GREATER:
        i += 1
    key_end = i
    while i < end and data[i] <= SPACE:
        i += 1
    if i >= end or data[i] != EQUALS:
        return i, key, key_end, i, i
    i += 1
    while i < end and data[i] <= SPACE:
        i += 1
    if i < end and (data[i] == QUOTE or data[i] == APOSTROPHE):
        quote, value = data[i], i + 1
        i = value
        while i < end and data[i] != quote:
            i += 1
        return min(i + 1, end), key, key_end, value, i
    value = i
    while i < end and data[i] > SPACE and data[i] != GREATER:
        i += 1
    return i, key, key_end, value, i


@kernel
def copy_value(data: np.ndarray, start: int, end: int, value: np.ndarray) -> int:
    """Copy at most MAX_VALUE_BYTES of data[start:end] to `value`; returns how many."""
    size = min(end - start, MAX_VALUE_BYTES)
    for k in range(size):
        value[k] = data[start + k]
    return size


@kernel
def copy_json(data: np.ndarray, start: int, end: int, value: np.ndarray) -> int:
    """The same for what stands between the quotes of a JSON string, its escapes decoded."""
    i, at = start, 0
    while i < end and at + 4 <= MAX_VALUE_BYTES:
        byte = data[i]
        if byte != BACKSLASH:
            value[at] = byte
            at, i = at + 1, i + 1
            continue
        if i + 1 >= end:
            break
        escaped = data[i + 1]
        i += 2
        if escaped == 117:
            code = _hex(data, i, end)
            if code < 0:
                continue
            i += 4
            if 0xD800 <= code < 0xDC00 and i + 1 < end and data[i] == BACKSLASH and data[i + 1] == 117:
                low = _hex(data, i + 2, end)
                if 0xDC00 <= low < 0xE000:
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                    i += 6
            at = put_code(value, at, REPLACEMENT if 0xD800 <= code < 0xE000 else code)
        elif escaped in (98, 102, 110, 114, 116):  # b f n r t: white space or none
            value[at] = SPACE
            at += 1
        else:
            value[at] = escaped
            at += 1
    return at


@kernel
def _hex(data: np.ndarray, i: int, end: int) -> int:
    """The number of four hexadecimal digits at i; -1 where they are not there."""
    if i + 4 > end:
        return -1
    code: Any = 0
    for k in range(4):
        byte = np.int64(data[i + k])
        if 48 <= byte <= 57:
            code = code << 4 | (byte - 48)
        elif 97 <= byte | 32 <= 102:
            code = code << 4 | ((byte | 32) - 87)
        else:
            return -1
    return code


@kernel
def _is_space(code: int) -> bool:
    if code < 0x80:
        return code == SPACE or 9 <= code <= 13
    return (
        code in (0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000) or 0x2000 <= code <= 0x200A
    )  # as str.isspace has them


@kernel
def _is_dropped(code: int) -> bool:
    """Controls, marks of direction, what has no width and says nothing, and noncharacters."""
    if code < 0xA0:
        return code < SPACE or code >= 0x7F
    return (
        code in (0xAD, 0x200B, 0x200E, 0x200F, 0xFEFF)
        or 0x202A <= code <= 0x202E
        or 0x2060 <= code <= 0x206F
        or 0xFDD0 <= code <= 0xFDEF
        or code & 0xFFFE == 0xFFFE
    )


@kernel
def clean(value: np.ndarray, size: int, in_attribute: bool, max_chars: int, text: np.ndarray) -> tuple[int, int]:
    """The first `size` bytes of `value` as a line in `text`, which has 4 * max_chars + 16 bytes: (its bytes, its
    characters; max_chars + 1 where more would have followed). White space at the ends is left out."""
    code: Any
    second: Any
    i, at, num_chars, pending = 0, 0, 0, False
    while i < size:
        code, second, taken = np.int64(value[i]), 0, 1
        if code == AMPERSAND:
            found, found_second, num_bytes = reference_at(value, i, size, in_attribute)
            if num_bytes:
                code, second, taken = np.int64(found), np.int64(found_second), num_bytes
        elif code >= 0x80:
            code, taken = decode(value, i, size)
            if taken == 1:
                i += 1
                continue
        i += taken
        if _is_space(code):
            pending = at > 0
            continue
        if _is_dropped(code):
            continue
        needed = 1 + pending + (second != 0)
        if num_chars + needed > max_chars:
            return at, max_chars + 1
        if pending:
            text[at] = SPACE
            at += 1
            pending = False
        at = put_code(text, at, code)
        if second:
            at = put_code(text, at, second)
        num_chars += needed
    return at, num_chars


@kernel
def same_name(
    a: np.ndarray, a_start: int, a_end: int, b: np.ndarray, b_start: int, b_end: int
) -> bool:  # fmt: skip
    """Whether two names have the same letters and digits, A to Z in either case, whatever stands between them."""
    i, k, num_same = a_start, b_start, 0
    while True:
        while i < a_end and not is_alphanumeric(a[i]):
            i += 1
        while k < b_end and not is_alphanumeric(b[k]):
            k += 1
        if i >= a_end or k >= b_end:
            return num_same > 0 and i >= a_end and k >= b_end
        if lower(a[i]) != lower(b[k]):
            return False
        i, k, num_same = i + 1, k + 1, num_same + 1
