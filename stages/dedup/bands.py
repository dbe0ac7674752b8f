"""LSH: documents with an equal band are paired with the preferred one of them.

Reads:  `signature` and the columns of the survivor policy
Writes: scratch `order/NNNNN.arrow` per shard (ORDER rows); BAND rows; PAIR rows
Cost:   bands: 40 bytes per document and band through the exchange. candidates: one partition in memory, about 100 bytes
        per row at the peak; a group of any size gives one pair less than it has members
Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import JSON, ExchangeReader, InputArtifact, TaskContext
from pipeline.store import Folder
from stages.dedup.documents import read_rows, read_shard, shard_key, write_rows
from stages.dedup.survivors import COUNT, ORDER, Keep, columns_of, order_rows, preference

BAND = pa.schema([("key", pa.uint64()), ("doc", pa.int64()), ("rank", pa.float64()), ("id", ID)])
PAIR = pa.schema([("key", pa.uint64()), ("member", pa.int64()), ("preferred", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Banding:
    """What the tasks are given: the documents and how their signatures are cut into bands."""

    documents: InputArtifact
    num_bands: int
    rows_per_band: int
    keep: Keep


def order_name(shard: int) -> str:
    return f"order/{shard:05d}.arrow"


def write_order(banding: Banding, shard: int, task: TaskContext) -> JSON:
    """Write the shard's ORDER rows, by row; returns how many documents have no signature."""
    batches, unsigned = [], 0
    columns = ("signature", *columns_of(banding.keep))
    for _, batch in read_shard(banding.documents, shard, columns, (COUNT,)):
        batches.append(order_rows(batch, banding.keep))
        unsigned += batch["signature"].null_count
    table = pa.Table.from_batches(batches, ORDER).combine_chunks()
    write_rows(task.work, order_name(shard), (table.to_batches() or [pa.RecordBatch.from_pylist([], ORDER)])[0])
    return unsigned


def band_rows(banding: Banding, shard: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """BAND rows of a shard: num_bands for each document that has a signature."""
    from stages.kernels import minhash

    order = read_rows(task.work, order_name(shard))
    at = 0
    for first, batch in read_shard(banding.documents, shard, ("signature",)):
        column = batch["signature"]
        _check_width(column, banding)
        signed_S = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        keys_SB = minhash.band_keys(rows_of(column.take(pa.array(signed_S))), banding.num_bands)
        doc_S = np.repeat(first + signed_S, banding.num_bands)
        own = order.take(pa.array(np.repeat(at + signed_S, banding.num_bands)))
        yield pa.RecordBatch.from_arrays(
            [pa.array(keys_SB.reshape(-1)), pa.array(doc_S), own["rank"], own["id"]], schema=BAND
        )
        at += batch.num_rows


def rows_of(signatures: pa.FixedSizeListArray) -> np.ndarray:
    """uint32[N, K] of signatures without nulls."""
    return signatures.flatten().to_numpy().reshape(len(signatures), signatures.type.list_size)


def _check_width(column: pa.FixedSizeListArray, banding: Banding) -> None:
    num_rows = banding.num_bands * banding.rows_per_band
    if not pa.types.is_fixed_size_list(column.type) or column.type.list_size != num_rows:
        raise DataError(
            f"signatures of type {column.type}", where=f"column `signature` of step {banding.documents.step}",
            expected=f"{banding.num_bands} bands of {banding.rows_per_band} rows, {num_rows} in all",
            mend="Give num_bands and rows_per_band the values the signatures step has.",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """What the candidate tasks are given."""

    bands: ExchangeReader
    num_shards: int


def candidate_pairs(pairing: Pairing, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PAIR rows (member, preferred) of a partition's bands, addressed to the member's shard."""
    from stages.kernels.union_find import groups, star_pairs

    batches = pa.Table.from_batches(pairing.bands.read(partition), BAND).combine_chunks().to_batches()
    for batch in batches:  # one, or none
        doc_R = batch["doc"].to_numpy()
        grouped = groups((batch["key"].to_numpy(),), preference(batch, doc_R).columns())
        member_P, preferred_P = (doc_R[rows] for rows in star_pairs(grouped))
        key_P = shard_key(member_P, pairing.num_shards)
        yield pa.RecordBatch.from_arrays([pa.array(key_P), pa.array(member_P), pa.array(preferred_P)], schema=PAIR)


def read_order(work: Folder, shard: int, row_N: np.ndarray) -> pa.RecordBatch:
    """ORDER rows of some rows of a shard."""
    return read_rows(work, order_name(shard)).take(pa.array(row_N))
