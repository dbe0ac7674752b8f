"""Who is kept: of each cluster the preferred document, found by partial standings of every group.

Reads:  LABEL rows and EDGE rows by group; scratch entries
Writes: STANDING rows by label; CLUSTER rows, one for every (cluster, group with members); then each group's members
Cost:   64 bytes exchanged per cluster and group it has members in, whatever the size of the cluster; a task holds the
        labelled documents of its group, 150 bytes each
Source: our choice

The order: a document that an index has kept, then those of this run by the survivor policy's rank, the smallest id
breaking ties, then those an index has dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.schemas import ID
from pipeline.stage import ExchangeReader, TaskContext
from stages.dedup.bands import IN_THIS_RUN, LINK, Entries
from stages.dedup.components import LABEL
from stages.dedup.corpus import Group, Grouping
from stages.dedup.documents import halves
from stages.dedup.survivors import MIX

# The best document of a cluster in one group, and what the group's members add up to.
STANDING = pa.schema(
    [
        ("key", pa.uint64()), ("label", pa.int64()), ("group", pa.int64()), ("standing", pa.int8()),
        ("rank", pa.float64()), ("id", ID), ("doc", pa.int64()), ("size", pa.int64()), ("weight", pa.int64()),
        ("num_new", pa.int64()),
    ]
)  # fmt: skip
# A cluster, as each group that has members is told: its representative, how many documents it has and stands for,
# and how many of them are of this run.
CLUSTER = pa.schema(
    [
        ("key", pa.uint64()), ("label", pa.int64()), ("representative", ID), ("representative_doc", pa.int64()),
        ("representative_standing", pa.int8()), ("size", pa.int64()), ("weight", pa.int64()), ("num_new", pa.int64()),
    ]
)  # fmt: skip
ORDER_COLUMNS = ("standing", "rank", "id", "weight")


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What the tasks of both phases are given; `rows` are LABEL rows by group, then STANDING rows by label."""

    rows: ExchangeReader
    grouping: Grouping
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class Members:
    """The labelled documents of a group, by number, with their ENTRY columns."""

    doc_N: np.ndarray
    label_N: np.ndarray
    entries: pa.Table


def members(rows: ExchangeReader, num_rows: int, group: Group, task: TaskContext) -> Members:
    """The labelled documents of a group."""
    table = pa.Table.from_batches(rows.read(group.number), LABEL)
    doc_N, label_N = table["doc"].to_numpy(), table["label"].to_numpy()
    order_N = np.argsort(doc_N)
    doc_N, label_N = doc_N[order_N], label_N[order_N]
    entries = Entries(task.work, group, num_rows, ORDER_COLUMNS).take(group.places(doc_N))
    return Members(doc_N=doc_N, label_N=label_N, entries=entries.combine_chunks())


def standings(ranking: Ranking, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """STANDING rows of the clusters that have members in the group."""
    found = members(ranking.rows, ranking.num_rows, group, task)
    if not len(found.doc_N):
        return
    standing_N = found.entries["standing"].to_numpy()
    new_N = standing_N == IN_THIS_RUN
    weight_N = np.where(new_N, found.entries["weight"].to_numpy(), 0)
    rows = pa.table(
        {
            "label": found.label_N, "standing": found.entries["standing"], "rank": found.entries["rank"],
            "id": found.entries["id"], "doc": found.doc_N, "size": (standing_N != LINK).astype(np.int64),
            "weight": weight_N, "num_new": new_N.astype(np.int64),
        }
    )  # fmt: skip
    best = _best(rows)
    key = pa.array(best["label"].to_numpy().astype(np.uint64) * MIX)
    best = best.append_column("key", key).append_column("group", pa.array(np.full(len(best), group.number)))
    yield from best.select(STANDING.names).cast(STANDING).combine_chunks().to_batches()


def clusters(ranking: Ranking, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """CLUSTER rows of the clusters of a partition."""
    rows = pa.Table.from_batches(ranking.rows.read(partition), STANDING)
    if not rows.num_rows:
        return
    best = _best(rows)
    at_R = np.searchsorted(best["label"].to_numpy(), rows["label"].to_numpy())
    told = best.take(pa.array(at_R))
    key = pa.array(ranking.grouping.group_keys(rows["group"].to_numpy()))
    columns = [key, *(told[name] for name in ("label", "id", "doc", "standing", "size", "weight", "num_new"))]
    yield from pa.table(columns, names=CLUSTER.names).cast(CLUSTER).combine_chunks().to_batches()


def _best(rows: pa.Table) -> pa.Table:
    """One row per label, ascending: the most preferred row, with the sums of `size` and `weight`."""
    rows = rows.combine_chunks()
    high_N, low_N = halves(rows["id"].combine_chunks())
    label_N = rows["label"].to_numpy()
    keys: Sequence[np.ndarray] = (
        rows["doc"].to_numpy(), low_N, high_N, rows["rank"].to_numpy(), rows["standing"].to_numpy(), label_N,
    )  # fmt: skip
    order_N = np.lexsort(keys)
    starts = np.flatnonzero(np.append(True, np.diff(label_N[order_N]) != 0))
    best = rows.take(pa.array(order_N[starts]))
    for name in ("size", "weight", "num_new"):
        total = np.add.reduceat(rows[name].to_numpy()[order_N], starts)
        best = best.set_column(best.schema.get_field_index(name), name, pa.array(total))
    return best
