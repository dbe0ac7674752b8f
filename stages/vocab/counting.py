"""Pretokens of documents, counted shard by shard, exchanged by their hashes, added up partition by partition.

Reads:  documents
Writes: PRETOKEN rows; how many documents and bytes a shard gave
Cost:   one task per shard, memory bounded by SPILL_BYTES; what is exchanged grows with the distinct pretokens and not
        with the text
Source: tokenizer/count.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.stage import JSON, ExchangeReader, TaskContext
from stages.vocab.selection import Documents
from tokenizer.encode import string_buffers
from tokenizer.train import Digits, Normalization, Pattern

if TYPE_CHECKING:
    from tokenizer.sorted_counts import Counts

SPILL_BYTES = 256 << 20  # of counts in a task, before they are written away
YIELD_ROWS = 1 << 18
PRETOKEN = pa.schema([("key", pa.uint64()), ("word", pa.large_binary()), ("count", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Counting:
    """Documents whose share is below `learn_below` are counted."""

    documents: Documents
    learn_below: float
    pattern: Pattern
    digits: Digits | None
    normalization: Normalization


def text_bytes(counting: Counting, shard: str, task: TaskContext) -> JSON:
    """How many bytes of text a shard has to learn from."""
    batches = counting.documents.select(shard, 0, counting.learn_below)
    return sum(pc.sum(pc.binary_length(batch["text"])).as_py() or 0 for batch in batches)


def pretokens(counting: Counting, shard: str, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PRETOKEN rows of a shard's documents; writes down how many documents and bytes they were."""
    from tokenizer.count import WordCounts
    from tokenizer.normalise import normaliser
    from tokenizer.pretokenize import Pretokenizer

    words = WordCounts(Pretokenizer(counting.pattern, counting.digits))
    normalise = normaliser(counting.normalization)
    num_documents = num_bytes = 0
    for batch in counting.documents.select(shard, 0, counting.learn_below):
        num_documents += batch.num_rows
        num_bytes += pc.sum(pc.binary_length(batch["text"])).as_py() or 0
        words.add(*string_buffers(normalise(batch["text"].cast(pa.large_string()))))
        if words.num_bytes > SPILL_BYTES:
            yield from _rows(words.arrays())
            words.clear()
    yield from _rows(words.arrays())
    task.work.write_bytes(f"learned/{task.index:05d}.json", json.dumps([num_documents, num_bytes]).encode())


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


def learned_from(shared: None, index: int, task: TaskContext) -> JSON:
    """(documents, bytes) that a shard was counted of."""
    return json.loads(task.work.read_bytes(f"learned/{index:05d}.json"))


def all_counts(merged: ExchangeReader) -> Counts:
    """Of the one partition that all counts were gathered in."""
    from tokenizer.sorted_counts import Counts

    parts = [_counts_of(rows) for rows in merged.read(0)]
    lengths = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)])
    return Counts(
        np.concatenate([np.empty(0, np.uint8), *(part.data for part in parts)]), np.cumsum(lengths),
        np.concatenate([np.empty(0, np.int64), *(part.counts for part in parts)]),
    )  # fmt: skip
