"""Chinese resident ID numbers, Chinese mobile numbers and payment card numbers in the bytes of a text.

Reads:  bytes of one text
Writes: nothing; functions give the span of a number at a run of digits
Cost:   at most 40 bytes are looked at per call
Source: GB 11643-1999 (ID: region, date of birth, check digit modulo 11); China's numbering plan (1[3-9] and nine
        digits); ISO/IEC 7812 (Luhn) and the issuers' published number ranges

Cards: 14 to 19 digits in a row, or printed with one kind of separator as 4-4-4-4, 4-4-4-4-3, 4-6-5, 4-6-4, 4-3-3-3 or
6-13. Thirteen digits in a row are article numbers (EAN) far more often than the old 13-digit cards.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.pii_gap import (
    HYPHEN,
    PLUS,
    SPACE,
    Gap,
    byte_at,
    digits_end,
    is_digit,
    joins_after,
    joins_before,
)

_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_CHECK = np.frombuffer(b"10X98765432", np.uint8)
_MONTH_DAYS = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_PROVINCES = np.zeros(100, np.bool_)
_PROVINCES[[*range(11, 16), 21, 22, 23, *range(31, 38), *range(41, 47), *range(50, 55)]] = True
_PROVINCES[[*range(61, 66), 71, 81, 82, 83, 91]] = True
# (first six digits, the last such, least and most digits): Visa, Mastercard, Amex, Diners, Discover, JCB, UnionPay
_ISSUERS = np.array(
    [
        (400000, 499999, 16, 16), (400000, 499999, 19, 19), (400000, 499999, 13, 13), (510000, 559999, 16, 16),
        (222100, 272099, 16, 16), (340000, 349999, 15, 15), (370000, 379999, 15, 15), (300000, 305999, 14, 14),
        (309500, 309599, 14, 14), (360000, 369999, 14, 14), (380000, 399999, 14, 14), (601100, 601199, 16, 16),
        (644000, 659999, 16, 16), (352800, 358999, 16, 16), (620000, 629999, 16, 19),
    ]
)  # fmt: skip


@kernel
def number(data: np.ndarray, i: int, size: int) -> int:
    """The value of `size` digits."""
    value = 0
    for k in range(i, i + size):
        value = value * 10 + data[k] - 48
    return value


@kernel
def chinese_id_end(data: np.ndarray, gap: Gap, i: int, run_end: int) -> int:
    """The end of the resident ID number at the digits data[i:run_end]; -1 if they are none."""
    end = i + 18
    last = byte_at(data, gap, i + 17)
    with_x = run_end - i == 17 and run_end < gap.limit and last | 32 == 120
    if (run_end - i != 18 and not with_x) or joins_before(data, gap, i) or joins_after(data, gap, end):
        return -1
    total = 0
    for k in range(17):
        total += (data[i + k] - 48) * _WEIGHTS[k]
    if _CHECK[total % 11] != (88 if with_x else last) or not _PROVINCES[number(data, i, 2)]:
        return -1
    year, month, day = number(data, i + 6, 4), number(data, i + 10, 2), number(data, i + 12, 2)
    if not 1900 <= year <= 2099 or not 1 <= month <= 12:
        return -1
    leap = year % 4 == 0 and year != 1900
    return end if 1 <= day <= _MONTH_DAYS[month - 1] + (leap and month == 2) else -1


@kernel
def card_end(data: np.ndarray, gap: Gap, i: int, run_end: int) -> int:
    """The end of the card number at the digits data[i:run_end]; -1 if they are none."""
    size = run_end - i
    if size < 4 or size > 19 or data[i] < 50 or data[i] > 54:
        return -1
    end = run_end if size >= 14 else _printed_card_end(data, i, run_end, gap.limit)
    if end < 0 or joins_before(data, gap, i) or joins_after(data, gap, end):
        return -1
    return end if _is_card(data, i, end) else -1


@kernel
def _printed_card_end(data: np.ndarray, i: int, run_end: int, limit: int) -> int:
    """The end of digits in one of the layouts of cards; -1 if they are in none."""
    separator = data[run_end] if run_end < limit else 0
    if separator != SPACE and separator != HYPHEN:
        return -1
    layout, end = run_end - i, run_end  # the sizes of the groups as decimal digits
    while end + 1 < limit and data[end] == separator and is_digit(data[end + 1]) and layout < 44444:
        after = digits_end(data, end + 1, min(limit, end + 16))
        size = after - end - 1
        if layout == 4444 and size != 3:
            break  # four groups, and then another number
        layout, end = layout * (100 if size > 9 else 10) + size, after
    known = layout in (4444, 44443, 465, 464, 4333, 613)
    return end if known else -1


@kernel
def _is_card(data: np.ndarray, i: int, end: int) -> bool:
    """Whether the digits of data[i:end] pass Luhn's check and have an issuer."""
    total, num_digits, double = 0, 0, False
    for back in range(end - i):
        byte: Any = np.int64(data[end - 1 - back])
        if not is_digit(byte):
            continue
        digit = (byte - 48) * (2 if double else 1)
        total += digit - 9 if digit > 9 else digit
        num_digits += 1
        double = not double
    if total % 10:
        return False
    head, found = 0, 0
    for k in range(i, end):
        if is_digit(data[k]) and found < 6:
            head, found = head * 10 + data[k] - 48, found + 1
    for r in range(len(_ISSUERS)):
        first, last, least, most = _ISSUERS[r]
        if first <= head <= last and least <= num_digits <= most:
            return True
    return False


@kernel
def chinese_mobile(data: np.ndarray, gap: Gap, i: int, run_end: int) -> tuple[int, int]:
    """(first byte, end) of the Chinese mobile number at the digits data[i:run_end]; end -1 if they are none.

    `+86`, `86` and `0086` before it belong to it: with a separator, or directly after `+86` and `0086`.
    """
    plus = byte_at(data, gap, i - 1) == PLUS and i > gap.low
    first = i - 1 if plus else i
    size = run_end - i
    prefix = 0
    if size >= 2 and data[i] == 56 and data[i + 1] == 54:
        prefix = 2
    elif size >= 4 and not plus and number(data, i, 4) == 86:
        prefix = 4
    at = i
    if prefix and size == prefix:
        separated = run_end < gap.limit and (data[run_end] == SPACE or data[run_end] == HYPHEN)
        if not separated:
            return first, -1
        at = run_end + 1
    elif prefix and size == prefix + 11 and (plus or prefix == 4):
        at = i + prefix
    elif plus:
        return first, -1
    end = _mobile_end(data, at, gap.limit)
    if end < 0 or joins_before(data, gap, first) or joins_after(data, gap, end):
        return first, -1
    return first, end


@kernel
def _mobile_end(data: np.ndarray, i: int, limit: int) -> int:
    """The end of 1[3-9] and nine digits in a row, or as 3-4-4 with one kind of separator; -1 if they are not there."""
    end = digits_end(data, i, min(limit, i + 12))
    if end - i not in (3, 11) or data[i] != 49 or data[i + 1] < 51:
        return -1
    if end - i == 11:
        return end
    separator = data[end] if end < limit else 0
    if separator != SPACE and separator != HYPHEN:
        return -1
    for _ in range(2):
        if end >= limit or data[end] != separator or digits_end(data, end + 1, min(limit, end + 6)) != end + 5:
            return -1
        end += 5
    return end
