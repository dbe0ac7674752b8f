"""What limits would keep, against counting the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.report_bins import add_histogram, add_measure
from pipeline.report_limits import Kept, kept_elsewhere, limits, read_bins, telling, words
from pipeline.stage import Measure

# sums of hundredths as filters make them, values that lie on edges, beyond the range, and no value at all
VALUES = st.lists(
    st.one_of(
        st.integers(-20, 120).map(lambda i: i / 100), st.floats(-0.2, 1.2), st.sampled_from([np.nan, np.inf, -np.inf])
    ),
    min_size=1,
    max_size=60,
)
THRESHOLDS = st.none() | st.integers(0, 100).map(lambda i: i / 100) | st.floats(-0.5, 1.5)


def histogram(values: list[float], below: float | None, above: float | None, **more: Any) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}
    measure = Measure(value_N=np.array(values), low=0, high=1, drop_below=below, drop_above=above, **more)
    add_measure(found, "x", measure)
    return found["x"]


def num_kept(values: list[float], side: str, threshold: float) -> int:
    """Those the limit does not drop; a comparison with NaN is false."""
    return sum(not (v < threshold if side == "below" else v > threshold) for v in values)


@settings(max_examples=300, deadline=None)
@given(VALUES, THRESHOLDS, THRESHOLDS)
def test_limits_exact_numbers_are_those_of_the_values(
    values: list[float], below: float | None, above: float | None
) -> None:
    data = histogram(values, below, above)
    bins = read_bins(data)
    assert bins.num_documents == len(values)
    found = limits(data, bins)
    assert len(found) == (sum(t is not None for t in (below, above)) if any(v == v for v in values) else 0)
    for limit in found:
        assert limit.now.exact
        for kept in (limit.now, *limit.at_edges):
            counted = num_kept(values, limit.side, kept.threshold)
            if kept.exact:
                assert kept.num_kept == counted
            else:
                assert kept.num_kept <= counted <= kept.num_kept + sum(v == kept.threshold for v in values)
        if limit.side == "below" or below is None:
            assert all(kept.exact for kept in limit.at_edges), "one limit alone is known at every edge"


@settings(max_examples=100, deadline=None)
@given(VALUES, VALUES, THRESHOLDS, THRESHOLDS)
def test_histograms_added_up_are_the_histogram_of_all_values(
    first: list[float], second: list[float], below: float | None, above: float | None
) -> None:
    added: dict[str, dict[str, Any]] = {}
    for values in (first, second):
        add_histogram(added, "x", histogram(values, below, above))
    assert added["x"] == histogram(first + second, below, above)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(1, 99))
def test_telling_thresholds_are_the_strictest_that_keep_as_much(values: list[float], percent: int) -> None:
    for below, above in ((percent / 100, None), (None, percent / 100)):
        data = histogram(values, below, above)
        bins = read_bins(data)
        for limit in limits(data, bins):
            chosen = telling(limit, bins)
            assert len({k.threshold for k in chosen}) == len(chosen)
            shares = [k.num_kept / len(values) for k in chosen]
            assert shares == sorted(shares, reverse=True)
            for wanted in (0.99, 0.95, 0.9, 0.75, 0.5):
                enough = [k for k in limit.at_edges if k.num_kept >= wanted * len(values)]
                if enough:
                    edges = [k.threshold for k in enough]
                    assert (max(edges) if below is not None else min(edges)) in {k.threshold for k in chosen}


@pytest.mark.parametrize(
    ("values", "below", "above", "text"),
    [
        ([0.1] * 2 + [0.5] * 88 + [0.9] * 10, 0.3, None,
         "Drop below 0.3 keeps 98.0 % (98 of 100). It would keep 100.0 % at 0.1, 98.0 % at 0.5."),
        ([0.0] * 90 + [0.5] * 10, None, 0.5,
         "Drop above 0.5 keeps 100.0 % (100 of 100). It would keep 90.0 % at 0.02."),
        ([0.0] * 90 + [np.nan] * 10, None, 3.0,
         "Drop above 3 keeps 100.0 % (100 of 100). It would keep 100.0 % at 0.02."),
    ],
)  # fmt: skip
def test_words_tell_now_and_elsewhere(values: list[float], below: float | None, above: float | None, text: str) -> None:
    data = histogram(values, below, above)
    bins = read_bins(data)
    (limit,) = limits(data, bins)
    assert words(limit, bins) == text


def test_words_with_both_limits_say_about_of_the_upper_one() -> None:
    data = histogram([i / 100 for i in range(100)], 0.1, 0.9)
    bins = read_bins(data)
    lower, upper = (words(limit, bins) for limit in limits(data, bins))
    assert "about" not in lower and "It would keep about 96.0 % at 0.96" in upper


def test_limits_of_a_report_without_exact_counts_are_estimated_and_say_so() -> None:
    """Histograms of earlier versions hold bins alone."""
    data = {"low": 0, "high": 10, "counts": [10] * 10, "num_missing": 0, "drop_below": 2.5, "drop_above": None}
    bins = read_bins(data)
    (limit,) = limits(data, bins)
    assert limit.now == Kept(threshold=2.5, num_kept=75, exact=False)
    assert words(limit, bins).startswith("Drop below 2.5 keeps about 75.0 % (75 of 100).")


def test_kept_elsewhere_lists_every_limit_of_every_step() -> None:
    reports: dict[str, dict[str, Any]] = {
        "a": {"histograms": {"x": histogram([0.5], 0.1, 0.9), "y": histogram([0.5], None, None)}},
        "b": {"histograms": {"z": histogram([0.5, 0.7], None, 0.6)}},
        "c": {},
    }
    found = kept_elsewhere(reports)
    assert [(k["step"], k["measure"], k["side"]) for k in found] == [
        ("a", "x", "below"), ("a", "x", "above"), ("b", "z", "above"),
    ]  # fmt: skip
    assert found[2]["now"] == {"threshold": 0.6, "num_kept": 1, "exact": True}
    assert found[2]["num_documents"] == 2
