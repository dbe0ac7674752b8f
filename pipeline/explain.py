"""One document's fate: which steps it passed, which one dropped it and why, its clusters, or where it is kept.

Reads:  {output}/run.json, then of every documents artifact it names: the ledger (dropped/) and the shards, filtered by
        URL or id while they stream; text is read where two documents of a cluster are compared (explain_pair.py)
Writes: nothing
Costs:  two passes over the `url` and `id` columns of each artifact and one over its ledger; memory for a few batches,
        whatever the crawl's size

A URL may stand for several documents (crawled twice); each has its own fate, told apart by its id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline.annotation import REASON, column
from pipeline.artifact import Artifact, open_artifact
from pipeline.document_scan import Row, dropping_steps, find_rows, representatives, search_hint
from pipeline.errors import DataError
from pipeline.explain_cluster import Cluster, Clusters, find_dropped
from pipeline.explain_lines import duplicate_lines, kept_lines
from pipeline.run_file import read_run
from pipeline.store import Folder
from pipeline.wording import number, one_line, sentence

ID_HEX_CHARS = 32


@dataclass(frozen=True, kw_only=True)
class StepFate:
    """What one step did with the document. `value` and `threshold` are null where the reason has none.

    Of a step that annotates, `measures` are what it measured (null where the document was dropped before they were
    written), and `reason` is what it would drop the document for. `cluster` is null where no other document was dropped
    for this one, nor this one for another."""

    step: str
    outcome: str  # `passed`, `dropped` or `annotated`
    reason: str | None = None
    value: float | None = None
    threshold: float | None = None
    excerpt: str | None = None
    duplicate_of: str | None = None  # hexadecimal id of the representative
    duplicate_of_url: str | None = None
    measures: Mapping[str, float | None] | None = None
    cluster: Cluster | None = None


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a document is kept: an artifact (relative to the output), its shard, and what its columns say of it."""

    artifact: str
    shard: str
    columns: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Fate:
    """One document. `id` is null for a record dropped before it had one. `steps` are in DAG order; `kept_in` is empty
    where it was dropped, and holds each last artifact it reached where it was not."""

    id: str | None
    url: str | None
    warc_path: str | None = None
    warc_offset: int | None = None
    steps: Sequence[StepFate] = field(default_factory=tuple)
    kept_in: Sequence[Place] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """The fate as JSON values; NaN, which JSON has not, is null."""
        return {key: _without_nan(value) for key, value in asdict(self).items()}


def explain(output: Folder, url_or_id: str, comparison: Any | None = None, compare_members: bool = False) -> list[Fate]:
    """The fates of all documents with this URL (exactly as crawled) or this id (32 hexadecimal digits).

    `comparison`, the module stages/dedup/comparison.py, compares what was dropped as a duplicate with what stayed, with
    `compare_members` the other members of a cluster as well; without it nothing is compared.
    Raises DataError where there is none, with the nearest URLs and what was searched; and where there is no run.
    """
    run, artifacts, rows = find_document(output, url_or_id)
    by_document: dict[Any, list[Row]] = {}
    for row in rows:
        by_document.setdefault(row.identity(), []).append(row)
    originals = {row.columns["duplicate_of"] for row in rows if row.columns.get("duplicate_of") is not None}
    known = representatives(artifacts, originals)
    asked = {row.columns["id"] for row in rows if row.columns.get("id") is not None}
    clusters = Clusters(
        output=output, run=run, dropped=find_dropped(artifacts, asked | originals), asked=asked, urls=known,
        dropped_by=dropping_steps(artifacts, originals), comparison=comparison, compare_members=compare_members,
    )  # fmt: skip
    return [_with_clusters(_fate(found, run, artifacts, known), clusters) for found in by_document.values()]


def find_document(output: Folder, url_or_id: str) -> tuple[Mapping[str, Any], dict[str, Artifact], list[Row]]:
    """The last run, its artifacts of documents, and every row in them with this URL or id; raises as `explain`."""
    run = _run(output)
    artifacts = _documents_artifacts(output, run)
    is_id = len(url_or_id) == ID_HEX_CHARS and all(c in "0123456789abcdefABCDEF" for c in url_or_id)
    column, wanted = ("id", bytes.fromhex(url_or_id)) if is_id else ("url", url_or_id)
    rows = [row for name, artifact in artifacts.items() for row in find_rows(name, artifact, column, wanted)]
    if not rows:
        raise _not_found(output, url_or_id, is_id, artifacts)
    return run, artifacts, rows


def _run(output: Folder) -> Mapping[str, Any]:
    run = read_run(output)
    if run is None:
        raise DataError(
            "no run.json",
            where=output.shown(),
            expected="the output folder of a run",
            mend="Run `crawlmill run` first.",
        )
    return run


def _documents_artifacts(output: Folder, run: Mapping[str, Any]) -> dict[str, Artifact]:
    """The artifacts that hold documents, in DAG order, by their path in the output folder."""
    names = [s["artifact"] for s in run["steps"] if s["artifact"] and s["produces"] == "documents"]
    opened = {name: open_artifact(output.child(name)) for name in dict.fromkeys(names)}
    return {name: artifact for name, artifact in opened.items() if artifact is not None}


def _fate(
    rows: Sequence[Row], run: Mapping[str, Any], artifacts: Mapping[str, Artifact], known: Mapping[bytes, str | None]
) -> Fate:
    """What the rows of one document, found in several artifacts, say together."""
    outcome: dict[str, StepFate] = {}
    for row in rows:
        chain = artifacts[row.artifact].manifest["chain"]
        for step in chain[: chain.index(row.dropped_by)] if row.dropped_by else chain:
            outcome.setdefault(step, StepFate(step=step, outcome="passed"))
        if row.dropped_by:
            outcome[row.dropped_by] = _dropped(row, known)
    for name, measures in _annotating(artifacts).items():
        if name in outcome and outcome[name].outcome == "passed":
            outcome[name] = _annotated(name, measures, rows)
    order = [s["step"] for s in run["steps"] if s["step"] in outcome]
    first = rows[0].columns
    return Fate(
        id=first["id"].hex() if first.get("id") else None, url=first.get("url"),
        warc_path=first.get("warc_path"), warc_offset=first.get("warc_offset"),
        steps=tuple(outcome[step] for step in order), kept_in=tuple(_last_places(rows, run, outcome, artifacts)),
    )  # fmt: skip


def _with_clusters(fate: Fate, clusters: Clusters) -> Fate:
    return fate if fate.id is None else replace(fate, steps=tuple(_with_cluster(s, fate, clusters) for s in fate.steps))


def _with_cluster(step: StepFate, fate: Fate, clusters: Clusters) -> StepFate:
    assert fate.id is not None
    original = None if step.duplicate_of is None else bytes.fromhex(step.duplicate_of)
    cluster = clusters.of(step.step, bytes.fromhex(fate.id), fate.url, original)
    if cluster is None or original is None:
        return replace(step, cluster=cluster)
    return replace(step, cluster=cluster, duplicate_of_url=cluster.representative_url)


def _annotating(artifacts: Mapping[str, Artifact]) -> dict[str, list[str]]:
    """What each step that annotates measures."""
    identities = [i for artifact in artifacts.values() for i in artifact.manifest.get("identities", {}).items()]
    return {step: identity["annotate"]["measures"] for step, identity in identities if "annotate" in identity}


def _annotated(step: str, measures: Sequence[str], rows: Sequence[Row]) -> StepFate:
    columns = next((row.columns for row in rows if column(step, REASON) in row.columns), None)
    if columns is None:
        return StepFate(step=step, outcome="annotated")
    found = {name: columns.get(column(step, name)) for name in measures}
    return StepFate(step=step, outcome="annotated", reason=columns[column(step, REASON)], measures=found)


def _dropped(row: Row, known: Mapping[bytes, str | None]) -> StepFate:
    assert row.dropped_by is not None
    found, original = row.columns, row.columns.get("duplicate_of")
    fate = StepFate(
        step=row.dropped_by, outcome="dropped", reason=found["reason"], value=found["value"],
        threshold=found["threshold"], excerpt=found["excerpt"],
    )  # fmt: skip
    if original is None:
        return fate
    return replace(fate, duplicate_of=original.hex(), duplicate_of_url=known.get(original))


def _last_places(
    rows: Sequence[Row], run: Mapping[str, Any], outcome: Mapping[str, StepFate], artifacts: Mapping[str, Artifact]
) -> list[Place]:
    """Where it is kept for good: artifacts that no step which saw it reads, or of which something else than documents
    (a vocabulary, tokens) is made."""
    handed_on = {name for s in run["steps"] if s["step"] in outcome for name in s["inputs"].values()}
    used = {name for s in run["steps"] if s["produces"] != "documents" for name in s["inputs"].values()}
    return [
        Place(artifact=row.artifact, shard=row.shard, columns=_said(row.columns))
        for row in rows
        if row.dropped_by is None
        and ((last := artifacts[row.artifact].manifest["chain"][-1]) not in handed_on or last in used)
    ]


def _said(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in columns.items() if name not in ("id", "url")}


def _plain(value: Any) -> Any:
    """A column's value as JSON has it: ids in hexadecimal, dates in ISO 8601."""
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and value != value else value


def _not_found(output: Folder, url_or_id: str, is_id: bool, artifacts: Mapping[str, Artifact]) -> DataError:
    hint = search_hint(artifacts, "" if is_id else url_or_id)
    searched = ", ".join(artifacts) if artifacts else "nothing: the run has written no documents"
    text = f"no document with the {'id' if is_id else 'URL'} {one_line(url_or_id, 300)!r}; searched {searched}"
    if hint.num_without_url and not is_id:
        text += "; some records have no URL: look for those by their id"
    close = [one_line(url, 300) for url in hint.close_urls]
    mend = f"Did you mean {' or '.join(map(repr, close))}?" if close else ""
    return DataError(
        text, where=output.shown(), expected="a URL exactly as it was crawled, or a hexadecimal id", mend=mend
    )


def format_fate(fate: Fate) -> str:
    """The fate as lines for a terminal; control characters in crawled text are made visible."""
    lines = [one_line(fate.url, 400) if fate.url else "(no URL)"]
    if fate.id:
        lines.append(f"  id {fate.id}")
    if fate.warc_path:
        lines.append(f"  from {one_line(fate.warc_path, 200)} at {fate.warc_offset}")
    width = max((len(step.step) for step in fate.steps), default=0)
    for step in fate.steps:
        lines += _step_lines(step, width)
    told = {
        column(s.step, name) for s in fate.steps for name in (*(s.measures or ()), REASON) if s.outcome == "annotated"
    }
    for place in fate.kept_in:
        lines.append(f"  kept in {place.artifact}/{place.shard}")
        lines += [
            f"    {name}: {_shown(value)}"
            for name, value in place.columns.items()
            if not name.startswith("warc_") and name not in told
        ]
    return "\n".join(lines)


def _step_lines(step: StepFate, width: int) -> list[str]:
    name = one_line(step.step, 80).ljust(width)
    if step.outcome == "passed":
        if step.cluster is None:
            return [f"  {name}  passed"]
        first, *others = kept_lines(step.cluster)
        return [f"  {name}  {first}", *(f"    {line}" for line in others)]
    if step.outcome == "annotated":
        return [f"  {name}  {_annotation(step)}", *(f"    {m}: {_shown(v)}" for m, v in (step.measures or {}).items())]
    measured = f": measured {number(step.value)}" if step.value is not None else ""
    against = f", threshold {number(step.threshold)}" if step.threshold is not None else ""
    reason = step.reason or ""
    lines = [f"  {name}  dropped, {sentence(one_line(reason, 100))} ({one_line(reason, 100)}){measured}{against}"]
    if step.duplicate_of:
        lines += [f"    {line}" for line in duplicate_lines(step.duplicate_of, step.duplicate_of_url, step.cluster)]
    elif step.cluster is not None:
        lines += [f"    {line}" for line in kept_lines(step.cluster)]
    if step.excerpt:
        lines.append(f"    “{one_line(step.excerpt, 200)}”")
    return lines


def _annotation(step: StepFate) -> str:
    if step.reason is not None:
        return f"annotated: would be dropped, {sentence(one_line(step.reason, 100))} ({one_line(step.reason, 100)})"
    if step.measures is None:
        return "annotated, but dropped before its columns were written"
    return "annotated: would be kept"


def _shown(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number(value)
    return one_line(str(value), 200) if value is not None else "null"
