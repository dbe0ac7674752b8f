"""The small pieces every part of the report page is made of: named things, sizes, bars, tables.

Reads:  single values out of run.json and the reports
Writes: Markup
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment, outside_link
from pipeline.wording import NOTHING, count, is_number, number, one_line, sentence, size, whole

MAX_URL_CHARS = 160
MAX_CELL_CHARS = 400

STATES = {
    "ran": "This run computed it.",
    "reused": "Nothing it depends on changed: the artifact of an earlier run was reused.",
    "fused": "Streamed through in one task with the steps after it; its documents were not written by themselves.",
}


def named(name: str) -> Markup:
    """A reason or a measure in words, its raw name on hover."""
    return element("span", {"class": "named", "title": name}, one_line(sentence(name), 80))


def exact_size(value: Any) -> Markup | str:
    """Bytes in a unit one can read, the exact number on hover."""
    if not is_number(value):
        return NOTHING
    return element("span", {"title": f"{count(value)} bytes"}, size(value))


def has_run(step: Mapping[str, Any]) -> bool:
    """Whether there is anything to show of a step: a run that failed leaves later steps `pending`."""
    return step.get("state") in STATES


def state_pill(state: Any) -> Markup:
    kind = state if state in STATES else "waiting"
    tip = STATES.get(str(state), "It has not run.")
    return element("span", {"class": f"pill {kind}", "title": tip}, str(state) if state in STATES else "not run")


def annotates_pill(report: Mapping[str, Any] | None) -> Markup | None:
    """The mark of a step that drops nothing although it is a filter."""
    if report is None or not report.get("annotates"):
        return None
    amount = sum(whole(n) for n in (report.get("would_drop") or {}).values())
    tip = "It annotates: it drops nothing, and writes what it measures as columns."
    return fragment(" ", element("span", {"class": "pill annotates", "title": tip}, f"would drop {count(amount)}"))


def url_link(url: Any) -> Markup:
    """A crawled URL, shortened in its middle; a link only where it is http or https."""
    if not isinstance(url, str) or not url:
        return element("span", {"class": "missing"}, "no URL")
    return outside_link(url, one_line(url, MAX_URL_CHARS))


def row_bar(parts: Sequence[tuple[str, float]], total: float) -> Markup:
    """A bar for one table row: `parts` are (class, value) side by side, `total` fills the width. Decoration: the
    numbers stand beside it. `dropped` is thinner than `kept`, so that colour is not all that tells them apart."""
    rects, start = [], 0.0
    for kind, value in parts:
        width = 100 * value / total if total > 0 else 0.0
        top, height = (3.5, 3) if kind == "dropped" else (0, 10)
        if width > 0:
            rects.append(element("rect", {"class": kind, "x": start, "y": top, "width": width, "height": height}))
        start += width
    attributes = {"class": "bar", "viewBox": "0 0 100 10", "preserveAspectRatio": "none", "aria-hidden": "true"}
    return element("svg", attributes, rects)


def table(kind: str, caption: str, columns: Sequence[str], bodies: Sequence[Markup], numeric: Container[str]) -> Markup:
    """A table in a wrapper that scrolls sideways by itself where the screen is narrow. `numeric` columns end flush."""
    heads = [element("th", {"scope": "col", "class": "num" if c in numeric else None}, c) for c in columns]
    head = element("thead", None, element("tr", None, heads))
    body = element("table", {"class": kind}, element("caption", None, caption), head, bodies)
    return element("div", {"class": "scroll", "tabindex": 0, "role": "region", "aria-label": caption}, body)


def values(pairs: Sequence[tuple[str, Markup | str]], kind: str = "values") -> Markup:
    """Labels with their values, as a description list."""
    items = [element("div", None, element("dt", None, label), element("dd", None, value)) for label, value in pairs]
    return element("dl", {"class": kind}, items)


def cell_text(value: Any) -> str:
    """What a table's cell or a figure shows: numbers with separators, text shortened, null as a dash."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case Mapping():
            return one_line(", ".join(f"{k}: {cell_text(v)}" for k, v in value.items()), MAX_CELL_CHARS)
        case list() | tuple():
            return one_line(", ".join(cell_text(v) for v in value[:MAX_CELL_CHARS]), MAX_CELL_CHARS)
        case _:
            return one_line(str(value), MAX_CELL_CHARS)
