"""Which anchors stand in at least two documents: only windows that have one of these can be repeated.

Reads:  text
Writes: ANCHOR rows by anchor, REPEATED rows by group of shards; scratch `words/NNNNN.json`, a group's number of words
Cost:   16 bytes per distinct anchor of every SLICE_BYTES of text, with length 50 1.1 per word; 60 ns per word to find
        them, reading included. A partition of 4 million rows takes about 250 MB
Source: stages/kernels/repeated_spans.py says what an anchor is

A partition of anchors holds a row per anchor and slice of text, however many documents have it, and sends a row to each
group that has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from pipeline.stage import JSON, ExchangeReader, TaskContext
from stages.dedup.corpus import Group, Grouping
from stages.dedup.documents import read_parts
from stages.dedup.survivors import Keep, columns_of

if TYPE_CHECKING:
    from stages.kernels.repeated_spans import Grams

SLICE_BYTES = 4 << 20
ANCHOR = pa.schema([("key", pa.uint64()), ("group", pa.int32()), ("docs", pa.int32())])
REPEATED = pa.schema([("key", pa.uint64()), ("anchor", pa.uint64()), ("docs", pa.int32())])


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is looked for."""

    min_tokens: int
    normalisation: Literal["none", "plain"]
    keep: Keep

    def grams(self, texts: pa.Array, lane: int) -> Grams:
        from stages.kernels import fold, repeated_spans

        folded = fold.fold(texts, repeated_spans.table(self.normalisation))
        return repeated_spans.grams(folded, self.min_tokens, lane)


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """What the tasks of a partition are given."""

    rows: ExchangeReader
    grouping: Grouping


def slices(group: Group, columns: tuple[str, ...]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of its first document, slice) of a group's batches: up to SLICE_BYTES of text, or one document."""
    from stages.kernels import utf8

    for first, batch in read_parts(group.parts, columns):
        offsets = utf8.view(batch["text"]).offsets
        start = 0
        while start < batch.num_rows:
            end = int(np.searchsorted(offsets, offsets[start] + SLICE_BYTES, side="right")) - 1
            end = min(max(end, start + 1), batch.num_rows)
            yield first + start, batch.slice(start, end - start)
            start = end


def words_name(group: int) -> str:
    return f"words/{group:05d}.json"


def anchor_rows(search: Search, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """ANCHOR rows of a group: per slice of it and anchor, how many documents have the anchor."""
    from stages.kernels import repeated_spans

    num_words = 0
    for _, batch in slices(group, ("text",)):
        grams = search.grams(batch["text"], 0)
        num_words += len(grams.hashes)
        runs = repeated_spans.runs(grams, search.min_tokens)
        anchor_A, docs_A = _documents_of(runs.anchor_R, runs.text_R)
        group_A = np.full(len(anchor_A), group.number, np.int32)
        yield pa.RecordBatch.from_arrays([pa.array(anchor_A), pa.array(group_A), pa.array(docs_A)], schema=ANCHOR)
    task.work.write_bytes(words_name(group.number), json.dumps(num_words).encode())


def _documents_of(anchor_R: np.ndarray, text_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(distinct anchors, how many texts each stands in, int32), given runs by text."""
    order_R = np.argsort(anchor_R, kind="stable")
    anchor_R, text_R = anchor_R[order_R], text_R[order_R]
    new_anchor_R = _starts(anchor_R)
    starts = np.flatnonzero(new_anchor_R)
    if not len(starts):
        return anchor_R, np.empty(0, np.int32)
    return anchor_R[starts], np.add.reduceat((new_anchor_R | _starts(text_R)).astype(np.int32), starts)


def _starts(value_R: np.ndarray) -> np.ndarray:
    """bool[R]: whether a value differs from the one before."""
    new_R = np.ones(len(value_R), bool)
    new_R[1:] = value_R[1:] != value_R[:-1]
    return new_R


def repeated_rows(meeting: Meeting, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """REPEATED rows of a partition: for each group its anchors that two or more documents have, of any groups."""
    batches = pa.Table.from_batches(meeting.rows.read(partition), ANCHOR).combine_chunks().to_batches()
    for batch in batches:  # one, or none
        anchor_R, group_R, docs_R = (batch[name].to_numpy() for name in ANCHOR.names)
        order_R = np.lexsort((group_R, anchor_R))
        anchor_R, group_R, docs_R = anchor_R[order_R], group_R[order_R], docs_R[order_R]
        new_anchor_R = _starts(anchor_R)
        anchor_starts = np.flatnonzero(new_anchor_R)
        is_repeated_A = np.add.reduceat(docs_R, anchor_starts) > 1
        starts = np.flatnonzero(new_anchor_R | _starts(group_R))  # of the rows of one group
        docs_G = np.add.reduceat(docs_R, starts)
        repeated_G = is_repeated_A[np.searchsorted(anchor_starts, starts, side="right") - 1]
        starts, docs_G = starts[repeated_G], docs_G[repeated_G]
        key_G = meeting.grouping.group_keys(group_R[starts])
        yield pa.RecordBatch.from_arrays(
            [pa.array(key_G), pa.array(anchor_R[starts]), pa.array(docs_G)], schema=REPEATED
        )


def num_occurrences(repeated: ExchangeReader, group: Group, task: TaskContext) -> JSON:
    """How often a document of the group has a repeated anchor, each counted once per document."""
    return sum(int(batch["docs"].to_numpy().sum()) for batch in repeated.read(group.number))


def order_columns(search: Search) -> tuple[str, ...]:
    """The columns that windows are found and documents ordered by."""
    return tuple(dict.fromkeys(("text", *columns_of(search.keep))))
