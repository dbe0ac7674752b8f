"""What was cut, for the report: counts, lengths, the longest and the most frequent spans with an excerpt.

Reads:  LOSS rows by shard; text, url and id
Writes: counters, a histogram, two tables of LISTED rows at most
Cost:   the ids of a shard and its spans in memory; its texts are read up to the last document that is listed

A table lists a span once for each window that is its most frequent one (the first of these), as the longest span that
has it: copies of a footer with more or less around them are one row. The excerpt begins at that window in the table of
the most frequent ones, at the span in that of the longest. Lists of shards and groups are cut by the same order as the
whole, so that what is listed does not depend on them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.schemas import EXCERPT_CHARS
from pipeline.stage import JSON, TaskContext, WideContext
from stages.dedup.corpus import Group, Part
from stages.dedup.documents import ROW_BITS, read_parts, row_of
from stages.kernels.span_union import Union
from stages.spans.anchors import words_name
from stages.spans.cuts import Cutting, places_of

LISTED = 20
FREQUENT, LONGEST = "most frequent spans removed", "longest spans removed"
TABLES = {FREQUENT: ("documents", "words"), LONGEST: ("words", "documents")}


def summarise(cutting: Cutting, group: Group, task: TaskContext) -> JSON:
    """A group's {"words", "removed", "spans", "lengths": [[doublings of min_tokens, spans], ...], table: rows}."""
    removed, lengths = 0, Counter[int]()
    listed: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    for part in group.parts:
        losses, spans = cutting.spans_of(part.number)
        words_S = spans.end - spans.first
        removed += int(words_S.sum())
        lengths.update((np.frexp(words_S / cutting.search.min_tokens)[1] - 1).tolist())
        for name, rows in _listed(losses, spans, part).items():
            listed[name] = _first_of_each([*listed[name], *rows], TABLES[name])
    for part in group.parts:
        _add_excerpts(cutting, part, listed)
    return {
        "words": json.loads(task.work.read_bytes(words_name(group.number))),
        "removed": removed,
        "spans": lengths.total(),
        "lengths": sorted(lengths.items()),
        **listed,
    }


def _order(row: Mapping[str, Any], by: Sequence[str]) -> tuple[Any, ...]:
    """Sorts rows; it tells any two apart and looks at the documents alone."""
    return *(-row[name] for name in by), row["peak"], row["id"], row["first"]


def _first_of_each(rows: Sequence[dict[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """The first LISTED rows that differ in their most frequent window."""
    found: dict[int, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: _order(row, by)):
        if len(found) < LISTED:
            found.setdefault(row["peak"], row)
    return list(found.values())


def _listed(losses: pa.RecordBatch, spans: Union, part: Part) -> dict[str, list[dict[str, Any]]]:
    """By table the rows of a shard that may be in it."""
    if not len(spans.doc):
        return {}
    columns = {
        "documents": losses["documents"].to_numpy()[spans.peak], "words": spans.end - spans.first,
        "peak": losses["peak"].to_numpy()[spans.peak], "doc": spans.doc, "first": spans.first, "end": spans.end,
        "peak_first": losses["peak_first"].to_numpy()[spans.peak],
        "keeper": losses["keeper"].to_numpy()[spans.source],
    }  # fmt: skip
    ids = pa.concat_arrays([batch["id"] for _, batch in read_parts((part,), ("id",))])
    id_S = ids.take(pa.array(row_of(spans.doc))).to_numpy(zero_copy_only=False)
    return {name: _chosen(columns, id_S, by) for name, by in TABLES.items()}


def _chosen(columns: Mapping[str, np.ndarray], id_S: np.ndarray, by: Sequence[str]) -> list[dict[str, Any]]:
    """The first LISTED rows that differ in their most frequent window."""
    order_S = np.lexsort(
        (columns["first"], id_S.astype("S16"), columns["peak"], *(-columns[name] for name in by[::-1]))
    )
    _, places = np.unique(columns["peak"][order_S], return_index=True)
    chosen = order_S[np.sort(places)[:LISTED]]
    return [
        {**{name: int(column[s]) for name, column in columns.items()}, "id": id_S[s].hex()} for s in chosen.tolist()
    ]


def _add_excerpts(cutting: Cutting, part: Part, listed: Mapping[str, list[dict[str, Any]]]) -> None:
    """Give the rows of a shard an excerpt of their spans, and their document's URL."""
    from stages.kernels import utf8

    own = [(name, row) for name, rows in listed.items() for row in rows if row["doc"] >> ROW_BITS == part.number]
    doc_D = np.unique([row["doc"] for _, row in own])
    for first, batch in read_parts((part,), ("text", "url")) if own else ():
        if first > doc_D[-1]:
            break
        wanted_N = np.isin(first + np.arange(batch.num_rows), doc_D)
        text = utf8.view(batch["text"])
        words = places_of(cutting.search, text, wanted_N)
        for name, row in ((name, row) for name, row in own if 0 <= row["doc"] - first < batch.num_rows):
            word = words.offsets[row["doc"] - first]
            start = words.starts[word + row["peak_first" if name == FREQUENT else "first"]]
            end = words.ends[word + row["end"] - 1]
            beginning = text.data[start : min(end, start + 4 * EXCERPT_CHARS)].tobytes().decode(errors="ignore")
            row |= {"excerpt": beginning[:EXCERPT_CHARS], "removed_from": batch["url"][row["doc"] - first].as_py()}


def keeper_urls(shared: None, wanted: tuple[Part, Sequence[int]], task: TaskContext) -> JSON:
    """[number, id, URL] of documents of one shard."""
    part, docs = wanted
    found = []
    for first, batch in read_parts((part,), ("id", "url")):
        for doc in docs:
            if 0 <= doc - first < batch.num_rows:
                found.append([doc, batch["id"][doc - first].as_py().hex(), batch["url"][doc - first].as_py()])
    return found


def report_spans(
    ctx: WideContext, min_tokens: int, groups: Sequence[Group], summaries: Sequence[Mapping[str, Any]]
) -> None:
    """Counters, the share of words removed, the spans' lengths and the tables."""
    report = ctx.report
    words, removed, spans = (sum(summary[name] for summary in summaries) for name in ("words", "removed", "spans"))
    report.counter("words", words)
    report.counter("words_removed", removed)
    report.counter("spans_removed", spans)
    report.figure("share of words removed", removed / max(1, words))
    lengths: Counter[int] = Counter()
    for summary in summaries:
        lengths.update(dict(summary["lengths"]))
    bins = range(max(lengths, default=-1) + 1)
    labels = [f"{min_tokens << b}-{(min_tokens << b + 1) - 1}" for b in bins]
    report.histogram("words of a span removed", labels, [lengths[b] for b in bins])
    tables = {
        name: _first_of_each([row for summary in summaries for row in summary[name]], by) for name, by in TABLES.items()
    }
    docs: dict[int, set[int]] = {}
    for row in (row for rows in tables.values() for row in rows):
        docs.setdefault(row["keeper"] >> ROW_BITS, set()).add(row["keeper"])
    wanted = [(part, sorted(docs[part.number])) for group in groups for part in group.parts if part.number in docs]
    found = ctx.map("kept documents", keeper_urls, wanted)
    kept = {doc: (id_, url) for part in found for doc, id_, url in part}
    for name, rows in tables.items():
        report.sample(name, [_shown(row, *kept[row["keeper"]]) for row in rows])


def _shown(row: Mapping[str, Any], kept: str, url: str | None) -> Mapping[str, Any]:
    return {
        "documents": row["documents"], "words": row["words"], "kept": kept, "url": url,
        "removed from": row["removed_from"] or row["id"], "excerpt": row["excerpt"],
    }  # fmt: skip
