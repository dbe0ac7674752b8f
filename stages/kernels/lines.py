"""Lines and paragraphs: where they begin and end, how they begin and end.

Reads:  Utf8 (an Arrow string array's offsets and bytes)
Writes: counts per text
Cost:   about 4 ns per byte
Source: Python's str.splitlines, str.strip and str.split, as datatrove 0.10.1's filters use them
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import LINE_BREAK, SPACE, TERMINAL
from stages.kernels.utf8 import Utf8, class_at, class_before, count_chars

DOT, HYPHEN, HASH, NEWLINE = 46, 45, 35, 10


def marks(text: Utf8) -> np.ndarray:
    """int64[N, 5]: lines (str.splitlines), lines that begin with a bullet (`•` or `-`), lines that end with an
    ellipsis, number signs, ellipses (`...` and `…`)."""
    counts = np.zeros((len(text), 5), np.int64)
    _marks_batch(text.data, text.offsets, counts)
    return counts


def num_chars(text: Utf8) -> np.ndarray:
    """int64[N]: characters (code points) of every text."""
    counts = np.zeros(len(text), np.int64)
    _chars_batch(text.data, text.offsets, counts)
    return counts


@kernel
def _chars_batch(data: np.ndarray, offsets: np.ndarray, counts: np.ndarray) -> None:
    for n in range(len(offsets) - 1):
        counts[n] = count_chars(data, offsets[n], offsets[n + 1])


@kernel
def strip(data: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """First byte and end of data[start:end] without white space around it, as str.strip."""
    while start < end:
        bits, size = class_at(data, start, end)
        if not bits & SPACE:
            break
        start += size
    while end > start:
        bits, size = class_before(data, start, end)
        if not bits & SPACE:
            break
        end -= size
    return start, end


@kernel
def line_end(data: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """(end of the line that begins at data[start], first byte of the next one), as str.splitlines; start < end."""
    for i in range(start, end):
        byte = data[i]
        if 32 <= byte < 0x80 or (byte >= 0x80 and byte != 0xC2 and byte != 0xE2):
            continue  # in no line break, or not the first byte of one
        bits, size = class_at(data, i, end)
        if bits & LINE_BREAK:
            two = byte == 13 and i + 1 < end and data[i + 1] == NEWLINE
            return i, i + (2 if two else size)
    return end, end


@kernel
def is_at(data: np.ndarray, i: int, end: int, first: int, second: int, third: int) -> bool:
    """Whether three given bytes stand at data[i], before end."""
    return i + 3 <= end and data[i] == first and data[i + 1] == second and data[i + 2] == third


@kernel
def ends_with_ellipsis(data: np.ndarray, start: int, end: int) -> bool:
    """Whether data[start:end] ends with `...` or `…`."""
    return end - 3 >= start and (
        is_at(data, end - 3, end, DOT, DOT, DOT) or is_at(data, end - 3, end, 0xE2, 0x80, 0xA6)
    )


@kernel
def _marks_batch(data: np.ndarray, offsets: np.ndarray, counts: np.ndarray) -> None:
    for n in range(len(offsets) - 1):
        start, end = offsets[n], offsets[n + 1]
        _count_signs(data, start, end, counts[n])
        while start < end:
            stop, following = line_end(data, start, end)
            first, last = strip(data, start, stop)
            bullet = first < last and (data[first] == HYPHEN or is_at(data, first, last, 0xE2, 0x80, 0xA2))
            counts[n, 0] += 1
            counts[n, 1] += bullet
            counts[n, 2] += ends_with_ellipsis(data, first, last)
            start = following


@kernel
def _count_signs(data: np.ndarray, start: int, end: int, counts: np.ndarray) -> None:
    """Number signs to counts[3]; to counts[4] `…` and `...`, the latter not overlapping, as str.count."""
    dots = 0
    for i in range(start, end):
        byte = data[i]
        if DOT < byte < 0xE2:
            dots = 0
        elif byte == DOT:
            dots += 1
            if dots == 3:
                counts[4] += 1
                dots = 0
        else:
            dots = 0
            counts[3] += byte == HASH
            counts[4] += byte == 0xE2 and is_at(data, i, end, 0xE2, 0x80, 0xA6)


@kernel
def split_at_newlines(
    data: np.ndarray, start: int, end: int, at_least: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    r"""Spans of data[start:end] between runs of at least so many `\n`, as re.split(r"\n{at_least,}"); their number.

    There is one more span than separators: runs at the edges leave empty spans there.
    """
    count, first, i = 0, start, start
    while i < end:
        if data[i] != NEWLINE:
            i += 1
            continue
        after = i + 1
        while after < end and data[after] == NEWLINE:
            after += 1
        if after - i >= at_least:
            starts[count], ends[count] = first, i
            count, first = count + 1, after
        i = after
    starts[count], ends[count] = first, end
    return count + 1


@kernel
def split_non_blank(data: np.ndarray, start: int, end: int, starts: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
    r"""Spans between single `\n` that hold more than white space: (their number, number of `\n`)."""
    count, newlines, first = 0, 0, start
    for i in range(start, end + 1):
        if i == end or data[i] == NEWLINE:
            newlines += i < end
            low, high = strip(data, first, i)
            if low < high:
                starts[count], ends[count] = first, i
                count += 1
            first = i + 1
    return count, newlines


@kernel
def is_terminal(data: np.ndarray, start: int, end: int, closing: bool) -> bool:
    """Whether the last character of data[start:end], start < end, ends a sentence in some script; with `closing`, also
    where one of ” ’ 」 』 ） follows it."""
    bits, size = class_before(data, start, end)
    if closing and end - size > start and _is_closing(data, end - size, end):
        bits, size = class_before(data, start, end - size)
    return bits & TERMINAL != 0


@kernel
def _is_closing(data: np.ndarray, i: int, end: int) -> bool:
    """Whether one of ” ’ 」 』 ） stands at data[i]."""
    return (
        is_at(data, i, end, 0xE2, 0x80, 0x9D) or is_at(data, i, end, 0xE2, 0x80, 0x99)
        or is_at(data, i, end, 0xE3, 0x80, 0x8D) or is_at(data, i, end, 0xE3, 0x80, 0x8F)
        or is_at(data, i, end, 0xEF, 0xBC, 0x89)
    )  # fmt: skip
