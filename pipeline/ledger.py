"""The ledger: one row for every document a step dropped, with the reason, the measured value and the threshold.

Writes: DROPPED batches; the excerpt is the first 200 characters of the text.
Costs:  about 100 bytes a row, compressed
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.schemas import DROPPED, EXCERPT_CHARS, ID
from pipeline.stage import DroppedRecord, Drops


def excerpts(batch: pa.RecordBatch) -> pa.Array:
    """The first characters of each row's text; empty where it has none yet."""
    if "text" not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string()).fill_null("")
    text = batch["text"].fill_null("")
    return pc.utf8_slice_codeunits(text, 0, EXCERPT_CHARS).cast(pa.string())


def nullable(values: np.ndarray) -> pa.Array:
    """float64 with NaN (not measured) as null."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def rows_of_batch(step: str, batch: pa.RecordBatch, drops: Drops) -> pa.RecordBatch:
    """Ledger rows for the rows of `batch` that `drops` drops, in row order."""
    dropped_D = np.flatnonzero(drops.code_N >= 0)
    taken = batch.take(pa.array(dropped_D))
    reasons = pa.DictionaryArray.from_arrays(
        pa.array(drops.code_N[dropped_D], pa.int16()), pa.array(drops.reasons)
    ).cast(pa.string())
    none = pa.nulls(len(dropped_D), ID)
    columns = {
        **{name: taken[name] for name in ("id", "url", "warc_path", "warc_offset")},
        "step": pa.array([step] * len(dropped_D), pa.string()),
        "reason": reasons,
        "value": nullable(drops.value_N[dropped_D]),
        "threshold": nullable(drops.threshold_N[dropped_D]),
        "excerpt": excerpts(taken),
        "duplicate_of": none if drops.duplicate_of is None else drops.duplicate_of.take(pa.array(dropped_D)),
    }
    return pa.RecordBatch.from_arrays([columns[f.name] for f in DROPPED], schema=DROPPED)


def rows_of_records(step: str, records: Sequence[DroppedRecord]) -> pa.RecordBatch:
    """Ledger rows for records a source did not emit."""
    rows = [
        {
            "id": r.id, "url": r.url, "warc_path": r.warc_path, "warc_offset": r.warc_offset, "step": step,
            "reason": r.reason, "value": r.value, "threshold": r.threshold, "excerpt": r.excerpt[:EXCERPT_CHARS],
            "duplicate_of": None,
        }
        for r in records
    ]  # fmt: skip
    return pa.RecordBatch.from_pylist(rows, schema=DROPPED)
