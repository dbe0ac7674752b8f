"""A durable partitioned shuffle through the store: rows with equal keys meet in one partition.

Writes: per producing task one Arrow IPC file whose record batches each belong to one partition, and the batch numbers
        of every partition in the task's receipt
Costs:  a producer holds one buffer (32 MiB) of rows; a reader holds one record batch at a time
A row with key k goes to partition (k >> 32) * num_partitions >> 32: the top bits, so keys must be hashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.store import Folder

BUFFER_BYTES = 32 << 20
_UNCOMPRESSED = pa.ipc.IpcWriteOptions(compression=None)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A finished exchange (pipeline.stage.ExchangeReader): `files` are (name, batch numbers by partition)."""

    folder: Folder
    num_partitions: int
    files: Sequence[tuple[str, dict[str, list[int]]]]

    def read(self, partition: int) -> Iterator[pa.RecordBatch]:
        """The partition's batches in the order of the producing items, then in the order they were yielded."""
        for name, batches_of in self.files:
            numbers = batches_of.get(str(partition), [])
            if not numbers:
                continue
            with self.folder.map_input(name) as file:
                reader = pa.ipc.open_file(file)
                for number in numbers:
                    yield reader.get_batch(number)


def partition_of(key_N: np.ndarray, num_partitions: int) -> np.ndarray:
    """int64 partition of each uint64 key; num_partitions below 2**32."""
    return (((key_N >> np.uint64(32)) * np.uint64(num_partitions)) >> np.uint64(32)).astype(np.int64)


def write_partitions(
    folder: Folder, name: str, batches: Iterable[pa.RecordBatch], num_partitions: int
) -> dict[str, Any]:
    """Write what one task produced; returns {"file": name or None, "partitions": {partition: batch numbers}}."""
    iterator = iter(batches)
    first = next(iterator, None)
    if first is None:
        return {"file": None, "partitions": {}}
    partitions: dict[str, list[int]] = {}
    number = 0
    with (
        folder.open_output(name) as stream,
        pa.ipc.new_file(stream, first.schema, options=_UNCOMPRESSED) as writer,
    ):
        for table in _buffered(first, iterator):
            for partition, rows in _split(table, num_partitions):
                for batch in rows.to_batches():
                    writer.write_batch(batch)
                    partitions.setdefault(str(partition), []).append(number)
                    number += 1
    return {"file": name, "partitions": partitions}


def _buffered(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches put together until they fill the buffer, so that each partition's batches are not tiny."""
    pending, size = [first], first.nbytes
    for batch in rest:
        if size >= BUFFER_BYTES:
            yield pa.Table.from_batches(pending)
            pending, size = [], 0
        pending.append(batch)
        size += batch.nbytes
    yield pa.Table.from_batches(pending)


def _split(table: pa.Table, num_partitions: int) -> Iterator[tuple[int, pa.Table]]:
    """Each partition's rows in their order, by one stable sort."""
    part_N = partition_of(table["key"].to_numpy(), num_partitions)
    order_N = np.argsort(part_N, kind="stable")
    ordered = table.take(pa.array(order_N)).combine_chunks()
    bounds = np.searchsorted(part_N[order_N], np.arange(num_partitions + 1))
    for partition in range(num_partitions):
        start, end = int(bounds[partition]), int(bounds[partition + 1])
        if end > start:
            yield partition, ordered.slice(start, end - start)
