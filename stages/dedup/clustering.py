"""Clusters: the connected components of the edges, each with its preferred document.

Reads:  scratch `edges/NNNNN.arrow` and `order/NNNNN.arrow` of all shards
Writes: DECISION rows of every document that has an edge
Cost:   one process; measured with 4 million documents: 65 bytes per edge and 180 per document that has one, so that 50
        million of each take 12 GB
Source: stages/kernels/union_find.py
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.stage import TaskContext
from pipeline.store import Folder
from stages.dedup.bands import read_order
from stages.dedup.decisions import Clusters, decision_rows
from stages.dedup.documents import read_rows, row_of, shard_of
from stages.dedup.survivors import ORDER, preference
from stages.dedup.verification import edges_name


def clusters(num_shards: int, item: None, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """DECISION rows. A document's `value` is the highest agreement of its edges."""
    from stages.kernels.union_find import components

    edges = [read_rows(task.work, edges_name(shard)) for shard in range(num_shards)]
    member_E, preferred_E, agreement_E = (
        np.concatenate([batch[name].to_numpy() for batch in edges] or [np.empty(0)])
        for name in ("member", "preferred", "agreement")
    )
    if not len(member_E):
        return
    doc_N, node_E = np.unique(np.concatenate([member_E, preferred_E]), return_inverse=True)
    left_E, right_E = node_E[: len(member_E)], node_E[len(member_E) :]
    value_N = np.zeros(len(doc_N))
    np.maximum.at(value_N, left_E, agreement_E)
    np.maximum.at(value_N, right_E, agreement_E)

    order = _order_of(task.work, doc_N)
    by_preference_N = np.lexsort(preference(order, doc_N).columns()[::-1])
    place_N = np.empty(len(doc_N), np.int64)
    place_N[by_preference_N] = np.arange(len(doc_N))
    root_N = components(len(doc_N), place_N[left_E], place_N[right_E])  # by place: the least one is preferred
    found = Clusters(
        doc_N=doc_N, representative_N=by_preference_N[root_N[place_N]], ids=order["id"],
        weight_N=order["weight"].to_numpy(), value_N=value_N,
    )  # fmt: skip
    yield from decision_rows(found, num_shards)


def _order_of(work: Folder, doc_N: np.ndarray) -> pa.RecordBatch:
    """ORDER rows of documents, given in order of their numbers."""
    shards, starts = np.unique(shard_of(doc_N), return_index=True)
    ends = np.append(starts[1:], len(doc_N))
    parts = [
        read_order(work, int(shard), row_of(doc_N[start:end]))
        for shard, start, end in zip(shards, starts, ends, strict=True)
    ]
    return pa.concat_batches(parts) if parts else pa.RecordBatch.from_pylist([], ORDER)
