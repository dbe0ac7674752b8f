"""What stands beside a number: the edges of a stretch of text in which personal data is looked for.

Reads:  bytes of one text, and the bytes its neighbours will read as once they are masked
Writes: nothing; functions for the other pii kernels
Cost:   constant per call, except `digits_end`
Source: none; the rules are ours. A number is one only where it is no part of a longer number, word or version
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import HAN_KANA, HANGUL, WORD
from stages.kernels.utf8 import class_at, class_before, decode

ZERO, NINE, DOT, HYPHEN, SPACE, PLUS, COLON, OPEN, CLOSE, AT, PERCENT = 48, 57, 46, 45, 32, 43, 58, 40, 41, 64, 37
NOTHING = 0  # as a neighbour: the text begins or ends there
LAST_SPACED_SCRIPT = 0x590  # Latin, Greek, Cyrillic, Armenian: a number does not touch letters of these


class Gap(NamedTuple):
    """data[low:limit] lies between two masks, or a mask and an end of the text. `left` and `right` are the bytes
    beside it as they will read: so that what is masked now is what would be masked in the masked text."""

    low: int
    left: int
    limit: int
    right: int


@kernel
def is_digit(byte: int) -> bool:
    return ZERO <= byte <= NINE


@kernel
def is_word(byte: int) -> bool:
    """Whether an ASCII byte is a letter, a digit or an underscore."""
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122 or byte == 95


@kernel
def digits_end(data: np.ndarray, i: int, limit: int) -> int:
    """The position after the digits at data[i]."""
    while i < limit and is_digit(data[i]):
        i += 1
    return i


@kernel
def byte_at(data: np.ndarray, gap: Gap, i: int) -> int:
    """The byte at i, low - 1 <= i <= limit, neighbours included."""
    if i < gap.low:
        return gap.left
    if i >= gap.limit:
        return gap.right
    byte: Any = np.int64(data[i])
    return byte


@kernel
def word_before(data: np.ndarray, gap: Gap, i: int) -> bool:
    """Whether a letter or digit precedes data[i]."""
    if i == gap.low or data[i - 1] < 0x80:
        return is_word(byte_at(data, gap, i - 1))
    bits, size = class_before(data, gap.low, i)
    code, _ = decode(data, i - size, i)
    return code < LAST_SPACED_SCRIPT and bits & WORD != 0 and bits & (HAN_KANA | HANGUL) == 0


@kernel
def word_after(data: np.ndarray, gap: Gap, i: int) -> bool:
    """Whether a letter or digit stands at data[i]."""
    if i >= gap.limit or data[i] < 0x80:
        return is_word(byte_at(data, gap, i))
    bits, _ = class_at(data, i, gap.limit)
    code, _ = decode(data, i, gap.limit)
    return code < LAST_SPACED_SCRIPT and bits & WORD != 0 and bits & (HAN_KANA | HANGUL) == 0


@kernel
def joins_before(data: np.ndarray, gap: Gap, i: int) -> bool:
    """Whether what begins at data[i] goes on a word, a number or an IPv6 address: `a1`, `5-1`, `5.1`, `::1`."""
    if word_before(data, gap, i):
        return True
    if i == gap.low:
        return False
    byte, second = byte_at(data, gap, i - 1), byte_at(data, gap, i - 2)
    return (byte in (DOT, HYPHEN) and is_digit(second)) or (byte == COLON and second == COLON)


@kernel
def joins_after(data: np.ndarray, gap: Gap, i: int) -> bool:
    """Whether what ends at data[i] goes on as a word, a number or an IPv6 address: `1a`, `1-5`, `1.5`, `1:a:`."""
    if word_after(data, gap, i):
        return True
    byte = byte_at(data, gap, i)
    if i >= gap.limit:
        return False
    following = byte_at(data, gap, i + 1)
    if byte == COLON:
        end = i + 1
        while end < gap.limit and is_word(data[end]):
            end += 1
        return byte_at(data, gap, end) == COLON
    return byte in (DOT, HYPHEN) and is_digit(following)
