"""What was cut, for the report: counts, lengths, the longest and the most frequent spans with an excerpt.

Reads:  LOSS rows by shard; text, url and id
Writes: counters, a histogram, two tables of LISTED rows at most
Cost:   the ids of a shard and its spans in memory; texts are read up to the last document that is listed

A table lists a span once for each window that is its most frequent one (the first of these), as the longest span that
has it: copies of a footer with more or less around them are one row. The excerpt begins at that window in the table of
the most frequent ones, at the span in that of the longest. Lists of shards are cut by the same order as the
whole, so that what is listed does not depend on the shards.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.schemas import EXCERPT_CHARS
from pipeline.stage import JSON, InputArtifact, TaskContext, WideContext
from stages.dedup.documents import ROW_BITS, read_shard
from stages.spans.anchors import words_name
from stages.spans.cuts import Cutting, places_of

LISTED = 20
FREQUENT, LONGEST = "most frequent spans removed", "longest spans removed"
TABLES = {FREQUENT: ("documents", "words"), LONGEST: ("words", "documents")}


def summarise(cutting: Cutting, shard: int, task: TaskContext) -> JSON:
    """A shard's {"words", "removed", "spans", "lengths": [length in doublings of min_tokens, spans], table: rows}."""
    losses, spans = cutting.spans_of(shard)
    words_S = spans.end - spans.first
    doublings_S = np.frexp(words_S / cutting.search.min_tokens)[1] - 1
    peak_first_S = losses["peak_first"].to_numpy()[spans.peak]
    columns = {
        "documents": losses["documents"].to_numpy()[spans.peak], "words": words_S,
        "peak": losses["peak"].to_numpy()[spans.peak], "doc": spans.doc, "first": spans.first, "end": spans.end,
        "peak_first": peak_first_S,
        "keeper": losses["keeper"].to_numpy()[spans.source],
    }  # fmt: skip
    listed = {name: _listed(columns, _ids(cutting, shard, spans.doc), by) for name, by in TABLES.items()}
    lengths = sorted(Counter(doublings_S.tolist()).items())
    return {
        "words": json.loads(task.work.read_bytes(words_name(shard))),
        "removed": int(words_S.sum()),
        "spans": len(words_S),
        "lengths": lengths,
        **_with_excerpts(cutting, shard, listed),
    }


def _ids(cutting: Cutting, shard: int, doc_S: np.ndarray) -> np.ndarray:
    """bytes[S]: the id of each span's document."""
    parts = [batch["id"] for _, batch in read_shard(cutting.search.documents, shard, ("id",))]
    if not len(doc_S):
        return np.empty(0, object)
    ids = pa.concat_arrays(parts).take(pa.array(doc_S - (shard << ROW_BITS)))
    return ids.to_numpy(zero_copy_only=False)


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


def _listed(columns: Mapping[str, np.ndarray], id_S: np.ndarray, by: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a shard that may be in a table."""
    order_S = np.lexsort(
        (columns["first"], id_S.astype("S16"), columns["peak"], *(-columns[name] for name in by[::-1]))
    )
    peak_S = columns["peak"][order_S]
    _, places = np.unique(peak_S, return_index=True)
    chosen = order_S[np.sort(places)[:LISTED]]
    return [
        {**{name: int(column[s]) for name, column in columns.items()}, "id": id_S[s].hex()} for s in chosen.tolist()
    ]


def _with_excerpts(
    cutting: Cutting, shard: int, listed: Mapping[str, list[dict[str, Any]]]
) -> Mapping[str, list[dict[str, Any]]]:
    """The rows with an excerpt of each span, and its document's URL."""
    from stages.kernels import utf8

    doc_D = np.unique([row["doc"] for rows in listed.values() for row in rows])
    for first, batch in read_shard(cutting.search.documents, shard, ("text", "url")) if len(doc_D) else ():
        wanted_N = np.isin(first + np.arange(batch.num_rows), doc_D)
        text = utf8.view(batch["text"])
        words = places_of(cutting.search, text, wanted_N)
        here = ((name, row) for name, rows in listed.items() for row in rows if 0 <= row["doc"] - first < len(wanted_N))
        for name, row in here:
            word = words.offsets[row["doc"] - first]
            start = words.starts[word + row["peak_first" if name == FREQUENT else "first"]]
            end = words.ends[word + row["end"] - 1]
            beginning = text.data[start : min(end, start + 4 * EXCERPT_CHARS)].tobytes().decode(errors="ignore")
            row |= {"excerpt": beginning[:EXCERPT_CHARS], "removed_from": batch["url"][row["doc"] - first].as_py()}
    return listed


def keeper_urls(documents: InputArtifact, doc_D: Sequence[int], task: TaskContext) -> JSON:
    """[number, id, URL] of documents of one shard."""
    shard, found = doc_D[0] >> ROW_BITS, []
    for first, batch in read_shard(documents, shard, ("id", "url")):
        for doc in doc_D:
            if 0 <= doc - first < batch.num_rows:
                found.append([doc, batch["id"][doc - first].as_py().hex(), batch["url"][doc - first].as_py()])
    return found


def report_spans(ctx: WideContext, cutting: Cutting, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Counters, the share of words removed, the spans' lengths and the tables."""
    report, documents, length = ctx.report, cutting.search.documents, cutting.search.min_tokens
    words, removed, spans = (sum(summary[name] for summary in summaries) for name in ("words", "removed", "spans"))
    report.counter("words", words)
    report.counter("words_removed", removed)
    report.counter("spans_removed", spans)
    report.figure("share of words removed", removed / max(1, words))
    lengths: Counter[int] = Counter()
    for summary in summaries:
        lengths.update(dict(summary["lengths"]))
    bins = range(max(lengths, default=-1) + 1)
    labels = [f"{length << b}-{(length << b + 1) - 1}" for b in bins]
    report.histogram("words of a span removed", labels, [lengths[b] for b in bins])
    tables = {
        name: _first_of_each([row for summary in summaries for row in summary[name]], by) for name, by in TABLES.items()
    }
    shards: dict[int, set[int]] = {}
    for row in (row for rows in tables.values() for row in rows):
        shards.setdefault(row["keeper"] >> ROW_BITS, set()).add(row["keeper"])
    found = ctx.map("kept documents", keeper_urls, [sorted(shards[shard]) for shard in sorted(shards)], documents)
    kept = {doc: (id_, url) for part in found for doc, id_, url in part}
    for name, rows in tables.items():
        report.sample(name, [_shown(row, *kept[row["keeper"]]) for row in rows])


def _shown(row: Mapping[str, Any], kept: str, url: str | None) -> Mapping[str, Any]:
    return {
        "documents": row["documents"], "words": row["words"], "kept": kept, "url": url,
        "removed from": row["removed_from"] or row["id"], "excerpt": row["excerpt"],
    }  # fmt: skip
