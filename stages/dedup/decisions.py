"""What dedup decided for the documents of clusters: who is kept, who is dropped for whom, and the report on it.

Reads:  an exchange of DECISION rows, one partition per shard of the documents
Writes: Verdicts: drops with `duplicate_of`, and `duplicate_count` (as before for a document in no cluster, 1 if none)
Cost:   56 bytes per document of a shard that is in a cluster
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schemas import EXCERPT_CHARS, ID
from pipeline.stage import (
    JSON,
    BatchFunction,
    Drops,
    ExchangeReader,
    InputArtifact,
    StepReportWriter,
    TaskContext,
    Verdict,
)
from stages.dedup.documents import read_shard, row_of, shard_key
from stages.dedup.survivors import COUNT, weights

# One row per document of a cluster. `representative`: the id of the one that is kept; `kept`: this is it; `size`: the
# cluster's documents; `weight`: the documents they stand for, those dropped by an earlier dedup included; `value`: what
# was measured, NaN where nothing was.
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
LARGEST = 20  # clusters listed in the report


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """N documents of clusters: their numbers, and the position in these arrays of each one's representative."""

    doc_N: np.ndarray
    representative_N: np.ndarray
    ids: pa.Array
    weight_N: np.ndarray
    value_N: np.ndarray


def decision_rows(clusters: Clusters, num_shards: int) -> Iterator[pa.RecordBatch]:
    """DECISION rows of all documents of clusters, addressed to their shards, in order of their numbers."""
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
                pa.array(shard_key(doc, num_shards)), pa.array(doc), clusters.ids.take(pa.array(representative)),
                pa.array(representative == at), pa.array(size_N[representative]), pa.array(weight_N[representative]),
                pa.array(clusters.value_N[at]),
            ],
            schema=DECISION,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What the tasks that apply and sum up the decisions are given."""

    documents: InputArtifact
    decisions: ExchangeReader
    reason: str
    threshold: float

    def of_shard(self, shard: int) -> pa.Table:
        """A shard's DECISION rows, by row."""
        return pa.Table.from_batches(self.decisions.read(shard), DECISION).sort_by("doc").combine_chunks()


def open_filter(decided: Decided, shard: int) -> BatchFunction:
    """Judges a shard's batches, which come in order."""
    rows = decided.of_shard(shard)
    row_N = row_of(rows["doc"].to_numpy())
    first = 0

    def judge(batch: pa.RecordBatch) -> Verdict:
        nonlocal first
        start, end = np.searchsorted(row_N, [first, first + batch.num_rows])
        verdict = _verdict(decided, rows.slice(start, end - start), row_N[start:end] - first, batch)
        first += batch.num_rows
        return verdict

    return judge


def _verdict(decided: Decided, rows: pa.Table, position_D: np.ndarray, batch: pa.RecordBatch) -> Verdict:
    """The verdict on a batch whose rows `position_D` are in clusters, as the table's `rows` say."""
    num_rows = batch.num_rows
    dropped_D = ~rows["kept"].to_numpy()
    code_N = np.full(num_rows, -1, np.int16)
    code_N[position_D[dropped_D]] = 0
    value_N, threshold_N = np.full(num_rows, np.nan), np.full(num_rows, np.nan)
    value_N[position_D], threshold_N[position_D] = rows["value"].to_numpy(), decided.threshold
    count_N = weights(batch)
    count_N[position_D] = rows["weight"].to_numpy()
    take_N = np.full(num_rows, -1, np.int64)
    take_N[position_D[dropped_D]] = np.flatnonzero(dropped_D)
    drops = Drops(
        reasons=(decided.reason,), code_N=code_N, value_N=value_N, threshold_N=threshold_N,
        duplicate_of=rows["representative"].combine_chunks().take(pa.array(take_N, mask=take_N < 0)),
    )  # fmt: skip
    return Verdict(columns={COUNT: pa.array(count_N)}, drops=drops)


def summarise(decided: Decided, shard: int, task: TaskContext) -> JSON:
    """A shard's kept documents of clusters: how many of which size, and the largest ones with URL and excerpt."""
    rows = decided.of_shard(shard)
    kept = rows.filter(rows["kept"])
    size_C = kept["size"].to_numpy()
    values, counts = np.unique(size_C, return_counts=True)
    by_id = sorted(range(len(size_C)), key=lambda c: (-size_C[c], kept["representative"][c].as_py()))[:LARGEST]
    largest = kept.take(pa.array(by_id, pa.int64())).sort_by("doc")
    return {
        "sizes": [[int(v), int(c)] for v, c in zip(values, counts, strict=True)],
        "largest": _described(decided.documents, shard, largest) if by_id else [],
    }


def _described(documents: InputArtifact, shard: int, largest: pa.Table) -> list[dict[str, Any]]:
    """Report rows of the documents in `largest`, which is ordered by number."""
    doc_C, found = largest["doc"].to_numpy(), []
    for first, batch in read_shard(documents, shard, ("url", "text")):
        start, end = np.searchsorted(doc_C, [first, first + batch.num_rows])
        taken = batch.take(pa.array(doc_C[start:end] - first))
        excerpts = pc.utf8_slice_codeunits(taken["text"], 0, EXCERPT_CHARS)
        for at in range(start, end):
            found.append(
                {
                    "documents": largest["size"][at].as_py(),
                    "kept": largest["representative"][at].as_py().hex(),
                    "url": taken["url"][at - start].as_py(),
                    "excerpt": excerpts[at - start].as_py(),
                }
            )
    return found


def report_clusters(report: StepReportWriter, summaries: Sequence[Mapping[str, Any]], num_docs: int) -> None:
    """The cluster sizes (1, 2, 3-4, 5-8, ...) as bars, the largest clusters as a table, and the figures."""
    by_bin: dict[int, int] = {}
    clustered = clusters = largest = 0
    for size, count in (pair for summary in summaries for pair in summary["sizes"]):
        by_bin[(size - 1).bit_length()] = by_bin.get((size - 1).bit_length(), 0) + count
        clusters, clustered, largest = clusters + count, clustered + size * count, max(largest, size)
    bins = range(max(by_bin, default=0) + 1)
    labels = [str(1 << b) if b < 2 else f"{(1 << b - 1) + 1}-{1 << b}" for b in bins]
    report.histogram("cluster sizes", labels, [by_bin.get(b, 0) if b else num_docs - clustered for b in bins])
    report.counter("clusters", clusters)
    report.counter("duplicates", clustered - clusters)
    report.figure("largest cluster", float(largest))
    rows = [row for summary in summaries for row in summary["largest"]]
    report.sample("largest clusters", sorted(rows, key=lambda r: (-r["documents"], r["kept"]))[:LARGEST])
