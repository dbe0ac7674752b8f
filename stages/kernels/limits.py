"""From measured values and thresholds to a verdict: the first limit a row violates, in the order given, drops it.

Reads:  Limits and Flags of one batch
Writes: Drops and Measures of pipeline.stage
Cost:   a few array operations per limit
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.stage import Drops, Measure


@dataclass(frozen=True, kw_only=True)
class Limit:
    """`value_N` float64, held against `at_least` and `at_most`; None is no threshold, NaN in `value_N` breaks none.

    `too_low` and `too_high` are the reasons. `low` and `high` are the edges of the histogram in the report.
    """

    measure: str
    value_N: np.ndarray
    low: float
    high: float
    at_least: float | None = None
    too_low: str = ""
    at_most: float | None = None
    too_high: str = ""


@dataclass(frozen=True, kw_only=True)
class Flag:
    """Rows with `violated_N` (bool) are dropped; there is no value to tell."""

    reason: str
    violated_N: np.ndarray


def drops(checks: Sequence[Limit | Flag], num_rows: int) -> Drops:
    """Per row the first check it violates; a limit's lower threshold comes before its upper one."""
    reasons: list[str] = []
    code_N = np.full(num_rows, -1, np.int16)
    value_N, threshold_N = np.full(num_rows, np.nan), np.full(num_rows, np.nan)

    def enter(reason: str, violated_N: np.ndarray, found_N: np.ndarray | float, threshold: float) -> None:
        new_N = violated_N & (code_N < 0)
        if reason not in reasons:
            reasons.append(reason)
        code_N[new_N] = reasons.index(reason)
        value_N[new_N] = np.broadcast_to(found_N, num_rows)[new_N]
        threshold_N[new_N] = threshold

    for check in checks:
        if isinstance(check, Flag):
            enter(check.reason, check.violated_N, np.nan, np.nan)
            continue
        if check.at_least is not None:
            enter(check.too_low, check.value_N < check.at_least, check.value_N, check.at_least)
        if check.at_most is not None:
            enter(check.too_high, check.value_N > check.at_most, check.value_N, check.at_most)
    return Drops(reasons=tuple(reasons), code_N=code_N, value_N=value_N, threshold_N=threshold_N)


def measures(checks: Sequence[Limit | Flag]) -> dict[str, Measure]:
    """A histogram for every limit, with its thresholds."""
    return {
        c.measure: Measure(value_N=c.value_N, low=c.low, high=c.high, drop_below=c.at_least, drop_above=c.at_most)
        for c in checks
        if isinstance(c, Limit)
    }


def ratio(part_N: np.ndarray, whole_N: np.ndarray) -> np.ndarray:
    """float64[N]: part / whole, NaN where the whole is 0."""
    whole_N = np.asarray(whole_N, np.float64)
    return np.divide(part_N, whole_N, out=np.full(len(whole_N), np.nan), where=whole_N != 0)
