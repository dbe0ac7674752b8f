"""Packed token shards, memory-mapped, in an order that one integer describes.

Reads:  Arrow IPC streams of pipeline.schemas.tokens_schema
Writes: batches: ids, segments, positions and loss starts as int64 tensors
Cost:   the rows of one batch in memory; the shards stay on disk, mapped
Source: the order is a Feistel permutation (Luby and Rackoff 1988) of the row numbers, with splitmix64 (Steele et al.
        2014) as its round function, walked until it lands inside the range (Black and Rogaway 2002)

Row number `index` of epoch `epoch` under `seed` is a pure function of the three: no permutation is stored, none has to
be replayed on resume, and ranks agree without talking. A run's position is the number of rows all ranks have consumed.
Shapes: B rows, T positions, N any number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.errors import DataError, StoreError
from pipeline.schemas import tokens_schema
from pretrain import contract
from pretrain.draws import splitmix64

NUM_ROUNDS = 6  # four make it a strong permutation; six mix small ranges well too


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Int64 tensors [B, T]. Padding forms a segment of its own, whose loss start is T: nothing in it is trained on."""

    ids_BT: Tensor
    segment_BT: Tensor
    position_BT: Tensor
    loss_start_BT: Tensor


@dataclass(frozen=True, kw_only=True)
class Block:
    """One record batch of a shard as views into the mapped file. Row r's segments are offsets[r]:offsets[r + 1]."""

    ids_NT: np.ndarray
    offsets: np.ndarray
    segment_starts: np.ndarray
    loss_starts: np.ndarray
    num_real_N: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows of some shards, in the shards' order. `first_rows` holds the number of each block's first row."""

    blocks: tuple[Block, ...]
    first_rows: np.ndarray
    num_rows: int
    length: int
    vocab_size: int


def open_rows(paths: Sequence[str], tokens: Mapping[str, Any]) -> Rows:
    """Map the shards at local `paths`. DataError where one is not what `tokens`, its artifact's contract, promises."""
    blocks = tuple(block for path in paths for block in _map_shard(path, tokens))
    sizes = [len(b.num_real_N) for b in blocks]
    first_rows = np.concatenate([[0], np.cumsum(sizes)])[: len(sizes)].astype(np.int64)
    return Rows(
        blocks=blocks, first_rows=first_rows, num_rows=sum(sizes), length=tokens["length"],
        vocab_size=tokens["vocab_size"],
    )  # fmt: skip


def _map_shard(path: str, tokens: Mapping[str, Any]) -> list[Block]:
    try:
        with pa.memory_map(path) as file, pa.ipc.open_stream(file) as reader:
            schema, batches = reader.schema, list(reader)
    except OSError as error:
        raise StoreError(str(error), where=path, expected="a readable Arrow IPC stream") from error
    except pa.ArrowInvalid as error:
        raise DataError(str(error), where=path, expected="an Arrow IPC stream") from error
    contract.check_shard(path, schema, tokens)
    length, vocab_size = tokens["length"], tokens["vocab_size"]
    promised = tokens_schema(length, vocab_size)
    if not schema.equals(promised):
        different = [f.name for f in promised if f.name not in schema.names or not schema.field(f.name).equals(f)]
        raise DataError(
            f"columns {', '.join(different) or schema.names} differ from the tokens schema", where=path,
            expected=f"rows of {length} tokens of a vocabulary of {vocab_size}", mend="Pack the shards again.",
        )  # fmt: skip
    return [_block(batch, length) for batch in batches if batch.num_rows]


def _block(batch: pa.RecordBatch, length: int) -> Block:
    starts, loss_starts = batch.column("segment_starts"), batch.column("loss_starts")
    return Block(
        ids_NT=batch.column("input_ids").flatten().to_numpy(zero_copy_only=True).reshape(-1, length),
        offsets=starts.offsets.to_numpy(zero_copy_only=True),
        segment_starts=starts.values.to_numpy(zero_copy_only=True),
        loss_starts=loss_starts.values.to_numpy(zero_copy_only=True),
        num_real_N=batch.column("num_real").to_numpy(zero_copy_only=True),
    )


def read_batch(rows: Rows, row_N: np.ndarray) -> Batch:
    """The rows with these numbers. DataError where a row does not hold what its schema says."""
    shape = (4, len(row_N), rows.length)
    planes = np.empty(shape, np.int64)
    for place, row in enumerate(row_N):
        _fill_row(rows, int(row), planes[:, place])
    if len(row_N) and planes[0].max() >= rows.vocab_size:
        raise DataError(
            f"token id {planes[0].max()} in a row", expected=f"ids below the vocabulary size {rows.vocab_size}",
            mend="Pack the shards again with this vocabulary.",
        )  # fmt: skip
    ids_BT, segment_BT, position_BT, loss_start_BT = torch.from_numpy(planes)
    return Batch(ids_BT=ids_BT, segment_BT=segment_BT, position_BT=position_BT, loss_start_BT=loss_start_BT)


def _fill_row(rows: Rows, row: int, plane_4T: np.ndarray) -> None:
    which = int(np.searchsorted(rows.first_rows, row, side="right")) - 1
    block, r = rows.blocks[which], row - int(rows.first_rows[which])
    segments = slice(int(block.offsets[r]), int(block.offsets[r + 1]))
    num_real = int(block.num_real_N[r])
    starts = np.append(block.segment_starts[segments], num_real).astype(np.int64)
    loss_starts = np.append(block.loss_starts[segments], rows.length).astype(np.int64)
    if starts[0] != 0 or num_real > rows.length or len(starts) != len(loss_starts) or (np.diff(starts) <= 0).any():
        raise DataError(
            f"row {row} has segments at {starts[:-1].tolist()} and {num_real} tokens",
            expected=f"rising starts from 0, and at most {rows.length} tokens", mend="Pack the shards again.",
        )  # fmt: skip
    place_T = np.arange(rows.length)
    segment_T = np.searchsorted(starts, place_T, side="right") - 1
    plane_4T[0] = block.ids_NT[r]
    plane_4T[1] = segment_T
    plane_4T[2] = place_T - starts[segment_T]
    plane_4T[3] = loss_starts[segment_T]


def rows_at(position: int, count: int, num_rows: int, seed: int) -> np.ndarray:
    """Row numbers int64 [count] of the endless stream of epochs, from `position` (rows consumed so far) on."""
    place = np.arange(position, position + count, dtype=np.int64)
    epoch_N, index_N = place // num_rows, place % num_rows
    row_N = np.empty(count, np.int64)
    for epoch in np.unique(epoch_N):
        here = epoch_N == epoch
        row_N[here] = permuted(index_N[here], num_rows, seed, int(epoch))
    return row_N


def rank_rows(position: int, batch_rows: int, rank: int, world_size: int, num_rows: int, seed: int) -> np.ndarray:
    """A rank's share of the batch that starts at `position`: the rank-th of world_size equal runs."""
    share = batch_rows // world_size
    return rows_at(position + rank * share, share, num_rows, seed)


def permuted(index_N: np.ndarray, num_rows: int, seed: int, epoch: int) -> np.ndarray:
    """Where a pseudo-random permutation of range(num_rows), chosen by (seed, epoch), sends each index; int64 [N]."""
    half_bits = np.uint64(max(1, ((num_rows - 1).bit_length() + 1) // 2))
    keys = _round_keys(seed, epoch)
    row_N = _feistel(index_N.astype(np.uint64), half_bits, keys)
    while (outside := row_N >= num_rows).any():
        row_N[outside] = _feistel(row_N[outside], half_bits, keys)
    return row_N.astype(np.int64)


def _round_keys(seed: int, epoch: int) -> np.ndarray:
    words = np.array([seed, epoch], np.uint64)
    start = splitmix64(splitmix64(words[:1]) ^ words[1:])
    return splitmix64(start + np.arange(NUM_ROUNDS, dtype=np.uint64))


def _feistel(value_N: np.ndarray, half_bits: np.uint64, keys: np.ndarray) -> np.ndarray:
    low_mask = (np.uint64(1) << half_bits) - np.uint64(1)
    high, low = value_N >> half_bits, value_N & low_mask
    for key in keys:
        high, low = low, high ^ (splitmix64(low ^ key) & low_mask)
    return (high << half_bits) | low
