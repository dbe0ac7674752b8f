"""Pretokens of documents, counted shard by shard, exchanged by their hashes, added up partition by partition.

Reads:  documents
Writes: PRETOKEN rows; how many documents and bytes of each group a shard gave
Cost:   one task per shard, memory bounded by SPILL_BYTES; what is exchanged grows with the distinct pretokens and not
        with the text
Source: tokenizer/count.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.stage import JSON, ExchangeReader, TaskContext, WideContext
from stages.vocab.selection import Documents
from stages.vocab.weights import Sizes, Weights, add_up, as_json
from tokenizer.encode import string_buffers
from tokenizer.train import Digits, Model, Normalization, Pattern

if TYPE_CHECKING:
    from tokenizer.sorted_counts import Counts

SPILL_BYTES = 256 << 20  # of counts in a task, before they are written away
SIZES_PER_TASK = 1024  # shards whose sizes one task adds up
YIELD_ROWS = 1 << 18
PRETOKEN = pa.schema([("key", pa.uint64()), ("word", pa.large_binary()), ("count", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Documents whose share is below `learn_below` are counted, as texts of `model`; with `cap`, a pretoken at most so
    often per document."""

    documents: Documents
    learn_below: float
    weights: Weights
    cap: int | None
    model: Model
    pattern: Pattern
    digits: Digits | None
    normalization: Normalization


def available(ctx: WideContext, counting: Counting, shards: Sequence[str]) -> Sizes:
    """What there is to learn from, by group."""
    ctx.map("text bytes", _available, shards, counting)
    return _added_up(ctx, "available", len(shards))


def learned_from(ctx: WideContext, num_shards: int) -> Sizes:
    """What was counted, by group."""
    return _added_up(ctx, "learned", num_shards)


def _added_up(ctx: WideContext, name: str, num_shards: int) -> Sizes:
    """Files of one shard each, added up in tasks: a driver need not hold the sizes of 100,000 shards."""
    sizes: Sizes = {}
    for part in ctx.map(f"{name} bytes by group", _add_up, range(0, num_shards, SIZES_PER_TASK), (name, num_shards)):
        add_up(sizes, part.encode())
    return dict(sorted(sizes.items()))


def _add_up(shared: tuple[str, int], first: int, task: TaskContext) -> JSON:
    name, num_shards = shared
    sizes: Sizes = {}
    for index in range(first, min(first + SIZES_PER_TASK, num_shards)):
        add_up(sizes, task.work.read_bytes(f"{name}/{index:05d}.json"))
    return as_json(sizes).decode()


def _available(counting: Counting, shard: str, task: TaskContext) -> JSON:
    sizes: Sizes = {}
    for batch in counting.documents.select(shard, 0, counting.learn_below, counting.weights.column):
        for _ in counting.weights.parts(batch, task.step, sizes):
            pass
    task.work.write_bytes(f"available/{task.index:05d}.json", as_json(sizes))
    return None


def pretokens(counting: Counting, shard: str, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PRETOKEN rows of a shard's documents; writes down how many documents and bytes of each group they were."""
    from tokenizer.count import WordCounts
    from tokenizer.normalise import counted_texts
    from tokenizer.pretokenize import Pretokenizer

    words = WordCounts(Pretokenizer(counting.pattern, counting.digits), counting.cap)
    as_counted = counted_texts(counting.model, counting.normalization)
    sizes: Sizes = {}
    for batch in counting.documents.select(shard, 0, counting.learn_below, counting.weights.column):
        for weight, texts in counting.weights.parts(batch, task.step, sizes):
            words.add(*string_buffers(as_counted(texts.cast(pa.large_string()))), weight)
        if words.num_bytes > SPILL_BYTES:
            yield from _rows(words.arrays())
            words.clear()
    yield from _rows(words.arrays())
    task.work.write_bytes(f"learned/{task.index:05d}.json", as_json(sizes))


def _rows(counts: Counts) -> Iterator[pa.RecordBatch]:
    from stages.kernels.hashing import content_hashes

    keys = content_hashes(counts.offsets[:-1], counts.offsets[1:], counts.data)[:, 0]
    words = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(counts.counts), [None, pa.py_buffer(counts.offsets), pa.py_buffer(counts.data)]
    )
    rows = pa.RecordBatch.from_arrays([pa.array(keys), words, pa.array(counts.counts)], schema=PRETOKEN)
    for start in range(0, rows.num_rows, YIELD_ROWS):
        yield rows.slice(start, YIELD_ROWS)


def _counts_of(rows: pa.RecordBatch) -> Counts:
    from tokenizer.sorted_counts import Counts

    offsets, data = string_buffers(rows["word"])
    return Counts(data[offsets[0] : offsets[-1]], offsets - offsets[0], rows["count"].to_numpy())


def merged(counted: ExchangeReader, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PRETOKEN rows of a partition, each word once."""
    from tokenizer.sorted_counts import merge_sorted

    for counts in merge_sorted([[_counts_of(rows)] for rows in counted.read(partition)]):
        yield from _rows(counts)


def all_counts(merged: ExchangeReader) -> Counts:
    """Of the one partition that all counts were gathered in."""
    from tokenizer.sorted_counts import Counts

    parts = [_counts_of(rows) for rows in merged.read(0)]
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
    return Counts(
        np.concatenate([np.empty(0, np.uint8), *(part.data for part in parts)]), np.cumsum(lengths),
        np.concatenate([np.empty(0, np.int64), *(part.counts for part in parts)]),
    )  # fmt: skip
