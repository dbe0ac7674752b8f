"""A candidate pair becomes an edge if the two documents are alike enough.

Reads:  PAIR rows by the member's group; scratch entries (signatures), or with `verify: exact` the texts
Writes: WITNESS rows (the member's evidence) by the other's group; EDGE rows, two for every edge, by either end's group
Cost:   4 * K bytes exchanged per distinct pair (exact: 8 bytes per distinct shingle of the member); in memory the pairs
        of a group, at most 98 for a document with 14 bands and half as many on average, and the evidence of its
        documents that are in a pair
Source: the share of equal rows is MinHash's unbiased estimate of the Jaccard similarity, with a standard deviation of
        sqrt(J * (1 - J) / K) (Broder 1997): 0.043 at J = 0.7 with 112 rows
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.stage import ExchangeReader, TaskContext
from stages.dedup import candidate_report, evidence, index_join
from stages.dedup.corpus import Group, Grouping
from stages.dedup.evidence import Verify

EDGE = pa.schema([("key", pa.uint64()), ("doc", pa.int64()), ("neighbour", pa.int64()), ("similarity", pa.float64())])
YIELD_BYTES = 8 << 20  # of evidence in one batch


@dataclass(frozen=True, kw_only=True)
class Joining:
    """What the tasks of both phases are given: the exchange each reads, and how two documents are compared."""

    rows: ExchangeReader
    grouping: Grouping
    verify: Verify
    threshold: float
    resolved: ExchangeReader | None = None  # what entries of an index are tied to


def witnesses(joining: Joining, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """The group's distinct pairs, each with the member's evidence, addressed to the other one's group."""
    from stages.kernels import pairs

    batches = list(joining.rows.read(group.number))
    member_P, other_P = (
        np.concatenate([np.empty(0, np.int64), *(batch[name].to_numpy() for batch in batches)])
        for name in ("member", "other")
    )
    if not len(member_P):
        return
    place_P, other_P = pairs.distinct(group.places(member_P), other_P, group.num_docs)  # it may share several bands
    new_P = np.append(True, place_P[1:] != place_P[:-1])
    evidence_D = evidence.of_group(joining.verify, task.work, group, place_P[new_P])
    at_P = np.cumsum(new_P) - 1
    by_group_P = np.argsort(joining.grouping.groups_of(other_P), kind="stable")  # as the exchange will write them
    at_P, other_P, member_P = at_P[by_group_P], other_P[by_group_P], group.docs()[place_P[by_group_P]]
    start = 0
    ends_P = np.cumsum(evidence_D.num_bytes(at_P))
    while start < len(member_P):
        limit = (ends_P[start - 1] if start else 0) + YIELD_BYTES
        part = slice(start, max(start + 1, int(np.searchsorted(ends_P, limit))))
        key = pa.array(joining.grouping.keys(other_P[part]))
        columns = [key, pa.array(member_P[part]), pa.array(other_P[part]), evidence_D.column(at_P[part])]
        yield pa.RecordBatch.from_arrays(columns, names=["key", "member", "other", "evidence"])
        start = part.stop


def edges(joining: Joining, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """EDGE rows of the confirmed pairs whose `other` lies in the group. Writes the counts of all its pairs down."""
    is_other_D = np.zeros(group.num_docs, bool)
    for batch in joining.rows.read(group.number):
        is_other_D[group.places(batch["other"].to_numpy())] = True
    evidence_D = evidence.of_group(joining.verify, task.work, group, np.flatnonzero(is_other_D))
    at_D = np.cumsum(is_other_D) - 1
    count_L, edge_L = np.zeros((2, evidence.NUM_LEVELS + 1), np.int64)
    for batch in joining.rows.read(group.number):
        similarity_P = evidence_D.similarities(batch["evidence"], at_D[group.places(batch["other"].to_numpy())])
        level_P = (similarity_P * evidence.NUM_LEVELS + 1e-9).astype(np.int64)  # 0.7 * 1000 is 700, not below
        count_L += np.bincount(level_P, minlength=len(count_L))
        confirmed_P = similarity_P >= joining.threshold
        edge_L += np.bincount(level_P[confirmed_P], minlength=len(edge_L))
        member_P, other_P = (batch[name].to_numpy()[confirmed_P] for name in ("member", "other"))
        for doc, neighbour in ((member_P, other_P), (other_P, member_P)):
            columns = [joining.grouping.keys(doc), doc, neighbour, similarity_P[confirmed_P]]
            yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=EDGE)
    tied, targets = index_join.ties(joining.resolved, group.number)
    for doc, neighbour in ((tied, targets), (targets, tied)):
        columns = [joining.grouping.keys(doc), doc, neighbour, np.zeros(len(doc))]
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=EDGE)
    candidate_report.write_counts(task, group.number, count_L, edge_L, len(tied))
