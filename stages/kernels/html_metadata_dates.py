"""A date and time as pages write it, as seconds since 1970 in UTC.

Reads:  a value as a line of text (stages/kernels/html_metadata_text.py)
Writes: seconds; nothing depends on the clock or the locale
Cost:   50 to 200 ns a value
Source: ISO 8601, RFC 2822 section 3.3 and its zones, `date` and `Date.toString` of Unix, Java and JavaScript,
        Chinese and Japanese dates; days by Hinnant, "chrono-Compatible Low-Level Date Algorithms"

A value is a date only where year, month and day are told without doubt: `2013-05-04`, `2013/5/4`, `20130504`,
`4.5.2013`, `4 May 2013`, `May 4, 2013`, `2013年5月4日`, seconds or milliseconds since 1970; `4/5/2013` is none,
`14/5/2013` and `5/14/2013` are. A time may follow, and a zone after it; without a zone it is taken as UTC. What
follows then is ignored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_text import is_alphanumeric, lower

EARLIEST = 631_152_000  # 1990-01-01: before the first web page
LATEST = 4_102_444_800  # 2100-01-01: where the day of the crawl is not known
MAX_DATE_BYTES = 96
DAY_S, HOUR_S, MINUTE_S = 86_400, 3_600, 60
_NO_TIME = -(1 << 40)
SPACE, PLUS, COMMA, DASH, DOT, SLASH, COLON = b" +,-./:"

_MONTHS = (
    "january jan janvier januar enero janeiro gennaio januari jänner janv",
    "february feb février fevrier februar febrero fevereiro febbraio februari févr",
    "march mar mars märz marzo março marco maart mrz",
    "april apr avril abril aprile avr abr",
    "may mai mayo maio maggio mei",
    "june jun juin juni junio junho giugno",
    "july jul juillet juli julio julho luglio juil",
    "august aug août aout agosto augustus ago",
    "september sep sept septembre septiembre setembro settembre",
    "october oct octobre oktober octubre outubro ottobre okt",
    "november nov novembre noviembre novembro",
    "december dec décembre decembre dezember diciembre dezembro dicembre dez déc",
)
_WEEKDAYS = "monday tuesday wednesday thursday friday saturday sunday mon tue wed thu fri sat sun tues thur thurs"
_SKIPPED = "de at of le den der um à the"  # between the parts of a date and a time
_ZONES = {"z": 0, "utc": 0, "gmt": 0, "ut": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6,
          "pst": -8, "pdt": -7, "cet": 1, "cest": 2, "bst": 1, "jst": 9}  # fmt: skip
NO_WORD, WEEKDAY, SKIP, FIRST_MONTH, FIRST_ZONE = 0, 13, 14, 1, 32  # zones: 32 + hours + 12


def _words() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(the words' bytes, where each begins, what each means)."""
    meanings = {word: FIRST_MONTH + k for k, names in enumerate(_MONTHS) for word in names.split()}
    meanings |= dict.fromkeys(_WEEKDAYS.split(), WEEKDAY) | dict.fromkeys(_SKIPPED.split(), SKIP)
    meanings |= {word: FIRST_ZONE + 12 + hours for word, hours in _ZONES.items()}
    raw = [word.encode() for word in meanings]
    starts = np.cumsum([0, *map(len, raw)], dtype=np.int64)
    return np.frombuffer(b"".join(raw), np.uint8), starts, np.array(list(meanings.values()), np.int64)


_WORDS, _WORD_STARTS, _MEANINGS = _words()


@kernel
def read_date(text: np.ndarray, size: int, latest: int) -> tuple[int, bool]:
    """(seconds since 1970, whether text[:size] is a date from 1990 to `latest` seconds)."""
    if size > MAX_DATE_BYTES:
        return 0, False
    i = _skip(text, 0, size)
    if i >= size:
        return 0, False
    if _is_digit(text[i]):
        value, i, num_digits = _number(text, i, size)
        if num_digits >= 8:
            return _compact(text, value, i, size, num_digits, latest)
        if num_digits == 4:
            month, k = _next_number(text, i, size, 2)
            day, k = _next_number(text, k, size, 2)
            return _finish(text, value, month, day, k, size, latest)
        if num_digits > 2:
            return 0, False
        return _from_day(text, value, i, size, latest)
    meaning, i = _word(text, i, size)
    if not FIRST_MONTH <= meaning < WEEKDAY:
        return 0, False
    day, i = _next_number(text, i, size, 2)
    i = _after_ordinal(text, i, size)
    following = _skip(text, i, size)
    colon = following
    while colon < size and _is_digit(text[colon]):
        colon += 1
    if colon > following and colon < size and text[colon] == COLON:  # `Mon Jul 23 21:11:10 PDT 2012`
        seconds, _, k = _time(text, i, size)
        year, _ = _next_number(text, k, size, 4)
        if seconds == _NO_TIME:
            return 0, False
        days, possible = _days(year, meaning, day)
        return _within(days * DAY_S + seconds, possible, latest)
    year, i = _next_number(text, i, size, 4)
    return _finish(text, year, meaning, day, i, size, latest)


@kernel
def _is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


@kernel
def _number(text: np.ndarray, i: int, size: int) -> tuple[int, int, int]:
    """(the number at i, position behind it, digits, 16 at most of which count)."""
    value: Any = 0
    first = i
    while i < size and _is_digit(text[i]):
        if i - first < 16:
            value = value * 10 + np.int64(text[i]) - 48
        i += 1
    return value, i, i - first


@kernel
def _word(text: np.ndarray, i: int, size: int) -> tuple[int, int]:
    """(what the word at i means, position behind it)."""
    start = i
    while i < size and is_alphanumeric(text[i]) and not _is_digit(text[i]):
        i += 1
    for k in range(len(_MEANINGS)):
        first = _WORD_STARTS[k]
        if _WORD_STARTS[k + 1] - first == i - start:
            same = True
            for j in range(i - start):
                if lower(text[start + j]) != _WORDS[first + j]:
                    same = False
                    break
            if same:
                return _MEANINGS[k], i
    return NO_WORD, i


@kernel
def _skip(text: np.ndarray, i: int, size: int) -> int:
    """The next digit or word from i on, but weekdays and words that say nothing."""
    while i < size:
        if not is_alphanumeric(text[i]):
            i += 1
        elif _is_digit(text[i]):
            return i
        else:
            meaning, behind = _word(text, i, size)
            if meaning != WEEKDAY and meaning != SKIP:
                return i
            i = behind
    return i


@kernel
def _next_number(text: np.ndarray, i: int, size: int, most_digits: int) -> tuple[int, int]:
    """(the next number, position behind it), with no letter of ASCII before it; (0, i) where there is none. Characters
    such as 年 and 月 may stand before it. A year has four digits, another number one or two."""
    k = i
    while k < size and not _is_digit(text[k]):
        if 97 <= text[k] | 32 <= 122:
            k = _skip(text, k, size)
            if k < size and not _is_digit(text[k]):
                return 0, i
            break
        k += 1
    if k >= size or k - i > 8:
        return 0, i
    value, behind, num_digits = _number(text, k, size)
    if num_digits > most_digits or (most_digits == 4 and num_digits != 4):
        return 0, i
    return value, behind


@kernel
def _after_ordinal(text: np.ndarray, i: int, size: int) -> int:
    """Past the `st`, `nd`, `rd`, `th` of a day."""
    if i + 2 <= size:
        a, b = lower(text[i]), lower(text[i + 1])
        if (a == 115 and b == 116) or (a == 110 and b == 100) or (a == 114 and b == 100) or (a == 116 and b == 104):
            return i + 2
    return i


@kernel
def _from_day(text: np.ndarray, value: int, i: int, size: int, latest: int) -> tuple[int, bool]:
    """A date that begins with a number of one or two digits."""
    k = _skip(text, _after_ordinal(text, i, size), size)
    if k < size and not _is_digit(text[k]):
        meaning, k = _word(text, k, size)
        if not FIRST_MONTH <= meaning < WEEKDAY:
            return 0, False
        year, k = _next_number(text, k, size, 4)
        return _finish(text, year, meaning, value, k, size, latest)
    separator = text[i] if i < size else 0
    if separator != DOT and separator != SLASH and separator != DASH:
        return 0, False
    second, k = _next_number(text, i, size, 2)
    if k >= size or text[k] != separator:
        return 0, False
    year, k = _next_number(text, k, size, 4)
    day, month = value, second
    if separator != DOT and value != second:  # the order of days and months differs by country
        if value <= 12 and second <= 12:
            return 0, False
        if second > 12:
            day, month = second, value
    return _finish(text, year, month, day, k, size, latest)


@kernel
def _compact(
    text: np.ndarray, value: int, i: int, size: int, num_digits: int, latest: int
) -> tuple[int, bool]:  # fmt: skip
    """Eight digits and more: YYYYMMDD, with hhmm or hhmmss behind; 10 and 13: seconds and milliseconds since 1970."""
    if num_digits == 8:
        return _finish(text, value // 10_000, value // 100 % 100, value % 100, i, size, latest)
    if num_digits == 10:
        return _within(value, True, latest)
    if num_digits == 13:
        return _within(value // 1000, True, latest)
    if num_digits == 12:
        value *= 100
    elif num_digits != 14:
        return 0, False
    days, possible = _days(value // 10**10, value // 10**8 % 100, value // 10**6 % 100)
    hour, minute, second = value // 10_000 % 100, value // 100 % 100, value % 100
    if hour > 23 or minute > 59 or second > 60:
        return 0, False
    return _within(days * DAY_S + hour * HOUR_S + minute * MINUTE_S + min(second, 59), possible, latest)


@kernel
def _finish(
    text: np.ndarray, year: int, month: int, day: int, i: int, size: int, latest: int
) -> tuple[int, bool]:  # fmt: skip
    """The date, with the time that stands from i on."""
    days, possible = _days(year, month, day)
    if not possible:
        return 0, False
    if i < size and _is_digit(text[i]):  # `2013-05-041`
        return 0, False
    seconds, has_time, _ = _time(text, i, size)
    if has_time and seconds == _NO_TIME:
        return 0, False
    return _within(days * DAY_S + (seconds if has_time else 0), True, latest)


@kernel
def _within(seconds: int, possible: bool, latest: int) -> tuple[int, bool]:
    return seconds, possible and EARLIEST <= seconds <= latest


@kernel
def _days(year: int, month: int, day: int) -> tuple[int, bool]:
    """(days since 1970-01-01, whether there is such a day)."""
    if not (1 <= month <= 12 and 1 <= day <= 31 and 1900 <= year <= 9999):
        return 0, False
    longest = 30 if month in (4, 6, 9, 11) else 31
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    if day > longest:
        return 0, False
    y = year - 1 if month <= 2 else year  # years from March on
    era = y // 400
    of_era = y - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468, True


@kernel
def _time(text: np.ndarray, i: int, size: int) -> tuple[int, bool, int]:
    """(seconds since midnight in UTC, _NO_TIME for an impossible one; whether there is a time; position behind it)."""
    if i < size and lower(text[i]) == 116:  # the T of ISO 8601
        i += 1
    while i < size and not _is_digit(text[i]):
        if is_alphanumeric(text[i]) and text[i] < 0x80:
            behind = _skip(text, i, size)
            if behind == i or behind >= size or not _is_digit(text[behind]):
                return 0, False, i
            i = behind
            break
        i += 1
    if i >= size:
        return 0, False, i
    first = i
    hour, i, num_digits = _number(text, i, size)
    minute, second = 0, 0
    if (num_digits == 4 or num_digits == 6) and lower(text[first - 1]) == 116:  # 20130504T120000
        second = hour % 100 if num_digits == 6 else 0
        minute, hour = (hour // 100 % 100, hour // 10_000) if num_digits == 6 else (hour % 100, hour // 100)
    elif num_digits > 2 or i >= size or text[i] != COLON:
        return 0, False, first
    else:
        minute, i, num_digits = _number(text, i + 1, size)
        if num_digits != 2:
            return 0, False, first
        if i < size and text[i] == COLON:
            second, i, num_digits = _number(text, i + 1, size)
            if num_digits > 2:
                return _NO_TIME, True, i
    if i + 1 < size and (text[i] == DOT or text[i] == COMMA) and _is_digit(text[i + 1]):
        _, i, _ = _number(text, i + 1, size)
    hour, i = _half_day(text, hour, i, size)
    if hour > 23 or minute > 59 or second > 60:
        return _NO_TIME, True, i
    offset, i = _zone(text, i, size)
    return hour * HOUR_S + minute * MINUTE_S + min(second, 59) - offset, True, i


@kernel
def _half_day(text: np.ndarray, hour: int, i: int, size: int) -> tuple[int, int]:
    """(the hour of the day, position behind AM or PM)."""
    k = i
    while k < size and text[k] == SPACE:
        k += 1
    if k + 1 >= size or (lower(text[k]) != 97 and lower(text[k]) != 112):
        return hour, i
    m = k + 2 if text[k + 1] == DOT else k + 1
    if m >= size or lower(text[m]) != 109 or (m + 1 < size and 97 <= text[m + 1] | 32 <= 122):
        return hour, i
    if not 1 <= hour <= 12:
        return (hour if hour > 12 else 99), m + 1  # `21:10 PM` is 21:10, `0:10 PM` is nothing
    return hour % 12 + (12 if lower(text[k]) == 112 else 0), m + 1


@kernel
def _zone(text: np.ndarray, i: int, size: int) -> tuple[int, int]:
    """(seconds east of UTC, position behind the zone); 0 without one."""
    k, offset = i, 0
    while k < size and text[k] == SPACE:
        k += 1
    if k < size and 97 <= text[k] | 32 <= 122:
        meaning, behind = _word(text, k, size)
        if meaning < FIRST_ZONE:
            return 0, i
        offset, i, k = (meaning - FIRST_ZONE - 12) * HOUR_S, behind, behind
        if offset != 0:
            return offset, i
    if k >= size or (text[k] != PLUS and text[k] != DASH):
        return offset, i
    sign = 1 if text[k] == PLUS else -1
    value, behind, num_digits = _number(text, k + 1, size)
    if num_digits == 4:
        hours, minutes = value // 100, value % 100
    elif num_digits == 1 or num_digits == 2:
        hours, minutes = value, 0
        if behind + 2 < size and text[behind] == COLON:
            minutes, behind, _ = _number(text, behind + 1, size)
    else:
        return offset, i
    if hours > 14 or minutes > 59:
        return offset, i
    return sign * (hours * HOUR_S + minutes * MINUTE_S), behind
