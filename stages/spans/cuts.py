"""What documents lose is cut out of their texts, and those of which too little is left are dropped.

Reads:  LOSS rows by shard; text
Writes: Verdicts
Cost:   40 ns per word, reading and writing included; the LOSS rows of one shard in memory, 200 bytes each at the peak
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schemas import ID
from pipeline.stage import BatchFunction, Drops, ExchangeReader, Measure, Verdict
from stages.dedup.documents import ROW_BITS
from stages.kernels.span_union import Union, union
from stages.kernels.utf8 import Utf8
from stages.kernels.word_places import Places, Spans
from stages.spans.anchors import Search
from stages.spans.windows import LOSS

REASON = "too_few_words_left"


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What the tasks of a shard are given."""

    search: Search
    losses: ExchangeReader
    min_words_left: int

    def spans_of(self, shard: int) -> tuple[pa.RecordBatch, Union]:
        """A shard's LOSS rows in order, and the spans they make."""
        table = pa.Table.from_batches(self.losses.read(shard), LOSS).drop_columns(["key"])
        order_R = np.lexsort((table["first"].to_numpy(), table["doc"].to_numpy()))
        ordered = table.take(pa.array(order_R)).combine_chunks()
        losses = (ordered.to_batches() or [pa.RecordBatch.from_pylist([], ordered.schema)])[0]
        names = ("doc", "first", "windows", "keeper", "documents")
        columns = (losses[name].to_numpy().astype(np.int64) for name in names)
        return losses, union(self.search.min_tokens, *columns)


def places_of(search: Search, text: Utf8, wanted_N: np.ndarray) -> Places:
    from stages.kernels import repeated_spans, word_places

    return word_places.places(text, repeated_spans.table(search.normalisation), wanted_N)


def open_filter(cutting: Cutting, shard: int) -> BatchFunction:
    """Cuts a shard's batches, which come in order."""
    losses, spans = cutting.spans_of(shard)
    keeper_S = losses["keeper_id"].take(pa.array(spans.source))
    first = shard << ROW_BITS

    def cut(batch: pa.RecordBatch) -> Verdict:
        nonlocal first
        start, end = np.searchsorted(spans.doc, [first, first + batch.num_rows])
        part = slice(int(start), int(end))
        own = Spans(text=spans.doc[part] - first, first=spans.first[part], end=spans.end[part])
        verdict = _verdict(cutting, batch, own, spans.source_windows[part], keeper_S.slice(part.start, end - start))
        first += batch.num_rows
        return verdict

    return cut


def _verdict(
    cutting: Cutting, batch: pa.RecordBatch, spans: Spans, source_windows_S: np.ndarray, keeper_S: pa.Array
) -> Verdict:
    """The verdict on a batch that loses `spans`; the longest part that one document keeps of each is so many windows,
    kept by `keeper_S`."""
    from stages.kernels import utf8, word_places

    num_rows = batch.num_rows
    text = utf8.view(batch["text"])
    changed_N = np.zeros(num_rows, bool)
    changed_N[spans.text] = True
    words = places_of(cutting.search, text, changed_N)
    removed_N = np.bincount(spans.text, spans.end - spans.first, num_rows).astype(np.int64)
    num_words_N = np.diff(words.offsets)
    left_N = np.where(changed_N, num_words_N - removed_N, np.nan)
    drop_N = left_N < cutting.min_words_left
    column = batch["text"].cast(pa.large_string())
    if (changed_N & ~drop_N).any():
        rewritten = utf8.array(word_places.cut(text, words, spans))
        column = pc.if_else(pa.array(changed_N & ~drop_N), rewritten, column)
    share_N = np.where(changed_N, removed_N / np.maximum(num_words_N, 1), np.where(text.null_N, np.nan, 0.0))
    return Verdict(
        columns={"text": column},
        drops=Drops(
            reasons=(REASON,), code_N=np.where(drop_N, 0, -1).astype(np.int16), value_N=left_N,
            threshold_N=np.where(drop_N, cutting.min_words_left, np.nan),
            duplicate_of=_largest_keeper(num_rows, drop_N, spans, source_windows_S, keeper_S),
        ),
        measures={
            "removed_word_share": Measure(value_N=share_N, low=0, high=1),
            "words_left": Measure(value_N=left_N, low=0, high=1000, drop_below=cutting.min_words_left),
        },
        counters={"documents_changed": int((changed_N & ~drop_N).sum())},
    )  # fmt: skip


def _largest_keeper(
    num_rows: int, drop_N: np.ndarray, spans: Spans, source_windows_S: np.ndarray, keeper_S: pa.Array
) -> pa.Array:
    """For each dropped row the document that keeps the longest part of what it lost, the first of equals."""
    order_S = np.lexsort((spans.first, -source_windows_S, spans.text))
    text_S = spans.text[order_S]
    best_S = order_S[np.flatnonzero(np.diff(text_S, prepend=-1))]
    take_N = np.full(num_rows, -1, np.int64)
    take_N[spans.text[best_S]] = best_S
    take_N[~drop_N] = -1
    return keeper_S.take(pa.array(take_N, mask=take_N < 0)).cast(ID)
