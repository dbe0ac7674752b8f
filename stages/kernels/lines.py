"""Lines: where they begin and end, how they begin and end.

Reads:  Utf8 (an Arrow string array's offsets and bytes) and its byte masks
Writes: Lines, counts per text
Cost:   about 0.3 ns per byte to find lines, 1 to count marks
Source: Python's str.splitlines, str.strip and str.split, as datatrove 0.10.1's filters use them
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels.byte_masks import WIDTH, Masks, address_of, first_bit, lowest, mask_of, num_bits, window
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import SPACE, TERMINAL
from stages.kernels.utf8 import Utf8, class_at, class_before, is_padded

DOT, HYPHEN, HASH, NEWLINE = 46, 45, 35, 10


_hashes_at = mask_of((HASH, HASH))
_dots_at = mask_of((DOT, DOT))
_e2_at, _80_at, _a6_at = mask_of((0xE2, 0xE2)), mask_of((0x80, 0x80)), mask_of((0xA6, 0xA6))


@dataclass(frozen=True, kw_only=True)
class Lines:
    r"""Lines of N texts, as str.splitlines: those of text n are begin[n] to end[n]. Line l of it ends at byte stops[l],
    the next one begins at nexts[l]; they are equal where the text's end ends the line.

    `begin`, `end` int64[N]; `stops`, `nexts` int32[L], from the text's first byte on. A batch without some of its texts
    has the same stops and nexts. A line break is a `\n` or ends in one where the byte before nexts[l] is 10.
    """

    begin: np.ndarray
    end: np.ndarray
    stops: np.ndarray
    nexts: np.ndarray


def find(text: Utf8, masks: Masks) -> Lines:
    """The lines of every text, each of less than 2 GiB."""
    num_bytes = int(text.offsets[-1] - text.offsets[0])
    assert np.diff(text.offsets).max(initial=0) < 1 << 31
    stops, nexts = np.empty(num_bytes + 1, np.int32), np.empty(num_bytes + 1, np.int32)
    first = np.zeros(len(text.offsets), np.int64)
    _find_batch(text.data, text.offsets, masks.breaks, stops, nexts, first)
    return Lines(begin=first[:-1], end=first[1:], stops=stops[: first[-1]], nexts=nexts[: first[-1]])


def marks(text: Utf8, lines: Lines) -> np.ndarray:
    """int64[N, 5]: lines, lines that begin with a bullet (`•` or `-`), lines that end with an ellipsis, number signs,
    ellipses (`...` and `…`). The texts are padded."""
    assert is_padded(text)
    counts = np.zeros((len(text), 5), np.int64)
    _marks_batch(text.data, text.offsets, lines.begin, lines.end, lines.stops, lines.nexts, counts)
    return counts


@kernel
def _find_batch(
    data: np.ndarray, offsets: np.ndarray, breaks: np.ndarray, stops: np.ndarray, nexts: np.ndarray, first: np.ndarray
) -> None:
    at = 0
    for n in range(len(offsets) - 1):
        low, end = offsets[n], offsets[n + 1]
        start, i = low, low
        while i < end:
            found = window(breaks, i - offsets[0])
            if found == 0:
                i += WIDTH
                continue
            i += first_bit(found)
            if i >= end:
                break
            size = _break_that_ends(data, low, i)
            if size:
                after = i + 1
                if data[i] == 13 and after < end and data[after] == NEWLINE:
                    after += 1
                stops[at], nexts[at] = i + 1 - size - low, after - low
                at, start, i = at + 1, after, after
            else:
                i += 1
        if start < end:
            stops[at] = nexts[at] = end - low
            at += 1
        first[n + 1] = at


@kernel
def _break_that_ends(data: np.ndarray, start: int, i: int) -> int:
    """Bytes of the line break whose last byte is data[i], one of Masks.breaks; 0 if there is none."""
    byte = data[i]
    if byte < 0x80:
        return 1
    if byte == 0x85:
        return 2 if i > start and data[i - 1] == 0xC2 else 0
    return 3 if i - 1 > start and data[i - 1] == 0x80 and data[i - 2] == 0xE2 else 0


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
def _marks_batch(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, stops: np.ndarray, nexts: np.ndarray,
    counts: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(offsets) - 1):
        text = address_of(data, offsets[n])
        start: Any = np.int64(0)
        num_bullets = num_ellipsis_lines = 0
        for k in range(begin[n], end[n]):
            stop: Any = np.int64(stops[k])
            first, last = strip(text, start, stop)
            num_bullets += first < last and (text[first] == HYPHEN or is_at(text, first, last, 0xE2, 0x80, 0xA2))
            num_ellipsis_lines += ends_with_ellipsis(text, first, last)
            start = np.int64(nexts[k])
        num_hashes, num_ellipses = _count_signs(text, offsets[n + 1] - offsets[n])
        counts[n, 0], counts[n, 1], counts[n, 2] = end[n] - begin[n], num_bullets, num_ellipsis_lines
        counts[n, 3], counts[n, 4] = num_hashes, num_ellipses


@kernel
def _count_signs(text: np.ndarray, end: int) -> tuple[int, int]:
    """(number signs, `…` and `...`, the latter not overlapping, as str.count) in text[:end]."""
    num_hashes = num_ellipses = dots_from = 0
    for i in range(0, end, WIDTH):
        inside = lowest(min(WIDTH, end - i))
        num_hashes += num_bits(_hashes_at(text, i) & inside)
        num_ellipses += num_bits(_e2_at(text, i) & _80_at(text, i + 1) & _a6_at(text, i + 2) & inside)
        dots = _dots_at(text, i) & _dots_at(text, i + 1) & _dots_at(text, i + 2) & inside
        while dots:
            first = i + first_bit(dots)
            dots &= dots - np.uint64(1)
            if first < dots_from:
                continue
            dots_from = first
            while dots_from < end and text[dots_from] == DOT:
                dots_from += 1
            num_ellipses += (dots_from - first) // 3
    return num_hashes, num_ellipses


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
