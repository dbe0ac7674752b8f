"""One section of the report per step: what came in and went out, why documents were dropped, what was measured.

Reads:  a step of run.json and its report
Writes: Markup
Cost:   at most TOP_VALUES rows per tally and MAX_CHARTS charts of a kind, whatever the report holds
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.report import OTHERS
from pipeline.report_counters import counter_tables, split_counters
from pipeline.report_histogram import has_limits, histogram, how_to_read
from pipeline.report_lines import line_chart
from pipeline.report_parts import (
    annotates_pill,
    cell_text,
    exact_size,
    has_run,
    named,
    row_bar,
    state_pill,
    table,
    values,
)
from pipeline.report_samples import dropped, kept, tables
from pipeline.wording import count, duration, is_number, one_line, plural, share, size, title, whole

TOP_VALUES = 20
MAX_REASON_ROWS = 40
MAX_BAR_ROWS = 40
MAX_CHARTS = 24
MAX_FIGURES = 60

Step = Mapping[str, Any]


def section(step: Step, report: Mapping[str, Any], anchor: str, around: Markup) -> Markup:
    """The whole section; `around` links to the steps it reads and feeds."""
    heading = element("h2", None, step["step"], " ", state_pill(step.get("state")), annotates_pill(report))
    uses = element("p", {"class": "uses"}, element("code", None, str(step.get("uses") or "")), " ", around)
    amounts = step.get("dropped") or report.get("dropped") or {}
    would_drop = report.get("would_drop") or {}
    parts: list[Markup | None] = [
        _amounts(step, would_drop),
        _annotation_note() if report.get("annotates") else None,
        _reasons("Why documents were dropped", amounts, report.get("bytes_dropped") or {}, step.get("docs_in")),
        _reasons("Why documents would be dropped", would_drop, {}, step.get("docs_in")),
        _figures(report),
        *counter_tables(report.get("counters") or {}),
        _charts(report),
        _tallies(report, step),
        fragment(tables(report.get("tables") or {})),
        _samples_kept(step, report),
        dropped("Dropped", report.get("samples_dropped") or {}, amounts),
        dropped("Would drop", report.get("samples_would_drop") or {}, would_drop),
    ]
    missing = element("p", {"class": "note"}, "This step has written no report.") if not report else None
    return element("section", {"id": anchor, "class": "step"}, heading, uses, *parts, missing)


def _annotation_note() -> Markup:
    return element(
        "p", {"class": "note reading"},
        "This step annotates: it drops nothing, and writes what it measures and the reason it would drop a document "
        "for as columns.",
    )  # fmt: skip


def _samples_kept(step: Step, report: Mapping[str, Any]) -> Markup | None:
    samples = report.get("samples_kept") or []
    if not report.get("annotates"):
        return kept("kept", samples, step.get("docs_out"))
    passing = whole(step.get("docs_in")) - sum(whole(n) for n in (report.get("would_drop") or {}).values())
    return kept("it would keep", samples, passing)


def _amounts(step: Step, would_drop: Mapping[str, Any]) -> Markup | None:
    """Documents and bytes in and out, time and memory; nothing for a step that has not run."""
    if not has_run(step):
        return None
    pairs: list[tuple[str, Markup | str]] = []
    if step.get("produces") == "documents" and is_number(step.get("docs_in")):
        lost = whole(step["docs_in"]) - whole(step.get("docs_out"))
        pairs += [
            ("Documents in", count(step["docs_in"])),
            ("Documents out", count(step.get("docs_out"))),
            ("Dropped", f"{count(lost)} ({share(lost, step['docs_in'])})"),
        ]
        would = sum(whole(n) for n in would_drop.values())
        pairs += [("Would drop", f"{count(would)} ({share(would, step['docs_in'])})")] if would else []
    elif whole(step.get("docs_in")):
        pairs.append(("Documents in", count(step["docs_in"])))
    for label, key in (("Bytes in", "bytes_in"), ("Bytes out", "bytes_out")):
        if whole(step.get(key)):
            pairs.append((label, exact_size(step[key])))
    pairs += [(label, text) for label, text in _cost(step) if text]
    return values(pairs, "amounts")


def _cost(step: Step) -> list[tuple[str, str]]:
    """What it took; a figure of 0 was not measured, or is in the figure of the step it was fused with."""
    then = " when it ran" if step.get("state") == "reused" else ""
    seconds, cpu_s, peak = (step.get(key) for key in ("seconds", "cpu_s", "peak_memory_bytes"))
    return [
        (f"Time{then}", duration(seconds) if is_number(seconds) and seconds else ""),
        (f"CPU time{then}", duration(cpu_s) if is_number(cpu_s) and cpu_s else ""),
        ("Peak memory", size(peak) if is_number(peak) and peak else ""),
    ]


def _reasons(caption: str, amounts: Mapping[str, Any], num_bytes: Mapping[str, Any], docs_in: Any) -> Markup | None:
    """Drop reasons, the most frequent first, and their sum; their bytes where the step counts bytes."""
    ordered = sorted(((whole(n), str(reason)) for reason, n in amounts.items()), key=lambda pair: (-pair[0], pair[1]))
    if not ordered:
        return None

    def row(words: Markup | str, reasons: Sequence[tuple[int, str]], most: int) -> Markup:
        n = sum(amount for amount, _ in reasons)
        lost = sum(whole(num_bytes.get(reason)) for _, reason in reasons) if num_bytes else None
        return _reason_row(words, n, most, docs_in, lost)

    shown, rest = ordered[:MAX_REASON_ROWS], ordered[MAX_REASON_ROWS:]
    rows = [row(named(pair[1]), [pair], shown[0][0]) for pair in shown]
    if rest:
        rows.append(row(f"{len(rest)} other reasons", rest, 0))
    foot = [element("tfoot", None, row("All reasons", ordered, 0))] if len(ordered) > 1 else []
    columns = ("Reason", "", "Documents", "Share", *(("Bytes",) if num_bytes else ()))
    return table("reasons", caption, columns, [element("tbody", None, rows), *foot], columns[2:])


def _reason_row(words: Markup | str, n: int, most: int, docs_in: Any, lost: int | None) -> Markup:
    return element(
        "tr", {"data-find": True},
        element("th", {"scope": "row"}, words),
        element("td", {"class": "bar-cell"}, row_bar([("lost", n)], most)),
        element("td", {"class": "num"}, count(n)),
        element("td", {"class": "num"}, share(n, docs_in)),
        None if lost is None else element("td", {"class": "num"}, exact_size(lost)),
    )  # fmt: skip


def _figures(report: Mapping[str, Any]) -> Markup | None:
    """Figures and counters, as the stage named them."""
    known = {**(report.get("figures") or {}), **split_counters(report.get("counters") or {})[0]}
    shown = list(known.items())[:MAX_FIGURES]
    if not shown:
        return None
    pairs = [
        (
            one_line(title(name), 60),
            element("span", {"title": f"{name} = {one_line(str(value), 200)}"}, cell_text(value)),
        )
        for name, value in shown
    ]
    more = len(known) - len(shown)
    note = element("p", {"class": "note"}, f"{plural(more, 'more figure')} in the report's JSON.") if more else None
    return fragment(values(pairs, "figures"), note)


def _charts(report: Mapping[str, Any]) -> Markup | None:
    histograms = list(_first(report.get("histograms")))
    charts = [
        *(line_chart(name, data) for name, data in _first(report.get("series"))),
        *(histogram(name, data) for name, data in histograms),
    ]
    reading = how_to_read() if any(has_limits(data) for _, data in histograms) else None
    return fragment(reading, element("div", {"class": "charts"}, charts)) if charts else None


def _tallies(report: Mapping[str, Any], step: Step) -> Markup | None:
    tallies = [_tally(name, data) for name, data in _first(report.get("tallies")) if data]
    bars = [_bars(name, data) for name, data in _first(report.get("bars")) if data.get("counts")]
    return element("div", {"class": "tallies"}, bars, tallies) if bars or tallies else None


def _first(named_: Mapping[str, Any] | None) -> Iterable[tuple[str, Any]]:
    return list((named_ or {}).items())[:MAX_CHARTS]


def _tally(name: str, amounts: Mapping[str, Any]) -> Markup:
    """The TOP_VALUES most frequent values and the sum of the rest."""
    pairs = [(whole(n), str(value)) for value, n in amounts.items() if value != OTHERS]
    ordered = sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
    uncounted = whole(amounts.get(OTHERS))  # documents whose values the report had no room to name
    total = sum(n for n, _ in ordered) + uncounted
    shown, rest = ordered[:TOP_VALUES], ordered[TOP_VALUES:]
    rows = [_value_row(one_line(value, 80) or "(empty)", n, shown[0][0], total) for n, value in shown]
    more = "more than " if uncounted else ""
    if rest or uncounted:
        rest_count = sum(n for n, _ in rest) + uncounted
        rows.append(_value_row(f"{more}{count(len(rest))} others", rest_count, 0, total, "rest"))
    columns = (title(name), "", "Count", "Share")
    return table(
        "tally",
        f"{title(name)}: {more}{plural(len(ordered), 'value')}",
        columns,
        [element("tbody", None, rows)],
        columns[2:],
    )


def _bars(name: str, data: Mapping[str, Any]) -> Markup:
    """A wide stage's own histogram, in the order the stage gave."""
    pairs = [(str(label), whole(n)) for label, n in zip(data.get("labels") or [], data["counts"], strict=False)]
    total, most = sum(n for _, n in pairs), max((n for _, n in pairs), default=0)
    shown, rest = pairs[:MAX_BAR_ROWS], pairs[MAX_BAR_ROWS:]
    rows = [_value_row(one_line(label, 60), n, most, total) for label, n in shown]
    if rest:
        rows.append(_value_row(f"{count(len(rest))} further bars", sum(n for _, n in rest), 0, total, "rest"))
    columns = (title(name), "", "Count", "Share")
    return table("tally", title(name), columns, [element("tbody", None, rows)], columns[2:])


def _value_row(words: str, n: int, most: int, total: int, kind: str | None = None) -> Markup:
    label = element("bdi", None, words)
    return element(
        "tr", {"data-find": kind is None, "class": kind},
        element("th", {"scope": "row"}, label),
        element("td", {"class": "bar-cell"}, row_bar([("plain", n)], most)),
        element("td", {"class": "num"}, count(n)),
        element("td", {"class": "num"}, share(n, total)),
    )  # fmt: skip


def around(step: Step, readers: Sequence[str], anchors: Mapping[str, str]) -> Markup:
    """`reads quality · feeds vocabulary, chunks`, as links."""
    sources = list(dict.fromkeys((step.get("inputs") or {}).values()))
    return fragment(_links("reads", sources, anchors), _links("feeds", readers, anchors))


def _links(verb: str, names: Sequence[str], anchors: Mapping[str, str]) -> Markup | None:
    if not names:
        return None
    links = [element("a", {"href": f"#{anchors[name]}"}, name) if name in anchors else name for name in names]
    joined = [part for link in links for part in (", ", link)][1:]
    return element("span", {"class": "around"}, f"{verb} ", joined)
