r"""Lines and paragraphs of texts: keys of them, how many of each key there are, and the texts without some of them.

Reads:  a string array's offsets and bytes
Writes: Units (lines or paragraphs that are not blank) with 128-bit keys; counts by key; Utf8
Cost:   to find and hash units 2 ns per byte; to count one 15 ns; to write a text without some of them 1 ns per byte. A
        text's folded form takes at most four times its bytes (address space: memory is touched as used)
Source: keys are two chains of multiply and shift-xor over eight bytes at a time, with MurmurHash3's finaliser (Appleby)

A key stands for its unit. Among 10^10 different ones the chance that any two share a key is about 10^-19 (birthday
bound of 128 bits); there is no secret in it, so someone who sets out to find two lines with one key may succeed.

A line ends where str.splitlines ends it; a blank one has nothing but white space. A paragraph is a run of lines that
are not blank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from stages.kernels import fold, fold_table, key_set, utf8
from stages.kernels.analysis import TextAnalysis
from stages.kernels.byte_copy import copy_bytes
from stages.kernels.byte_masks import load_8
from stages.kernels.compiled import kernel
from stages.kernels.eight_bytes import FIRST_EIGHT, count_chars
from stages.kernels.hash_slots import table_bits
from stages.kernels.key_set import KeySet, mix
from stages.kernels.lines import Lines, strip
from stages.kernels.unicode_tables import LETTER
from stages.kernels.utf8 import Utf8, class_at

Unit = Literal["lines", "paragraphs"]
Normalisation = Literal["plain", "none"]
# Odd, from the first digits of the golden ratio and of pi: any odd, well-spread multipliers serve. The chains shift by
# different widths, so that no pair of changes cancels out in both.
_FACTOR_HIGH, _FACTOR_LOW = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x243F6A8885A308D3)
_SHIFT_HIGH, _SHIFT_LOW = np.uint64(32), np.uint64(29)
_NEWLINE = 10


@dataclass(frozen=True, kw_only=True)
class Units:
    """U units of N texts, in order; those of text n are `first_N[n]` to `first_N[n + 1]` (int64[N + 1]).

    As it is compared, unit u is `data[starts[u]:stops[u]]`; in its text it is `spans_U2[u]` (int64, first byte and end,
    without the line break that ends it). `key_U2` uint64[U, 2]; `judged_U` bool: it has enough letters, and its text
    is one of those to be judged; others have no key. `of_line` int64[L]: the unit of each line, -1 of a blank one.
    """

    text: Utf8
    lines: Lines
    first_N: np.ndarray
    spans_U2: np.ndarray
    of_line: np.ndarray
    data: np.ndarray
    starts: np.ndarray
    stops: np.ndarray
    key_U2: np.ndarray
    judged_U: np.ndarray

    def once_per_text(self) -> np.ndarray:
        """uint64[K, 2]: the keys of every text's units, each once for each text."""
        is_first_U = self.judged_U.copy()
        _mark_repeats(self.first_N, self.key_U2, is_first_U)
        return self.key_U2[is_first_U]


class Removal(NamedTuple):
    """What would be taken out of N texts, int64[N] each: units to be judged, those taken out, the fewest documents any
    of these is in (0: none is), characters of all units, characters and bytes of those taken out."""

    num_judged: np.ndarray
    num_removed: np.ndarray
    fewest_documents: np.ndarray
    chars: np.ndarray
    removed_chars: np.ndarray
    removed_bytes: np.ndarray


def find(
    texts: pa.Array, judged_N: np.ndarray, scope_N2: np.ndarray, unit: Unit, normalisation: Normalisation,
    min_letters: int,
) -> Units:  # fmt: skip
    """The units of every text. Keys are of a unit and its text's scope, `scope_N2` (uint64[N, 2])."""
    found = TextAnalysis(utf8.view(texts), np.zeros(len(texts), np.int8))
    text, lines = found.text, found.lines
    num_lines = len(lines.stops)
    spans_U2, of_line = np.empty((num_lines, 2), np.int64), np.empty(num_lines, np.int64)
    first_N = np.zeros(len(text) + 1, np.int64)
    breaks = (lines.begin, lines.end, lines.stops, lines.nexts)
    _find_units(text.data, text.offsets, breaks, unit == "paragraphs", spans_U2, of_line, first_N)
    num_units = int(first_N[-1])
    spans_U2 = spans_U2[:num_units]
    data, starts, stops = _compared(text, spans_U2, normalisation)
    key_U2, judged_U = np.zeros((num_units, 2), np.uint64), np.zeros(num_units, np.bool_)
    _hash_units(data, starts, stops, first_N, judged_N, scope_N2, min_letters, key_U2, judged_U)
    return Units(
        text=text, lines=lines, first_N=first_N, spans_U2=spans_U2, of_line=of_line, data=data, starts=starts,
        stops=stops, key_U2=key_U2, judged_U=judged_U,
    )  # fmt: skip


def _compared(text: Utf8, spans_U2: np.ndarray, normalisation: Normalisation) -> tuple[np.ndarray, ...]:
    """(data, starts, stops) of the units as they are compared; eight bytes may be loaded at any of theirs."""
    if normalisation == "none":
        return text.data, np.ascontiguousarray(spans_U2[:, 0]), np.ascontiguousarray(spans_U2[:, 1])
    # Each unit with what lies between it and the next one: line breaks and blank lines, which fold to nothing.
    offsets = np.append(spans_U2[:, 0], text.offsets[-1])
    units = Utf8(offsets=offsets, data=text.data, null_N=np.zeros(len(spans_U2), np.bool_))
    folded = fold.fold(utf8.array(units), fold_table.load("plain", split_unspaced=False))
    folded.data.flags.writeable = False
    return folded.data, folded.offsets[:-1].copy(), folded.offsets[1:] - 1


def documents_of(units: Units, keys: KeySet, documents_K: np.ndarray) -> np.ndarray:
    """int64[U]: in how many documents each unit is (`documents_K`, by the set's order); 0 for one not in the set."""
    documents_U = np.zeros(len(units.judged_U), np.int64)
    if len(keys.high):
        _look_up(units.key_U2, units.judged_U, keys, documents_K, documents_U)
    return documents_U


def measure(units: Units, documents_U: np.ndarray) -> Removal:
    """What is lost where the units with `documents_U` above 0 are taken out."""
    found = Removal(*(np.zeros(len(units.text), np.int64) for _ in Removal._fields))
    _measure(units.text.data, units.spans_U2, units.first_N, units.judged_U, documents_U, found)
    return found


def without(units: Units, removed_U: np.ndarray, is_changed_N: np.ndarray) -> Utf8:
    r"""The texts, those marked as changed without some units: `\n` stands between the lines that stay, and blank lines
    where there were some between them, as many as in the longest run."""
    text, lines = units.text, units.lines
    data = np.empty(int(text.offsets[-1] - text.offsets[0]), np.uint8)
    offsets = np.zeros(len(text) + 1, np.int64)
    breaks = (lines.begin, lines.end, lines.stops, lines.nexts)
    _write(text.data, text.offsets, breaks, units.of_line, removed_U, is_changed_N, data, offsets)
    return Utf8(offsets=offsets, data=data[: offsets[-1]], null_N=text.null_N)


class Tally:
    """Counts by key, of `max_keys` different keys at most: `count` keys, `take` what was counted.

    Takes 20 bytes per slot, of which there are 4 / 3 for each key.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys, self._num_keys = max_keys, 0
        bits = 4
        while 3 << bits < max_keys << 2:
            bits += 1
        self._key_S2, self._count_S = np.zeros((1 << bits, 2), np.uint64), np.zeros(1 << bits, np.uint32)

    def count(self, key_K2: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Count the keys; gives what was counted so far (as `take`), and starts anew, whenever the tally is full."""
        start = 0
        while start < len(key_K2):
            start, self._num_keys = _add(self._key_S2, self._count_S, key_K2, start, self._num_keys, self._max_keys)
            if start < len(key_K2):
                yield self.take()

    def take(self) -> tuple[np.ndarray, np.ndarray]:
        """(keys uint64[K, 2], counts uint32[K]); the tally is empty then."""
        used = np.flatnonzero(self._count_S)
        taken = self._key_S2[used], self._count_S[used]
        self._count_S[used] = 0
        self._num_keys = 0
        return taken


@kernel
def _find_units(
    data: np.ndarray, offsets: np.ndarray, breaks: tuple, paragraphs: bool, spans_U2: np.ndarray, of_line: np.ndarray,
    first_N: np.ndarray,
) -> None:  # fmt: skip
    begin, end, stops, nexts = breaks
    num = 0
    for n in range(len(begin)):
        start, in_paragraph = offsets[n], False
        for k in range(begin[n], end[n]):
            stop = offsets[n] + stops[k]
            low, high = strip(data, start, stop)
            if low == high:
                of_line[k], in_paragraph = -1, False
            else:
                if not in_paragraph:
                    spans_U2[num, 0] = start
                    num += 1
                spans_U2[num - 1, 1] = stop
                of_line[k], in_paragraph = num - 1, paragraphs
            start = offsets[n] + nexts[k]
        first_N[n + 1] = num


@kernel
def _has_letters(data: np.ndarray, i: int, end: int, num: int) -> bool:
    """Whether data[i:end] has so many letters or more."""
    while num > 0 and i < end:
        bits, size = class_at(data, i, end)
        num -= bits & LETTER != 0
        i += size
    return num <= 0


@kernel
def _hash_units(
    data: np.ndarray, starts: np.ndarray, stops: np.ndarray, first_N: np.ndarray, judged_N: np.ndarray,
    scope_N2: np.ndarray, min_letters: int, key_U2: np.ndarray, judged_U: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(first_N) - 1):
        if not judged_N[n]:
            continue
        for u in range(first_N[n], first_N[n + 1]):
            i, stop = starts[u], stops[u]
            if i == stop or not _has_letters(data, i, stop, min_letters):
                continue
            high, low, length = scope_N2[n, 0], scope_N2[n, 1], np.uint64(stop - i)
            while i < stop:
                group = load_8(data, i)
                if i + 8 > stop:
                    group &= FIRST_EIGHT[stop - i]
                high, low = (high ^ group) * _FACTOR_HIGH, (low ^ group) * _FACTOR_LOW
                high, low = high ^ high >> _SHIFT_HIGH, low ^ low >> _SHIFT_LOW
                i += 8
            key_U2[u, 0], key_U2[u, 1], judged_U[u] = mix(high ^ length), mix(low ^ length), True


@kernel
def _mark_repeats(first_N: np.ndarray, key_U2: np.ndarray, is_first_U: np.ndarray) -> None:
    """Leave of units with the same key in a text only the first one marked."""
    most = 0
    for n in range(len(first_N) - 1):
        most = max(most, first_N[n + 1] - first_N[n])
    slots = np.full(1 << table_bits(most), -1)  # a slot is free where it holds a unit of an earlier text
    for n in range(len(first_N) - 1):
        first = first_N[n]
        bits = table_bits(first_N[n + 1] - first)
        last, shift = (1 << bits) - 1, np.uint64(64 - bits)
        for u in range(first, first_N[n + 1]):
            if not is_first_U[u]:
                continue
            slot = np.int64(key_U2[u, 0] >> shift)
            while slots[slot] >= first and is_first_U[u]:
                other = slots[slot]
                is_first_U[u] = key_U2[other, 0] != key_U2[u, 0] or key_U2[other, 1] != key_U2[u, 1]
                slot = (slot + 1) & last
            if is_first_U[u]:
                slots[slot] = u


@kernel
def _add(
    key_S2: np.ndarray, count_S: np.ndarray, key_K2: np.ndarray, start: int, num_keys: int, max_keys: int
) -> tuple[int, int]:
    """Count keys from `start` on; (the first one that finds no place, or how many there are; different keys so far)."""
    bits, last = 0, len(count_S) - 1
    while 1 << bits <= last:
        bits += 1
    shift = np.uint64(64 - bits)
    for k in range(start, len(key_K2)):
        slot = np.int64(key_K2[k, 0] >> shift)
        while count_S[slot] and (key_S2[slot, 0] != key_K2[k, 0] or key_S2[slot, 1] != key_K2[k, 1]):
            slot = (slot + 1) & last
        if not count_S[slot]:
            if num_keys == max_keys:
                return k, num_keys
            num_keys += 1
            key_S2[slot, 0], key_S2[slot, 1] = key_K2[k, 0], key_K2[k, 1]
        count_S[slot] += np.uint32(1)
    return len(key_K2), num_keys


@kernel
def _look_up(
    key_U2: np.ndarray, judged_U: np.ndarray, keys: KeySet, documents_K: np.ndarray, documents_U: np.ndarray
) -> None:
    for u in range(len(judged_U)):
        if judged_U[u]:
            at = key_set.find(keys, key_U2[u, 0], key_U2[u, 1])
            if at >= 0:
                documents_U[u] = documents_K[at]


@kernel
def _measure(
    data: np.ndarray, spans_U2: np.ndarray, first_N: np.ndarray, judged_U: np.ndarray, documents_U: np.ndarray,
    found: Removal,
) -> None:  # fmt: skip
    for n in range(len(first_N) - 1):
        for u in range(first_N[n], first_N[n + 1]):
            start, stop = spans_U2[u, 0], spans_U2[u, 1]
            num_chars = count_chars(data, start, stop)
            found.chars[n] += num_chars
            found.num_judged[n] += judged_U[u]
            if documents_U[u]:
                fewest = found.fewest_documents[n] if found.num_removed[n] else documents_U[u]
                found.fewest_documents[n] = min(fewest, documents_U[u])
                found.num_removed[n] += 1
                found.removed_chars[n] += num_chars
                found.removed_bytes[n] += stop - start


@kernel
def _write(
    data: np.ndarray, offsets: np.ndarray, breaks: tuple, of_line: np.ndarray, removed_U: np.ndarray,
    is_changed_N: np.ndarray, out: np.ndarray, out_offsets: np.ndarray,
) -> None:  # fmt: skip
    begin, end, stops, nexts = breaks
    at = 0
    for n in range(len(begin)):
        start = offsets[n]
        num_kept, blank, most_blank = 0, 0, 0
        for k in range(begin[n], end[n] if is_changed_N[n] else begin[n]):
            unit = of_line[k]
            if unit < 0:
                blank += 1
                most_blank = max(most_blank, blank)
            elif removed_U[unit]:
                blank = 0
            else:
                if num_kept:
                    for _ in range(most_blank + 1):
                        out[at] = _NEWLINE
                        at += 1
                at = copy_bytes(data, start, offsets[n] + stops[k], out, at)
                num_kept, blank, most_blank = num_kept + 1, 0, 0
            start = offsets[n] + nexts[k]
        if not is_changed_N[n]:
            at = copy_bytes(data, offsets[n], offsets[n + 1], out, at)
        out_offsets[n + 1] = at
