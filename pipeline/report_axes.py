"""What the charts share: the plotting frame, round ticks, axes, the SVG and figure elements around a drawing.

Reads:  ranges of values
Writes: Markup; geometry is in user units of the viewBox, colours come from the style sheet's classes
Source: ticks at 1, 2 or 5 times a power of ten (Heckbert, Graphics Gems 1990)

No inline style anywhere: the page's security policy would refuse it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.markup import Attributes, Child, Markup, element, fragment
from pipeline.wording import number, title


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The plotting area of a chart `width` by `height`, and the values at its edges."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (self.width - self.left - self.right)

    def y(self, value: float) -> float:
        span = self.height - self.top - self.bottom
        return self.height - self.bottom - (value - self.y_low) / (self.y_high - self.y_low) * span


def ticks(low: float, high: float, at_most: int) -> list[float]:
    """Round values from `low` to `high`, no more than `at_most` + 1 of them."""
    raw = (high - low) / at_most
    if not raw > 0 or not math.isfinite(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) if step > 1e-9 else i * step for i in range(first, last + 1)]


def figure(name: str, body: Markup, note: str | None, wide: bool = False) -> Markup:
    caption = element("figcaption", {"title": name}, title(name))
    foot = element("p", {"class": "note"}, note) if note else None
    return element("figure", {"class": "chart wide" if wide else "chart"}, caption, body, foot)


def svg(frame: Frame, name: str, description: str, *body: Child) -> Markup:
    attributes = {"viewBox": f"0 0 {frame.width} {frame.height}", "role": "img", "aria-label": name}
    return element("svg", attributes, element("title", None, name), element("desc", None, description), *body)


def x_axis(frame: Frame, at_most: int) -> Markup:
    base = frame.height - frame.bottom
    parts = [
        element("line", {"class": "axis", "x1": frame.left, "x2": frame.width - frame.right, "y1": base, "y2": base})
    ]
    for value in ticks(frame.x_low, frame.x_high, at_most):
        x = frame.x(value)
        parts.append(element("line", {"class": "axis", "x1": x, "x2": x, "y1": base, "y2": base + 4}))
        anchor = "end" if x > frame.width - 24 else "middle"
        parts.append(element("text", {"class": "tick", "text-anchor": anchor, "x": x, "y": base + 16}, short(value)))
    return fragment(parts)


def y_axis(frame: Frame, at_most: int) -> Markup:
    parts = []
    for value in ticks(frame.y_low, frame.y_high, at_most):
        y = frame.y(value)
        parts.append(
            element("line", {"class": "grid", "x1": frame.left, "x2": frame.width - frame.right, "y1": y, "y2": y})
        )
        place: Attributes = {"class": "tick", "text-anchor": "end", "x": frame.left - 6, "y": y + 3.5}
        parts.append(element("text", place, short(value)))
    return fragment(parts)


def share_axis(frame: Frame) -> Markup:
    """Labels on the right for shares of a whole that is as high as the frame."""
    parts = []
    for percent in (0, 50, 100):
        y = frame.y(frame.y_low + percent / 100 * (frame.y_high - frame.y_low))
        place: Attributes = {"class": "tick share", "x": frame.width - frame.right + 5, "y": y + 3.5}
        parts.append(element("text", place, f"{percent} %"))
    return fragment(parts)


def short(value: float) -> str:
    """A tick's label: 12000 -> `12k`, 3500000 -> `3.5M`."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if limit <= abs(value) < 1e13:
            return f"{number(value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit])}{unit}"
    return number(value)
