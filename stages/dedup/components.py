"""Clusters as connected components: union-find in one process up to UNION_FIND_EDGES edges, star contraction beyond.

Reads:  EDGE rows, two for every edge, by either end's group
Writes: LABEL rows by group: the label of each document that has an edge; equal labels, one cluster
Cost:   union-find: one process, 25 bytes per document of the corpus, so 5 GB at UNION_FIND_DOCS, and 50 ns per edge;
        edges stream. Stars: per round two exchanges of 24 bytes per edge; a task holds 8 bytes per document of its
        group and one batch, however many edges one document has; rounds grow with the logarithm of the longest path
Source: stages/kernels/union_find.py; alternating large-star and small-star: Kiveris, Lattanzi, Mirrokni, Rastogi,
        Vassilvitskii, "Connected Components in MapReduce and Beyond", SoCC 2014
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.stage import JSON, ExchangeReader, TaskContext, WideContext
from stages.dedup.corpus import Group, Grouping
from stages.dedup.documents import row_of, shard_of

UNION_FIND_EDGES = 100_000_000
UNION_FIND_DOCS = 200_000_000
YIELD_ROWS = 1 << 20
# `similarity`: to the document the label is of, where the two were compared for it; NaN elsewhere.
LABEL = pa.schema([("key", pa.uint64()), ("doc", pa.int64()), ("label", pa.int64()), ("similarity", pa.float64())])
LINK = pa.schema([("key", pa.uint64()), ("doc", pa.int64()), ("neighbour", pa.int64())])


def labels(
    ctx: WideContext, edges: ExchangeReader, num_edges: int, groups: Sequence[Group], grouping: Grouping
) -> ExchangeReader:
    """LABEL rows of every document that has an edge."""
    if num_edges <= UNION_FIND_EDGES and sum(group.num_docs for group in groups) <= UNION_FIND_DOCS:
        given = _Linking(rows=edges, grouping=grouping)
        return ctx.exchange("components", _union_find, [list(groups)], grouping.num_groups, given)
    rows, rounds, changed = edges, 0, 1
    while changed:
        rounds += 1
        changed = 0
        for star in ("large", "small"):
            phase = f"{star} stars {rounds}"
            given = _Linking(rows=rows, grouping=grouping, star=star, counts=f"star-counts/{rounds}-{star}")
            rows = ctx.exchange(phase, _stars, groups, grouping.num_groups, given)
            changed += sum(ctx.map(f"{phase} moved", _moved, [None], (given, grouping.num_groups)))
    ctx.report.counter("star_rounds", rounds)
    return ctx.exchange("labels", _labels_of_stars, groups, grouping.num_groups, _Linking(rows=rows, grouping=grouping))


@dataclass(frozen=True, kw_only=True)
class _Linking:
    rows: ExchangeReader
    grouping: Grouping
    star: str = ""
    counts: str = ""


def _label_rows(grouping: Grouping, doc_N: np.ndarray, label_N: np.ndarray) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(doc_N), YIELD_ROWS):
        doc, label = doc_N[start : start + YIELD_ROWS], label_N[start : start + YIELD_ROWS]
        columns = (grouping.keys(doc), doc, label, np.full(len(doc), np.nan))
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=LABEL)


def _union_find(given: _Linking, groups: Sequence[Group], task: TaskContext) -> Iterator[pa.RecordBatch]:
    """LABEL rows of all groups; documents are nodes by their places, those of one group after the other."""
    from stages.kernels import union_find

    starts_G = np.append(0, np.cumsum([group.num_docs for group in groups]))
    docs_N = np.concatenate([group.docs() for group in groups])
    parent_N, linked_N = union_find.alone(len(docs_N)), np.zeros(len(docs_N), bool)
    part_starts_P = np.append(0, np.cumsum([part.num_rows for group in groups for part in group.parts]))
    for group in groups:
        for batch in given.rows.read(group.number):
            neighbour_E = batch["neighbour"].to_numpy()
            node_E = starts_G[group.number] + group.places(batch["doc"].to_numpy())
            linked_N[node_E] = True
            union_find.link(parent_N, node_E, part_starts_P[shard_of(neighbour_E)] + row_of(neighbour_E))
    union_find.settle(parent_N)
    yield from _label_rows(given.grouping, docs_N[linked_N], docs_N[parent_N[linked_N]])


def _stars(given: _Linking, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """One star operation on the documents of a group; writes down how many links it moved.

    `least[u]` is the least of u and its neighbours. Large star: every larger neighbour v of u is linked to least[u].
    Small star, over links that come to their larger end: every neighbour v of u, and u itself, to least[u].
    Links leave a large star to their larger end, and a small star to both.
    """
    from stages.kernels import stars

    docs_D = group.docs()
    least_D = docs_D.copy()
    for batch in given.rows.read(group.number):
        stars.lower(least_D, group.places(batch["doc"].to_numpy()), batch["neighbour"].to_numpy())
    moved = 0
    for batch in given.rows.read(group.number):
        doc, neighbour = batch["doc"].to_numpy(), batch["neighbour"].to_numpy()
        least = least_D[group.places(doc)]
        if given.star == "large":
            up = neighbour > doc
            moved += int((least != doc)[up].sum())
            yield from _links(given.grouping, neighbour[up], least[up], both=False)
        else:
            moved += int((neighbour != least).sum())
            end = np.where(neighbour == least, doc, neighbour)
            yield from _links(given.grouping, end, least, both=True)
    task.work.write_bytes(f"{given.counts}/{group.number:05d}", str(moved).encode())


def _links(grouping: Grouping, doc_E: np.ndarray, neighbour_E: np.ndarray, both: bool) -> Iterator[pa.RecordBatch]:
    """LINK rows (doc > neighbour) without repeats, and those of the other direction."""
    order_E = np.lexsort((neighbour_E, doc_E))
    doc_E, neighbour_E = doc_E[order_E], neighbour_E[order_E]
    new_E = np.ones(len(doc_E), bool)
    new_E[1:] = (doc_E[1:] != doc_E[:-1]) | (neighbour_E[1:] != neighbour_E[:-1])
    doc_E, neighbour_E = doc_E[new_E], neighbour_E[new_E]
    for one, other in ((doc_E, neighbour_E), (neighbour_E, doc_E))[: 1 + both]:
        yield pa.RecordBatch.from_arrays([pa.array(c) for c in (grouping.keys(one), one, other)], schema=LINK)


def _moved(given: tuple[_Linking, int], item: None, task: TaskContext) -> JSON:
    linking, num_groups = given
    return sum(int(task.work.read_bytes(f"{linking.counts}/{group:05d}")) for group in range(num_groups))


def _labels_of_stars(given: _Linking, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """Every document is linked to the least one of its cluster by now, and that one to it."""
    from stages.kernels import stars

    docs_D = group.docs()
    least_D, linked_D = docs_D.copy(), np.zeros(len(docs_D), bool)
    for batch in given.rows.read(group.number):
        place = group.places(batch["doc"].to_numpy())
        linked_D[place] = True
        stars.lower(least_D, place, batch["neighbour"].to_numpy())
    yield from _label_rows(given.grouping, docs_D[linked_D], least_D[linked_D])
