"""The run so far as a page that loads itself anew: curves of loss, speed and memory, and the last figures.

Reads:  lines of metrics.jsonl; the report's style (pipeline/web/report.css)
Writes: index.html beside it
Cost:   memory: KEPT lines, every second one dropped when there are more. A page has at most 400 points a curve
Source: the report's own charts and escaping (pipeline.report_lines, pipeline.markup)
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.markup import Markup, element, inline
from pipeline.report_lines import line_chart
from pipeline.report_parts import values
from pipeline.wording import NOTHING, count, is_number, number, share, size

KEPT = 4000
RELOAD_S = 10
CHARTS = (
    ("loss", {"train": "loss", "validation": "validation_loss"}),
    ("tokens per second", {"all ranks": "tokens_per_s"}),
    ("model flops utilisation", {"share of the peak": "mfu"}),
    ("gradient norm", {"before clipping": "grad_norm"}),
    ("learning rate", {"learning rate": "lr"}),
    ("peak memory of rank 0, bytes", {"memory": "memory_bytes"}),
)


class Page:
    """Keeps what is drawn: the lines so far, thinned out in a long run."""

    def __init__(self, path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
        self._path = path
        self._lines: list[Mapping[str, Any]] = []
        for line in lines:
            self.add(line)

    def add(self, line: Mapping[str, Any]) -> None:
        self._lines.append(line)
        if len(self._lines) > KEPT:
            self._lines = [kept for kept in self._lines[::2] if kept is not line] + [line]

    def cut(self, step: int) -> None:
        self._lines = [line for line in self._lines if line["step"] <= step]

    def write(self, is_running: bool = True) -> None:
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text(render(self._lines, is_running), encoding="utf-8")
        os.replace(temporary, self._path)


def render(lines: Sequence[Mapping[str, Any]], is_running: bool) -> str:
    """The page of these lines as a whole HTML document; one that is_running loads itself anew."""
    style = importlib.resources.files("pipeline").joinpath("web", "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head", None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"http-equiv": "refresh", "content": RELOAD_S}) if is_running else None,
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, "Training · crawlmill"),
        inline("style", style),
    )  # fmt: skip
    state = element(
        "span", {"class": f"pill status-{'running' if is_running else 'done'}"}, "running" if is_running else "ended"
    )
    header = element("header", None, element("h1", None, "Training ", state))
    page = element("html", {"lang": "en"}, head, element("body", None, header, element("main", None, _section(lines))))
    return f"<!doctype html>\n{page}\n"


def _section(lines: Sequence[Mapping[str, Any]]) -> Markup:
    if not lines:
        return element("p", {"class": "note"}, "No step has ended yet.")
    x = [line.get("step") for line in lines]
    charts = []
    for name, labels in CHARTS:
        drawn = {label: [line.get(field) for line in lines] for label, field in labels.items()}
        measured = {label: ys for label, ys in drawn.items() if any(is_number(y) for y in ys)}
        if measured:
            charts.append(line_chart(name, {"x_label": "step", "x": x, "lines": measured}))
    return element(
        "section", {"class": "overview"}, values(_facts(lines), "facts"), element("div", {"class": "charts"}, charts)
    )


def _facts(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup | str]]:
    last = next((line for line in reversed(lines) if "loss" in line), lines[-1])
    validation = [line["validation_loss"] for line in lines if is_number(line.get("validation_loss"))]
    mfu = last.get("mfu")
    return [
        ("Step", count(last.get("step"))),
        ("Loss", number(last.get("loss"))),
        ("Validation loss", number(validation[-1]) if validation else NOTHING),
        ("Tokens per second", count(last.get("tokens_per_s"))),
        ("MFU", share(mfu, 1) if mfu is not None else NOTHING),
        ("Gradient norm", number(last.get("grad_norm"))),
        ("Learning rate", number(last.get("lr"))),
        ("Peak memory", size(last.get("memory_bytes"))),
    ]
