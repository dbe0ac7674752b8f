"""Which document of a cluster is kept: a rank by the chosen policy, then the smallest id. A total order.

Reads:  `id` and the column the policy looks at
Writes: ORDER rows: rank (less is preferred, infinity where nothing is known), id, weight
Cost:   24 bytes per document
Source: our choice

The order depends on nothing but the documents, so the survivors are the same for any layout of shards. Ids are unique;
were two equal, the one that lies first would be kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schemas import ID
from stages.dedup.documents import halves

Keep = Literal["longest", "earliest", "latest", "shortest_url", "quality"]
COUNT = "duplicate_count"  # a column: how many documents this one stands for, itself included
COLUMN: dict[Keep, str] = {
    "longest": "text",
    "earliest": "date",
    "latest": "date",
    "shortest_url": "url",
    "quality": "quality",
}
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: a multiplication by it spreads neighbouring numbers
ORDER = pa.schema([("rank", pa.float64()), ("id", ID), ("weight", pa.int64())])


@dataclass(frozen=True)
class Preference:
    """The order of N documents, as sortable columns: less is preferred. float64, uint64, uint64, int64."""

    rank_N: np.ndarray
    high_N: np.ndarray
    low_N: np.ndarray
    doc_N: np.ndarray

    def columns(self) -> tuple[np.ndarray, ...]:
        return self.rank_N, self.high_N, self.low_N, self.doc_N


def preference(rows: pa.RecordBatch, doc_N: np.ndarray) -> Preference:
    """The order columns of rows that have `rank` and `id`."""
    return Preference(rows["rank"].to_numpy(), *halves(rows["id"]), doc_N)


def columns_of(keep: Keep) -> tuple[str, ...]:
    """The columns `order_rows` needs; it also takes COUNT where an earlier dedup left one."""
    return "id", COLUMN[keep]


def order_rows(batch: pa.RecordBatch, keep: Keep) -> pa.RecordBatch:
    """ORDER rows of a batch."""
    rank_N = pa.array(rank(batch[COLUMN[keep]], keep))
    return pa.RecordBatch.from_arrays([rank_N, batch["id"], pa.array(weights(batch))], schema=ORDER)


def weights(batch: pa.RecordBatch) -> np.ndarray:
    """int64: how many documents each row stands for, where an earlier dedup has counted; otherwise 1."""
    if COUNT not in batch.schema.names:
        return np.ones(batch.num_rows, np.int64)
    return np.array(batch[COUNT].cast(pa.int64()).fill_null(1))


def rank(values: pa.Array, keep: Keep) -> np.ndarray:
    """float64 per value, the preferred ones least: text in code points and score negated, seconds, bytes of the URL."""
    match keep:
        case "longest":
            number = pc.negate(pc.utf8_length(values).cast(pa.int64()))
        case "shortest_url":
            number = pc.binary_length(values)
        case "earliest":
            number = values.cast(pa.int64())
        case "latest":
            number = pc.negate(values.cast(pa.int64()))
        case "quality":
            number = pc.negate(values.cast(pa.float64()))
    known = pc.fill_null(number.cast(pa.float64()), np.inf).to_numpy(zero_copy_only=False)
    return np.where(np.isnan(known), np.inf, known)
