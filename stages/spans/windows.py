"""Windows that have a repeated anchor meet their equals; documents lose those that a preferred document has too.

Reads:  text, id, the column of the survivor policy; REPEATED rows by group of shards
Writes: RUN rows by anchor, LOSS rows by group
Cost:   16 bytes per window and 52 per run of them through the exchange, and back 68 per run that a document loses:
        where three of four words were cut 19 and 3.7 bytes per word, 115 and 120 ns. A task of a partition reads it
        twice, batch by batch, and holds its distinct windows (stages/kernels/window_groups.py): one that stands in a
        million documents takes no more room than any other
Source: stages/kernels/repeated_spans.py

Neighbouring windows with one anchor travel as one row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.schemas import ID
from pipeline.stage import ExchangeReader, TaskContext
from stages.dedup.corpus import Group
from stages.dedup.documents import halves
from stages.dedup.survivors import order_rows
from stages.spans.anchors import REPEATED, Meeting, Search, order_columns, slices

if TYPE_CHECKING:
    from stages.kernels.key_set import KeySet
    from stages.kernels.repeated_spans import Runs
    from stages.kernels.window_groups import Rows

YIELD_WINDOWS = 1 << 18
# `first`: the word of the document where the first window begins; `high` and `low`: the windows' hashes.
RUN = pa.schema(
    [
        ("key", pa.uint64()), ("doc", pa.int64()), ("first", pa.int32()), ("rank", pa.float64()), ("id", ID),
        ("high", pa.list_(pa.uint64())), ("low", pa.list_(pa.uint64())),
    ]
)  # fmt: skip
# `windows` windows from word `first` on that document `doc` loses to `keeper`, whose id is `keeper_id`. `documents`:
# the most documents that one of them stands in; `peak`: the first such window's hash; `peak_first`: where it begins.
LOSS = pa.schema(
    [
        ("key", pa.uint64()), ("doc", pa.int64()), ("first", pa.int32()), ("windows", pa.int32()),
        ("keeper", pa.int64()), ("keeper_id", ID), ("documents", pa.int64()), ("peak", pa.uint64()),
        ("peak_first", pa.int32()),
    ]
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """What the tasks of a group are given."""

    search: Search
    repeated: ExchangeReader


def run_rows(candidates: Candidates, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """RUN rows of a group: all its windows that have a repeated anchor."""
    search = candidates.search
    repeated = _repeated(candidates.repeated, group.number)
    if not len(repeated.high):
        return
    for first_doc, batch in slices(group, order_columns(search)):
        yield from _slice_runs(search, repeated, first_doc, batch)


def _repeated(repeated: ExchangeReader, group: int) -> KeySet:
    from stages.kernels import key_set

    anchor_A = pa.Table.from_batches(repeated.read(group), REPEATED)["anchor"].to_numpy()
    return key_set.key_set(_keys(anchor_A))[0]


def _keys(anchor_A: np.ndarray) -> np.ndarray:
    return np.stack([anchor_A, np.zeros_like(anchor_A)], axis=1)


def _slice_runs(search: Search, repeated: KeySet, first_doc: int, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    from stages.kernels import key_set, repeated_spans

    grams = search.grams(batch["text"], 0)
    runs = repeated_spans.runs(grams, search.min_tokens)
    found_R = key_set.contains(repeated, _keys(runs.anchor_R))
    if not found_R.any():
        return
    high_W = repeated_spans.windows(grams, search.min_tokens)
    low_W = repeated_spans.windows(search.grams(batch["text"], 1), search.min_tokens)
    row_R, first_R, num_R = _rows(runs, found_R)
    order = order_rows(batch, search.keep)
    at, ends_R = 0, np.cumsum(num_R)
    while at < len(row_R):  # a part of them at a time
        done = ends_R[at] - num_R[at]
        until = max(at + 1, int(np.searchsorted(ends_R, done + YIELD_WINDOWS, side="right")))
        part = slice(at, until)
        text_P = runs.text_R[row_R[part]]
        offsets_P = pa.array(np.concatenate([[0], ends_R[part] - done]).astype(np.int32))
        window_W = np.arange(ends_R[until - 1] - done) + np.repeat(
            first_R[part] - offsets_P.to_numpy()[:-1], num_R[part]
        )
        own = order.take(pa.array(text_P))
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(runs.anchor_R[row_R[part]]), pa.array(first_doc + text_P),
                pa.array((first_R[part] - grams.offsets[text_P]).astype(np.int32)), own["rank"], own["id"],
                *(pa.ListArray.from_arrays(offsets_P, pa.array(hash_W[window_W])) for hash_W in (high_W, low_W)),
            ],
            schema=RUN,
        )  # fmt: skip
        at = until


def _rows(runs: Runs, found_R: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(run, first window, number of windows) of the rows for the runs found: long ones are cut."""
    from stages.kernels.window_groups import MAX_ROW_WINDOWS

    found = np.flatnonzero(found_R)
    num_F = runs.end_R[found] - runs.first_R[found]
    rows_F = -(-num_F // MAX_ROW_WINDOWS)
    row_R = np.repeat(found, rows_F)
    part_R = np.arange(len(row_R)) - np.repeat(np.cumsum(rows_F) - rows_F, rows_F)
    first_R = runs.first_R[row_R] + part_R * MAX_ROW_WINDOWS
    return row_R, first_R, np.minimum(runs.end_R[row_R] - first_R, MAX_ROW_WINDOWS)


def loss_rows(meeting: Meeting, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """LOSS rows of a partition's windows, addressed to the groups of the documents that lose them."""
    from stages.kernels.window_groups import WindowGroups

    groups = WindowGroups()
    for batch in meeting.rows.read(partition):
        groups.add(_group_rows(batch))
    for batch in meeting.rows.read(partition):
        lost = groups.lost(_group_rows(batch))
        doc_L = batch["doc"].to_numpy()[lost.row]
        row_first_L = batch["first"].to_numpy()[lost.row]
        id_L2 = np.stack([lost.id_high, lost.id_low], axis=1).astype(">u8")
        columns = {
            "key": meeting.grouping.keys(doc_L), "doc": doc_L, "first": row_first_L + lost.first,
            "windows": lost.num, "keeper": lost.keeper, "documents": lost.num_docs, "peak": lost.peak,
            "peak_first": row_first_L + lost.peak_at,
            "keeper_id": pa.Array.from_buffers(ID, len(doc_L), [None, pa.py_buffer(id_L2.tobytes())]),
        }  # fmt: skip
        yield pa.RecordBatch.from_arrays(
            [pa.array(columns[field.name]).cast(field.type) for field in LOSS], schema=LOSS
        )


def _group_rows(batch: pa.RecordBatch) -> Rows:
    from stages.kernels.window_groups import Rows

    starts = batch["high"].offsets.to_numpy()
    id_high, id_low = halves(batch["id"])
    return Rows(
        starts=(starts - starts[0]).astype(np.int64), high=batch["high"].flatten().to_numpy(),
        low=batch["low"].flatten().to_numpy(), doc=batch["doc"].to_numpy(), rank=batch["rank"].to_numpy(),
        id_high=id_high, id_low=id_low,
    )  # fmt: skip
