"""A documents shard and its ledger, written row group by row group.

Writes: shards/NNNNN.parquet and, where anything was dropped, dropped/NNNNN.parquet; they appear when the block ends
Costs:  one row group in memory (32 MiB of text and one batch more)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifact import file_entry
from pipeline.report import content_bytes
from pipeline.schemas import DROPPED
from pipeline.store import Folder

ROW_GROUP_BYTES = 32 << 20
ROW_GROUP_ROWS = 1 << 16
LEDGER_ROWS = 1 << 14
_PARQUET = {"compression": "zstd", "compression_level": 1, "use_dictionary": ["language", "warc_path", "content_type"]}


class ShardWriter:
    """Collects the documents a shard keeps and the ledger rows of those it drops."""

    def __init__(self, folder: Folder, index: int, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._documents_name, self._ledger_name = f"shards/{index:05d}.parquet", f"dropped/{index:05d}.parquet"
        self._num_documents = self._num_dropped = 0
        self._pending: list[pa.RecordBatch] = []
        self._pending_ledger: list[pa.RecordBatch] = []
        self._pending_bytes = self._pending_rows = self._pending_ledger_rows = 0
        self._stack = contextlib.ExitStack()
        self._ledger: pq.ParquetWriter | None = None

    def __enter__(self) -> ShardWriter:
        self._documents = self._open(self._documents_name, self._schema, _PARQUET)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._flush()
            self._flush_ledger()
        self._stack.__exit__(kind, error, tb)

    def _open(self, name: str, schema: pa.Schema, options: Mapping[str, Any]) -> pq.ParquetWriter:
        stream = self._stack.enter_context(self._folder.open_output(name))
        return self._stack.enter_context(pq.ParquetWriter(stream, schema, **options))

    def write(self, batch: pa.RecordBatch) -> None:
        """Add kept documents; their columns are put into the schema's order."""
        batch = batch.select(self._schema.names).cast(self._schema)
        self._pending.append(batch)
        self._pending_rows += batch.num_rows
        self._pending_bytes += content_bytes(batch)
        self._num_documents += batch.num_rows
        if self._pending_bytes >= ROW_GROUP_BYTES or self._pending_rows >= ROW_GROUP_ROWS:
            self._flush()

    def drop(self, rows: pa.RecordBatch) -> None:
        """Add ledger rows."""
        self._pending_ledger.append(rows)
        self._pending_ledger_rows += rows.num_rows
        self._num_dropped += rows.num_rows
        if self._pending_ledger_rows >= LEDGER_ROWS:
            self._flush_ledger()

    def _flush(self) -> None:
        if self._pending:
            self._documents.write_table(pa.Table.from_batches(self._pending), row_group_size=ROW_GROUP_ROWS)
        self._pending, self._pending_bytes, self._pending_rows = [], 0, 0

    def _flush_ledger(self) -> None:
        if self._pending_ledger:
            if self._ledger is None:
                self._ledger = self._open(self._ledger_name, DROPPED, {"compression": "zstd"})
            self._ledger.write_table(pa.Table.from_batches(self._pending_ledger))
        self._pending_ledger, self._pending_ledger_rows = [], 0

    def files(self) -> list[dict[str, Any]]:
        """Manifest entries of what was written; valid after the block has ended."""
        entries = [file_entry(self._folder, self._documents_name, self._num_documents)]
        if self._num_dropped:
            entries.append(file_entry(self._folder, self._ledger_name, self._num_dropped))
        return entries
