"""What documents lose is cut out of their texts, and those of which too little is left are dropped.

Reads:  LOSS rows by group of shards; text
Writes: scratch `losses/NNNNN.arrow`, a shard's LOSS rows in order; Verdicts
Cost:   40 ns per word, reading and writing included. The LOSS rows of one shard in memory, or to put a group's in order
        those of some of its shards, up to ROUND_ROWS or one shard's; 200 bytes each at the peak
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schemas import ID
from pipeline.stage import JSON, BatchFunction, Drops, ExchangeReader, Measure, TaskContext, Verdict
from pipeline.store import Folder
from stages.dedup.corpus import Group
from stages.dedup.documents import ROW_BITS, read_rows, shard_of, write_rows
from stages.kernels.span_union import Union, union
from stages.kernels.utf8 import Utf8
from stages.kernels.word_places import Places, Spans
from stages.spans.anchors import Search
from stages.spans.windows import LOSS

REASON = "too_few_words_left"
ROUND_ROWS = 1_000_000
_STORED = pa.schema([field for field in LOSS if field.name != "key"])


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """What the tasks that look at losses are given."""

    search: Search
    work: Folder
    min_words_left: int

    def spans_of(self, shard: int) -> tuple[pa.RecordBatch, Union]:
        """A shard's LOSS rows (without their keys) in order, and the spans they make."""
        losses = pa.RecordBatch.from_pylist([], _STORED)
        if self.work.exists(_losses_name(shard)):
            losses = read_rows(self.work, _losses_name(shard))
        names = ("doc", "first", "windows", "keeper", "documents")
        columns = (losses[name].to_numpy().astype(np.int64) for name in names)
        return losses, union(self.search.min_tokens, *columns)


def _losses_name(shard: int) -> str:
    return f"losses/{shard:05d}.arrow"


def write_losses(losses: ExchangeReader, group: Group, task: TaskContext) -> JSON:
    """Write the LOSS rows of a group in order, a file per shard that has any."""
    num_P = np.zeros(len(group.parts), np.int64)
    for batch in losses.read(group.number):
        num_P += np.bincount(_part_of(batch, group), minlength=len(num_P))
    for start, end in _rounds(num_P):
        read = losses.read(group.number)
        batches = (batch.filter(pa.array(_is_in(batch, group, start, end))) for batch in read)
        table = pa.Table.from_batches(batches, LOSS).drop_columns(["key"])
        order_R = np.lexsort((table["first"].to_numpy(), table["doc"].to_numpy()))
        [rows] = table.take(pa.array(order_R)).combine_chunks().to_batches()
        bounds = np.append(0, np.cumsum(num_P[start:end])).tolist()
        for part, (first, until) in zip(group.parts[start:end], pairwise(bounds), strict=True):
            if until > first:
                write_rows(task.work, _losses_name(part.number), rows.slice(first, until - first))
    return None


def _part_of(batch: pa.RecordBatch, group: Group) -> np.ndarray:
    """int64: which of the group's parts each row's document is in."""
    return np.asarray(shard_of(batch["doc"].to_numpy()) - group.parts[0].number)


def _is_in(batch: pa.RecordBatch, group: Group, start: int, end: int) -> np.ndarray:
    part_N = _part_of(batch, group)
    return np.asarray((start <= part_N) & (part_N < end))


def _rounds(num_P: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, end) of neighbouring parts with up to ROUND_ROWS rows together, or of one part; none without rows."""
    ends_P, start = np.cumsum(num_P), 0
    while start < len(num_P):
        done = ends_P[start] - num_P[start]
        end = max(start + 1, int(np.searchsorted(ends_P, done + ROUND_ROWS, side="right")))
        if ends_P[end - 1] > done:
            yield start, end
        start = end


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
