"""A durable partitioned shuffle through the store: rows with equal keys meet in one partition.

Writes: per producing task one run file for each full buffer: num_partitions + 1 offsets (uint64), then partition after
        partition an Arrow IPC record batch message, none for a partition without rows
Costs:  a producer holds one buffer (64 MiB of rows) and its serialised copy; a reader holds one record batch at a time
        and makes one read of 16 bytes and one of the rows per run, so that no index of all partitions is ever in one
        place
A row with key k goes to partition (k >> 32) * num_partitions >> 32: the top bits, so keys must be hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.store import Folder

BUFFER_BYTES = 64 << 20
_ALIGNMENT = 64  # of messages in a run file, so that a mapped batch is read in place
_OFFSET_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A finished exchange (pipeline.stage.ExchangeReader): producer i wrote `num_runs[i]` run files."""

    folder: Folder
    name: str
    num_partitions: int
    num_runs: Sequence[int]
    schema: pa.Schema | None

    def read(self, partition: int) -> Iterator[pa.RecordBatch]:
        """The partition's batches in the order of the producing items, then in the order they were yielded."""
        for producer, count in enumerate(self.num_runs):
            for run in range(count):
                with self.folder.map_input(run_name(self.name, producer, run)) as file:
                    file.seek(_OFFSET_BYTES * partition)
                    start, end = np.frombuffer(file.read(2 * _OFFSET_BYTES), np.uint64).tolist()
                    if end > start:
                        file.seek(start)
                        yield pa.ipc.read_record_batch(file.read_buffer(end - start), self.schema)


def run_name(exchange: str, producer: int, run: int) -> str:
    return f"{exchange}/{producer:05d}-{run:03d}.run"


def partition_of(key_N: np.ndarray, num_partitions: int) -> np.ndarray:
    """int64 partition of each uint64 key; num_partitions below 2**32."""
    return (((key_N >> np.uint64(32)) * np.uint64(num_partitions)) >> np.uint64(32)).astype(np.int64)


def write_partitions(
    folder: Folder, name: str, producer: int, batches: Iterable[pa.RecordBatch], num_partitions: int
) -> dict[str, Any]:
    """Write what one task produced; returns {"runs": how many files, "schema": the rows' schema in hexadecimal}."""
    runs, schema = 0, ""
    for table in _buffered(iter(batches)):
        schema = schema or table.schema.serialize().to_pybytes().hex()
        _write_run(folder, run_name(name, producer, runs), table, num_partitions)
        runs += 1
    return {"runs": runs, "schema": schema}


def opened(folder: Folder, name: str, num_partitions: int, produced: Sequence[dict[str, Any]]) -> Exchange:
    """The exchange of which every producer's `write_partitions` returned one of `produced`."""
    schemas = {p["schema"] for p in produced if p["schema"]}
    assert len(schemas) <= 1, f"{name}: producers yield different columns"
    schema = pa.ipc.read_schema(pa.py_buffer(bytes.fromhex(schemas.pop()))) if schemas else None
    return Exchange(
        folder=folder, name=name, num_partitions=num_partitions, num_runs=tuple(p["runs"] for p in produced),
        schema=schema,
    )  # fmt: skip


def _buffered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together until they fill the buffer, so that each partition's batches are not tiny."""
    pending: list[pa.RecordBatch] = []
    size = 0
    for batch in batches:
        if batch.num_rows:
            pending.append(batch)
            size += batch.nbytes
        if size >= BUFFER_BYTES:
            yield pa.Table.from_batches(pending)
            pending, size = [], 0
    if pending:
        yield pa.Table.from_batches(pending)


def _write_run(folder: Folder, name: str, table: pa.Table, num_partitions: int) -> None:
    """Every partition's rows in their order, by one stable sort."""
    part_N = partition_of(table["key"].to_numpy(), num_partitions)
    if (part_N[1:] < part_N[:-1]).any():
        # NumPy sorts 16-bit numbers by radix, several times as fast.
        order_N = np.argsort(part_N.astype(np.uint16) if num_partitions <= 1 << 16 else part_N, kind="stable")
        table = table.take(pa.array(order_N))
    [ordered] = table.combine_chunks().to_batches()
    bounds = np.append(0, np.cumsum(np.bincount(part_N, minlength=num_partitions)))
    messages = [
        ordered.slice(start, end - start).serialize() if end > start else None
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    sizes = [_aligned(message.size) if message is not None else 0 for message in messages]
    header_bytes = _aligned(_OFFSET_BYTES * (num_partitions + 1))
    offsets = (header_bytes + np.append(0, np.cumsum(sizes))).astype(np.uint64)
    with folder.open_output(name) as stream:
        stream.write(offsets.tobytes().ljust(header_bytes, b"\0"))
        for message, size in zip(messages, sizes, strict=True):
            if message is not None:
                stream.write(message)
                stream.write(bytes(size - message.size))


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
