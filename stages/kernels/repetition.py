r"""Repeated lines and paragraphs of a text, exactly: equal hashes are checked byte by byte.

Reads:  Utf8 and Lines
Writes: counts and lengths in characters per text
Cost:   under 1 ns per byte; scratch of 40 bytes per line of the text with most lines
Source: datatrove 0.10.1 gopher_repetition_filter.py (find_duplicates) and fineweb_quality_filter.py

A line here ends at `\n` alone; the other line breaks in Lines are part of it.

Few lines are repeated, so lines are first counted by their length and their first and last bytes in a small table. Only
those that share its slot are hashed whole and compared.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.byte_masks import load_8
from stages.kernels.compiled import kernel
from stages.kernels.eight_bytes import FACTOR, count_chars, equal, hash_bytes, load_few, step
from stages.kernels.hash_slots import table_bits, tally_bits
from stages.kernels.lines import NEWLINE, Lines, is_terminal, strip
from stages.kernels.unicode_tables import SPACE
from stages.kernels.utf8 import Utf8, class_at


def duplicate_lines(text: Utf8, lines: Lines) -> np.ndarray:
    r"""int64[N, 6]: paragraphs (between `\n\n` of the stripped text), those seen before, their characters; the same of
    lines (between runs of `\n`)."""
    counts = np.zeros((len(text), 6), np.int64)
    most_lines = int((lines.end - lines.begin).max(initial=0))
    _lines_batch(text.data, text.offsets, lines.begin, lines.end, lines.nexts, most_lines, counts)
    return counts


def line_shapes(text: Utf8, lines: Lines, short_N: np.ndarray, closing_N: np.ndarray) -> np.ndarray:
    r"""int64[N, 5] over lines (between single `\n`) that are not blank: their number, how many end in terminal
    punctuation (with closing_N[n] a closing mark may follow), how many have at most short_N[n] characters, characters
    of those seen before; and the text's number of `\n`."""
    counts = np.zeros((len(text), 5), np.int64)
    most_lines = int((lines.end - lines.begin).max(initial=0))
    _shapes_batch(text.data, text.offsets, lines.begin, lines.end, lines.nexts, most_lines, short_N, closing_N, counts)
    return counts


@kernel
def _lines_batch(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, nexts: np.ndarray, most_lines: int,
    counts: np.ndarray,
) -> None:  # fmt: skip
    starts, ends = np.empty(most_lines + 1, np.int64), np.empty(most_lines + 1, np.int64)
    tally, chosen = np.empty(1 << tally_bits(most_lines + 1), np.uint8), np.empty(most_lines + 1, np.uint32)
    keys, slots = np.empty(most_lines + 1, np.uint64), np.empty(1 << table_bits(most_lines + 1), np.int32)
    for n in range(len(offsets) - 1):
        first, last = offsets[n], offsets[n + 1]
        its_nexts = nexts[begin[n] : end[n]]
        for kind in range(2):
            low, high = strip(data, first, last) if kind == 0 else (first, last)
            count = _split_at_newlines(data, first, its_nexts, low, high, 2 - kind, starts, ends)
            duplicates, chars = _duplicate_spans(data, starts, ends, count, tally, chosen, keys, slots)
            counts[n, 3 * kind], counts[n, 3 * kind + 1], counts[n, 3 * kind + 2] = count, duplicates, chars


@kernel
def _shapes_batch(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, nexts: np.ndarray, most_lines: int,
    short_N: np.ndarray, closing_N: np.ndarray, counts: np.ndarray,
) -> None:  # fmt: skip
    starts, ends = np.empty(most_lines + 1, np.int64), np.empty(most_lines + 1, np.int64)
    tally, chosen = np.empty(1 << tally_bits(most_lines + 1), np.uint8), np.empty(most_lines + 1, np.uint32)
    keys, slots = np.empty(most_lines + 1, np.uint64), np.empty(1 << table_bits(most_lines + 1), np.int32)
    for n in range(len(offsets) - 1):
        count, newlines = _split_non_blank(data, offsets[n], offsets[n + 1], nexts[begin[n] : end[n]], starts, ends)
        for s in range(count):
            counts[n, 1] += is_terminal(data, starts[s], ends[s], closing_N[n])
            counts[n, 2] += _is_short(data, starts[s], ends[s], short_N[n])
        _, chars = _duplicate_spans(data, starts, ends, count, tally, chosen, keys, slots)
        counts[n, 0], counts[n, 3], counts[n, 4] = count, chars, newlines


@kernel
def _split_at_newlines(
    data: np.ndarray, base: int, nexts: np.ndarray, low: int, high: int, at_least: int, starts: np.ndarray,
    ends: np.ndarray,
) -> int:  # fmt: skip
    r"""Spans of data[low:high] between runs of at least so many `\n`, as re.split(r"\n{at_least,}"); their number.

    There is one more span than separators: runs at the edges leave empty spans there.
    """
    count, first, after_run, run = 0, low, low - 1, low
    for k in range(len(nexts)):
        after: Any = base + nexts[k]
        if data[after - 1] != NEWLINE or after <= low or after > high:
            continue
        if after - 1 != after_run:  # a new run; `run` begins the one before
            if after_run - run >= at_least:
                starts[count], ends[count] = first, run
                count, first = count + 1, after_run
            run = after - 1
        after_run = after
    if after_run - run >= at_least:
        starts[count], ends[count] = first, run
        count, first = count + 1, after_run
    starts[count], ends[count] = first, high
    return count + 1


@kernel
def _split_non_blank(
    data: np.ndarray, low: int, high: int, nexts: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> tuple[int, int]:
    r"""Spans between single `\n` that hold more than white space: (their number, number of `\n`)."""
    count, newlines, first = 0, 0, low
    for k in range(len(nexts)):
        after: Any = low + nexts[k]
        if data[after - 1] != NEWLINE:
            continue
        newlines += 1
        if not _is_blank(data, first, after - 1):
            starts[count], ends[count] = first, after - 1
            count += 1
        first = after
    if not _is_blank(data, first, high):
        starts[count], ends[count] = first, high
        count += 1
    return count, newlines


@kernel
def _is_blank(data: np.ndarray, i: int, end: int) -> bool:
    """Whether data[i:end] holds nothing but white space."""
    while i < end:
        bits, size = class_at(data, i, end)
        if not bits & SPACE:
            return False
        i += size
    return True


@kernel
def _is_short(data: np.ndarray, start: int, end: int, most: int) -> bool:
    """Whether data[start:end] has at most so many characters, looking no further than it needs."""
    num_chars = 0
    while start < end and num_chars <= most:
        stop = min(end, start + 32)
        num_chars += count_chars(data, start, stop)
        start = stop
    return num_chars <= most


@kernel
def _edge_hash(data: np.ndarray, start: int, end: int) -> np.uint64:
    """Of a span's length, its first and its last eight bytes."""
    length = end - start
    if length < 8:
        return step(np.uint64(length), load_few(data, start, length)) * FACTOR
    return step(step(np.uint64(length), load_8(data, start)), load_8(data, end - 8)) * FACTOR


@kernel
def _choose_spans(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int, tally: np.ndarray, chosen: np.ndarray
) -> int:
    """Write to `chosen` the spans that may be equal to another one, in order; their number."""
    bits = tally_bits(count)
    shift = np.uint64(64 - bits)
    tally[: 1 << bits] = 0
    for s in range(count):
        slot = _edge_hash(data, starts[s], ends[s]) >> shift
        chosen[s] = slot
        tally[slot] = min(np.int64(tally[slot]) + 1, 2)
    num_chosen = 0
    for s in range(count):
        repeated = tally[chosen[s]] > 1
        chosen[num_chosen] = s
        num_chosen += repeated
    return num_chosen


@kernel
def _duplicate_spans(
    data: np.ndarray, starts: np.ndarray, ends: np.ndarray, count: int, tally: np.ndarray, chosen: np.ndarray,
    keys: np.ndarray, slots: np.ndarray,
) -> tuple[int, int]:  # fmt: skip
    """(spans seen before, their characters) among the first `count` spans."""
    duplicates = chars = 0
    if count < 2:
        return duplicates, chars
    num_chosen = _choose_spans(data, starts, ends, count, tally, chosen)
    bits = table_bits(num_chosen)
    shift, mask = np.uint64(64 - bits), np.uint64((1 << bits) - 1)
    slots[: 1 << bits] = 0
    for c in range(num_chosen):
        start, length = starts[chosen[c]], ends[chosen[c]] - starts[chosen[c]]
        key = hash_bytes(data, start, length)
        slot = key >> shift
        seen = False
        while slots[slot] != 0 and not seen:
            other = slots[slot] - 1
            before = starts[chosen[other]]
            if keys[other] == key and ends[chosen[other]] - before == length:
                seen = equal(data, before, start, length)
            slot = (slot + np.uint64(1)) & mask
        if seen:
            duplicates += 1
            chars += count_chars(data, start, start + length)
        else:
            slots[slot], keys[c] = c + 1, key
    return duplicates, chars
