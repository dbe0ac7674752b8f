"""Parquet tables, row group by row group.

Reads:  one Parquet file; over https it is copied to a temporary file first, since a table is read from its end
Writes: lists of Rows; a row's share of the file is the size of its text in bytes
Costs:  1 us per row; a batch of about `batch_bytes` of text in memory, whatever the size of the row groups
Source: https://parquet.apache.org/docs/file-format
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError, StoreError, close_match
from pipeline.http_reader import is_http, kind_of_error, shown
from pipeline.remote import open_stream
from pipeline.store import filesystem
from stages.corpus.rows import Columns, Row

_BUFFER_BYTES = 1 << 20  # read from a column at once
_STRINGS = (pa.string(), pa.large_string(), pa.string_view())


@contextlib.contextmanager
def _opened(location: str) -> Iterator[Any]:
    if is_http(location):
        with tempfile.TemporaryFile() as copy, open_stream(location) as stream:
            while block := stream.read(_BUFFER_BYTES):
                copy.write(block)
            copy.seek(0)
            yield copy
        return
    system, path = filesystem(location)
    try:
        file = system.open_input_file(path)
    except OSError as error:
        raise StoreError(kind_of_error(error), where=shown(location), expected="a readable file") from None
    with file:
        yield file


def table_rows(
    location: str, columns: Columns, max_bytes: int, batch_rows: int, batch_bytes: int
) -> Iterator[list[Row]]:
    """A table's rows, a batch at a time; damage ends it with a `damaged_file`. DataError where a column is missing."""
    num_rows = 0
    with _opened(location) as file:
        try:
            table = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES)
            _check_columns(table.schema_arrow, columns, location)
            for group in range(table.num_row_groups):
                size = _rows_per_batch(table.metadata.row_group(group), columns.text, batch_rows, batch_bytes)
                for batch in table.iter_batches(size, [group], columns.named(), use_threads=False):
                    yield batch_rows_of(batch, columns, num_rows, max_bytes)
                    num_rows += len(batch)
        except (pa.ArrowInvalid, OSError) as error:
            yield [Row(num_rows, 0, reason="damaged_file", excerpt=str(error).partition("\n")[0])]


def _check_columns(schema: pa.Schema, columns: Columns, location: str) -> None:
    for name in columns.named():
        if name not in schema.names:
            raise DataError(
                f"no column {name!r}", where=shown(location), expected=f"one of {', '.join(schema.names)}",
                mend=close_match(name, schema.names),
            )  # fmt: skip


def _rows_per_batch(group: Any, text: str, batch_rows: int, batch_bytes: int) -> int:
    """As many rows as hold `batch_bytes` of text on average, at least one, at most `batch_rows`."""
    chunks = [group.column(i) for i in range(group.num_columns)]
    size = sum(c.total_uncompressed_size for c in chunks if c.path_in_schema.partition(".")[0] == text)
    return max(1, min(batch_rows, batch_bytes * max(group.num_rows, 1) // max(size, 1)))


def batch_rows_of(batch: pa.RecordBatch, columns: Columns, first: int, max_bytes: int) -> list[Row]:
    """`first` is the number of the batch's first row in the file."""
    texts, sizes = _texts(batch.column(columns.text))
    others = [
        batch.column(name).to_pylist() if name else [None] * len(batch)
        for name in (columns.url, columns.id, columns.date)
    ]
    rows = zip(texts, sizes, *others, strict=True)
    return [_row(first + i, *values, max_bytes=max_bytes) for i, values in enumerate(rows)]


def _texts(column: pa.Array) -> tuple[list[str | bytes | None], list[int]]:
    """Text per row (bytes where they are not UTF-8, None where there is no text) and its size in bytes."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type in (pa.binary(), pa.large_binary()) or column.type in _STRINGS:
        raw = column.cast(pa.large_binary())
        sizes = pc.binary_length(raw).fill_null(0).to_pylist()
        try:
            return raw.cast(pa.large_string()).to_pylist(), sizes
        except pa.ArrowInvalid:
            return [_decoded(value) for value in raw.to_pylist()], sizes
    return [None] * len(column), [0] * len(column)


def _decoded(raw: bytes | None) -> str | bytes | None:
    try:
        return raw if raw is None else raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw


def _row(
    place: int, text: str | bytes | None, size: int, url: object, given: object, date: object, *, max_bytes: int
) -> Row:
    reason, excerpt = "", ""
    if text is None:
        reason = "no_text"
    elif isinstance(text, bytes):
        reason, excerpt = "invalid_utf8", text[:200].decode("utf-8", "replace")
    elif not text:
        reason = "empty_text"
    elif size > max_bytes:
        return Row(place, size, "", url, given, date, "document_too_large", size, max_bytes, text[:200])
    return Row(place, size, text if isinstance(text, str) else "", url, given, date, reason, excerpt=excerpt)
