"""Near-duplicate removal: MinHash LSH over bands, verified by signature agreement, one document kept per cluster.

Reads:  signature, id, text, url and the column the `keep` policy looks at
Writes: the kept documents without `signature`, with `duplicate_count` (int64, how many documents each stands for); the
        others go to the ledger as `near_duplicate` with `duplicate_of`, their best edge's agreement and the threshold
Cost:   per document 40 bytes exchanged per band, and 4 * K bytes per candidate pair (K rows in a signature). A task
        holds one partition of about 4 million band rows (400 MB); the task of phase 6 holds all edges (its cost is in
        stages/dedup/clustering.py)
Source: Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4

Phases, each a set of tasks that commit one by one:
1. order (per shard): what the survivor policy looks at, per document.
2. bands (per shard): a row per document and band, keyed by the band's hash.
3. candidates (per partition): documents that share a band are paired with the preferred one of them: a star, linear in
   the size of the group. Pairs go to the member's shard.
4. members (per shard): distinct pairs; the member's signature is added, and they go to the preferred one's shard.
5. verify (per shard): a pair whose signatures agree in at least `threshold` of their rows becomes an edge.
6. clusters (one task): connected components of the edges; the preferred document of each is kept.
7. summary and filter (per shard).

A document is compared with the preferred document of each group it falls into, not with every member: two that are
alike but both unlike the preferred one of every group they share stay apart. The result depends on the documents alone,
not on shards, partitions or order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import JSON, ExchangeReader, InputArtifact, StepReportWriter, WideContext, wide
from stages.dedup import bands, clustering, decisions, verification
from stages.dedup.documents import num_documents
from stages.dedup.survivors import COUNT, Keep

BAND_ROWS_PER_PARTITION = 4_000_000


@dataclass(frozen=True, kw_only=True)
class Config:
    num_bands: int = 14  # as the signatures were made with
    rows_per_band: int = 8
    threshold: float = 0.7  # share of equal rows from which two documents are one; 0: a shared band is enough
    keep: Keep = "longest"  # then the smallest id; stages/dedup/survivors.py

    def __post_init__(self) -> None:
        for name in ("num_bands", "rows_per_band"):
            if not 1 <= getattr(self, name) <= 1024:
                raise FieldError(name, getattr(self, name), "a whole number from 1 to 1024")
        if not 0 <= self.threshold <= 1:
            raise FieldError("threshold", self.threshold, "a number from 0 to 1")


@wide(
    version=1,
    ports={"documents": "documents"},
    produces="documents",
    reads=("text", "signature"),
    adds={COUNT: pa.int64()},
    removes=("signature",),
)
def minhash(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Find clusters of near-duplicates over all shards, keep one document of each, drop the others."""
    documents = ctx.inputs["documents"]
    num_docs = num_documents(documents)
    shards = range(len(documents.shards()))
    decided = decisions.Decided(
        documents=documents, reason="near_duplicate", threshold=cfg.threshold,
        decisions=_clusters(cfg, ctx, documents, shards, num_docs),
    )  # fmt: skip
    decisions.report_clusters(ctx.report, ctx.map("summary", decisions.summarise, shards, decided), num_docs)
    ctx.filter_documents(documents, decisions.open_filter, decided)
    return {}


def _clusters(cfg: Config, ctx: WideContext, documents: InputArtifact, shards: range, num_docs: int) -> ExchangeReader:
    """Phases 1 to 6: DECISION rows of all documents in clusters, by shard."""
    num_shards = max(1, len(shards))
    num_partitions = max(1, -(-num_docs * cfg.num_bands // BAND_ROWS_PER_PARTITION))
    banding = bands.Banding(
        documents=documents, num_bands=cfg.num_bands, rows_per_band=cfg.rows_per_band, keep=cfg.keep
    )
    ctx.report.counter("without_signature", sum(ctx.map("order", bands.write_order, shards, banding)))
    rows = ctx.exchange("bands", bands.band_rows, shards, num_partitions, banding)
    pairing = bands.Pairing(bands=rows, num_shards=num_shards)
    pairs = ctx.exchange("candidates", bands.candidate_pairs, range(num_partitions), num_shards, pairing)
    joining = verification.Joining(
        documents=documents, pairs=pairs, num_rows=cfg.num_bands * cfg.rows_per_band, num_shards=num_shards,
        threshold=cfg.threshold,
    )  # fmt: skip
    signed = ctx.exchange("members", verification.signed_pairs, shards, num_shards, joining)
    _report(cfg, ctx.report, ctx.map("verify", verification.verify, shards, replace(joining, pairs=signed)))
    return ctx.exchange("clusters", clustering.clusters, [None], num_shards, len(shards))


def _report(cfg: Config, report: StepReportWriter, verified: Sequence[Mapping[str, Any]]) -> None:
    """Candidates, the share of them confirmed, their agreement, and the curve of the chosen bands and rows."""
    from stages.kernels.minhash import lsh_midpoint, lsh_probability

    candidates, edges = (sum(v[name] for v in verified) for name in ("candidates", "edges"))
    report.counter("candidate_pairs", candidates)
    report.counter("confirmed_pairs", edges)
    if candidates:
        report.figure("share of candidates confirmed", edges / candidates)
    report.figure("LSH midpoint", lsh_midpoint(cfg.num_bands, cfg.rows_per_band))
    bins = verification.NUM_BINS
    agreement = np.sum([v["agreement"] for v in verified] or [[0] * bins], axis=0)
    labels = [f"{b / bins:.2f}-{(b + 1) / bins:.2f}" for b in range(bins)]
    report.histogram("agreement of candidates", labels, agreement.tolist())
    similarity = np.linspace(0, 1, 101)
    found = lsh_probability(similarity, cfg.num_bands, cfg.rows_per_band)
    report.series("LSH curve", "Jaccard similarity", similarity.tolist(), {"chance to share a band": found.tolist()})
