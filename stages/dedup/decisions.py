"""What dedup decided for the documents of clusters: who is kept, who is dropped for whom, and the report on it.

Reads:  DECISION rows, by group
Writes: scratch `decisions/NNNNN.arrow` per shard; Verdicts: drops with `duplicate_of`, and `duplicate_count` (as before
        for a document in no cluster, 1 if none)
Cost:   60 bytes per document of a group that is in a cluster
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.schemas import ID
from pipeline.stage import (
    JSON,
    BatchFunction,
    Drops,
    ExchangeReader,
    StepReportWriter,
    TaskContext,
    Verdict,
)
from pipeline.store import Folder
from stages.dedup.corpus import Group, Grouping
from stages.dedup.documents import ROW_BITS, halves, read_rows, row_of, write_rows
from stages.dedup.removed import NOTHING, Removed
from stages.dedup.survivors import COUNT, weights

# One row per document of a cluster. `representative`: the id of the preferred one; `kept`: this is it, and it stays;
# `size`: the cluster's documents; `weight`: the documents they stand for, those dropped by an earlier dedup included;
# `value`: what was measured, NaN where nothing was.
DECISION = pa.schema(
    [
        ("key", pa.uint64()),
        ("doc", pa.int64()),
        ("representative", ID),
        ("kept", pa.bool_()),
        ("size", pa.int64()),
        ("weight", pa.int64()),
        ("value", pa.float64()),
    ]
)
YIELD_ROWS = 1 << 20
TAKEN_DOWN = "taken_down"  # the reason of documents that were removed from an index
LARGEST = 20  # clusters listed in the report


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """N documents of clusters: their numbers, and the position in these arrays of each one's representative."""

    doc_N: np.ndarray
    representative_N: np.ndarray
    ids: pa.Array
    weight_N: np.ndarray
    value_N: np.ndarray


def decision_rows(clusters: Clusters, grouping: Grouping) -> Iterator[pa.RecordBatch]:
    """DECISION rows of all documents of clusters, addressed to their groups, in order of their numbers."""
    representative_N, num = clusters.representative_N, len(clusters.doc_N)
    size_N = np.bincount(representative_N, minlength=num)
    weight_N = np.zeros(num, np.int64)
    np.add.at(weight_N, representative_N, clusters.weight_N)
    order_N = np.argsort(clusters.doc_N)
    for start in range(0, num, YIELD_ROWS):
        at = order_N[start : start + YIELD_ROWS]
        doc, representative = clusters.doc_N[at], representative_N[at]
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(grouping.keys(doc)), pa.array(doc), clusters.ids.take(pa.array(representative)),
                pa.array(representative == at), pa.array(size_N[representative]), pa.array(weight_N[representative]),
                pa.array(clusters.value_N[at]),
            ],
            schema=DECISION,
        )  # fmt: skip


def write_decisions(rows: pa.Table, group: Group, task: TaskContext, headed_before: pa.Table | None = None) -> JSON:
    """Write a group's DECISION rows, a file per shard that has any; returns how many there are and are kept, and of
    the clusters the group has the representative of {"sizes": [[size, clusters], ...], "largest": [[size,
    representative], ...]}. `headed_before`: DECISION rows of those representatives that are entries of an index and
    have documents of this run in their clusters; they are counted and not written."""
    rows = rows.sort_by("doc").combine_chunks()
    doc_N = rows["doc"].to_numpy()
    for part in group.parts:
        start, end = np.searchsorted(doc_N, [part.number << ROW_BITS, (part.number + 1) << ROW_BITS])
        if end > start:
            write_rows(task.work, _decisions_name(part.number), rows.slice(start, end - start).to_batches()[0])
    kept = rows.filter(rows["kept"])
    heads = kept if headed_before is None else pa.concat_tables([kept, headed_before])
    size_C, representative_C = heads["size"].to_numpy(), heads["representative"].combine_chunks()
    values, counts = np.unique(size_C, return_counts=True)
    high_C, low_C = halves(representative_C)
    largest = np.lexsort((low_C, high_C, -size_C))[:LARGEST].tolist()
    return {
        "documents": rows.num_rows,
        "kept": kept.num_rows,
        "clusters": heads.num_rows,
        "sizes": [[int(v), int(c)] for v, c in zip(values, counts, strict=True)],
        "largest": [[int(size_C[c]), representative_C[c].as_py().hex()] for c in largest],
    }


def write_read_decisions(rows: ExchangeReader, group: Group, task: TaskContext) -> JSON:
    """write_decisions of the DECISION rows that an exchange brought to the group."""
    return write_decisions(pa.Table.from_batches(rows.read(group.number), DECISION), group, task)


def _decisions_name(shard: int) -> str:
    return f"decisions/{shard:05d}.arrow"


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the tasks that apply the decisions are given."""

    work: Folder
    reason: str
    threshold: float
    removed: Callable[[], Removed] | None = None  # what was taken down from an index

    def of_shard(self, shard: int) -> pa.Table:
        """A shard's DECISION rows, by row."""
        if not self.work.exists(_decisions_name(shard)):
            return DECISION.empty_table()
        return pa.Table.from_batches([read_rows(self.work, _decisions_name(shard))], DECISION)


def open_filter(decided: Decided, shard: int) -> BatchFunction:
    """Judges a shard's batches, which come in order."""
    rows, removed = decided.of_shard(shard), decided.removed() if decided.removed else NOTHING
    row_N = row_of(rows["doc"].to_numpy())
    first = 0

    def judge(batch: pa.RecordBatch) -> Verdict:
        nonlocal first
        start, end = np.searchsorted(row_N, [first, first + batch.num_rows])
        taken_down_N = removed.hits(batch)
        verdict = _verdict(decided, rows.slice(start, end - start), row_N[start:end] - first, taken_down_N, batch)
        first += batch.num_rows
        return verdict

    return judge


def _verdict(
    decided: Decided, rows: pa.Table, position_D: np.ndarray, taken_down_N: np.ndarray, batch: pa.RecordBatch
) -> Verdict:
    """The verdict on a batch whose rows `position_D` are in clusters, as the table's `rows` say."""
    num_rows = batch.num_rows
    dropped_D = ~rows["kept"].to_numpy()
    code_N = np.full(num_rows, -1, np.int16)
    code_N[position_D[dropped_D]] = 0
    code_N[taken_down_N] = 1
    value_N, threshold_N = np.full(num_rows, np.nan), np.full(num_rows, np.nan)
    value_N[position_D], threshold_N[position_D] = rows["value"].to_numpy(), decided.threshold
    count_N = weights(batch)
    count_N[position_D] = rows["weight"].to_numpy()
    take_N = np.full(num_rows, -1, np.int64)
    take_N[position_D[dropped_D]] = np.flatnonzero(dropped_D)
    drops = Drops(
        reasons=(decided.reason, TAKEN_DOWN), code_N=code_N, value_N=value_N, threshold_N=threshold_N,
        duplicate_of=rows["representative"].combine_chunks().take(pa.array(take_N, mask=take_N < 0)),
    )  # fmt: skip
    return Verdict(columns={COUNT: pa.array(count_N)}, drops=drops)


def report_clusters(report: StepReportWriter, summaries: Sequence[Mapping[str, Any]], num_docs: int) -> list[str]:
    """The cluster sizes (1, 2, 3-4, 5-8, ...) as bars, and the figures; returns the representatives of the largest
    clusters, in hexadecimal, the largest first."""
    by_bin: dict[int, int] = {}
    for size, count in (pair for summary in summaries for pair in summary["sizes"]):
        by_bin[(size - 1).bit_length()] = by_bin.get((size - 1).bit_length(), 0) + count
    clustered, kept, num_clusters = (sum(s[name] for s in summaries) for name in ("documents", "kept", "clusters"))
    bins = range(max(by_bin, default=0) + 1)
    labels = [str(1 << b) if b < 2 else f"{(1 << b - 1) + 1}-{1 << b}" for b in bins]
    report.histogram("cluster sizes", labels, [by_bin.get(b, 0) if b else num_docs - clustered for b in bins])
    report.counter("clusters", num_clusters)
    report.counter("duplicates", clustered - kept)
    report.figure(
        "largest cluster", float(max((size for summary in summaries for size, _ in summary["sizes"]), default=0))
    )
    named = sorted((tuple(pair) for summary in summaries for pair in summary["largest"]), key=lambda p: (-p[0], p[1]))
    return [representative for _, representative in named[:LARGEST]]
