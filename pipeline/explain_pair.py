"""Two documents that a dedup step took for one, fetched from what the step was given, to be compared.

Reads:  of the step's input the `id` column, then a row group for each document; of an index of earlier runs its ids
Writes: nothing
Costs:  one row group (32 MiB of text and one batch) and two documents in memory

What "alike" means is the stage's matter: `comparison` is stages/dedup/comparison.py. What cannot be read is said, not
raised: an explanation without it is still one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.artifact import Artifact, artifact_folder, open_artifact
from pipeline.config import fingerprint_fields
from pipeline.dag import load_dag
from pipeline.document_scan import Place, find_places, read_place
from pipeline.errors import CrawlmillError
from pipeline.http_reader import shown
from pipeline.store import Folder

_PORT = "documents"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Documents of one step that can be compared. `entries`: what an index holds of those of earlier runs, by id."""

    artifact: Artifact  # the step's own
    comparison: Any
    entries: Mapping[bytes, Mapping[str, Any]]
    source: Artifact | None = None
    places: Mapping[bytes, Place] = field(default_factory=dict)
    problem: str | None = None

    def compare(self, one: bytes, other: bytes) -> dict[str, Any]:
        """`estimate`, `similarity`, `differs` and `note`, as the stage's comparison gives them."""
        if self.source is None:
            return {"note": self.problem}
        try:
            rows = [self._row(self.source, id_) for id_ in (one, other)]
        except CrawlmillError as error:
            return {"note": _unreadable(error)}
        found = self.comparison.compare(self.artifact.manifest["uses"], self.artifact.manifest["config"], *rows)
        if other not in self.places:
            found["note"] = "the text of an earlier run's document is not kept"
        return dict(found)

    def _row(self, source: Artifact, id_: bytes) -> Mapping[str, Any]:
        if id_ in self.places:
            return read_place(source, self.places[id_], self.comparison.COLUMNS)
        return self.entries.get(id_, {})


def open_pairs(
    output: Folder, run: Mapping[str, Any], artifact: Artifact, ids: Collection[bytes], earlier: Collection[bytes],
    comparison: Any,
) -> Pairs:  # fmt: skip
    """Find the documents `ids` in what the step of `artifact` was given, and those of `earlier` runs in its index."""
    pairs = Pairs(artifact=artifact, comparison=comparison, entries=_entries(run, artifact, earlier, comparison))
    given = artifact.manifest.get("inputs", {}).get(_PORT)
    if given is None:
        return pairs
    folder = artifact_folder(output, given["step"], given["fingerprint"])
    try:
        source = open_artifact(folder)
        if source is None:
            gone = f"its texts are not there any more: {given['step']}/{given['fingerprint'][:16]}"
            return replace(pairs, problem=gone)
        return replace(pairs, source=source, places=find_places(source, ids))
    except CrawlmillError as error:
        return replace(pairs, problem=_unreadable(error))


def _unreadable(error: CrawlmillError) -> str:
    return f"its texts cannot be read: {error.found}"


def _entries(
    run: Mapping[str, Any], artifact: Artifact, ids: Collection[bytes], comparison: Any
) -> dict[bytes, Mapping[str, Any]]:
    config = _config(run, artifact) if ids else None
    return {} if config is None else dict(comparison.seen_before(config, ids))


def _config(run: Mapping[str, Any], artifact: Artifact) -> Any | None:
    """The step's config with its locations, which no artifact holds: from the DAG file, if it still says the same."""
    manifest = artifact.manifest
    try:
        dag = load_dag(run["dag"]) if isinstance(run.get("dag"), str) else None
    except CrawlmillError:
        return None
    step = dag.steps.get(artifact.step) if dag and shown(dag.output) == run.get("output") else None
    if step is None or step.uses != manifest.get("uses"):
        return None
    return step.config if fingerprint_fields(step.config) == manifest.get("config") else None
