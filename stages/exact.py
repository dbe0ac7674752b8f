"""Exact dedup: of documents with the same normalised text, or the same normalised URL, one is kept.

Reads:  text, id, url with `by: url`, and the column the `keep` policy looks at
Writes: the kept documents with `duplicate_count`, int64: how many documents each stands for, itself included; the
        others go to the ledger as `exact_duplicate`, or `same_url`, with `duplicate_of`
Cost:   56 bytes exchanged per document; a task reads a group of shards (stages/dedup/corpus.py), a batch in memory, or
        holds one partition of about 4 million rows (300 MB)
Source: xxh3-128 (Collet) of the text or URL; hashes are compared in all 128 bits. At 10^10 documents the chance of any
        false match is about 10^-19 (birthday bound); the forms of URLs are those of stages/kernels/url_forms.py

`normalisation: plain` (default): of a text lower case, canonical decomposition (so that NFC and NFD are one), each run
of white space as one space, none at the ends; of a URL what RFC 3986 says is the same: letter case of scheme and host,
percent-encoding, dot segments, the default port, an empty path, the fragment. `none`: the bytes as they are. A document
without a text, or without a URL, is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.schemas import ID
from pipeline.stage import JSON, ExchangeReader, TaskContext, WideContext, wide
from stages.dedup import decisions, exhibits
from stages.dedup.corpus import Group, Grouping, document_parts, grouped
from stages.dedup.documents import num_documents, read_parts
from stages.dedup.survivors import COUNT, Keep, columns_of, order_rows, preference

ROWS_PER_PARTITION = 4_000_000
# `key` and `low` are the two halves of the text's or URL's hash.
CONTENT = pa.schema(
    [
        ("key", pa.uint64()), ("low", pa.uint64()), ("doc", pa.int64()), ("rank", pa.float64()), ("id", ID),
        ("weight", pa.int64()),
    ]
)  # fmt: skip
REASONS = {"content": "exact_duplicate", "url": "same_url"}


@dataclass(frozen=True, kw_only=True)
class Config:
    by: Literal["content", "url"] = "content"
    keep: Keep = "longest"  # then the smallest id; stages/dedup/survivors.py
    normalisation: Literal["plain", "none"] = "plain"

    def __post_init__(self) -> None:
        if self.by == "url" and self.normalisation == "none" and self.keep == "shortest_url":
            raise FieldError(
                "keep", self.keep, "another policy: URLs that are equal byte for byte are equally long",
                mend="Say `keep: latest`, or `normalisation: plain`.",
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Deciding:
    contents: ExchangeReader
    grouping: Grouping


def _reads(cfg: Config) -> tuple[str, ...]:
    return "text", "url", *columns_of(cfg.keep)


@wide(version=1, ports={"documents": "documents"}, produces="documents", reads=_reads, adds={COUNT: pa.int64()})
def exact(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Bring equal hashes together, keep one document of each, drop the others."""
    documents = ctx.inputs["documents"]
    num_docs = num_documents(documents)
    num_partitions = max(1, -(-num_docs // ROWS_PER_PARTITION))
    groups, grouping = grouped(document_parts(documents))
    contents = ctx.exchange("contents", _contents, groups, num_partitions, cfg)
    deciding = _Deciding(contents=contents, grouping=grouping)
    rows = ctx.exchange("decisions", _decide, range(num_partitions), grouping.num_groups, deciding)
    decided = decisions.Decided(work=ctx.work, reason=REASONS[cfg.by], threshold=float("nan"))
    summaries = ctx.map("written decisions", decisions.write_read_decisions, groups, rows)
    largest = decisions.report_clusters(ctx.report, summaries, num_docs)
    exhibits.show(ctx, decided, groups, largest, verify=None)
    ctx.filter_documents(documents, decisions.open_filter, decided)
    return {}


def _contents(cfg: Config, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """CONTENT rows of a group's documents that have a text, or a URL."""
    from stages.dedup.urls import url_hashes

    column, hashes = ("text", _content_hashes) if cfg.by == "content" else ("url", url_hashes)
    for first, batch in read_parts(group.parts, (column, *columns_of(cfg.keep)), (COUNT,)):
        hash_N2, is_known_N = hashes(batch[column], cfg.normalisation)
        order = order_rows(batch, cfg.keep)
        doc_N = pa.array(np.arange(first, first + batch.num_rows))
        key, low = pa.array(hash_N2[:, 0]), pa.array(hash_N2[:, 1])
        columns = [key, low, doc_N, *(order[name] for name in ("rank", "id", "weight"))]
        yield pa.RecordBatch.from_arrays(columns, schema=CONTENT).filter(pa.array(is_known_N))


def _content_hashes(texts: pa.Array, normalisation: Literal["plain", "none"]) -> tuple[np.ndarray, np.ndarray]:
    """uint64[N, 2] hash of each text, and whether anything of it was left to hash."""
    from stages.kernels import fold, fold_table, hashing, utf8

    if normalisation == "none":
        text = utf8.view(texts)
        starts, ends, data = text.offsets[:-1], text.offsets[1:], text.data
    else:
        folded = fold.fold(texts, fold_table.load("plain", split_unspaced=False))
        starts, ends, data = folded.offsets[:-1], folded.offsets[1:] - 1, folded.data
    return hashing.content_hashes(starts, ends, data), ends > starts


def _decide(deciding: _Deciding, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """DECISION rows of a partition's documents that share their hash with another one."""
    from stages.kernels.union_find import groups

    rows = pa.Table.from_batches(deciding.contents.read(partition), CONTENT).combine_chunks()
    batches = rows.to_batches()
    if not batches:
        return
    [batch] = batches
    order = preference(batch, batch["doc"].to_numpy())
    grouped = groups((batch["key"].to_numpy(), batch["low"].to_numpy()), order.columns())
    in_cluster_R = np.repeat(grouped.sizes() > 1, grouped.sizes())
    row_C = grouped.order[in_cluster_R]
    first_C = np.repeat(grouped.firsts, grouped.sizes())[in_cluster_R]
    at_R = np.zeros(batch.num_rows, np.int64)
    at_R[row_C] = np.arange(len(row_C))
    members = batch.take(pa.array(row_C))
    clusters = decisions.Clusters(
        doc_N=members["doc"].to_numpy(), representative_N=at_R[first_C], ids=members["id"],
        weight_N=members["weight"].to_numpy(), value_N=np.full(len(row_C), np.nan),
    )  # fmt: skip
    yield from decisions.decision_rows(clusters, deciding.grouping)
