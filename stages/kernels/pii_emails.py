"""E-mail addresses in the bytes of a text.

Reads:  bytes of one text
Writes: nothing; `next_email` gives the span of one address
Cost:   linear: every byte is looked at once for an @, once as part of a domain, once as part of a local part
Source: RFC 5321, 6531 in what occurs: a local part of letters, digits and . _ % + - ', a domain of two labels or more
        whose last one is letters or xn--; letters up to U+024F count. RFC 2606: example.com and the like are nobody's

An address goes as far as the last label that can be a top-level domain: `a@b.com.` and `a@b.com-x` end after com.
Several with an @ between them (`a@b.com@c.org`) are one.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.pii_gap import AT, DOT, HYPHEN, PERCENT, PLUS, is_word

APOSTROPHE = 39
_RESERVED = (b"example.com", b"example.net", b"example.org", b"example", b"test", b"invalid", b"localhost")
_RESERVED_BYTES = np.frombuffer(b"".join(_RESERVED), np.uint8)
_RESERVED_STARTS = np.cumsum([0, *map(len, _RESERVED)])


@kernel
def next_email(data: np.ndarray, low: int, end: int) -> tuple[int, int]:
    """(first byte, end) of the next address in data[low:end] that belongs to somebody; (end, end) if there is none."""
    i = low
    while i < end:
        if data[i] != AT:
            i += 1
            continue
        first = _local_start(data, low, i)
        if first < 0:
            i += 1
            continue
        owned, last, i = _domains(data, i, end)
        if owned:
            return first, last
    return end, end


@kernel
def _local_start(data: np.ndarray, low: int, at: int) -> int:
    """Where the local part before the @ at data[at] begins; -1 if there is none."""
    i, first = at, -1
    while i > low:
        byte = data[i - 1]
        if is_word(byte):
            i -= 1
            first = i
        elif byte in (DOT, HYPHEN, PERCENT, PLUS) or (
            byte == APOSTROPHE and low < i - 1 and _is_inner(data, i - 1, at)
        ):
            i -= 1
        elif 0x80 <= byte < 0xC0 and i - 1 > low and _is_latin(data[i - 2], byte):
            i -= 2
            first = i
        else:
            break
    return first if at > low and data[at - 1] != DOT else -1


@kernel
def _is_inner(data: np.ndarray, i: int, at: int) -> bool:
    """Whether data[i] stands between two letters before the @."""
    return i + 1 < at and is_word(data[i - 1]) and is_word(data[i + 1])


@kernel
def _is_latin(lead: int, follow: int) -> bool:
    """Whether two bytes are a letter from U+00C0 to U+024F."""
    if lead == 0xC3:
        return follow != 0x97 and follow != 0xB7  # × and ÷
    return 0xC4 <= lead <= 0xC8 or (lead == 0xC9 and follow < 0x90)


@kernel
def _domains(data: np.ndarray, at: int, end: int) -> tuple[bool, int, int]:
    """(whether one of the domains belongs to somebody, end of the last valid one, where to look on) of the chain of
    domains with an @ before each that begins at data[at]. Between them may stand what a local part is made of."""
    owned, last, i = False, -1, at
    while i < end and data[i] == AT:
        stop, following = _domain(data, i + 1, end)
        if stop > 0:
            owned = owned or not _is_reserved(data, i + 1, stop)
            last = stop
        i = following
        low = stop if stop > 0 else following
        while low < end and (is_word(data[low]) or data[low] in (DOT, HYPHEN, PERCENT, PLUS)):
            low += 1
        if low < end and data[low] == AT:
            i = low
    return owned, last, i


@kernel
def _domain(data: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """(end of the domain at data[start], -1 if there is none; end of the labels there)."""
    i, stop, num_labels = start, -1, 0
    while i < end:
        first, letters, other = i, 0, False  # letters: how many ASCII letters the label begins with
        while i < end:
            byte = data[i]
            if 65 <= byte <= 90 or 97 <= byte <= 122:
                letters += not other
                i += 1
            elif 48 <= byte <= 57 or (byte == HYPHEN and i > first):
                other = True
                i += 1
            elif 0xC3 <= byte <= 0xC9 and i + 1 < end and data[i + 1] & 0xC0 == 0x80 and _is_latin(byte, data[i + 1]):
                other = True
                i += 2
            else:
                break
        if i == first:
            break
        num_labels += 1
        if num_labels > 1:
            after = first + letters
            if letters >= 2 and (after == i or data[after] == HYPHEN):
                stop = after
                if i - first > 4 and letters == 2 and _is_punycode(data, first):
                    stop = i
        if i + 1 >= end or data[i] != DOT or data[i - 1] == HYPHEN:
            break
        i += 1
    return stop, i


@kernel
def _is_punycode(data: np.ndarray, i: int) -> bool:
    return data[i] | 32 == 120 and data[i + 1] | 32 == 110 and data[i + 2] == HYPHEN and data[i + 3] == HYPHEN


@kernel
def _is_reserved(data: np.ndarray, start: int, end: int) -> bool:
    """Whether the domain data[start:end] is one of RFC 2606 or below one."""
    for r in range(len(_RESERVED_STARTS) - 1):
        first = _RESERVED_STARTS[r]
        size = _RESERVED_STARTS[r + 1] - first
        low = end - size
        if low < start or (low > start and data[low - 1] != DOT):
            continue
        equal = True
        for k in range(size):
            byte = data[low + k]
            equal = equal and (byte + 32 if 65 <= byte <= 90 else byte) == _RESERVED_BYTES[first + k]
        if equal:
            return True
    return False
