"""Large clusters taken apart: a member stays only with a representative whose signature agrees with its own.

Reads:  LABEL and CLUSTER rows by group; scratch entries
Writes: LABEL rows by group, those of smaller clusters as they were
Cost:   per round 4 * K bytes exchanged for each of up to LEADERS documents per large cluster and group; a task holds
        the signatures of its group's members of large clusters, and compares each with up to LEADERS others
Source: leader clustering (Hartigan, "Clustering Algorithms", 1975), in the order of the survivor policy

Connected components join what is alike through others: a chain of small edits makes one cluster of a thousand
different pages. Here the most preferred member of a large cluster takes all that are like it, the most preferred of the
rest takes what is like that, and so on, LEADERS at a time, with the result of one at a time. What is left after
MAX_ROUNDS rounds stands alone, and is counted.
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

LEADERS = 64
MAX_ROUNDS = 16


@dataclass(frozen=True, kw_only=True)
class Splitting:
    """What the tasks are given. `labels` of members that have no leader yet are ~label: negative."""

    labels: ExchangeReader
    grouping: Grouping
    num_rows: int
    threshold: float
    large_from: int
    clusters: ExchangeReader | None = None
    contenders: ExchangeReader | None = None
    leaders: ExchangeReader | None = None


def split(ctx: WideContext, given: Splitting, groups: list[Group]) -> ExchangeReader:
    """LABEL rows in which no cluster of `large_from` documents or more is held together by others alone."""
    num_groups = given.grouping.num_groups
    rows = ctx.exchange("large clusters apart", _set_apart, groups, num_groups, given)
    given = replace(given, labels=rows, clusters=None)
    for number in range(1, MAX_ROUNDS + 1):
        if not sum(ctx.map(f"split {number} left", _num_left, groups, given)):
            break
        contenders = ctx.exchange(f"split {number} contenders", _contenders, groups, num_groups, given)
        leading = replace(given, contenders=contenders)
        leaders = ctx.exchange(f"split {number} leaders", _leaders, range(num_groups), num_groups, leading)
        assigning = replace(given, leaders=leaders)
        given = replace(given, labels=ctx.exchange(f"split {number}", _assign, groups, num_groups, assigning))
    ctx.report.counter("split_members_left_alone", sum(ctx.map("split left", _num_left, groups, given)))
    return ctx.exchange("split labels", _led, groups, num_groups, given)


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


def _led(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    doc_N, label_N, similarity_N = _labels(given, group)
    led_N = label_N >= 0
    yield _rows(given.grouping, doc_N[led_N], label_N[led_N], similarity_N[led_N])


def contender_schema(num_rows: int) -> pa.Schema:
    return pa.schema(
        [
            ("key", pa.uint64()), ("label", pa.int64()), ("group", pa.int64()), ("standing", pa.int8()),
            ("rank", pa.float64()), ("id", ID), ("doc", pa.int64()), ("signature", pa.list_(pa.uint32(), num_rows)),
        ]
    )  # fmt: skip


def _most_preferred(label_N: np.ndarray, rows: pa.Table, doc_N: np.ndarray) -> np.ndarray:
    """Places of the LEADERS most preferred rows of each label, in order of label and preference."""
    high_N, low_N = halves(rows["id"].combine_chunks())
    keys = (doc_N, low_N, high_N, rows["rank"].to_numpy(), rows["standing"].to_numpy(), label_N)
    order_N = np.lexsort(keys)
    starts = np.flatnonzero(np.append(True, np.diff(label_N[order_N]) != 0)) if len(order_N) else order_N
    place_N = np.arange(len(order_N)) - np.repeat(starts, np.diff(np.append(starts, len(order_N))))
    return order_N[place_N < LEADERS]


def _contenders(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """The group's most preferred members of each large cluster among those without a leader."""
    doc_N, label_N, _ = _labels(given, group)
    doc_N, label_N = doc_N[label_N < 0], ~label_N[label_N < 0]
    order = Entries(task.work, group, given.num_rows, standings.ORDER_COLUMNS).take(group.places(doc_N))
    chosen = np.sort(_most_preferred(label_N, order, doc_N))
    entries = Entries(task.work, group, given.num_rows, ("standing", "rank", "id", "signature"))
    rows = entries.take(group.places(doc_N[chosen]))
    label_C = label_N[chosen]
    key = pa.array(label_C.astype(np.uint64) * MIX)
    numbers = np.full(len(chosen), group.number)
    columns = [key, label_C, numbers, rows["standing"], rows["rank"], rows["id"], doc_N[chosen], rows["signature"]]
    yield from pa.table(columns, schema=contender_schema(given.num_rows)).combine_chunks().to_batches()


def _leaders(given: Splitting, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """Of each cluster's contenders those that are like none before them, told to each group that sent one."""
    from stages.kernels.leaders import leading

    assert given.contenders is not None
    schema = contender_schema(given.num_rows)
    rows = pa.Table.from_batches(given.contenders.read(partition), schema).combine_chunks()
    if not rows.num_rows:
        return
    label_R = rows["label"].to_numpy()
    best = rows.take(pa.array(_most_preferred(label_R, rows, rows["doc"].to_numpy())))
    label_B = best["label"].to_numpy()
    signature_BK = rows_of(best["signature"].combine_chunks())
    starts = [*np.flatnonzero(np.append(True, label_B[1:] != label_B[:-1])).tolist(), len(label_B)]
    least = least_equal(given)
    leads = np.concatenate([leading(signature_BK[start:end], least) + start for start, end in pairwise(starts)])
    sent = np.unique(np.stack([label_R, rows["group"].to_numpy()], axis=1), axis=0)
    for label, group in sent.tolist():
        own = best.take(pa.array(leads[label_B[leads] == label]))
        key = pa.array(np.repeat(given.grouping.group_keys(np.array([group])), len(own)))
        yield own.set_column(0, "key", key).combine_chunks().to_batches()[0]


def least_equal(given: Splitting) -> int:
    """How many rows must agree: the least number whose share is at or above the threshold."""
    shares = np.arange(given.num_rows + 1) / given.num_rows
    return int(np.searchsorted(shares, given.threshold))


def _assign(given: Splitting, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """LABEL rows in which each member that is like a leader has the first such one's number for its label."""
    from stages.kernels.leaders import first_like

    assert given.leaders is not None
    doc_N, label_N, similarity_N = _labels(given, group)
    label_N, similarity_N = label_N.copy(), similarity_N.copy()
    leaders = pa.Table.from_batches(given.leaders.read(group.number), contender_schema(given.num_rows))
    entries = Entries(task.work, group, given.num_rows, ("signature",))
    led_L = leaders["label"].to_numpy()
    for label in np.unique(led_L).tolist():
        own = leaders.filter(pa.array(led_L == label)).combine_chunks()
        left = np.flatnonzero(label_N == ~label)
        signature_MK = entries.signatures(group.places(doc_N[left]))
        leader_M, equal_M = first_like(signature_MK, rows_of(own["signature"].combine_chunks()), least_equal(given))
        led = leader_M >= 0
        label_N[left[led]] = own["doc"].to_numpy()[leader_M[led]]
        similarity_N[left[led]] = equal_M[led] / given.num_rows
    yield _rows(given.grouping, doc_N, label_N, similarity_N)
