"""Equal windows of many documents: which document each is kept in, and which documents lose it.

Reads:  rows of windows that come in batches, a document's rows one after another
Writes: per window that a row's document loses: what keeps it, in runs of neighbours
Cost:   64 bytes per slot of a hash table with at most two windows in three slots, so 96 to 192 per distinct window,
        however often it comes. Per window about 120 ns to add a new one, 45 one that is there, 50 to look it up
Source: linear probing; rehashed into twice the slots as it fills

Windows are told apart by 128 bits. Among 10^12 distinct ones the chance that any two share them is below 2 in 10^15.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.inlined import inlined

MAX_ROW_WINDOWS = 4096
FIRST_BITS = 16  # so that one more row always has room
# A window, in how many documents it stands (0: an empty slot), the last of them, and the preferred one with its place
# in the order: 64 bytes, what a processor fetches at once.
_SLOT = np.dtype(
    [
        ("high", np.uint64), ("low", np.uint64), ("num_docs", np.int64), ("last_doc", np.int64), ("doc", np.int64),
        ("rank", np.float64), ("id_high", np.uint64), ("id_low", np.uint64),
    ]
)  # fmt: skip


class Rows(NamedTuple):
    """N rows of a batch: row n has the windows `starts[n]` to `starts[n + 1]` of `high` and `low` (uint64), at most
    MAX_ROW_WINDOWS, neighbours in the document `doc[n]` (int64), and its place in the order: `rank` float64, `id_high`,
    `id_low` uint64; less is preferred."""

    starts: np.ndarray
    high: np.ndarray
    low: np.ndarray
    doc: np.ndarray
    rank: np.ndarray
    id_high: np.ndarray
    id_low: np.ndarray


class Lost(NamedTuple):
    """L runs of neighbouring windows that one row's document loses to one other document.

    `row` of the batch, `first` window within the row, `num` of windows, `keeper` the other document, with `id_high` and
    `id_low`. `num_docs`: the most documents that one of the windows stands in; `peak`: the first such window's hash,
    and `peak_at` its place within the row.
    """

    row: np.ndarray
    first: np.ndarray
    num: np.ndarray
    keeper: np.ndarray
    id_high: np.ndarray
    id_low: np.ndarray
    num_docs: np.ndarray
    peak: np.ndarray
    peak_at: np.ndarray


_LOST_TYPES = (np.int64, np.int64, np.int64, np.int64, np.uint64, np.uint64, np.int64, np.uint64, np.int64)


class WindowGroups:
    """Give `add` all rows, batch by batch, then `lost` the same ones."""

    def __init__(self) -> None:
        self._slots, self._num_windows = np.zeros(1 << FIRST_BITS, _SLOT), 0

    def add(self, rows: Rows) -> None:
        """Count a batch's documents, and remember the preferred ones."""
        assert not len(rows.doc) or np.diff(rows.starts).max() <= MAX_ROW_WINDOWS
        start = 0
        while start < len(rows.doc):
            start, self._num_windows = _add(self._slots, rows, start, self._num_windows)
            if start < len(rows.doc):
                larger = np.zeros(2 * len(self._slots), _SLOT)
                _move(self._slots, larger)
                self._slots = larger

    def lost(self, rows: Rows) -> Lost:
        """What the documents of a batch lose."""
        lost = Lost(*(np.empty(len(rows.high), type_) for type_ in _LOST_TYPES))
        num_lost = _lost(self._slots, rows, lost)
        return Lost(*(column[:num_lost] for column in lost))


@inlined
def _find(slots: np.ndarray, high: Any, low: Any) -> Any:
    """The slot that holds the window, or the empty one where it goes."""
    mask = len(slots) - 1
    at = np.int64(high & np.uint64(mask))
    while slots[at].num_docs and (slots[at].high != high or slots[at].low != low):
        at = (at + 1) & mask
    return at


@kernel
def _move(slots: np.ndarray, larger: np.ndarray) -> None:
    for k in range(len(slots)):
        if slots[k].num_docs:
            larger[_find(larger, slots[k].high, slots[k].low)] = slots[k]


@inlined
def _comes_before(rank: Any, id_high: Any, id_low: Any, doc: Any, slots: np.ndarray, at: Any) -> Any:
    """Whether a document is preferred to the slot's."""
    if rank != slots[at].rank:
        return rank < slots[at].rank
    if id_high != slots[at].id_high:
        return id_high < slots[at].id_high
    if id_low != slots[at].id_low:
        return id_low < slots[at].id_low
    return doc < slots[at].doc


@kernel
def _add(slots: np.ndarray, rows: Rows, start: int, num_windows: int) -> tuple[int, int]:
    """Add rows from `start` on until the slots fill: (the next row, windows in the slots now)."""
    limit = len(slots) * 2 // 3
    for n in range(start, len(rows.doc)):
        if num_windows > limit:
            return n, num_windows
        doc, rank, id_high, id_low = rows.doc[n], rows.rank[n], rows.id_high[n], rows.id_low[n]
        for w in range(rows.starts[n], rows.starts[n + 1]):
            at = _find(slots, rows.high[w], rows.low[w])
            is_new = slots[at].num_docs == 0
            if is_new:
                slots[at].high, slots[at].low = rows.high[w], rows.low[w]
                num_windows += 1
            elif slots[at].last_doc == doc:
                continue
            slots[at].num_docs += 1
            slots[at].last_doc = doc
            if is_new or _comes_before(rank, id_high, id_low, doc, slots, at):
                slots[at].doc, slots[at].rank = doc, rank
                slots[at].id_high, slots[at].id_low = id_high, id_low
    return len(rows.doc), num_windows


@kernel
def _lost(slots: np.ndarray, rows: Rows, lost: Lost) -> int:
    k = -1
    for n in range(len(rows.doc)):
        keeper = np.int64(-1)  # of the window before, -1 where it is not lost
        for w in range(rows.starts[n], rows.starts[n + 1]):
            at = _find(slots, rows.high[w], rows.low[w])
            if slots[at].doc == rows.doc[n]:
                keeper = np.int64(-1)
                continue
            if slots[at].doc != keeper:
                keeper = slots[at].doc
                k += 1
                lost.row[k], lost.first[k], lost.num[k] = n, w - rows.starts[n], 0
                lost.keeper[k], lost.id_high[k], lost.id_low[k] = keeper, slots[at].id_high, slots[at].id_low
                lost.num_docs[k] = 0
            lost.num[k] += 1
            if slots[at].num_docs > lost.num_docs[k]:
                lost.num_docs[k], lost.peak[k], lost.peak_at[k] = slots[at].num_docs, rows.high[w], w - rows.starts[n]
    return k + 1
