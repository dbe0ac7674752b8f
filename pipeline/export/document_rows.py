"""Documents of a shard as an export shows them: ids in hexadecimal, text first, and each document as JSON.

Reads:  Parquet shards of a documents artifact
Writes: record batches, and JSON objects, one per row
Cost:   one batch; JSON is made by Python's C encoder, a document at a time
Source: RFC 8259; NaN and infinities, which JSON has not, become null
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.document_reader import read_documents
from pipeline.errors import DataError
from pipeline.export.source import Shard, Source
from pipeline.schemas import ID
from pipeline.store import Folder

_FIRST = ("text", "id", "url", "date")  # in this order; then what later stages added, in the artifact's
_HEX_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
# Characters that Python's `splitlines` and JavaScript take for the end of a line, though JSON does not.
_LINE_ENDS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def read_rows(source: Source, shard: Shard) -> Iterator[pa.RecordBatch]:
    """The shard's documents; of every shard, an empty one too, at least a batch without rows, which has the columns."""
    yield _shown(_empty(source.folder, shard.name), source, shard)
    for batch in read_documents(source.folder, shard.name):
        yield _shown(batch, source, shard)


def _empty(folder: Folder, name: str) -> pa.RecordBatch:
    import pyarrow.parquet as pq

    with folder.open_input(name) as file:
        return pa.RecordBatch.from_pylist([], schema=pq.read_schema(file).remove_metadata())


def left_out(source: Source) -> list[str]:
    """Columns of bytes, which text formats cannot hold."""
    if not source.shards:
        return []
    schema = _empty(source.folder, source.shards[0].name).schema
    return [field.name for field in schema if _is_bytes(field.type)]


def _is_bytes(type_: pa.DataType) -> bool:
    return (pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_)) and (
        type_ != ID
    )


def _shown(batch: pa.RecordBatch, source: Source, shard: Shard) -> pa.RecordBatch:
    names = batch.schema.names
    for name in ("id", "text"):
        if name not in names:
            raise DataError(
                f"no column {name!r} in {source.title()}", where=source.folder.shown(shard.name),
                expected="documents whose text was extracted", mend="Choose a later step with --step.",
            )  # fmt: skip
    order = [n for n in _FIRST if n in names] + [n for n in names if n not in _FIRST]
    columns = {name: batch.column(name) for name in order if not _is_bytes(batch.column(name).type)}
    return pa.RecordBatch.from_pydict({n: hexadecimal(c) if c.type == ID else c for n, c in columns.items()})


def hexadecimal(ids: pa.Array) -> pa.Array:
    """Ids of 16 bytes as 32 digits; null stays null."""
    given = ids if not ids.offset else pa.concat_arrays([ids])
    bytes_N = np.frombuffer(given.buffers()[1], np.uint8, 16 * len(given))
    digits = np.empty((len(bytes_N), 2), np.uint8)
    digits[:, 0], digits[:, 1] = _HEX_DIGITS[bytes_N >> 4], _HEX_DIGITS[bytes_N & 15]
    offsets = np.arange(0, 32 * len(given) + 1, 32, dtype=np.int64)
    text = pa.LargeStringArray.from_buffers(len(given), pa.py_buffer(offsets), pa.py_buffer(digits))
    return pc.if_else(given.is_valid(), text, None) if given.null_count else text


def json_objects(batch: pa.RecordBatch) -> list[str]:
    """Each row as a JSON object on one line, whatever takes what for the end of a line."""
    columns = [_jsonable(column) for column in batch.columns]
    return [_one_line(row) for row in pa.RecordBatch.from_arrays(columns, batch.schema.names).to_pylist()]


def _jsonable(column: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column.cast(pa.timestamp("s"), safe=False), "%Y-%m-%dT%H:%M:%SZ")
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_finite(column), column, None)
    return column


def _one_line(row: dict[str, Any]) -> str:
    try:
        line = _encode(row)
    except ValueError:  # NaN within a list
        line = _encode(_finite(row))
    if not line.isascii():
        for character, escaped in _LINE_ENDS.items():
            line = line.replace(character, escaped)
    return line


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
