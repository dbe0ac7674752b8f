"""The top of the report: one sentence, the funnel from records to tokens, and the reasons that took most documents.

Reads:  run.json; of the steps' reports only the number of tokens
Writes: Markup
Cost:   one table row per step, LARGEST_LOSSES rows of reasons

The main line runs from the source to the last step along the `documents` (else the first) input of each step. Steps
beside it, such as a classifier's training, are listed after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element
from pipeline.report_parts import annotates_pill, exact_size, has_run, named, row_bar, state_pill, table
from pipeline.wording import count, duration, is_number, number, share, size, whole

LARGEST_LOSSES = 12
SPLIT_TOKENS = "_text_tokens"  # a packing stage counts `train_text_tokens`, `validation_text_tokens`, ...

Step = Mapping[str, Any]


def main_line(steps: Sequence[Step]) -> list[Step]:
    """The steps from a source to where the longest line of documents ends, in DAG order."""
    by_name = {step["step"]: step for step in steps}
    best: list[Step] = []
    for step in steps:
        line, at = [step], step
        while (parent := _main_input(at, by_name)) is not None and parent not in line:
            line.append(parent)
            at = parent
        if len(line) >= len(best):
            best = line
    return best[::-1]


def _main_input(step: Step, by_name: Mapping[str, Step]) -> Step | None:
    inputs = step.get("inputs") or {}
    for port in ("documents", "chunks", *inputs):
        if inputs.get(port) in by_name:
            return by_name[inputs[port]]
    return None


def num_tokens(report: Mapping[str, Any] | None) -> int | None:
    """How many tokens of text a step says it wrote, over its splits, where it says so."""
    counters = (report or {}).get("counters") or {}
    splits = [whole(n) for name, n in counters.items() if name.endswith(SPLIT_TOKENS)]
    return sum(splits) if splits else None


def headline(line: Sequence[Step], reports: Mapping[str, Mapping[str, Any]]) -> Markup:
    """`Of 4,162 records, 1,203 documents remain (28.9 %), 1,254,332 tokens.`"""
    documents = [step for step in line if step.get("produces") == "documents"]
    finished = [step for step in documents if has_run(step) and is_number(step.get("docs_out"))]
    if not finished:
        return element("p", {"class": "headline"}, "No step has finished yet.")
    first, last = whole(finished[0].get("docs_in")), whole(finished[-1]["docs_out"])
    parts: list[Any] = ["Of ", _strong(first), " records, ", _strong(last), f" documents remain ({share(last, first)})"]
    if finished[-1] is not documents[-1]:
        parts.append(f" after {finished[-1]['step']}")
    tokens = [
        num_tokens(reports.get(step["step"])) for step in line if step.get("produces") == "tokens" and has_run(step)
    ]
    if tokens and tokens[-1] is not None:
        parts += [", as ", _strong(tokens[-1]), " tokens"]
    return element("p", {"class": "headline"}, *parts, ".")


def _strong(value: int) -> Markup:
    return element("strong", None, count(value))


def accounting(steps: Sequence[Step]) -> Markup:
    """Whether every step's documents add up: those that came in left it or are named in the ledger."""
    counted = [s for s in steps if has_run(s) and s.get("produces") == "documents" and is_number(s.get("docs_in"))]
    wrong = [s["step"] for s in counted if whole(s["docs_in"]) != whole(s.get("docs_out")) + num_dropped(s)]
    if wrong:
        text = f"The books do not balance in {', '.join(wrong)}: documents in differ from documents out plus dropped."
        return element("p", {"class": "accounting wrong", "role": "alert"}, text)
    dropped = sum(num_dropped(s) for s in counted)
    text = f"The books balance: in every step, documents in = documents out + dropped. {count(dropped)} dropped in all."
    return element("p", {"class": "accounting"}, text)


def num_dropped(step: Step) -> int:
    return sum(whole(n) for n in (step.get("dropped") or {}).values())


def funnel(steps: Sequence[Step], reports: Mapping[str, Mapping[str, Any]], anchors: Mapping[str, str]) -> Markup:
    """One row per step: a bar of what it kept and dropped, documents, bytes, time. All bars have one scale."""
    line = main_line(steps)
    beside = [step for step in steps if step not in line]
    widest = max((whole(s.get("docs_in")) for s in steps if s.get("produces") == "documents"), default=0)

    def rows(chosen: Sequence[Step]) -> list[Markup]:
        return [_funnel_row(step, reports.get(step["step"]), widest, anchors) for step in chosen]

    bodies = [element("tbody", None, rows(line))]
    if beside:
        head = element(
            "tr", {"class": "group"}, element("th", {"colspan": 7, "scope": "colgroup"}, "Beside the main line")
        )
        bodies.append(element("tbody", None, head, rows(beside)))
    columns = ("Step", "Kept and dropped", "Kept", "Dropped", "Share dropped", "Bytes out", "Time")
    return table("funnel", "From records to tokens", columns, bodies, columns[2:])


def _funnel_row(step: Step, report: Mapping[str, Any] | None, widest: int, anchors: Mapping[str, str]) -> Markup:
    name = element("a", {"href": f"#{anchors[step['step']]}"}, step["step"])
    head = element("th", {"scope": "row"}, name, " ", state_pill(step.get("state")), annotates_pill(report))
    time = element("td", {"class": "num", "data-label": "Time"}, _time(step))
    if not has_run(step) or step.get("produces") != "documents" or not is_number(step.get("docs_in")):
        made = element("td", {"class": "made", "colspan": 4}, _made(step, report))
        return element("tr", None, head, made, _bytes_out(step), time)
    docs_in, kept, dropped = whole(step["docs_in"]), whole(step.get("docs_out")), num_dropped(step)
    bar = row_bar([("kept", kept), ("dropped", dropped)], widest)
    return element(
        "tr", None, head,
        element("td", {"class": "bar-cell"}, bar),
        element("td", {"class": "num", "data-label": "Kept"}, count(kept)),
        element("td", {"class": "num loss" if dropped else "num none", "data-label": "Dropped"}, count(dropped)),
        element("td", {"class": "num", "data-label": "Share dropped"}, share(dropped, docs_in)),
        _bytes_out(step), time,
    )  # fmt: skip


def _bytes_out(step: Step) -> Markup:
    size_out = exact_size(step["bytes_out"]) if whole(step.get("bytes_out")) else None
    return element("td", {"class": "num", "data-label": "Bytes out"}, size_out)


def _time(step: Step) -> str:
    return duration(step["seconds"]) if step.get("state") in ("ran", "fused") and _finite(step.get("seconds")) else ""


def _made(step: Step, report: Mapping[str, Any] | None) -> str:
    """What a step makes that makes no documents: `tokens: 1,254,332`, `vocabulary from 1,203 documents`."""
    if not has_run(step):
        return "did not run"
    kind = str(step.get("produces") or "nothing")
    tokens = num_tokens(report) if kind == "tokens" else None
    if tokens is not None:
        return f"{count(tokens)} tokens"
    documents = step.get("docs_in")
    return f"{kind} from {number(documents)} documents" if is_number(documents) and documents else kind


def largest_losses(steps: Sequence[Step], anchors: Mapping[str, str]) -> Markup | None:
    """The reasons that took most documents, over all steps."""
    losses = [
        (whole(n), i, str(reason), step)
        for i, step in enumerate(steps)
        for reason, n in (step.get("dropped") or {}).items()
        if whole(n)
    ]
    losses.sort(key=lambda loss: (-loss[0], loss[1], loss[2]))
    if not losses:
        return None
    total, most = sum(n for n, *_ in losses), losses[0][0]
    rows = [_loss_row(n, reason, step, total, most, anchors) for n, _, reason, step in losses[:LARGEST_LOSSES]]
    rest = losses[LARGEST_LOSSES:]
    if rest:
        rows.append(_rest_row(len(rest), sum(n for n, *_ in rest), total))
    columns = ("Reason", "Step", "", "Documents", "Share")
    return table(
        "losses",
        "Where documents went: the largest losses, and their share of all dropped",
        columns,
        [element("tbody", None, rows)],
        columns[3:],
    )


def _rest_row(num_reasons: int, lost: int, total: int) -> Markup:
    return element(
        "tr", {"class": "rest"},
        element("th", {"scope": "row"}, f"{count(num_reasons)} other reasons"),
        element("td", {"class": "of-step"}),
        element("td", {"class": "bar-cell"}),
        element("td", {"class": "num"}, count(lost)),
        element("td", {"class": "num"}, share(lost, total)),
    )  # fmt: skip


def _loss_row(n: int, reason: str, step: Step, total: int, most: int, anchors: Mapping[str, str]) -> Markup:
    return element(
        "tr", {"data-find": True},
        element("th", {"scope": "row"}, named(reason)),
        element("td", {"class": "of-step"}, element("a", {"href": f"#{anchors[step['step']]}"}, step["step"])),
        element("td", {"class": "bar-cell"}, row_bar([("lost", n)], most)),
        element("td", {"class": "num"}, count(n)),
        element("td", {"class": "num"}, share(n, total)),
    )  # fmt: skip


def facts(steps: Sequence[Step]) -> list[tuple[str, Markup | str]]:
    """Small facts under the headline: label and value. What reused steps took is not this run's."""
    now = [step for step in steps if step.get("state") in ("ran", "fused")]
    states = [step.get("state") for step in steps]
    named_states = [f"{states.count(s)} {s}" for s in ("ran", "fused", "reused") if s in states]
    waiting = sum(not has_run(step) for step in steps)
    words = ", ".join([*named_states, *([f"{waiting} not run"] if waiting else [])])
    return [
        ("Steps", f"{len(steps)}: {words}" if steps else "none"),
        ("Time, all tasks", duration(sum(_finite(step.get("seconds")) for step in now))),
        ("CPU time", duration(sum(_finite(step.get("cpu_s")) for step in now))),
        ("Peak memory of a task", size(max((_finite(step.get("peak_memory_bytes")) for step in now), default=0))),
    ]


def _finite(value: Any) -> float:
    return float(value) if is_number(value) else 0.0
