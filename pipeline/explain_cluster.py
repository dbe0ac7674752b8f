"""A document's cluster in each dedup step: its representative, how many documents it has, how alike two of them are.

Reads:  the ledgers, for what was dropped for a document; texts as pipeline/explain_pair.py does
Writes: nothing
Costs:  a pass over six columns of each ledger, MEMBERS rows of each cluster in memory
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artifact import Artifact
from pipeline.document_scan import duplicates
from pipeline.explain_pair import Pairs, open_pairs
from pipeline.schemas import ID
from pipeline.store import Folder

MEMBERS = 10  # of a cluster that are named: those with the least ids
MAX_COMPARED = 20  # documents of one URL, beyond which none is compared: each takes some 0.1 s


@dataclass(frozen=True, kw_only=True)
class Member:
    """A document that was dropped for the representative. `value`: what the step measured; the rest as in Cluster."""

    id: str
    url: str | None
    value: float | None
    estimate: float | None = None
    similarity: float | None = None
    differs: Sequence[str] | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The documents that a step took for one. `documents` counts those this step saw: an earlier dedup may have dropped
    others for them. `members` are some beside the representative and the document asked for.

    The last four compare the document asked for, whose passage comes first in `differs`, with the representative: by
    signatures, by sets of shingles, where their words first differ (two empty texts: nowhere), and why one is missing.
    """

    step: str
    representative: str  # its id in hexadecimal
    representative_url: str | None
    representative_dropped_by: str | None  # the later step that dropped it in turn
    of_earlier_run: bool  # no document of this run: the step's index of earlier runs had it
    documents: int
    threshold: float | None  # that the members' values were held against
    members: Sequence[Member] = field(default_factory=tuple)
    estimate: float | None = None
    similarity: float | None = None
    differs: Sequence[str] | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """What one step dropped for one document: how many, and the ledger rows of those with the least ids."""

    artifact: Artifact
    num: int
    rows: pa.Table


def find_dropped(artifacts: Mapping[str, Artifact], ids: Collection[bytes]) -> dict[tuple[str, bytes], Dropped]:
    """What steps dropped for the documents with these ids, by step and id."""
    found: dict[tuple[str, bytes], Dropped] = {}
    for artifact in artifacts.values() if ids else ():
        for table in duplicates(artifact, ids):
            for group in table.group_by(["step", "duplicate_of"]).aggregate([([], "count_all")]).to_pylist():
                step, original = key = (group["step"], group["duplicate_of"])
                is_own = pc.and_(
                    pc.equal(table["step"], step), pc.equal(table["duplicate_of"], pa.scalar(original, ID))
                )
                before = found.get(key, Dropped(artifact=artifact, num=0, rows=table.slice(0, 0)))
                rows = pa.concat_tables([before.rows, table.filter(is_own)]).sort_by("id").slice(0, MEMBERS + 1)
                found[key] = replace(before, num=before.num + group["count_all"], rows=rows)
    return found


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """The clusters of the documents asked for. `comparison`: stages/dedup/comparison.py, or None to compare nothing."""

    output: Folder
    run: Mapping[str, Any]
    dropped: Mapping[tuple[str, bytes], Dropped]
    asked: Collection[bytes]  # their ids
    urls: Mapping[bytes, str | None]  # of the documents of this run that they were dropped for
    dropped_by: Mapping[bytes, str]  # the steps that dropped some of those in turn
    comparison: Any | None
    compare_members: bool  # compare the members with the representative as well
    _pairs: dict[str, Pairs] = field(default_factory=dict)  # by step

    def of(self, step: str, id_: bytes, url: str | None, duplicate_of: bytes | None) -> Cluster | None:
        """The cluster that a step found the document in, None if in none. `duplicate_of`: None where it stayed."""
        representative = id_ if duplicate_of is None else duplicate_of
        dropped = self.dropped.get((step, representative))
        if dropped is None:
            return None
        of_earlier_run = duplicate_of is not None and duplicate_of not in self.urls
        if duplicate_of is not None:
            url = self.urls.get(duplicate_of)
        pairs = self._pairs_of(step, dropped.artifact)
        if pairs is not None and of_earlier_run:
            url = pairs.entries.get(representative, {}).get("url")
        rows = [row for row in dropped.rows.to_pylist() if row["id"] not in (id_, representative)][:MEMBERS]
        members = [self._member(row, representative, pairs) for row in rows]
        cluster = Cluster(
            step=step, representative=representative.hex(), representative_url=url,
            representative_dropped_by=self.dropped_by.get(representative), of_earlier_run=of_earlier_run,
            documents=1 + dropped.num, threshold=dropped.rows["threshold"][0].as_py(),
            members=tuple(sorted(members, key=lambda m: (-(m.value or 0), m.id))),
        )  # fmt: skip
        if pairs is None or duplicate_of is None:
            return cluster
        return replace(cluster, **self._compared(pairs, id_, representative))

    def _member(self, row: Mapping[str, Any], representative: bytes, pairs: Pairs | None) -> Member:
        member = Member(id=row["id"].hex(), url=row["url"], value=row["value"])
        if pairs is None or not self.compare_members:
            return member
        return replace(member, **self._compared(pairs, row["id"], representative))

    def _compared(self, pairs: Pairs, one: bytes, other: bytes) -> dict[str, Any]:
        if len(self.asked) > MAX_COMPARED:
            return {"note": f"not compared: {len(self.asked)} documents have this URL; ask for one by its id"}
        return pairs.compare(one, other)

    def _pairs_of(self, step: str, artifact: Artifact) -> Pairs | None:
        """What can be compared in a step; None where it was fused into another one's artifact: it has no input then."""
        if self.comparison is None or step != artifact.step:
            return None
        if step not in self._pairs:
            of_step = {original: dropped for (name, original), dropped in self.dropped.items() if name == step}
            members = {id_ for dropped in of_step.values() for id_ in dropped.rows["id"].to_pylist()}
            earlier = of_step.keys() - self.urls.keys() - set(self.asked)
            ids = {*self.asked, *of_step, *(members if self.compare_members else ())} - earlier
            self._pairs[step] = open_pairs(self.output, self.run, artifact, ids, earlier, self.comparison)
        return self._pairs[step]
