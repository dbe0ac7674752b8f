"""One shard of packed rows: cuts documents, lays their segments out window by window, writes an Arrow IPC stream.

Writes: pipeline.schemas.tokens_schema, uncompressed, so that a reader maps it and copies nothing
Costs:  for best fit a window of 16.8 million tokens and its rows, 70 MB at two bytes a token, 140 MB at four; for rows
        in the order of the documents an eighth of that
Source: best-fit decreasing over bounded windows: a row is never filled from two windows. At 512 tokens a row, a window
        is over 32,000 rows, and the partly filled ones at its end are few

Windows end where the next segment does not fit, so they depend on the segments and not on the batches they came in.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.schemas import ID
from pipeline.store import Folder
from stages.kernels import packing
from stages.packing.modes import Mode, Window

BATCH_ROWS = 4096  # of a record batch in the file: 4 MiB at 512 tokens of two bytes


class TokenShard:
    """Use as a context manager; the file appears when the block ends well, and only if there was a row.

    `counts`, valid after the block: rows, tokens that are no padding, prediction targets, and the sum over the targets
    of the number of tokens before them in their segment, all taken from the rows as written; and the documents that
    were cut into pieces.
    """

    def __init__(self, folder: Folder, name: str, schema: pa.Schema, pad_id: int, mode: Mode) -> None:
        id_type = schema.field("input_ids").type
        self._folder, self._name, self._schema, self._pad_id, self._mode = folder, name, schema, pad_id, mode
        self._length = id_type.list_size
        self._pool_P = np.empty(mode.window_tokens, id_type.value_type.to_pandas_dtype())
        self._stack = contextlib.ExitStack()
        self._writer: Any = None
        self.counts = {"rows": 0, "real_tokens": 0, "targets": 0, "context_sum": 0, "documents_cut": 0}
        self._clear()

    def _clear(self) -> None:
        self._used = self._num_segments = 0
        self._parts: list[tuple[np.ndarray, ...]] = []  # per call of add: document id, offset, length, context

    def __enter__(self) -> TokenShard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self._flush()
        self._stack.__exit__(kind, error, tb)

    def add(
        self, documents: np.ndarray, ids_T: np.ndarray, offset_D: np.ndarray, id_D16: np.ndarray, delimiter: int
    ) -> None:
        """Add those documents (int64 indices d, rising) whose tokens are ids_T[offset_D[d]:offset_D[d + 1]] and whose
        ids are id_D16."""
        segments = self._mode.cut(documents, np.diff(offset_D))
        self.counts["documents_cut"] += len(np.unique(segments.document_S[segments.offset_S > 0]))
        first = 0
        while first < len(segments.length_S):
            space = min(len(segments.length_S), first + self._mode.window_segments - self._num_segments)
            ends = np.cumsum(segments.length_S[first:space]) + self._used
            last = first + int(np.searchsorted(ends, len(self._pool_P), side="right"))
            if last == first:
                assert self._used, "a window holds more than one segment"
                self._flush()
                continue
            document_S, offset_S, length_S, context_S = (column[first:last] for column in segments)
            self._used = packing.copy_segments(
                ids_T, offset_D, document_S, offset_S, length_S, delimiter, self._pool_P, self._used
            )
            self._parts.append((id_D16[document_S], offset_S, length_S, context_S))
            self._num_segments += last - first
            first = last

    def _flush(self) -> None:
        if not self._parts:
            return
        id_S16, offset_S, length_S, context_S = (np.concatenate(c) for c in zip(*self._parts, strict=True))
        window = Window(self._pool_P, id_S16, offset_S, length_S, context_S)
        rows = self._mode.lay_out(window, self._length, self._pad_id)
        self._count(rows, length_S[rows.order_S])
        self._write(self._record_batch(rows, id_S16[rows.order_S], offset_S[rows.order_S]))
        self._clear()

    def _count(self, rows: packing.Rows, length_S: np.ndarray) -> None:
        context_S = rows.loss_start_S.astype(np.int64) - rows.start_S
        target_S = length_S - context_S
        self.counts["rows"] += len(rows.ids_RL)
        self.counts["real_tokens"] += int(rows.num_real_R.sum(dtype=np.int64))
        self.counts["targets"] += int(target_S.sum())
        self.counts["context_sum"] += int(((context_S + length_S - 1) * target_S // 2).sum())

    def _record_batch(self, rows: packing.Rows, id_S16: np.ndarray, offset_S: np.ndarray) -> pa.RecordBatch:
        first = pa.array(rows.first_R)

        def lists(values: pa.Array) -> pa.ListArray:
            return pa.ListArray.from_arrays(first, values)

        columns = [
            pa.FixedSizeListArray.from_arrays(pa.array(rows.ids_RL.reshape(-1)), self._length),
            lists(pa.array(rows.start_S)),
            lists(pa.Array.from_buffers(ID, len(id_S16), [None, pa.py_buffer(np.ascontiguousarray(id_S16))])),
            lists(pa.array(offset_S.astype(np.uint64))),
            lists(pa.array(rows.loss_start_S)),
            pa.array(rows.num_real_R),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema)

    def _write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            stream = self._stack.enter_context(self._folder.open_output(self._name))
            self._writer = self._stack.enter_context(pa.ipc.new_stream(stream, self._schema))
        for first in range(0, batch.num_rows, BATCH_ROWS):
            self._writer.write_batch(batch.slice(first, BATCH_ROWS))
