"""The report a person looks at: one HTML file, nothing outside it, whatever the crawl held.

Reads:  run.json and the report of each step, as parsed JSON; web/report.css and web/report.js of this package
Writes: HTML as text. The same JSON gives the same bytes: no clock, no randomness
Cost:   some 100 kB per step, 200 kB with a dozen limits: every list is bounded (report_steps, report_samples, ...)
Source: Content Security Policy Level 3 for the hashes that let our style and our script run, and nothing else
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline import report_funnel, report_graph, report_steps
from pipeline.markup import Markup, element, fragment, inline
from pipeline.report_parts import values
from pipeline.wording import duration, is_number, visible

Reports = Mapping[str, Mapping[str, Any]]


def render(run: Mapping[str, Any], reports: Reports) -> str:
    """The page for `run` (run.json) with `reports` (report/{step}.json by step name), as a whole HTML document."""
    style, script = _resource("report.css"), _resource("report.js")
    title = f"{visible(_name(run))} · crawlmill report"
    head = element(
        "head", None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": _policy(style, script)}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, title),
        inline("style", style),
    )  # fmt: skip
    page = element("html", {"lang": "en"}, head, element("body", None, _body(run, reports), inline("script", script)))
    return f"<!doctype html>\n{page}\n"


def _resource(name: str) -> str:
    return importlib.resources.files("pipeline").joinpath("web", name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    allowed = f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _body(run: Mapping[str, Any], reports: Reports) -> Markup:
    steps: Sequence[Mapping[str, Any]] = run.get("steps") or []
    anchors = _anchors(steps)
    line = report_funnel.main_line(steps)
    overview = element(
        "section", {"id": "overview", "class": "overview"},
        report_funnel.headline(line, reports),
        report_funnel.accounting(steps),
        values(report_funnel.facts(steps), "facts"),
        report_funnel.funnel(steps, reports, anchors),
        report_funnel.largest_losses(steps, anchors),
    )  # fmt: skip
    sections = [
        report_steps.section(
            step, reports.get(step["step"]) or {}, anchors[step["step"]],
            report_steps.around(step, _readers(step["step"], steps), anchors),
        )
        for step in steps
    ]  # fmt: skip
    return fragment(
        element("a", {"class": "skip", "href": "#overview"}, "Skip to the overview"),
        _header(run),
        element(
            "main", {"class": "layout"},
            overview, _navigation(steps, anchors), element("div", {"class": "steps"}, sections),
        ),
        element("footer", None, f"crawlmill {run.get('crawlmill') or ''}"),
    )  # fmt: skip


def _header(run: Mapping[str, Any]) -> Markup:
    status = str(run.get("status") or "unknown")
    words = {"done": "finished", "failed": "failed", "running": "still running"}.get(status, status)
    pill = element(
        "span", {"class": f"pill status-{status if status in ('done', 'failed', 'running') else 'other'}"}, words
    )
    error = element("pre", {"class": "error", "role": "alert"}, str(run["error"])) if run.get("error") else None
    where = element("p", {"class": "where"}, element("code", None, str(run.get("output") or "")), _when(run))
    return element("header", None, element("h1", None, _name(run), " ", pill), where, error)


def _name(run: Mapping[str, Any]) -> str:
    """The DAG file's name without its folders."""
    return str(run.get("dag") or "A run").rstrip("/").rsplit("/", 1)[-1]


def _when(run: Mapping[str, Any]) -> str | None:
    started, finished = _moment(run.get("started")), _moment(run.get("finished"))
    if started is None:
        return None
    text = f" · started {started:%-d %B %Y, %H:%M} UTC"
    return text if finished is None else f"{text}, took {duration((finished - started).total_seconds())}"


def _moment(value: Any) -> datetime | None:
    """A time as ISO 8601 text or as seconds since 1970; None for anything else."""
    try:
        if is_number(value):
            return datetime.fromtimestamp(value, UTC)
        moment = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _navigation(steps: Sequence[Mapping[str, Any]], anchors: Mapping[str, str]) -> Markup:
    label = element("label", {"for": "find"}, "Find in samples, reasons, hosts")
    box = element("input", {"id": "find", "type": "search", "autocomplete": "off", "spellcheck": "false"})
    result = element("p", {"id": "found", "role": "status"})
    search = element("div", {"class": "search", "hidden": True}, label, box, result)
    return element(
        "nav", {"aria-label": "Steps"},
        search, element("h2", None, "The DAG"), report_graph.navigation(steps, anchors), report_graph.legend(),
    )  # fmt: skip


def _readers(name: str, steps: Sequence[Mapping[str, Any]]) -> list[str]:
    return [step["step"] for step in steps if name in (step.get("inputs") or {}).values()]


def _anchors(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """An id for each step's section: its name where that will do as an id, made unique where it will not."""
    anchors: dict[str, str] = {}
    for i, step in enumerate(steps):
        slug = "step-" + re.sub(r"[^A-Za-z0-9_-]+", "-", str(step["step"]))[:60]
        anchors[step["step"]] = slug if slug not in anchors.values() else f"{slug}-{i}"
    return anchors
