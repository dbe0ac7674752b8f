"""A histogram as inline SVG, with the thresholds that drop documents drawn into it.

Reads:  one entry of `histograms` of a step's report
Writes: Markup; a bar's height is proportional to its count
Cost:   at most MAX_BINS bars, whatever the report holds
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.report_axes import Frame, figure, svg, x_axis, y_axis
from pipeline.wording import count, is_number, number, plural, title, whole

MAX_BINS = 100


def histogram(name: str, data: Mapping[str, Any]) -> Markup:
    """A histogram as a figure: bars, the thresholds drawn in, the bins beyond them in the colour of what is dropped."""
    low, high, counts = _bins(data)
    if not any(counts):
        return figure(name, element("p", {"class": "note"}, "Nothing was measured."), _missing_note(data))
    frame = Frame(
        width=360, height=170, left=46, right=10, top=22, bottom=24,
        x_low=low, x_high=high, y_low=0, y_high=max(counts),
    )  # fmt: skip
    drawing = svg(
        frame, title(name), _description(low, high, counts, data),
        y_axis(frame, 4), _bars(frame, counts, data), x_axis(frame, 5), _thresholds(frame, data),
    )  # fmt: skip
    return figure(name, drawing, _missing_note(data))


def _bins(data: Mapping[str, Any]) -> tuple[float, float, list[int]]:
    """Low edge, high edge and counts, neighbours added up until there are at most MAX_BINS of them."""
    counts = [max(0, whole(c)) for c in data.get("counts") or []]
    low, high = (float(data[k]) if is_number(data.get(k)) else math.nan for k in ("low", "high"))
    if not low < high:
        low, high = 0.0, float(max(1, len(counts)))
    group = max(1, math.ceil(len(counts) / MAX_BINS))
    merged = [sum(counts[i : i + group]) for i in range(0, len(counts), group)]
    if counts:
        high = low + (high - low) / len(counts) * group * len(merged)
    return low, high, merged


def _bars(frame: Frame, counts: Sequence[int], data: Mapping[str, Any]) -> Markup:
    width = (frame.x_high - frame.x_low) / len(counts)
    below, above = data.get("drop_below"), data.get("drop_above")
    bars = []
    for i, n in enumerate(counts):
        start, end = frame.x_low + i * width, frame.x_low + (i + 1) * width
        middle = (start + end) / 2
        gone = (is_number(below) and middle < float(below or 0)) or (is_number(above) and middle > float(above or 0))
        if n:
            bars.append(_bar(frame, start, end, n, "bin gone" if gone else "bin"))
    return fragment(bars)


def _bar(frame: Frame, start: float, end: float, n: int, kind: str) -> Markup:
    """One bin: its height is proportional to `n`; a bin too low to be seen gets a hairline on the axis as well.
    What lies outside the range was counted into the first and the last bin."""
    x, width, top = frame.x(start), frame.x(end) - frame.x(start), frame.y(n)
    height = frame.y(0) - top
    first, last = start <= frame.x_low, end >= frame.x_high - 1e-9 * abs(frame.x_high)
    span = (
        f"{number(end)} or less"
        if first
        else f"{number(start)} or more"
        if last
        else f"{number(start)} to {number(end)}"
    )
    tip = element("title", None, f"{span}: {plural(n, 'document')}")
    bar = element("rect", {"class": kind, "x": x, "y": top, "width": max(0.4, width - 0.6), "height": height}, tip)
    if height >= 1:
        return bar
    return fragment(
        element("rect", {"class": f"trace {kind}", "x": x, "y": frame.y(0) - 1, "width": width, "height": 1}), bar
    )


def _thresholds(frame: Frame, data: Mapping[str, Any]) -> Markup:
    marks = []
    for key, words in (("drop_below", "drop below"), ("drop_above", "drop above")):
        value = data.get(key)
        if value is not None and is_number(value) and frame.x_low <= value <= frame.x_high:
            x = frame.x(value)
            on_left = x > frame.width * 0.6
            place = {"x": x - 4 if on_left else x + 4, "y": 12 if key == "drop_below" else 20}
            marks.append(element("line", {"class": "threshold", "x1": x, "x2": x, "y1": 4, "y2": frame.y(0)}))
            anchor = "end" if on_left else "start"
            marks.append(
                element("text", {"class": "threshold-name", "text-anchor": anchor, **place}, f"{words} {number(value)}")
            )
    return fragment(marks)


def _description(low: float, high: float, counts: Sequence[int], data: Mapping[str, Any]) -> str:
    fullest = max(range(len(counts)), key=lambda i: counts[i])
    width = (high - low) / len(counts)
    start = low + fullest * width
    text = (
        f"{count(sum(counts))} values in {plural(len(counts), 'bin')} from {number(low)} to {number(high)}; the "
        f"fullest, {number(start)} to {number(start + width)}, holds {count(counts[fullest])}"
    )
    limits = [(words, data.get(key)) for key, words in (("drop_below", "below"), ("drop_above", "above"))]
    return text + "".join(f"; dropped {words} {number(value)}" for words, value in limits if is_number(value))


def _missing_note(data: Mapping[str, Any]) -> str | None:
    missing = whole(data.get("num_missing"))
    return f"Not measured on {plural(missing, 'document')}." if missing else None
