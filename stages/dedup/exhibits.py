"""The largest clusters, to look at: some members of each, the text they share, and where two of them first differ.

Reads:  DECISION rows; id, url and text of at most LARGEST * MEMBERS documents
Writes: two tables of the report
Cost:   the `id` column of the shards that have members; one task reads the texts, a row group for each
Source: our choice
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.schemas import EXCERPT_CHARS
from pipeline.stage import JSON, TaskContext, WideContext
from stages.dedup.comparison import measured
from stages.dedup.corpus import Group, Part
from stages.dedup.decisions import Decided
from stages.dedup.documents import ROW_BITS, row_of, shard_of
from stages.dedup.evidence import Verify
from stages.dedup.text_difference import first_difference, shared_passage

MEMBERS = 6  # of a cluster that are looked at, those with the least ids beside its representative
DIFFERENCES = 2  # pairs of each cluster in the table of differences
MAX_CHARS = 200_000  # of a text that is looked at
KEPT_BEFORE = " (kept by an earlier run)"


@dataclass(frozen=True, kw_only=True)
class _Choosing:
    decided: Decided
    representatives: tuple[str, ...]  # in hexadecimal


def show(
    ctx: WideContext, decided: Decided, groups: Sequence[Group], largest: Sequence[str], verify: Verify | None
) -> None:
    """Tables of the clusters of these representatives, the largest first."""
    if not largest:
        return
    choosing = _Choosing(decided=decided, representatives=tuple(largest))
    chosen = ctx.map("members of the largest clusters", _choose, groups, choosing)
    clusters = [_merged(representative, chosen) for representative in largest]
    shards = {doc >> ROW_BITS for cluster in clusters for _, doc in cluster["members"]}
    parts = [part for group in groups for part in group.parts if part.number in shards]
    [told] = ctx.map("largest clusters", _describe, [(clusters, parts)], verify)
    ctx.report.sample("largest clusters", [cluster["cluster"] for cluster in told])
    ctx.report.sample("where members first differ", [row for cluster in told for row in cluster["differences"]])


def _choose(choosing: _Choosing, group: Group, task: TaskContext) -> JSON:
    """Per representative [size, [[id, document number], ...]]: its MEMBERS least members in the group and itself."""
    wanted = pa.array([bytes.fromhex(r) for r in choosing.representatives], pa.binary(16))
    found: dict[str, Any] = {}
    for part in group.parts:
        rows = choosing.decided.of_shard(part.number)
        rows = rows.filter(pa.compute.is_in(rows["representative"], wanted))
        if not rows.num_rows:
            continue
        row_N = row_of(rows["doc"].to_numpy())
        ids = _taken(part.read(("id",)), row_N, part.number)
        for representative in set(rows["representative"].to_pylist()):
            own_N = np.flatnonzero(np.array(pa.compute.equal(rows["representative"], representative)))
            size, members = found.setdefault(representative.hex(), [rows["size"][int(own_N[0])].as_py(), []])
            members += [
                [ids[int(n)].as_py().hex(), rows["doc"][int(n)].as_py()] for n in _least(ids, own_N, representative)
            ]
            found[representative.hex()] = [size, _least_members(members, representative.hex())]
    return found


def _taken(batches: Iterator[tuple[int, pa.RecordBatch]], row_N: np.ndarray, number: int) -> pa.Array:
    """The ids of these rows, which ascend."""
    found = []
    for first, batch in batches:
        start = row_of(np.array([first]))[0]
        low, high = np.searchsorted(row_N, [start, start + batch.num_rows])
        found.append(batch["id"].take(pa.array(row_N[low:high] - start)))
    return pa.concat_arrays(found)


def _least(ids: pa.Array, own_N: np.ndarray, representative: bytes) -> list[int]:
    """Of rows `own_N` those with the least ids, and the representative's."""
    own = ids.take(pa.array(own_N))
    order = pa.compute.sort_indices(own)[: MEMBERS + 1].to_pylist()
    itself = np.flatnonzero(np.array(pa.compute.equal(own, representative))).tolist()
    return [int(own_N[i]) for i in dict.fromkeys([*itself, *order])]


def _least_members(members: list[Any], representative: str) -> list[Any]:
    """The representative, if it is among them, then the MEMBERS least others."""
    others = sorted(member for member in members if member[0] != representative)[:MEMBERS]
    return [member for member in members if member[0] == representative] + others


def _merged(representative: str, chosen: Sequence[Mapping[str, Any]]) -> JSON:
    here = [found[representative] for found in chosen if representative in found]
    members = _least_members([member for _, members in here for member in members], representative)
    return {"representative": representative, "size": here[0][0], "members": members}


def _describe(verify: Verify | None, given: tuple[Sequence[Any], Sequence[Part]], task: TaskContext) -> JSON:
    clusters, parts = given
    texts = _texts(parts, sorted({doc for cluster in clusters for _, doc in cluster["members"]}))
    return [_described(cluster, texts, verify) for cluster in clusters]


def _texts(parts: Sequence[Part], docs: Sequence[int]) -> dict[int, tuple[str | None, str]]:
    """URL and text of documents by number, reading only the row groups they lie in."""
    doc_N = np.array(docs, np.int64)
    found: dict[int, tuple[str | None, str]] = {}
    for part in parts:
        row_N = row_of(doc_N[shard_of(doc_N) == part.number])
        with part.folder.open_input(part.name) as file, pq.ParquetFile(file) as parquet:
            sizes = [parquet.metadata.row_group(g).num_rows for g in range(parquet.num_row_groups)]
            for group, (start, end) in enumerate(pairwise(np.append(0, np.cumsum(sizes)).tolist())):
                rows = row_N[(row_N >= start) & (row_N < end)]
                if len(rows):
                    table = parquet.read_row_group(group, columns=["url", "text"]).take(pa.array(rows - start))
                    for row, url, text in zip(rows, table["url"].to_pylist(), table["text"].to_pylist(), strict=True):
                        found[int(part.number << ROW_BITS | row)] = (url, (text or "")[:MAX_CHARS])
    return found


def _described(cluster: Mapping[str, Any], texts: Mapping[int, tuple[str | None, str]], verify: Verify | None) -> JSON:
    members = [(id_, *texts[doc]) for id_, doc in cluster["members"]]
    (id_, url, text), others = members[0], members[1:]
    is_here = id_ == cluster["representative"]  # an earlier run may have kept it; its text is not at hand then
    shared = shared_passage([member_text for _, _, member_text in members])
    rows = []
    for other_id, other_url, other_text in others[:DIFFERENCES]:
        left, right = first_difference(text, other_text)
        if left == right:
            continue  # the words are the same
        rows.append(
            {
                "one": url or id_, "other": other_url or other_id, **_similarity(text, other_text, verify),
                "one reads": left, "the other reads": right,
            }
        )  # fmt: skip
    return {
        "cluster": {
            "documents": cluster["size"],
            "representative": cluster["representative"] + ("" if is_here else KEPT_BEFORE),
            "url": url if is_here else None,
            "other members": [other_url or other_id for other_id, other_url, _ in members[is_here:]],
            "text they share": shared, "excerpt": " ".join(text[:EXCERPT_CHARS].split()),
        },
        "differences": rows,
    }  # fmt: skip


def _similarity(one: str, other: str, verify: Verify | None) -> dict[str, float]:
    """The exact Jaccard similarity and the estimate that signatures give, of the texts as they were looked at."""
    if verify is None:
        return {}
    similarity, signature_2K = measured([one, other], verify.shingling, verify.num_rows, verify.seed)
    return {"similarity": similarity, "estimate": float(np.mean(signature_2K[0] == signature_2K[1]))}
