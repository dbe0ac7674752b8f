"""Drop documents by columns they have: what an earlier step measured, annotated or scored.

Reads:  the columns named by `limits` and `reasons`
Writes: nothing; drops documents
Cost:   a few array operations per column
Source: the limits' meaning is that of the filters: dropped below `at_least` and above `at_most`, kept at either

With the thresholds an annotating step has itself, this keeps the documents that the step would keep. Columns are looked
at in their order in the input, which is the order the steps measured them in; the first one that a document breaks
drops it, as `{column}_too_low` or `{column}_too_high`. Null (not measured) breaks no limit: a document that the filter
drops without measuring, such as an empty one, goes by its reason column, as `{step}_{reason}`. Every chosen reason has
a counter, so that one that never occurs, or is misspelt, shows as 0.

A step that rewrites text (c4_quality, clean_lines) leaves it alone when it annotates: what measures behind it then sees
the text as it came, and the text is never cleaned. Let such a step run as it is before the steps that annotate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import FieldError
from pipeline.stage import BatchFunction, Columns, NarrowContext, Verdict, narrow
from stages.kernels import limits

REASON_SUFFIX = "_reason"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a column's values may be."""

    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise FieldError("at_least", None, "at least one of at_least and at_most")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise FieldError("at_least", self.at_least, f"at most at_most, {self.at_most}")
        for name in ("at_least", "at_most"):
            if (bound := getattr(self, name)) is not None and np.isnan(bound):
                raise FieldError(name, bound, "a number")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Which columns decide: numbers by `limits`, the `{step}_reason` columns of annotating steps by `reasons`."""

    limits: Mapping[str, Bounds] = field(default_factory=dict)
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the reasons that drop; []: every reason

    def __post_init__(self) -> None:
        if not self.limits and not self.reasons:
            raise FieldError("limits", dict(self.limits), "a column in `limits` or in `reasons`")
        for column in self.reasons:
            if not column.endswith(REASON_SUFFIX):
                raise FieldError("reasons", column, f"columns that end in {REASON_SUFFIX}")


def _fitting_types(cfg: Config, columns: Columns) -> None:
    for column in cfg.limits:
        type_ = columns[column]
        if not (pa.types.is_integer(type_) or pa.types.is_floating(type_)):
            raise FieldError("limits", column, f"columns of numbers; this one is {type_}")
    for column in cfg.reasons:
        if columns[column] != pa.string():
            raise FieldError("reasons", column, f"columns of text; this one is {columns[column]}")


@narrow(version=1, reads=lambda cfg: (*cfg.limits, *cfg.reasons), measures=(), check_columns=_fitting_types)
def decide(cfg: Config, ctx: NarrowContext) -> BatchFunction:
    """Drop the documents that break a limit, or that an annotating step named a chosen reason for."""

    def judge(batch: pa.RecordBatch) -> Verdict:
        checks: list[limits.Limit | limits.Flag] = []
        for column in ctx.input_columns:  # as planned: a batch's own order may be another one
            if column in cfg.limits:
                checks.append(_limit(column, batch[column], cfg.limits[column]))
            if column in cfg.reasons:
                checks += _flags(column, batch[column], cfg.reasons[column])
        drops = limits.drops(checks, batch.num_rows)
        chosen = [
            f"{column.removesuffix(REASON_SUFFIX)}_{name}" for column, names in cfg.reasons.items() for name in names
        ]
        dropped = [drops.reasons[code] for code in drops.code_N[drops.code_N >= 0]]
        return Verdict(drops=drops, counters={f"dropped_{reason}": dropped.count(reason) for reason in chosen})

    return judge


def _limit(column: str, values: pa.Array, bounds: Bounds) -> limits.Limit:
    """The histogram's edges do not matter: the step that measured has the histogram."""
    return limits.Limit(
        measure=column, value_N=values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), low=0, high=1,
        at_least=bounds.at_least, too_low=f"{column}_too_low", at_most=bounds.at_most, too_high=f"{column}_too_high",
    )  # fmt: skip


def _flags(column: str, values: pa.Array, chosen: tuple[str, ...]) -> list[limits.Flag]:
    present = sorted(values.unique().drop_null().to_pylist())
    step = column.removesuffix(REASON_SUFFIX)
    return [
        limits.Flag(reason=f"{step}_{reason}", violated_N=_is(values, reason))
        for reason in present
        if not chosen or reason in chosen
    ]


def _is(values: pa.Array, reason: str) -> np.ndarray:
    """bool[N]: whether a value is this reason; null is none."""
    return pc.equal(values, reason).fill_null(False).to_numpy(zero_copy_only=False)
