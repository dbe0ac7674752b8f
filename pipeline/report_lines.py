"""A line chart as inline SVG: a loss curve, a precision-recall curve.

Reads:  one entry of `series` of a step's report; nulls are passed over, NaN leaves a gap
Writes: Markup
Cost:   at most MAX_LINES lines of MAX_POINTS points, whatever the report holds
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.report_axes import Frame, figure, svg, x_axis, y_axis
from pipeline.wording import is_number, number, one_line, plural, title

MAX_POINTS = 400
MAX_LINES = 6


def line_chart(name: str, data: Mapping[str, Any]) -> Markup:
    """A line chart as a figure, with axes, ticks, and a legend that gives each line's last value."""
    given = list((data.get("lines") or {}).items())
    points_of = ((str(label), _points(data.get("x") or [], ys)) for label, ys in given[:MAX_LINES])
    shown = [(label, points) for label, points in points_of if any(p is not None for p in points)]
    if not shown:
        return figure(name, element("p", {"class": "note"}, "No values."), None)
    seen = [p for _, points in shown for p in points if p is not None]
    x_low, x_high = _spread(min(x for x, _ in seen), max(x for x, _ in seen), 0.0)
    y_low, y_high = _spread(min(y for _, y in seen), max(y for _, y in seen), 0.06)
    frame = Frame(
        width=560,
        height=250,
        left=58,
        right=16,
        top=14,
        bottom=42,
        x_low=x_low,
        x_high=x_high,
        y_low=y_low,
        y_high=y_high,
    )
    x_label = one_line(title(str(data.get("x_label") or "x")), 60)
    paths = [
        element("path", {"class": f"line line-{i}", "d": _path(frame, points)}) for i, (_, points) in enumerate(shown)
    ]
    label = element("text", {"class": "axis-name", "x": (frame.left + frame.width) / 2, "y": frame.height - 6}, x_label)
    drawing = svg(
        frame, title(name), "; ".join(_description(label, points) for label, points in shown),
        y_axis(frame, 6), x_axis(frame, 7), label, paths,
    )  # fmt: skip
    left_out = f"{plural(len(given) - MAX_LINES, 'more line')} not drawn." if len(given) > MAX_LINES else None
    return figure(name, fragment(drawing, _legend(shown)), left_out, wide=True)


def _points(xs: Sequence[Any], ys: Sequence[Any]) -> list[tuple[float, float] | None]:
    """(x, y) pairs. The line goes on past a null (not measured); None, where a value is NaN or infinite, is a gap."""
    measured = [(x, y) for x, y in zip(xs, ys, strict=False) if x is not None and y is not None]
    points = [(float(x), float(y)) if is_number(x) and is_number(y) else None for x, y in measured]
    return points if len(points) <= MAX_POINTS else _thinned(points)


def _thinned(points: Sequence[tuple[float, float] | None]) -> list[tuple[float, float] | None]:
    """The lowest and the highest point of each of MAX_POINTS / 2 stretches, so that spikes stay."""
    stretch = math.ceil(len(points) / (MAX_POINTS // 2 - 1))
    kept = {0, len(points) - 1}
    for start in range(0, len(points), stretch):
        heights = [(p[1], i) for i, p in enumerate(points[start : start + stretch], start) if p is not None]
        kept |= {min(heights)[1], max(heights)[1]} if heights else {start}
    return [points[i] for i in sorted(kept)]


def _spread(low: float, high: float, margin: float) -> tuple[float, float]:
    if low == high:
        return low - 0.5, high + 0.5
    return low - margin * (high - low), high + margin * (high - low)


def _path(frame: Frame, points: Sequence[tuple[float, float] | None]) -> str:
    """An SVG path; a point alone between gaps becomes a dot through the round line cap."""
    parts, pen_down = [], False
    for point in points:
        if point is None:
            pen_down = False
            continue
        at = f"{frame.x(point[0]):.1f} {frame.y(point[1]):.1f}"
        parts.append(f"L{at}" if pen_down else f"M{at}L{at}")
        pen_down = True
    return "".join(parts)


def _legend(lines: Sequence[tuple[str, Sequence[tuple[float, float] | None]]]) -> Markup:
    def entry(i: int, label: str, points: Sequence[tuple[float, float] | None]) -> Markup:
        stroke = element("path", {"class": f"line line-{i}", "d": "M1 5L27 5"})
        sample = element("svg", {"class": "key", "viewBox": "0 0 28 10", "aria-hidden": "true"}, stroke)
        last = [p for p in points if p is not None][-1]
        name = one_line(label.replace("_", " "), 60)
        return element(
            "li",
            {"title": label},
            sample,
            f" {name} ",
            element("span", {"class": "last"}, f"ends at {number(last[1])}"),
        )

    return element("ul", {"class": "legend"}, [entry(i, label, points) for i, (label, points) in enumerate(lines)])


def _description(label: str, points: Sequence[tuple[float, float] | None]) -> str:
    ys = [p[1] for p in points if p is not None]
    return f"{label}: from {number(ys[0])} to {number(ys[-1])}, lowest {number(min(ys))}, highest {number(max(ys))}"
