"""Measured values counted into a histogram's bins, and those beyond its thresholds counted exactly.

Reads:  Measures, batch by batch; histograms of other shards
Writes: {low, high, counts, num_missing, closed, drop_below, drop_above, num_below, num_above} by measure
Cost:   a binary search in the edges per value, about 20 ns

A value on the edge of two bins belongs to the upper one (`closed: left`), but to the lower one where there is only an
upper threshold (`closed: right`). So the counts say exactly how many documents either limit keeps at every edge, for
a value equal to the threshold is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.stage import Measure

_SUMS = ("num_missing", "num_below", "num_above")


def add_measure(histograms: dict[str, dict[str, Any]], name: str, measure: Measure) -> None:
    """Count a batch's values into the histogram called `name`."""
    value_N = np.asarray(measure.value_N, np.float64)
    missing_N = np.isnan(value_N)
    below, above = measure.drop_below, measure.drop_above
    only_above = below is None and above is not None
    # multiplied before it is divided: an edge is then the very number that a threshold written in the DAG file reads as
    edge_B = measure.low + np.arange(measure.num_bins + 1) * (measure.high - measure.low) / measure.num_bins
    bin_N = np.searchsorted(edge_B, value_N[~missing_N], side="left" if only_above else "right") - 1
    counts = np.bincount(np.clip(bin_N, 0, measure.num_bins - 1), minlength=measure.num_bins)
    batch = {
        "low": measure.low, "high": measure.high, "counts": counts.tolist(), "num_missing": int(missing_N.sum()),
        "closed": "right" if only_above else "left", "drop_below": below, "drop_above": above,
        "num_below": 0 if below is None else int((value_N < below).sum()),
        "num_above": 0 if above is None else int((value_N > above).sum()),
    }  # fmt: skip
    add_histogram(histograms, name, batch)


def add_histogram(histograms: dict[str, dict[str, Any]], name: str, more: Mapping[str, Any]) -> None:
    """Add a histogram of the same bins to the one called `name`."""
    ours = histograms.setdefault(
        name, {**more, "counts": [0] * len(more["counts"]), **dict.fromkeys(_SUMS, 0)}
    )  # fmt: skip
    ours["counts"] = [a + b for a, b in zip(ours["counts"], more["counts"], strict=True)]
    for key in _SUMS:
        ours[key] += more[key]
