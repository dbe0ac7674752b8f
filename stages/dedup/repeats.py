"""Which lines more than so many documents have: counts of all groups are added up, and each group is told of its own.

Reads:  COUNT rows, an exchange by line
Writes: REPEATED rows, an exchange by group; how many lines are in how many documents, and the most frequent ones
Cost:   a task holds ROWS_PER_ROUND rows of 24 bytes (300 MB at the peak), however many its partition has: it reads them
        in rounds. Of a group 32 bytes per different line that is repeated
Source: our choice

The result depends on the documents alone. Only `first` depends on their layout, and each line has one such row in any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.stage import JSON, ExchangeReader, TaskContext
from stages.dedup.corpus import Group, Grouping

ROWS_PER_ROUND = 2_000_000
YIELD_ROWS = 1 << 20
NUM_SHOWN = 50
_SLOT_BITS = 22
# `key` and `low`: the halves of a line's hash; `documents`: how many of the group's have it, or some of them.
COUNT = pa.schema([("key", pa.uint64()), ("low", pa.uint64()), ("group", pa.uint32()), ("documents", pa.uint32())])
# One row per repeated line and group that has it. `high`, `low`: its hash; `documents`: how many of all have it;
# `first`: no group before this one does.
REPEATED = pa.schema(
    [
        ("key", pa.uint64()), ("high", pa.uint64()), ("low", pa.uint64()), ("documents", pa.int64()),
        ("first", pa.bool_()),
    ]
)  # fmt: skip


def count_rows(group: int, key_K2: np.ndarray, documents_K: np.ndarray) -> pa.RecordBatch:
    """COUNT rows of lines of a group, by their keys (uint64[K, 2])."""
    columns = [key_K2[:, 0].copy(), key_K2[:, 1].copy(), np.full(len(key_K2), group, np.uint32), documents_K]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=COUNT)


@dataclass(frozen=True, kw_only=True)
class Summing:
    """What the tasks that add up are given."""

    counts: ExchangeReader
    max_documents: int
    grouping: Grouping


def repeated(summing: Summing, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """REPEATED rows of the lines of a partition that are in more than `max_documents`."""
    num_rows = sum(batch.num_rows for batch in summing.counts.read(partition))
    num_rounds = max(1, -(-num_rows // ROWS_PER_ROUND))
    for number in range(num_rounds):
        batches = (_of_round(batch, number, num_rounds) for batch in summing.counts.read(partition))
        found = _above(pa.Table.from_batches(batches, COUNT), summing)
        for start in range(0, found.num_rows, YIELD_ROWS):
            yield found.slice(start, YIELD_ROWS)


def _of_round(batch: pa.RecordBatch, number: int, num_rounds: int) -> pa.RecordBatch:
    """The rows whose line falls into this round, by its hash."""
    if num_rounds == 1:
        return batch
    round_N = ((batch["low"].to_numpy() >> np.uint64(32)) * np.uint64(num_rounds)) >> np.uint64(32)
    return batch.filter(pa.array(round_N == number))


def _above(counts: pa.Table, summing: Summing) -> pa.RecordBatch:
    """REPEATED rows of the lines in `counts` that are in more than `max_documents`."""
    # Most lines are in few documents: a rough count by some bits of the hash leaves them out before the sort.
    slot_R = (counts["low"].to_numpy() & np.uint64((1 << _SLOT_BITS) - 1)).astype(np.int64)
    in_slot = np.bincount(slot_R, weights=counts["documents"].to_numpy(), minlength=1)
    counts = counts.filter(pa.array(in_slot[slot_R] > summing.max_documents))
    high_R, low_R, group_R, documents_R = (counts[name].to_numpy() for name in COUNT.names)
    order = np.lexsort((group_R, low_R, high_R))
    high_R, low_R, group_R, documents_R = high_R[order], low_R[order], group_R[order], documents_R[order]
    new_line_R, new_group_R = np.ones(len(order), np.bool_), np.ones(len(order), np.bool_)
    new_line_R[1:] = (high_R[1:] != high_R[:-1]) | (low_R[1:] != low_R[:-1])
    new_group_R[1:] = new_line_R[1:] | (group_R[1:] != group_R[:-1])
    line_R = np.cumsum(new_line_R) - 1
    total_R = np.bincount(line_R, weights=documents_R, minlength=1)[line_R].astype(np.int64)
    rows = np.flatnonzero(new_group_R & (total_R > summing.max_documents))
    key = summing.grouping.group_keys(group_R[rows])
    columns = [key, high_R[rows], low_R[rows], total_R[rows], new_line_R[rows]]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=REPEATED)


def of_group(repeats: ExchangeReader, group: int) -> pa.Table:
    """A group's REPEATED rows."""
    return pa.Table.from_batches(repeats.read(group), REPEATED).combine_chunks()


def frequent(repeats: ExchangeReader, group: Group, task: TaskContext) -> JSON:
    """Of the lines whose first group this is: how many are in how many documents, and the NUM_SHOWN most frequent as
    [documents, high, low, group]."""
    rows = of_group(repeats, group.number)
    rows = rows.filter(rows["first"])
    documents, high, low = (rows[name].to_numpy() for name in ("documents", "high", "low"))
    values, counts = np.unique(documents, return_counts=True)
    most = np.lexsort((low, high, -documents))[:NUM_SHOWN]
    return {
        "sizes": [[int(v), int(c)] for v, c in zip(values, counts, strict=True)],
        "lines": [[int(documents[i]), int(high[i]), int(low[i]), group.number] for i in most],
    }


def most_frequent(lines: Sequence[Sequence[int]]) -> list[list[int]]:
    """The NUM_SHOWN most frequent of what `frequent` gave for all groups; of equals, those of the smaller hash."""
    return sorted((list(line) for line in lines), key=lambda line: (-line[0], *line[1:]))[:NUM_SHOWN]


def by_power_of_two(sizes: Sequence[Sequence[int]]) -> tuple[list[str], list[int]]:
    """(labels, counts) of bars: 2, 3-4, 5-8, ... documents, from the least to the most there are."""
    by_bin: dict[int, int] = {}
    for size, count in sizes:
        by_bin[(size - 1).bit_length()] = by_bin.get((size - 1).bit_length(), 0) + count
    bins = range(min(by_bin), max(by_bin) + 1) if by_bin else range(0)
    labels = [str(1 << b) if b < 2 else f"{(1 << b - 1) + 1}-{1 << b}" for b in bins]
    return labels, [by_bin.get(b, 0) for b in bins]
