"""Near-duplicate removal: MinHash LSH over bands, verified, one document kept per cluster.

Reads:  signature, id, text, url and the column the `keep` policy looks at; with `index` what earlier runs have seen
Writes: the kept documents without `signature`, with `duplicate_count` (int64, how many documents each stands for); the
        others go to the ledger as `near_duplicate` with `duplicate_of`, the similarity of their best edge and the
        threshold
Cost:   per document 32 bytes exchanged per band, 4 * K + 40 bytes of scratch (K rows in a signature), 4 * K bytes per
        candidate pair and about 200 per document in a cluster. A task works on 250,000 documents (one shard, where that
        has more) or 4 million band rows; a process took 0.8 GB, 0.35 of them for the interpreter, with 1.25 to 10
        million documents of 112 rows, 45% of them in clusters. With 256 rows 0.7 to 0.8 GB for 240,000 documents and
        2.7 GB for one shard of a million; `verify: exact` takes 8 bytes per distinct shingle of a group's documents
        that are in a pair. Components: stages/dedup/components.py
Source: Broder 1997; Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4

Phases, each a set of tasks that commit one by one:
1. bands (per group of shards): a row per document and band, keyed by the band's hash.
2. candidates (per partition of bands): pairs of documents that share a band (stages/kernels/band_groups.py: all pairs
   in groups of up to 8, at most 3 per document in larger ones).
3. witnesses, edges (per group): a pair whose signatures agree in at least `threshold` of their rows (`verify: exact`:
   whose sets of shingles have at least that Jaccard similarity) becomes an edge.
4. components: the connected components of the edges are the clusters. With `split_large` the large ones are taken apart
   (stages/dedup/splitting.py).
5. standings, clusters: the preferred document of each.
6. decisions and filter (per shard).

A document without signature (too short for one) is in no pair and is kept, copies of it too; that is for stages.exact.

With `index` a document is also compared with those of all runs that used the same folder before, in whatever order they
came. The clusters are those of one run over everything (where more than 8 different documents share a band, they may be
joined more). Who stays is not: what an earlier run kept has been handed on, so it stays, and a newcomer is dropped for
it whatever the policy says; where a newcomer shows two kept documents to be one cluster, both stay.

The result depends on the documents alone, not on shards, partitions or order. (Where two ids have the same 64-bit hash,
who is compared with whom in a large group could: once in 10^7 groups of a million.)

A large cluster (`alarm_size` documents, or `alarm_share` of all) is counted and shown in the report, with the text its
members share: such clusters are most often templates or error pages, now and then a chain of likenesses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from pipeline.artifact import fingerprint_of
from pipeline.config import fingerprint_fields, location
from pipeline.errors import FieldError
from pipeline.http_reader import shown
from pipeline.stage import JSON, Outside, WideContext, wide
from pipeline.store import Folder, is_remote
from stages.dedup import decisions, near_duplicates
from stages.dedup.evidence import Verify
from stages.dedup.index_folder import Index, read_index
from stages.dedup.index_update import check_unchanged
from stages.dedup.seen import Seen
from stages.dedup.survivors import COUNT, Keep, columns_of
from stages.kernels.shingling import Shingling


@dataclass(frozen=True, kw_only=True)
class Config:
    num_bands: int = 14  # as the signatures were made with
    rows_per_band: int = 8
    extra_rows: int = 0
    threshold: float = 0.7  # similarity from which two documents are one; 0: a shared band is enough
    verify: Literal["signatures", "exact"] = "signatures"  # exact reads the texts of candidates and is dearer
    keep: Keep = "longest"  # then the smallest id; stages/dedup/survivors.py
    ngram: int = (
        5  # these four as the signatures were made with; only `verify: exact` and the report's examples use them
    )
    seed: int = 1
    normalisation: Literal["datatrove", "plain"] = "datatrove"
    shingles: Literal["words", "characters"] = "words"
    alarm_size: int = 10_000  # documents from which on a cluster is large ...
    alarm_share: float = 0.01  # ... or this share of all, where that is at least 100 documents
    index: str = location("")  # a folder: documents that earlier runs have seen count, and this run's are added
    split_large: bool = False  # take large clusters apart: a member stays only with a representative it is like

    def __post_init__(self) -> None:
        for name in ("num_bands", "rows_per_band"):
            if not 1 <= getattr(self, name) <= 1024:
                raise FieldError(name, getattr(self, name), "a whole number from 1 to 1024")
        if not 0 <= self.extra_rows <= 4096:
            raise FieldError("extra_rows", self.extra_rows, "a whole number from 0 to 4096")
        for name in ("threshold", "alarm_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise FieldError(name, getattr(self, name), "a number from 0 to 1")
        if not 1 <= self.ngram <= 64:
            raise FieldError("ngram", self.ngram, "a whole number from 1 to 64")
        if not 0 <= self.seed < 1 << 32:
            raise FieldError("seed", self.seed, "a whole number from 0 to 4294967295")
        if "://" in self.index and not is_remote(self.index):
            raise FieldError("index", shown(self.index), "a local folder, s3://bucket/prefix or gs://bucket/prefix")
        if self.index and self.verify == "exact":
            raise FieldError(
                "verify", self.verify, "`signatures` with an index", mend="An index keeps signatures, and no texts."
            )
        if self.alarm_size < 2:
            raise FieldError("alarm_size", self.alarm_size, "2 or more")


def _contract(cfg: Config) -> Mapping[str, JSON]:
    """What all signatures of an index agree in."""
    names = ("num_bands", "rows_per_band", "extra_rows", "ngram", "seed", "normalisation", "shingles")
    return {name: getattr(cfg, name) for name in names}


def _seen(cfg: Config, inputs: Mapping[str, str]) -> Seen | None:
    """The index as it was before this step with these inputs was added to it."""
    if not cfg.index:
        return None
    folder = Folder(cfg.index if is_remote(cfg.index) else os.path.abspath(cfg.index))
    key = fingerprint_of({"config": fingerprint_fields(cfg), "inputs": dict(inputs)})[:32]
    index = read_index(folder, _contract(cfg)) or Index(contract=_contract(cfg))
    return Seen(folder=folder, index=index.before(key), key=key)


def _outside(cfg: Config, inputs: Mapping[str, str]) -> Outside | None:
    seen = _seen(cfg, inputs)
    if seen is None:
        return None
    now = read_index(seen.folder)
    added = now is not None and any(update.key == seen.key for update in now.updates)
    return Outside(identity=seen.index.identity(), is_complete=added)


@wide(
    version=2,
    ports={"documents": "documents"},
    produces="documents",
    reads=lambda cfg: ("signature", "text", "url", *columns_of(cfg.keep)),
    adds={COUNT: pa.int64()},
    removes=("signature",),
    outside=_outside,
)
def minhash(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Find clusters of near-duplicates over all shards, keep one document of each, drop the others."""
    documents = ctx.inputs["documents"]
    seen = _seen(cfg, {"documents": documents.fingerprint})
    if seen is not None and ctx.outside is not None:
        check_unchanged(seen, ctx.outside)
    run = near_duplicates.Run(
        ctx=ctx, documents=documents, num_bands=cfg.num_bands, rows_per_band=cfg.rows_per_band,
        extra_rows=cfg.extra_rows, threshold=cfg.threshold, keep=cfg.keep, verify=_verify(cfg),
        alarm_size=cfg.alarm_size, alarm_share=cfg.alarm_share, split_large=cfg.split_large, seen=seen,
    )  # fmt: skip
    decided = decisions.Decided(
        work=ctx.work, reason="near_duplicate", threshold=cfg.threshold,
        removed=seen.removed if seen else None,
    )  # fmt: skip
    near_duplicates.decide(run, decided)
    ctx.filter_documents(documents, decisions.open_filter, decided)
    return {}


def _verify(cfg: Config) -> Verify:
    shingling = Shingling(ngram=cfg.ngram, normalisation=cfg.normalisation, shingles=cfg.shingles)
    num_rows = cfg.num_bands * cfg.rows_per_band + cfg.extra_rows
    return Verify(method=cfg.verify, num_rows=num_rows, seed=cfg.seed, shingling=shingling)
