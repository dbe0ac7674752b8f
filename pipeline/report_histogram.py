"""A histogram as inline SVG, with the thresholds that drop documents drawn into it, and what others would keep.

Reads:  one entry of `histograms` of a step's report
Writes: Markup; a bar's height is proportional to its count, a line's to the share that the limit would keep with its
        threshold there. Where there is a pointer, each bin tells its numbers; the words below tell the most telling
Cost:   at most MAX_BINS bars, whatever the report holds
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.report_axes import Frame, figure, share_axis, svg, x_axis, y_axis
from pipeline.report_limits import Bins, Limit, kept_share, limits, read_bins, words
from pipeline.wording import count, number, plural, title

NAMES_APART = 11  # user units from one threshold's name down to the next


def histogram(name: str, data: Mapping[str, Any]) -> Markup:
    """A histogram as a figure: bars, the thresholds drawn in, the bins beyond them in the colour of what is dropped."""
    bins = read_bins(data)
    if not any(bins.counts):
        return figure(name, element("p", {"class": "note"}, "Nothing was measured."), _missing_note(bins))
    drawn = limits(data, bins)
    frame = Frame(
        width=360, height=180 if drawn else 170, left=46, right=38 if drawn else 10, top=24, bottom=24,
        x_low=bins.low, x_high=bins.high, y_low=0, y_high=max(bins.counts),
    )  # fmt: skip
    drawing = svg(
        frame, title(name), _description(bins, drawn),
        y_axis(frame, 4), share_axis(frame) if drawn else None, _columns(frame, bins, drawn), x_axis(frame, 5),
        [_curve(frame, bins, limit) for limit in drawn], [_threshold(frame, bins, limit) for limit in drawn],
    )  # fmt: skip
    lines = [element("p", {"class": "note limit"}, words(limit, bins)) for limit in drawn]
    return figure(name, fragment(drawing, lines), _missing_note(bins))


def has_limits(data: Mapping[str, Any]) -> bool:
    """Whether a histogram has a line of what its limits would keep."""
    return bool(limits(data, read_bins(data)))


def how_to_read() -> Markup:
    """What the lines say, once for all the charts of a step."""
    stroke = element("path", {"class": "keeps", "d": "M1 5L27 5"})
    sample = element("svg", {"class": "key", "viewBox": "0 0 28 10", "aria-hidden": "true"}, stroke)
    return element(
        "p", {"class": "note reading"}, sample,
        " Solid for a lower limit, dashed for an upper one: the share of all documents that reached this step which "
        "the limit would keep if its threshold stood there, by itself (right-hand scale). A step drops a document at "
        "the first limit it breaks, so all limits together keep fewer. A document without a value counts as kept.",
    )  # fmt: skip


def _columns(frame: Frame, bins: Bins, drawn: Sequence[Limit]) -> Markup:
    """A bar for every bin that holds something; with limits also a place to point at for every stretch of the axis,
    where neighbours that hold nothing are one."""
    columns, first = [], 0
    for is_empty, group in itertools.groupby(bins.counts, key=lambda n: n == 0):
        size = len(list(group))
        stretches = [(first, first + size)] if is_empty else [(i, i + 1) for i in range(first, first + size)]
        first += size
        if not is_empty or drawn:
            columns += [_column(frame, bins, stretch, drawn) for stretch in stretches]
    return fragment(columns)


def _column(frame: Frame, bins: Bins, stretch: tuple[int, int], drawn: Sequence[Limit]) -> Markup:
    start, end = bins.edge(stretch[0]), bins.edge(stretch[1])
    n = bins.counts[stretch[0]]
    tip = element("title", None, _tip(bins, stretch, drawn))
    bar = _bar(frame, start, end, n, "bin gone" if _is_beyond((start + end) / 2, drawn) else "bin") if n else None
    if not drawn:
        return element("g", {"class": "column"}, tip, bar)
    x, top = frame.x(start), float(frame.top)
    place = {"x": x, "y": top, "width": frame.x(end) - x, "height": frame.y(0) - top}
    return element("g", {"class": "column"}, tip, bar, element("rect", {"class": "pointed", **place}))


def _is_beyond(middle: float, drawn: Sequence[Limit]) -> bool:
    return any(
        middle < limit.now.threshold if limit.side == "below" else middle > limit.now.threshold for limit in drawn
    )


def _tip(bins: Bins, stretch: tuple[int, int], drawn: Sequence[Limit]) -> str:
    """What was counted between two edges, and what the limits would keep at the upper one. What lies outside the range
    was counted into the first and the last bin."""
    first, end = stretch
    low, high = number(bins.edge(first)), number(bins.edge(end))
    span = f"{high} or less" if first == 0 else f"{low} or more" if end == len(bins.counts) else f"{low} to {high}"
    lines = [f"{span}: {plural(bins.counts[first], 'document')}"]
    edge = end if end < len(bins.counts) else first
    if 0 < edge < len(bins.counts):
        for limit in drawn:
            kept = limit.at_edges[edge - 1]
            lines.append(
                f"drop {limit.side} {number(kept.threshold)}: keeps {kept_share(kept, bins)}, {count(kept.num_kept)}"
            )
    return "\n".join(lines)


def _bar(frame: Frame, start: float, end: float, n: int, kind: str) -> Markup:
    """One bin: its height is proportional to `n`; a bin too low to be seen gets a hairline on the axis as well."""
    x, width, top = frame.x(start), frame.x(end) - frame.x(start), frame.y(n)
    height = frame.y(0) - top
    bar = element("rect", {"class": kind, "x": x, "y": top, "width": max(0.4, width - 0.6), "height": height})
    if height >= 1:
        return bar
    return fragment(
        element("rect", {"class": f"trace {kind}", "x": x, "y": frame.y(0) - 1, "width": width, "height": 1}), bar
    )


def _y_of_share(frame: Frame, num_kept: float, bins: Bins) -> float:
    return frame.y(num_kept / bins.num_documents * frame.y_high)


def _curve(frame: Frame, bins: Bins, limit: Limit) -> Markup:
    """The share kept, from the first edge between two bins to the last."""
    points = [f"{frame.x(k.threshold):.1f} {_y_of_share(frame, k.num_kept, bins):.1f}" for k in limit.at_edges]
    path = {"class": f"keeps keeps-{limit.side}", "d": "M" + "L".join(points)}
    return element("path", path) if points else fragment()


def _threshold(frame: Frame, bins: Bins, limit: Limit) -> Markup | None:
    """The threshold as it is set: a line with its name, and a dot at what it keeps."""
    value = limit.now.threshold
    if not frame.x_low <= value <= frame.x_high:
        return None
    x, on_left = frame.x(value), frame.x(value) > frame.width * 0.6
    place = {"x": x - 4 if on_left else x + 4, "y": 9 if limit.side == "below" else 9 + NAMES_APART}
    anchor = "end" if on_left else "start"
    return fragment(
        element("line", {"class": "threshold", "x1": x, "x2": x, "y1": 4, "y2": frame.y(0)}),
        element(
            "text", {"class": "threshold-name", "text-anchor": anchor, **place}, f"drop {limit.side} {number(value)}"
        ),
        element("circle", {"class": "now", "cx": x, "cy": _y_of_share(frame, limit.now.num_kept, bins), "r": 3}),
    )


def _description(bins: Bins, drawn: Sequence[Limit]) -> str:
    fullest = max(range(len(bins.counts)), key=lambda i: bins.counts[i])
    text = (
        f"{count(sum(bins.counts))} values in {plural(len(bins.counts), 'bin')} from {number(bins.low)} to "
        f"{number(bins.high)}; the fullest, {number(bins.edge(fullest))} to {number(bins.edge(fullest + 1))}, holds "
        f"{count(bins.counts[fullest])}"
    )
    return text + "".join(f"; dropped {limit.side} {number(limit.now.threshold)}" for limit in drawn)


def _missing_note(bins: Bins) -> str | None:
    return f"Not measured on {plural(bins.num_missing, 'document')}." if bins.num_missing else None
