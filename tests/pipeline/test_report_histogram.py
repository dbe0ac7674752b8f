"""The drawn histogram: bars, thresholds, and what other thresholds would keep."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from pipeline import report_histogram, report_limits
from tests.pipeline import report_fixtures as fixtures
from tests.pipeline.parsed_page import Page

VOID = {"meta", "br", "input", "link", "hr", "wbr", "img"}


def bars_of(data: dict[str, Any]) -> list[tuple[str, float]]:
    """(class, height) of each bar drawn."""
    document = Page(report_histogram.histogram("x", data))
    drawn = [a for a in document.attributes("rect") if (a["class"] or "").startswith("bin")]
    return [(a["class"] or "", float(a["height"] or 0)) for a in drawn]


def test_histogram_heights_are_proportional_to_counts() -> None:
    counts = [1, 0, 5, 1000, 250, 40, 7]
    bars = bars_of(fixtures.histogram(0, 7, counts, None, None))
    shown = [c for c in counts if c]
    scale = bars[shown.index(1000)][1] / 1000
    assert [height for _, height in bars] == pytest.approx([c * scale for c in shown], abs=0.006)
    assert scale * 1000 > 100


def test_histogram_colours_what_lies_beyond_a_threshold() -> None:
    bars = bars_of(fixtures.histogram(0, 10, [1] * 10, 2, 8))
    assert [kind for kind, _ in bars] == ["bin gone"] * 2 + ["bin"] * 6 + ["bin gone"] * 2


def test_histogram_threshold_is_drawn_where_its_value_lies() -> None:
    document = Page(report_histogram.histogram("x", fixtures.histogram(10, 20, [1] * 10, 12.5, None)))
    (line,) = [a for a in document.attributes("line") if a["class"] == "threshold"]
    edges = next(a for a in document.attributes("line") if a["class"] == "axis")
    low, high = float(edges["x1"] or 0), float(edges["x2"] or 0)
    assert float(line["x1"] or 0) == pytest.approx(low + (high - low) * 0.25, abs=0.01)
    assert "drop below 12.5" in document.inside("text")


def test_histogram_line_is_the_share_each_threshold_would_keep() -> None:
    data = fixtures.histogram(0, 10, [10, 0, 20, 30, 0, 0, 0, 25, 5, 10], 2.5, None, missing=100)
    document = Page(report_histogram.histogram("x", data))
    (path,) = [a["d"] or "" for a in document.attributes("path") if (a["class"] or "").startswith("keeps")]
    points = [tuple(map(float, point.split())) for point in path[1:].split("L")]
    top, floor = ([float(a["y"] or 0) - 3.5 for a in document.attributes("text") if a["class"] == "tick share"][k]
                  for k in (2, 0))  # fmt: skip
    shares = [(floor - y) / (floor - top) for _, y in points]
    kept = [190, 190, 170, 140, 140, 140, 140, 115, 110]
    assert shares == pytest.approx([n / 200 for n in kept], abs=0.001)
    assert [b - a for (a, _), (b, _) in pairwise(points)] == pytest.approx([points[1][0] - points[0][0]] * 8, abs=0.11)


def test_histogram_bins_tell_on_hover_what_a_threshold_there_would_keep() -> None:
    data = fixtures.histogram(0, 10, [10, 0, 20, 30, 0, 0, 0, 25, 5, 10], 2.5, None)
    tips = [tip for tip in Page(report_histogram.histogram("x", data)).inside("title") if "document" in tip]
    assert tips[0] == "1 or less: 10 documents\ndrop below 1: keeps 90.0 %, 90"
    assert tips[3] == "3 to 4: 30 documents\ndrop below 4: keeps 40.0 %, 40"
    assert tips[4] == "4 to 7: 0 documents\ndrop below 7: keeps 40.0 %, 40"
    assert tips[-1] == "9 or more: 10 documents\ndrop below 9: keeps 10.0 %, 10"


def test_histogram_threshold_beyond_the_range_is_told_in_words_alone() -> None:
    data = {**fixtures.histogram(0, 10, [1] * 10, None, 500), "num_above": 0, "num_below": 0}
    document = Page(report_histogram.histogram("x", data))
    assert not [a for a in document.attributes("line") if a["class"] == "threshold"]
    assert any("Drop above 500 keeps 100.0 % (10 of 10)." in text for text in document.inside("p"))


def test_histogram_many_bins_are_added_up_without_loss() -> None:
    counts = [i % 7 for i in range(10_001)]
    document = Page(report_histogram.histogram("x", fixtures.histogram(0, 1, counts, None, None)))
    assert len(document.attributes("rect")) <= 2 * report_limits.MAX_BINS
    shown = [int(tip.rsplit(": ", 1)[1].split()[0].replace(",", "")) for tip in document.inside("title") if ": " in tip]
    assert sum(shown) == sum(counts)
