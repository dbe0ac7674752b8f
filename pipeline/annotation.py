"""`annotate: true`: what a filter measures as columns beside the documents, all of which are kept.

Reads:  a batch, and the Verdict of a narrow stage that declares its measures
Writes: `{step}_{measure}`, float64, null where it was not measured; `{step}_reason`, string, null where the step would
        keep the document; the columns the stage adds
Cost:   8 bytes a value, before compression

What the stage would rewrite (C4's text) or take away stays as it came: an annotated document is the document as it
came, so that whatever is measured behind it and decided later was measured on one and the same text.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.errors import RunError
from pipeline.ledger import nullable
from pipeline.stage import Columns, Drops, Verdict

REASON = "reason"


def column(step: str, name: str) -> str:
    """The column a step writes for a measure, or for REASON."""
    return f"{step}_{name}"


def annotation_columns(step: str, measures: Sequence[str]) -> Columns:
    """The columns an annotating step writes beside those its stage adds, in their order."""
    values = {column(step, name): pa.float64() for name in measures}
    return {**values, column(step, REASON): pa.string()}


def check_measures(step: str, declared: Sequence[str], verdict: Verdict) -> None:
    """RunError where a verdict measures something else than its stage declares."""
    if verdict.measures.keys() != set(declared):
        raise RunError(
            f"measured {sorted(verdict.measures)}", where=f"step {step}", expected=f"{sorted(declared)}, as declared",
            mend="This is a fault in the stage; please report it.",
        )  # fmt: skip


def annotated(step: str, batch: pa.RecordBatch, verdict: Verdict, measures: Sequence[str]) -> pa.RecordBatch:
    """The batch with what the verdict says of every row beside it."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays |= {name: array for name, array in verdict.columns.items() if name not in arrays}
    arrays |= {column(step, name): nullable(verdict.measures[name].value_N) for name in measures}
    arrays[column(step, REASON)] = _reasons(verdict.drops, batch.num_rows)
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))


def _reasons(drops: Drops | None, num_rows: int) -> pa.Array:
    if drops is None:
        return pa.nulls(num_rows, pa.string())
    codes = pa.array(drops.code_N, pa.int16(), mask=drops.code_N < 0)
    return pa.array(drops.reasons, pa.string()).take(codes)
