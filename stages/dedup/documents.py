"""Documents of an artifact by number, and the columns of its shards.

A document's number is `shard << 32 | row`, int64: it says where the document lies, orders documents as they lie, and is
never part of a result.

Reads:  shards of a documents artifact, some columns of it
Cost:   one row group in memory
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.document_reader import read_documents
from pipeline.errors import DataError
from pipeline.stage import InputArtifact
from pipeline.store import Folder

if TYPE_CHECKING:
    from stages.dedup.corpus import Part

ROW_BITS = 32


def read_parts(
    parts: Sequence[Part], columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(number of its first document, batch) for each batch of the parts, with `columns` and those of `optional` there.

    The batches have as few rows as a narrow step's, so texts may be read. DataError where a part lacks a column.
    """
    for part in parts:
        _check_columns(part, columns)
        first = part.number << ROW_BITS
        for batch in read_documents(part.folder, part.name, [*columns, *optional]):
            yield first, batch
            first += batch.num_rows


def _check_columns(part: Part, columns: Sequence[str]) -> None:
    with part.folder.open_input(part.name) as file, pq.ParquetFile(file) as parquet:
        present = parquet.schema_arrow.names
    for column in columns:
        if column not in present:
            raise DataError(
                f"no column {column!r}", where=part.folder.shown(part.name), expected=f"one of {', '.join(present)}",
                mend=f"Put the step that adds {column!r} before this one.",
            )  # fmt: skip


def shard_of(doc_N: np.ndarray) -> np.ndarray:
    return doc_N >> ROW_BITS


def row_of(doc_N: np.ndarray) -> np.ndarray:
    return doc_N & ((1 << ROW_BITS) - 1)


def num_documents(documents: InputArtifact) -> int:
    """Rows of all shards, from the manifest."""
    return _sum(documents, "rows")


def num_bytes(documents: InputArtifact) -> int:
    """Bytes of all shards, from the manifest."""
    return _sum(documents, "bytes")


def _sum(documents: InputArtifact, figure: str) -> int:
    shards = set(documents.shards())
    return sum(entry[figure] for entry in documents.manifest["files"] if entry["name"] in shards)


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
