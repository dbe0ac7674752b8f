"""The phases of near-duplicate dedup, in order, and what the report says of them.

Reads:  documents with signatures
Writes: scratch decisions per shard (stages/dedup/decisions.py); the report
Cost:   see stages/minhash.py
Source: see stages/minhash.py
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipeline.stage import JSON, ExchangeReader, InputArtifact, TaskContext, WideContext
from stages.dedup import (
    bands,
    candidate_report,
    components,
    corpus,
    decisions,
    exhibits,
    index_join,
    index_update,
    pairing,
    splitting,
    standings,
    verification,
)
from stages.dedup.corpus import Group, Grouping
from stages.dedup.decisions import Decided
from stages.dedup.documents import num_documents
from stages.dedup.evidence import Verify, check_signed
from stages.dedup.seen import Seen, compared
from stages.dedup.survivors import Keep

LEAST_BY_SHARE = 100  # documents: in a small corpus a share is soon reached


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of dedup: what it works on and by which settings (stages/minhash.py)."""

    ctx: WideContext
    documents: InputArtifact
    num_bands: int
    rows_per_band: int
    extra_rows: int
    threshold: float
    keep: Keep
    verify: Verify
    alarm_size: int
    alarm_share: float
    split_large: bool
    seen: Seen | None = None

    @cached_property
    def parts(self) -> list[corpus.Part]:
        documents = corpus.document_parts(self.documents)
        return documents + (self.seen.parts(len(documents)) if self.seen else [])

    @cached_property
    def _grouped(self) -> tuple[list[Group], Grouping]:
        return corpus.grouped(self.parts)

    @property
    def groups(self) -> list[Group]:
        return self._grouped[0]

    @property
    def grouping(self) -> Grouping:
        return self._grouped[1]

    @cached_property
    def compared(self) -> pairing.Compared:
        return compared(self.seen, self.parts)

    @cached_property
    def num_docs(self) -> int:
        """Documents of this run and entries of the index."""
        return sum(part.num_rows for part in self.parts)

    @property
    def large_from(self) -> int:
        """The size from which on a cluster is large."""
        by_share = math.ceil(self.alarm_share * self.num_docs)
        return min(self.alarm_size, by_share) if by_share >= LEAST_BY_SHARE else self.alarm_size


def decide(run: Run, decided: Decided) -> None:
    """Find the clusters, and write down for every document of one whether it is kept, and for whom it is dropped."""
    edges = _edges(run, _resolved(run))
    candidates = candidate_report.read(run.ctx, run.groups)
    candidate_report.write(run.ctx.report, candidates, run.num_bands, run.rows_per_band, run.verify, run.threshold)
    labels = components.labels(run.ctx, edges, candidates.num_edges + candidates.num_ties, run.groups, run.grouping)
    clusters = _clusters(run, labels)
    _count_large(run, clusters)
    if run.split_large:
        labels = splitting.split(run.ctx, _splitting(run, labels, clusters), run.groups)
        clusters = _clusters(run, labels, "split ")
    deciding = _Deciding(labels=labels, clusters=clusters, edges=edges)
    summaries = run.ctx.map("decisions", _decide, run.groups, deciding)
    largest = decisions.report_clusters(run.ctx.report, summaries, num_documents(run.documents))
    if run.seen is not None:
        _update_index(run, run.seen, decided, deciding)
        run.ctx.report.counter("entries_in_index", sum(update.num_docs for update in run.seen.index.updates))
        run.ctx.report.counter("duplicates_of_earlier_runs", sum(s["seen_before"] for s in summaries))
    exhibits.show(run.ctx, decided, run.groups, largest, run.verify)


def _update_index(run: Run, seen: Seen, decided: Decided, deciding: _Deciding) -> None:
    link_all = not run.compared.before_UU.all()
    updating = index_update.Updating(
        seen=seen, decided=decided, labels=deciding.labels, clusters=deciding.clusters,
        num_rows=run.verify.num_rows, link_all=link_all,
    )  # fmt: skip
    index_update.update(run.ctx, updating, run.groups)


def _resolved(run: Run) -> ExchangeReader | None:
    """What entries of an index are tied to, and which count no more; None without an index."""
    if run.seen is None:
        return None
    run.ctx.map("signatures checked", _check_signed, run.groups[:1], run.verify)
    num_partitions = max(1, -(-run.num_docs // index_join.ROWS_PER_PARTITION))
    rows = run.ctx.exchange("identities", index_join.identities, run.groups, num_partitions, run.seen)
    shown = run.seen.folder.shown()
    resolving = index_join.Resolving(rows=rows, grouping=run.grouping, shown=shown)
    return run.ctx.exchange("resolved", index_join.resolved, range(num_partitions), run.grouping.num_groups, resolving)


def _check_signed(verify: Verify, group: Group, task: TaskContext) -> JSON:
    """DataError where the signatures of the first documents were not made as the step says: those of an index must be
    alike."""
    for part in group.parts:
        if part.update == corpus.NEW and part.num_rows:
            _, batch = next(part.read(("text", "signature")))
            signed = batch.filter(batch["signature"].is_valid())
            check_signed(verify, signed["text"], bands.rows_of(signed["signature"]), part.folder.shown(part.name))
            break
    return None


def _edges(run: Run, resolved: ExchangeReader | None) -> ExchangeReader:
    """Phases 1 to 3: EDGE rows by group."""
    banding = bands.Banding(
        step=run.documents.step, num_bands=run.num_bands, rows_per_band=run.rows_per_band, keep=run.keep,
        extra_rows=run.extra_rows, resolved=resolved, seen=run.seen,
    )  # fmt: skip
    num_partitions = max(1, -(-run.num_docs * run.num_bands // pairing.BAND_ROWS_PER_PARTITION))
    rows = run.ctx.exchange("bands", bands.band_rows, run.groups, num_partitions, banding)
    given = pairing.Pairing(bands=rows, grouping=run.grouping, compared=run.compared)
    num_groups = run.grouping.num_groups
    pairs = run.ctx.exchange("candidates", pairing.candidate_pairs, range(num_partitions), num_groups, given)
    joining = verification.Joining(rows=pairs, grouping=run.grouping, verify=run.verify, threshold=run.threshold)
    witnesses = run.ctx.exchange("witnesses", verification.witnesses, run.groups, num_groups, joining)
    return run.ctx.exchange(
        "edges", verification.edges, run.groups, num_groups, replace(joining, rows=witnesses, resolved=resolved)
    )


def _count_large(run: Run, clusters: ExchangeReader) -> None:
    """Count the clusters that are larger than the alarm says, and the documents in them."""
    found = run.ctx.map("large clusters", _large_clusters, run.groups, (clusters, run.large_from))
    run.ctx.report.counter("large_clusters", sum(count for count, _ in found))
    run.ctx.report.counter("documents_in_large_clusters", sum(size for _, size in found))


def _large_clusters(given: tuple[ExchangeReader, int], group: Group, task: TaskContext) -> JSON:
    """How many large clusters that have grown in this run have their representative in the group; their documents."""
    clusters, large_from = given
    told = pa.Table.from_batches(clusters.read(group.number), standings.CLUSTER)
    size_C, doc_C = told["size"].to_numpy(), told["representative_doc"].to_numpy()
    own_C = (size_C >= large_from) & group.holds(doc_C) & (told["num_new"].to_numpy() > 0)
    return [int(own_C.sum()), int(size_C[own_C].sum())]


def _splitting(run: Run, labels: ExchangeReader, clusters: ExchangeReader) -> splitting.Splitting:
    return splitting.Splitting(
        labels=labels, clusters=clusters, grouping=run.grouping, num_rows=run.verify.num_rows,
        threshold=run.threshold, large_from=run.large_from,
    )  # fmt: skip


def _clusters(run: Run, labels: ExchangeReader, which: str = "") -> ExchangeReader:
    num_groups, num_rows = run.grouping.num_groups, run.verify.num_rows
    ranking = standings.Ranking(rows=labels, grouping=run.grouping, num_rows=num_rows)
    best = run.ctx.exchange(f"{which}standings", standings.standings, run.groups, num_groups, ranking)
    ranking = standings.Ranking(rows=best, grouping=run.grouping, num_rows=num_rows)
    return run.ctx.exchange(f"{which}clusters", standings.clusters, range(num_groups), num_groups, ranking)


@dataclass(frozen=True, kw_only=True)
class _Deciding:
    labels: ExchangeReader
    clusters: ExchangeReader
    edges: ExchangeReader


def _decide(deciding: _Deciding, group: Group, task: TaskContext) -> JSON:
    """DECISION rows of a group's documents that are in a cluster. `value`: the highest similarity of their edges, or
    the one to the representative where a cluster was split."""
    labels = pa.Table.from_batches(deciding.labels.read(group.number), components.LABEL)
    told = pa.Table.from_batches(deciding.clusters.read(group.number), standings.CLUSTER).sort_by("label")
    doc_N, similarity_N = labels["doc"].to_numpy(), labels["similarity"].to_numpy()
    cluster_N = told.take(pa.array(np.searchsorted(told["label"].to_numpy(), labels["label"].to_numpy())))
    value_D = np.zeros(group.num_docs)
    for batch in deciding.edges.read(group.number):
        np.maximum.at(value_D, group.places(batch["doc"].to_numpy()), batch["similarity"].to_numpy())
    rows = pa.table(
        [
            pa.array(np.zeros(len(doc_N), np.uint64)), pa.array(doc_N), cluster_N["representative"],
            pa.array(doc_N == cluster_N["representative_doc"].to_numpy()), cluster_N["size"], cluster_N["weight"],
            pa.array(np.where(np.isnan(similarity_N), value_D[group.places(doc_N)], similarity_N)),
        ],
        schema=decisions.DECISION,
    )  # fmt: skip
    own_N = (doc_N < group.first_entry) & (cluster_N["size"].to_numpy() > 1)  # a split leaves representatives alone
    seen_N = own_N & (cluster_N["representative_standing"].to_numpy() == bands.KEPT_BEFORE)
    headed_N = (doc_N >= group.first_entry) & np.array(rows["kept"]) & (cluster_N["num_new"].to_numpy() > 0)
    headed_before = rows.filter(pa.array(headed_N))  # clusters whose representative an earlier run has kept
    written = decisions.write_decisions(rows.filter(pa.array(own_N)), group, task, headed_before)
    return {**written, "seen_before": int(seen_N.sum())}
