"""Large clusters taken apart: a member stays only with a representative whose signature agrees with its own.

Reads:  LABEL and CLUSTER rows by group; scratch entries
Writes: LABEL rows by group, those of smaller clusters as they were
Cost:   per round and large cluster 4 * K + 60 bytes exchanged for each of CONTENDERS documents or LEAST_CONTENDERS of
        each group, whichever is more, and 4 * K + 24 for each leader and group with members. In all 7 ns per member
        and leader of its cluster: linear in the members, but for clusters that are mostly leaders. A task holds the
        signatures of its group's members of large clusters, or the contenders of about as many
Source: leader clustering (Hartigan, "Clustering Algorithms", 1975), in the order of the survivor policy

Connected components join what is alike through others: a chain of small edits makes one cluster of a thousand
different pages. Here the most preferred member of a large cluster takes all that are like it, the most preferred of the
rest takes what is like that, and so on.

It is done in rounds, with the result of one member at a time. Every group names the most preferred of its members
without a leader, each once: what has an equal signature shares its fate. One task puts them in order. Up to the first
place behind which a group may have more that it did not name, it knows all there is, so what it finds there is final;
the rest waits for the next round, in which the groups that were at the front name more. Each round settles the most
preferred CONTENDERS of what is left of a cluster, more or less, or every second round where whole groups are preferred
to others. Of a cluster with a million and more that are alike in nothing, some are left after MAX_ROUNDS rounds: these
are counted, and join the most preferred of their own copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa

from pipeline.schemas import ID
from pipeline.stage import JSON, ExchangeReader, TaskContext, WideContext
from stages.dedup import standings
from stages.dedup.bands import Entries, rows_of
from stages.dedup.components import LABEL
from stages.dedup.corpus import Group, Grouping
from stages.dedup.documents import halves
from stages.dedup.survivors import MIX

CONTENDERS = 16_384  # of a cluster in a round: 7 MB of signatures with 112 rows
LEAST_CONTENDERS = 64  # of a cluster in a round by each group that has so many
MAX_ROUNDS = 100
YIELD_ROWS = 8192
_ORDER = ("standing", "rank", "id")


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """What the tasks are given. `labels` of members that have no leader yet are ~label: negative. `contenders` and
    `leaders` are those of the latest round, `copies` LABEL rows of what all rounds left."""

    labels: ExchangeReader
    grouping: Grouping
    num_rows: int
    threshold: float
    large_from: int
    clusters: ExchangeReader | None = None
    contenders: ExchangeReader | None = None
    leaders: ExchangeReader | None = None
    copies: ExchangeReader | None = None

    @property
    def least_equal(self) -> int:
        """How many rows must agree: the least number whose share is at or above the threshold."""
        shares = np.arange(self.num_rows + 1) / self.num_rows
        return int(np.searchsorted(shares, self.threshold))

    @property
    def contender_schema(self) -> pa.Schema:
        """`has_more`: the group has members behind this one that it did not name."""
        return pa.schema(
            [
                ("key", pa.uint64()), ("label", pa.int64()), ("group", pa.int64()), ("standing", pa.int8()),
                ("rank", pa.float64()), ("id", ID), ("doc", pa.int64()), ("has_more", pa.bool_()),
                ("signature", pa.list_(pa.uint32(), self.num_rows)),
            ]
        )  # fmt: skip

    @property
    def leader_schema(self) -> pa.Schema:
        """`quota`: how many contenders of the cluster the group may name in the next round."""
        return pa.schema(
            [
                ("key", pa.uint64()), ("label", pa.int64()), ("doc", pa.int64()), ("quota", pa.int64()),
                ("signature", pa.list_(pa.uint32(), self.num_rows)),
            ]
        )  # fmt: skip


def split(ctx: WideContext, given: Splitting, groups: list[Group]) -> ExchangeReader:
    """LABEL rows in which no cluster of `large_from` documents or more is held together by others alone."""
    num_groups = given.grouping.num_groups
    rows = ctx.exchange("large clusters apart", _set_apart, groups, num_groups, given)
    given = replace(given, labels=rows, clusters=None)
    num_left = sum(ctx.map("split 1 left", _num_left, groups, given))
    number = 0
    while num_left and number < MAX_ROUNDS:
        number += 1
        contenders = ctx.exchange(f"split {number} contenders", _contenders, groups, num_groups, given)
        given = replace(given, contenders=contenders)
        leaders = ctx.exchange(f"split {number} leaders", _leaders, range(num_groups), num_groups, given)
        given = replace(given, leaders=leaders)
        given = replace(given, labels=ctx.exchange(f"split {number}", _assign, groups, num_groups, given))
        num_left = sum(ctx.map(f"split {number + 1} left", _num_left, groups, given))
    ctx.report.counter("split_rounds", number)
    ctx.report.counter("split_members_left_alone", num_left)
    if num_left:
        contenders = ctx.exchange("split rest", _distinct, groups, num_groups, given)
        given = replace(given, contenders=contenders)
        given = replace(given, copies=ctx.exchange("split copies", _copies, range(num_groups), num_groups, given))
    return ctx.exchange("split labels", _labelled, groups, num_groups, given)


def _rows(grouping: Grouping, doc_N: np.ndarray, label_N: np.ndarray, similarity_N: np.ndarray) -> pa.RecordBatch:
    columns = [grouping.keys(doc_N), doc_N, label_N, similarity_N]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=LABEL)


def _labels(given: Splitting, group: Group) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Documents in order of their numbers, their labels and similarities."""
    table = pa.Table.from_batches(given.labels.read(group.number), LABEL).sort_by("doc")
    return table["doc"].to_numpy(), table["label"].to_numpy(), table["similarity"].to_numpy()


def _set_apart(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    assert given.clusters is not None
    doc_N, label_N, similarity_N = _labels(given, group)
    told = pa.Table.from_batches(given.clusters.read(group.number), standings.CLUSTER)
    large = told.filter(pa.compute.greater_equal(told["size"], given.large_from))["label"].to_numpy()
    in_large_N = np.isin(label_N, large)
    yield _rows(given.grouping, doc_N, np.where(in_large_N, ~label_N, label_N), similarity_N)


def _num_left(given: Splitting, group: Group, task: TaskContext) -> JSON:
    return int((_labels(given, group)[1] < 0).sum())


@dataclass(frozen=True, kw_only=True)
class _Left:
    """A group's M members without a leader, in order of their clusters and of preference within each."""

    label_M: np.ndarray
    rows: pa.Table  # the columns of _ORDER, `doc` and `signature`
    first_M: np.ndarray  # the first member of the cluster that has an equal signature

    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Members that have no copy before them, and how many of those are before each in its cluster."""
        at_D = np.flatnonzero(self.first_M == np.arange(len(self.first_M)))
        starts = np.array(_starts(self.label_M[at_D]))
        return at_D, np.arange(len(at_D)) - np.repeat(starts[:-1], np.diff(starts))


def _left(given: Splitting, group: Group, task: TaskContext) -> _Left:
    from stages.kernels.leaders import first_equal

    doc_N, label_N, _ = _labels(given, group)
    doc_M, label_M = doc_N[label_N < 0], ~label_N[label_N < 0]
    entries = Entries(task.work, group, given.num_rows, (*_ORDER, "signature")).take(group.places(doc_M))
    rows = entries.combine_chunks().append_column("doc", pa.array(doc_M))
    order_M = _by_preference(label_M, rows)
    label_M, rows = label_M[order_M], rows.take(pa.array(order_M))
    signature_MK = _signatures(rows)
    first_M = [first_equal(signature_MK[start:end]) + start for start, end in pairwise(_starts(label_M))]
    return _Left(label_M=label_M, rows=rows, first_M=np.concatenate([np.empty(0, np.int64), *first_M]))


def _by_preference(label_R: np.ndarray, rows: pa.Table) -> np.ndarray:
    """The order of rows by label, then by preference."""
    high_R, low_R = halves(rows["id"].combine_chunks())
    keys = (rows["doc"].to_numpy(), low_R, high_R, rows["rank"].to_numpy(), rows["standing"].to_numpy(), label_R)
    return np.lexsort(keys)


def _starts(label_R: np.ndarray) -> list[int]:
    """Where each run of equal labels begins, and where the last one ends."""
    return [*np.flatnonzero(np.diff(label_R, prepend=label_R[:1] - 1)).tolist(), len(label_R)]


def _signatures(rows: pa.Table) -> np.ndarray:
    return rows_of(rows["signature"].combine_chunks())


def _contenders(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """The group's most preferred members of each large cluster among those without a leader, copies left out."""
    left = _left(given, group, task)
    at_D, place_D = left.distinct()
    label_D = left.label_M[at_D]
    quota_D = _quotas(given, group, label_D)
    chosen_D = place_D < quota_D
    more_D = (place_D == quota_D - 1) & np.append(label_D[1:] == label_D[:-1], False)
    key_D = label_D.astype(np.uint64) * MIX
    yield from _named(given, group, left, at_D[chosen_D], key_D[chosen_D], more_D[chosen_D])


def _quotas(given: Splitting, group: Group, label_D: np.ndarray) -> np.ndarray:
    """How many contenders of each label the group may name: as the round before says, in the first one alike for all
    groups."""
    first = max(LEAST_CONTENDERS, CONTENDERS // given.grouping.num_groups)
    told: dict[int, int] = {}
    for batch in given.leaders.read(group.number) if given.leaders else ():
        told.update(zip(batch["label"].to_pylist(), batch["quota"].to_pylist(), strict=True))
    labels, at_D = np.unique(label_D, return_inverse=True)
    return np.array([told.get(label, first) for label in labels.tolist()], np.int64)[at_D]


def _distinct(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """All members without a leader but for copies within the group, addressed by their signatures."""
    from stages.kernels import minhash

    left = _left(given, group, task)
    at_D, _ = left.distinct()
    key_D = minhash.band_keys(_signatures(left.rows)[at_D], 1, given.num_rows)[:, 0]
    yield from _named(given, group, left, at_D, key_D, np.zeros(len(at_D), bool))


def _named(
    given: Splitting, group: Group, left: _Left, at_D: np.ndarray, key_D: np.ndarray, more_D: np.ndarray
) -> Iterator[pa.RecordBatch]:
    schema = given.contender_schema
    for start in range(0, len(at_D), YIELD_ROWS):
        part = slice(start, start + YIELD_ROWS)
        rows = left.rows.take(pa.array(at_D[part]))
        columns = [
            pa.array(key_D[part]), pa.array(left.label_M[at_D[part]]), pa.array(np.full(len(rows), group.number)),
            *(rows[name] for name in (*_ORDER, "doc")), pa.array(more_D[part]), rows["signature"],
        ]  # fmt: skip
        yield from pa.table(columns, schema=schema).combine_chunks().to_batches()


def _leaders(given: Splitting, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """Of each cluster's contenders those that are sure to be like no leader before them, told to each group that sent
    one."""
    from stages.kernels.leaders import leading

    for own in _by_cluster(given, partition):
        more_R = own["has_more"].to_numpy()
        num_known = int(np.argmax(more_R)) + 1 if more_R.any() else len(own)
        leads = own.take(pa.array(leading(_signatures(own)[:num_known], given.least_equal)))
        group_R = own["group"].to_numpy()
        num_by_group = np.bincount(group_R[:num_known], minlength=given.grouping.num_groups)
        for group in np.unique(group_R).tolist():
            quota = max(LEAST_CONTENDERS, CONTENDERS * int(num_by_group[group]) // num_known)
            key = pa.array(np.repeat(given.grouping.group_keys(np.array([group])), len(leads)))
            columns = [key, leads["label"], leads["doc"], pa.array(np.full(len(leads), quota)), leads["signature"]]
            yield from pa.table(columns, schema=given.leader_schema).combine_chunks().to_batches()


def _by_cluster(given: Splitting, partition: int) -> Iterator[pa.Table]:
    """The contenders that came to a partition, a table for each cluster, in order of preference."""
    assert given.contenders is not None
    rows = pa.Table.from_batches(given.contenders.read(partition), given.contender_schema).combine_chunks()
    label_R = rows["label"].to_numpy()
    order_R = _by_preference(label_R, rows)
    for start, end in pairwise(_starts(label_R[order_R])):
        yield rows.take(pa.array(order_R[start:end])).combine_chunks()


def _assign(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """LABEL rows in which each member that is like a leader has the first such one's number for its label."""
    from stages.kernels.leaders import first_like

    assert given.leaders is not None
    doc_N, label_N, similarity_N = _labels(given, group)
    label_N, similarity_N = label_N.copy(), similarity_N.copy()
    left_M = np.flatnonzero(label_N < 0)
    left_M = left_M[np.argsort(~label_N[left_M], kind="stable")]
    old_M = ~label_N[left_M]
    place_M, at_M = np.unique(group.places(doc_N[left_M]), return_inverse=True)
    signature_MK = Entries(task.work, group, given.num_rows, ("signature",)).signatures(place_M)
    for batch in given.leaders.read(group.number):
        label_L = batch["label"].to_numpy()
        for start, end in pairwise(_starts(label_L)):
            low, high = np.searchsorted(old_M, [label_L[start], label_L[start] + 1])
            own_M = low + np.flatnonzero(label_N[left_M[low:high]] < 0)  # a batch before this one may have led some
            own = batch.slice(start, end - start)
            leader_M, equal_M = first_like(signature_MK[at_M[own_M]], rows_of(own["signature"]), given.least_equal)
            led_M = left_M[own_M[leader_M >= 0]]
            label_N[led_M] = own["doc"].to_numpy()[leader_M[leader_M >= 0]]
            similarity_N[led_M] = equal_M[leader_M >= 0] / given.num_rows
    yield _rows(given.grouping, doc_N, label_N, similarity_N)


def _copies(given: Splitting, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """LABEL rows of what all rounds left: the most preferred of those with the same signature in the same cluster."""
    from stages.kernels.leaders import first_equal

    for own in _by_cluster(given, partition):
        doc_R = own["doc"].to_numpy()
        yield _rows(given.grouping, doc_R, doc_R[first_equal(_signatures(own))], np.ones(len(doc_R)))


def _labelled(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    doc_N, label_N, similarity_N = _labels(given, group)
    led_N = label_N >= 0
    yield _rows(given.grouping, doc_N[led_N], label_N[led_N], similarity_N[led_N])
    if given.copies:
        left = _left(given, group, task)
        doc_M = left.rows["doc"].to_numpy()
        told = pa.Table.from_batches(given.copies.read(group.number), LABEL).sort_by("doc")
        at_M = np.searchsorted(told["doc"].to_numpy(), doc_M[left.first_M])
        yield _rows(given.grouping, doc_M, told["label"].to_numpy()[at_M], np.ones(len(doc_M)))
