"""Documents of an artifact by number, and the columns of its shards.

A document's number is `shard << 32 | row`, int64: it says where the document lies, orders documents as they lie, and is
never part of a result.

Reads:  shards of a documents artifact, some columns of it
Cost:   one row group in memory
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.document_reader import read_documents
from pipeline.errors import DataError
from pipeline.stage import InputArtifact
from pipeline.store import Folder

ROW_BITS = 32


def read_shard(
    documents: InputArtifact, shard: int, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of its first document, batch) for each batch of a shard, with `columns` and those of `optional` it has.

    DataError where it lacks one of `columns`.
    """
    name = documents.shards()[shard]
    first = shard << ROW_BITS
    with documents.folder.open_input(name) as file, pq.ParquetFile(file) as parquet:
        present = parquet.schema_arrow.names
        for column in columns:
            if column not in present:
                raise DataError(
                    f"no column {column!r}", where=documents.folder.shown(name),
                    expected=f"one of {', '.join(present)}",
                    mend=f"Put the step that adds {column!r} before this one.",
                )  # fmt: skip
    for batch in read_documents(documents.folder, name, [*columns, *optional]):
        yield first, batch
        first += batch.num_rows


def shard_of(doc_N: np.ndarray) -> np.ndarray:
    return doc_N >> ROW_BITS


def row_of(doc_N: np.ndarray) -> np.ndarray:
    return doc_N & ((1 << ROW_BITS) - 1)


def shard_key(doc_N: np.ndarray, num_shards: int) -> np.ndarray:
    """Exchange keys (uint64) that bring a document's rows to the partition of its shard's number, of `num_shards`.

    An exchange sends key k to partition `(k >> 32) * num_shards >> 32`: the middle of each partition's range is taken.
    """
    top_N = (2 * shard_of(doc_N).astype(np.uint64) + np.uint64(1)) * np.uint64(1 << 31) // np.uint64(num_shards)
    return top_N << np.uint64(32)


def num_documents(documents: InputArtifact) -> int:
    """Rows of all shards, from the manifest."""
    shards = set(documents.shards())
    return sum(entry["rows"] for entry in documents.manifest["files"] if entry["name"] in shards)


def halves(ids: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """High and low uint64 of 16-byte ids without nulls; they order ids as their bytes do."""
    data = np.frombuffer(ids.buffers()[1], ">u8") if len(ids) else np.empty(0, ">u8")
    half_N2 = data[2 * ids.offset : 2 * (ids.offset + len(ids))].astype(np.uint64).reshape(-1, 2)
    return half_N2[:, 0], half_N2[:, 1]


def write_rows(folder: Folder, name: str, batch: pa.RecordBatch) -> None:
    """Write a scratch file of one batch (Arrow IPC)."""
    with folder.open_output(name) as stream, pa.ipc.new_file(stream, batch.schema) as writer:
        writer.write_batch(batch)


def read_rows(folder: Folder, name: str) -> pa.RecordBatch:
    """The batch of a scratch file; memory-mapped where the folder is local."""
    with folder.map_input(name) as file:
        return pa.ipc.open_file(file).get_batch(0)
