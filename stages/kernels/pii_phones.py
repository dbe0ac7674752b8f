"""Phone numbers in the bytes of a text, by a rule that rather misses one than takes a number for one.

Reads:  bytes of one text
Writes: nothing; `international` and `north_american` give the span of a number at a run of digits
Cost:   at most 60 bytes are looked at per call
Source: ITU-T E.164 (country codes; at most 15 digits) and E.123; the North American Numbering Plan (area and exchange
        begin with 2 to 9, the area's second digit is not 9, neither ends in 11)

International: `+`, an assigned country code, 8 to 13 digits in all (15 where the last group follows a hyphen), with
spaces, brackets, a hyphen, dash, dot or slash between groups; without any of them 10 to 13 digits. North American:
(NNN) NNN-NNNN, NNN-NNN-NNNN, NNN.NNN.NNNN, NNN NNN-NNNN, NNN/NNN-NNNN, a 1 before it or not. Digits in a row alone are
no phone number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.lines import is_at
from stages.kernels.pii_gap import (
    CLOSE,
    DOT,
    HYPHEN,
    OPEN,
    PLUS,
    SPACE,
    Gap,
    byte_at,
    digits_end,
    is_digit,
    joins_after,
    joins_before,
    word_before,
)
from stages.kernels.pii_numbers import number

MIN_DIGITS, MIN_UNSEPARATED_DIGITS, MAX_DIGITS, NORTH_AMERICAN_DIGITS = 8, 10, 13, 11
MAX_DIGITS_WITH_EXTENSION = 15  # where the last group follows a hyphen
SLASH = 47
_CODES = [1, 7, 20, 27, *range(30, 35), 36, 39, 40, 41, *range(43, 50), *range(51, 59), *range(60, 67), 81, 82, 84, 86]
_CODES += [
    *range(90, 96),
    98,
    211,
    212,
    213,
    216,
    218,
    *range(220, 259),
    *range(260, 267),
    268,
    269,
    290,
    291,
    297,
    298,
]
_CODES += [299, *range(350, 360), *range(370, 379), 380, 381, 382, 383, 385, 386, 387, 389, 420, 421, 423]
_CODES += [*range(500, 510), *range(590, 600), *range(670, 693), 800, 850, 852, 853, 855, 856, 870, 880, 886]
_CODES += [*range(960, 969), *range(970, 978), 979, *range(992, 997), 998]
_ASSIGNED = np.zeros(1000, np.bool_)
_ASSIGNED[_CODES] = True


@kernel
def international(data: np.ndarray, gap: Gap, i: int, run_end: int) -> tuple[int, int]:
    """(first byte, end) of the number whose digits begin at data[i:run_end] behind a `+`; end -1 if there is none."""
    first = i - 1
    if i == gap.low or byte_at(data, gap, first) != PLUS or data[i] == 48 or word_before(data, gap, first):
        return first, -1
    if _country_code_size(data, i, run_end) == 0:
        return first, -1
    north_american_code = data[i] == 49
    most = NORTH_AMERICAN_DIGITS if north_american_code else MAX_DIGITS_WITH_EXTENSION
    least = NORTH_AMERICAN_DIGITS if north_american_code else MIN_UNSEPARATED_DIGITS
    if north_american_code and run_end - i > 1 and data[i + 1] < 50:
        return first, -1
    bracket_before = run_end - i <= 3 and byte_at(data, gap, first - 1) == OPEN and first > gap.low
    end, num_digits, num_single, size, opened = run_end, run_end - i, 0, run_end - i, 0
    best, best_digits = -1, 0  # the last end that will do
    while True:
        if opened == 0 and least <= num_digits <= most and num_single <= 2 and size > 1 and not _joins(data, gap, end):
            best, best_digits = end, num_digits
        following, hyphen = _separator_end(data, end, gap.limit)
        after = digits_end(data, following, min(gap.limit, following + most + 1)) if following > 0 else -1
        if after <= following or num_digits + after - following > (most if hyphen else min(most, MAX_DIGITS)):
            break
        for k in range(end, following):
            opened += (data[k] == OPEN) - (data[k] == CLOSE)
        if opened < 0 and bracket_before:
            first, opened = first - 1, 0
        if opened < 0 or (north_american_code and num_digits == 1 and data[following] < 50):
            break
        bracket_before = False
        size = after - following
        end, num_digits, num_single = after, num_digits + size, num_single + (size == 1)
        least = NORTH_AMERICAN_DIGITS if north_american_code else MIN_DIGITS
    return first, best if best == end or best_digits >= MIN_UNSEPARATED_DIGITS else -1


@kernel
def _country_code_size(data: np.ndarray, i: int, run_end: int) -> int:
    """Digits of the country code that the digits data[i:run_end] are or, if they are more than three, begin with."""
    for size in range(1, 4):
        if i + size <= run_end and (i + size == run_end or run_end - i > 3) and _ASSIGNED[number(data, i, size)]:
            return size
    return 0


@kernel
def _separator_end(data: np.ndarray, i: int, limit: int) -> tuple[int, bool]:
    """(end, whether there is a hyphen) of one separator at data[i]: up to four of space, no-break space, bracket,
    hyphen, dot, slash and dash, of the last four one alone. End -1 if there is none."""
    start, size, num_marks, hyphen = i, 0, 0, False
    while i < limit and size < 4:
        byte: Any = np.int64(data[i])
        if byte in (HYPHEN, DOT, SLASH):
            num_marks, hyphen, i = num_marks + 1, hyphen or byte == HYPHEN, i + 1
        elif is_at(data, i, limit, 0xE2, 0x80, 0x93):
            num_marks, i = num_marks + 1, i + 3
        elif byte in (OPEN, CLOSE):
            i += 1
        elif _space_size(data, i, limit):
            i += _space_size(data, i, limit)
        else:
            break
        size += 1
    return (i, hyphen) if i > start and num_marks < 2 else (-1, False)


@kernel
def _space_size(data: np.ndarray, i: int, limit: int) -> int:
    """Bytes of a space or no-break space at data[i]; 0 if there is none."""
    if i < limit and data[i] == SPACE:
        return 1
    return 2 if i + 1 < limit and data[i] == 0xC2 and data[i + 1] == 0xA0 else 0


@kernel
def north_american(data: np.ndarray, gap: Gap, i: int, run_end: int) -> tuple[int, int]:
    """(first byte, end) of the number at the digits data[i:run_end]; end -1 if there is none."""
    first, at = i, i
    if run_end - i == 1 and data[i] == 49 and run_end < gap.limit:  # the 1 before it
        marked = data[run_end] == HYPHEN or data[run_end] == DOT
        at = run_end + (1 if marked else _space_size(data, run_end, gap.limit))
        if at < gap.limit and data[at] == OPEN:
            at += 1
        elif not marked:
            return first, -1
    elif byte_at(data, gap, i - 1) == OPEN and i > gap.low:
        first = i - 1
    bracket = at > gap.low and data[at - 1] == OPEN
    end = _ten_digits_end(data, at, gap.limit, bracket)
    if end < 0 and bracket and first == i - 1 and at == i:  # "(212-555-1234 or ..."
        first, end = i, _ten_digits_end(data, at, gap.limit, False)
    if end < 0 or joins_before(data, gap, first) or byte_at(data, gap, first - 1) == PLUS or _joins(data, gap, end):
        return first, -1
    return first, end


@kernel
def _ten_digits_end(data: np.ndarray, i: int, limit: int, bracket: bool) -> int:
    """The end of `NNN-NNN-NNNN` and the like; with `bracket`, of `NNN) NNN-NNNN`; -1 if it is not there."""
    area = digits_end(data, i, min(limit, i + 4))
    if area - i != 3 or area + 1 >= limit or not _is_area(data, i):
        return -1
    separator = np.int64(data[area])
    if bracket:
        if separator != CLOSE:
            return -1
        exchange = area + 1 + _space_size(data, area + 1, limit)
        if exchange == area + 1 and (data[exchange] == HYPHEN or data[exchange] == DOT):
            exchange += 1
    elif separator in (HYPHEN, DOT, SPACE, SLASH):
        exchange = area + 1
    else:
        return -1
    end = digits_end(data, exchange, min(limit, exchange + 4))
    if end - exchange != 3 or data[exchange] < 50 or end + 5 > limit:
        return -1
    if bracket:
        if data[end] != HYPHEN and data[end] != DOT and data[end] != SPACE:
            return -1
    elif data[end] != (DOT if separator == DOT else HYPHEN):
        return -1
    line = end + 1
    return line + 4 if digits_end(data, line, min(limit, line + 5)) == line + 4 else -1


@kernel
def _is_area(data: np.ndarray, i: int) -> bool:
    """Whether three digits can be an area code."""
    return data[i] >= 50 and data[i + 1] != 57 and not (data[i + 1] == 49 and data[i + 2] == 49)


@kernel
def _joins(data: np.ndarray, gap: Gap, i: int) -> bool:
    """As joins_after; an extension (`x12`) may follow a phone number."""
    if byte_at(data, gap, i) | 32 == 120 and i < gap.limit and is_digit(byte_at(data, gap, i + 1)):
        return False
    return joins_after(data, gap, i)
