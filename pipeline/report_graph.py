"""The DAG drawn as rails beside the list of steps, which is the page's navigation too.

Reads:  `steps` of run.json, in DAG order
Writes: a list of links, one row per step, and an SVG of the same height to its left
Cost:   O(edges); a DAG of any size keeps one row per step and fits a phone's width
Source: the commit graph of `git log --graph`

Each step has a lane. From a step down to its last reader its lane is taken; the last reader may continue in it, so a
chain is one straight rail. An edge leaves its rail one row above the reader and bends into the reader's lane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.wording import count, is_number

ROW = 28  # user units per list row; the style sheet gives each row the same height as the SVG gives it
LANE = 15
NODE_RADIUS = {"ran": 4.5, "reused": 4.0, "fused": 2.75}


def lanes(steps: Sequence[Mapping[str, Any]]) -> list[int]:
    """The lane of each step: 0 is leftmost. Two steps whose rails overlap in some row never share one."""
    row = {step["step"]: i for i, step in enumerate(steps)}
    last_reader = _last_readers(steps, row)
    busy_until: list[int] = []  # per lane, the row from which it is free again
    lane_of: list[int] = []
    for i, step in enumerate(steps):
        inputs = [row[name] for name in step.get("inputs", {}).values() if row.get(name, i) < i]
        inherited = [lane_of[j] for j in inputs if last_reader[j] == i]
        free = [lane for lane, until in enumerate(busy_until) if until <= i and lane not in inherited]
        lane = inherited[0] if inherited else (free[0] if free else len(busy_until))
        if lane == len(busy_until):
            busy_until.append(0)
        busy_until[lane] = max(last_reader[i], i + 1)
        lane_of.append(lane)
    return lane_of


def _last_readers(steps: Sequence[Mapping[str, Any]], row: Mapping[str, int]) -> list[int]:
    """For each step the row of the last step that reads it; its own row where none does."""
    last = list(range(len(steps)))
    for i, step in enumerate(steps):
        for name in step.get("inputs", {}).values():
            if name in row:
                last[row[name]] = max(last[row[name]], i)
    return last


def drawing(steps: Sequence[Mapping[str, Any]]) -> Markup:
    """The rails as SVG: a filled node ran, a hollow one was reused, a small one was fused into the step after it."""
    lane_of = lanes(steps)
    row = {step["step"]: i for i, step in enumerate(steps)}
    edges = [
        _edge(row[name], i, lane_of, f"{name} → {step['step']} ({port})")
        for i, step in enumerate(steps)
        for port, name in step.get("inputs", {}).items()
        if name in row
    ]
    nodes = [_node(i, lane_of[i], str(step.get("state"))) for i, step in enumerate(steps)]
    width, height = LANE * (max(lane_of, default=0) + 1) + 4, ROW * len(steps)
    description = "; ".join(f"{s['step']} reads {', '.join(s['inputs'].values())}" for s in steps if s.get("inputs"))
    return element(
        "svg",
        {
            "class": "rails", "viewBox": f"0 0 {width} {height}",
            "width": f"{width / 16}em", "height": f"{height / 16}em",
            "role": "img", "aria-label": "How the steps are connected",
        },
        element("desc", None, description), edges, nodes,
    )  # fmt: skip


def navigation(steps: Sequence[Mapping[str, Any]], anchors: Mapping[str, str]) -> Markup:
    """Rails and list together; each row links to the step's section."""
    rows = [_row(step, anchors) for step in steps]
    return element("div", {"class": "graph"}, drawing(steps), element("ol", None, rows))


def _row(step: Mapping[str, Any], anchors: Mapping[str, str]) -> Markup:
    documents = step.get("docs_out") if step.get("produces") == "documents" else None
    amount = count(documents) if is_number(documents) else str(step.get("produces") or "")
    if _known_state(step) == "waiting":
        amount = "not run"
    name = element("span", {"class": "name"}, step["step"])
    return element(
        "li", {"class": f"state-{_known_state(step)}"},
        element("a", {"href": f"#{anchors[step['step']]}"}, name, " ", element("span", {"class": "amount"}, amount)),
    )  # fmt: skip


def _known_state(step: Mapping[str, Any]) -> str:
    return step["state"] if step.get("state") in NODE_RADIUS else "waiting"


def _center(row: int, lane: int) -> tuple[float, float]:
    return LANE / 2 + 2 + lane * LANE, ROW / 2 + row * ROW


def _edge(start: int, end: int, lane_of: Sequence[int], tip: str) -> Markup:
    """Down the rail of `start`, then, in the last row before `end`, over into its lane."""
    x0, y0 = _center(start, lane_of[start])
    x1, y1 = _center(end, lane_of[end])
    bend = max(y0, y1 - ROW)
    curve = f"L{x1} {y1}" if x0 == x1 else f"L{x0} {bend}C{x0} {bend + ROW * 0.6} {x1} {y1 - ROW * 0.6} {x1} {y1}"
    return element("path", {"class": "edge", "d": f"M{x0} {y0}{curve}"}, element("title", None, tip))


def _node(row: int, lane: int, state: str) -> Markup:
    x, y = _center(row, lane)
    kind = state if state in NODE_RADIUS else "waiting"
    return element("circle", {"class": f"node {kind}", "cx": x, "cy": y, "r": NODE_RADIUS.get(state, 4.0)})


def legend() -> Markup:
    """What the nodes' shapes mean."""

    def entry(kind: str, words: str) -> Markup:
        node = element("circle", {"class": f"node {kind}", "cx": 6, "cy": 6, "r": NODE_RADIUS.get(kind, 4.0)})
        key = element("svg", {"class": "dot", "viewBox": "0 0 12 12", "aria-hidden": "true"}, node)
        return element("span", None, key, f" {words}")

    entries = [("ran", "ran"), ("fused", "fused with the next"), ("reused", "reused"), ("waiting", "did not run")]
    return element("p", {"class": "graph-legend"}, fragment([fragment(entry(k, w), " ") for k, w in entries]))
