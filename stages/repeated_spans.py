"""Repeated spans: what stands in several documents word for word is cut out of all but the preferred one of them.

Reads:  text, id, url and the column the `keep` policy looks at
Writes: text, without the spans. Documents of which fewer than `min_words_left` words are left go to the ledger, with
        their whole text, as `too_few_words_left`; `duplicate_of` is the document that keeps the longest part of what
        was cut, which may have lost spans itself
Cost:   200 ns of one CPU per word on web pages of which 4 % were cut, reading and writing Parquet included (30 ms per
        MB), and 2.2 bytes exchanged per word; 370 ns and 25 bytes where 75 % were. A task holds one row group, four
        MiB of text or one document (24 bytes per word), an exchange's buffer, and at most 64 bytes per repeated anchor
        of its group of shards, or 200 per run of windows: of one shard, or of shards that have a million together; a
        task of a partition up to 4 million windows, 270 MB where each stands in two documents, 800 MB at most. Measured
        with a group of 256,000 documents, 0.9 GB of text: 760 MB where 4 % were cut, 830 MB where 57 % were
Source: Lee et al. 2022, "Deduplicating Training Data Makes Language Models Better" (arXiv 2107.06499), ExactSubstr;
        `min_words_left` is datatrove's `min_doc_words`

A document loses every span of at least `min_tokens` words that also stands in a document preferred to it. A word is
what stands between white space; each Han, kana and Hangul letter is one by itself. Words are equal if their bytes are,
or with `normalisation: plain` in lower case and canonical decomposition. (Lee et al. count 50 subword tokens, about 38
English words.) What a document repeats within itself stays, unless a preferred one has it.

Every word that is cut stays in a preferred document. But where spans overlap, each may be kept by another document, so
that what one keeps has lost an end to a third, and the whole stands nowhere. `min_words_left` above `min_tokens` may
drop the only copy left of a span. A document in which nothing is cut stays byte for byte, however short it is.

Between two words that were not neighbours stands the white space before the cut or behind it, whichever has more line
breaks; one space if there was none. A text that loses its beginning or end has no white space there.

Instead of a suffix array over the corpus: a span of `min_tokens` words or more is a run of windows of just so many.
Phases, each a set of tasks that commit one by one; a group is some neighbouring shards (stages/dedup/corpus.py):
1. anchors (per group): the anchors of its windows. Equal windows have equal anchors; there is about one for every 13
   words, a quarter of `min_tokens`.
2. repeated (per partition): anchors in at least two documents, to the groups they stand in.
3. windows (per group): windows that have such an anchor, in 128 bits, with the document's place in the order.
4. losses (per partition): who keeps each window; what the others lose goes to their groups.
5. losses by shard, summary (per group).
6. filter (per shard).

The result depends on the documents alone, not on shards, groups, partitions or order. Put it behind stages.exact and
stages.minhash: whole duplicates cost as much here as they are long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import pyarrow as pa

from pipeline.errors import FieldError
from pipeline.stage import JSON, ExchangeReader, WideContext, wide
from stages.dedup.corpus import Group, Grouping, document_parts, grouped
from stages.dedup.documents import num_bytes
from stages.dedup.survivors import Keep, columns_of
from stages.spans import anchors, cuts, span_report, windows

ROWS_PER_PARTITION = 4_000_000
MAX_TOKENS = 10_000
WORDS_PER_SHARD_BYTE = 0.5  # a byte of a compressed shard is about three of text, and six of these a word


@dataclass(frozen=True, kw_only=True)
class Config:
    min_tokens: int = 50  # words of the shortest span that is cut
    normalisation: Literal["none", "plain"] = "none"  # plain: stages/kernels/fold_table.py
    keep: Keep = "longest"  # then the smallest id; stages/dedup/survivors.py
    min_words_left: int = 50  # of a document in which something was cut

    def __post_init__(self) -> None:
        if not 2 <= self.min_tokens <= MAX_TOKENS:
            raise FieldError("min_tokens", self.min_tokens, f"a whole number from 2 to {MAX_TOKENS}")
        if self.min_words_left < 1:
            raise FieldError("min_words_left", self.min_words_left, "1 or more")


def _reads(cfg: Config) -> tuple[str, ...]:
    return "text", "url", *columns_of(cfg.keep)


@wide(
    version=1,
    ports={"documents": "documents"},
    produces="documents",
    reads=_reads,
    adds={"text": pa.large_string()},
)
def repeated_spans(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    """Find what each document loses, over all shards; cut it out, drop what is nearly empty."""
    documents = ctx.inputs["documents"]
    groups, grouping = grouped(document_parts(documents))
    search = anchors.Search(min_tokens=cfg.min_tokens, normalisation=cfg.normalisation, keep=cfg.keep)
    losses = _losses(ctx, search, num_bytes(documents) * WORDS_PER_SHARD_BYTE, groups, grouping)
    ctx.map("losses by shard", cuts.write_losses, groups, losses)
    cutting = cuts.Cutting(search=search, work=ctx.work, min_words_left=cfg.min_words_left)
    summaries = ctx.map("summary", span_report.summarise, groups, cutting)
    span_report.report_spans(ctx, cfg.min_tokens, groups, summaries)
    ctx.filter_documents(documents, cuts.open_filter, cutting)
    return {}


def _losses(
    ctx: WideContext, search: anchors.Search, num_words: float, groups: Sequence[Group], grouping: Grouping
) -> ExchangeReader:
    """Phases 1 to 4: LOSS rows of all documents, by group. `num_words`: about how many words they have."""
    num_groups, meeting = grouping.num_groups, partial(anchors.Meeting, grouping=grouping)
    grams_per_window = search.min_tokens // 2 + 1
    num_partitions = _num_partitions(num_words * 2 / (grams_per_window + 1))
    found = ctx.exchange("anchors", anchors.anchor_rows, groups, num_partitions, search)
    repeated = ctx.exchange("repeated", anchors.repeated_rows, range(num_partitions), num_groups, meeting(rows=found))
    num_anchors = sum(ctx.map("repeated anchors", anchors.num_occurrences, groups, repeated))
    num_partitions = _num_partitions(num_anchors * (grams_per_window + 1) / 2)
    candidates = windows.Candidates(search=search, repeated=repeated)
    rows = ctx.exchange("windows", windows.run_rows, groups, num_partitions, candidates)
    return ctx.exchange("losses", windows.loss_rows, range(num_partitions), num_groups, meeting(rows=rows))


def _num_partitions(num_rows: float) -> int:
    return max(1, -int(-num_rows // ROWS_PER_PARTITION))
