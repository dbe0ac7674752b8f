"""What would run, what is fresh, and why: fingerprints, freshness, and the fusion of narrow chains.

A step's fingerprint is the sha256 of its identity: {uses, version, config without locations, inputs' fingerprints,
stamps of the files it depends on}, and what it measures where it annotates. Where and how it runs is not in it. A
narrow step (or source) is written only if it says `keep: true`, has several readers or none, or is read by a wide step
or as a side input; else it is fused into its reader.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline import config
from pipeline.artifact import Artifact, artifact_folder, fingerprint_of, open_artifact
from pipeline.dag import Dag, Step
from pipeline.errors import DataError
from pipeline.inputs import list_files
from pipeline.run_file import read_run
from pipeline.stage import NarrowContext, Outside, SourceReader, SourceShard
from pipeline.store import Folder, is_remote

State = Literal["fresh", "run", "fused", "unneeded"]


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """What becomes of a step. `reason` says why, in words; a fused step is written with `written_with`."""

    step: Step
    identity: Mapping[str, Any]
    fingerprint: str
    state: State
    reason: str
    written_with: str
    artifact: Artifact | None


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One thing to run: a chain of fused steps (`chain[-1]` is written), or one wide step."""

    chain: tuple[Step, ...]

    @property
    def last(self) -> Step:
        return self.chain[-1]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every step's fate, and the segments to run in order. `source_shards` are by source step."""

    dag: Dag
    output: Folder
    steps: Mapping[str, PlannedStep]
    segments: tuple[Segment, ...]
    source_shards: Mapping[str, list[SourceShard]] = field(default_factory=dict)


def make_plan(dag: Dag) -> Plan:
    """Fingerprint every step, look for its artifact, and decide what runs. Reads listings and manifests only."""
    output = Folder(dag.output if is_remote(dag.output) else os.path.abspath(dag.output))
    shards: dict[str, list[SourceShard]] = {}
    identities: dict[str, dict[str, Any]] = {}
    outsides: dict[str, Outside | None] = {}
    fingerprints: dict[str, str] = {}
    for name, step in dag.steps.items():
        if step.stage.kind == "source":
            shards[name] = _list_shards(step)
        inputs = {port: fingerprints[source] for port, source in step.inputs.items()}
        outsides[name] = step.stage.outside(step.config, inputs)
        identities[name] = _identity(step, inputs, shards.get(name), outsides[name])
        fingerprints[name] = fingerprint_of(identities[name])
    artifacts = {
        name: _present(dag, name, open_artifact(artifact_folder(output, name, fingerprints[name])), outsides[name])
        for name in dag.steps
        if is_written(dag, name)
    }
    needed = _needed(dag, artifacts)
    previous = previous_identities(output)
    steps = {}
    for name, step in dag.steps.items():
        written_with = _written_with(dag, name)
        state = _state(dag, name, written_with, artifacts, needed)
        reason = _reason(state, identities[name], previous.get(name), written_with)
        steps[name] = PlannedStep(
            step=step, identity=identities[name], fingerprint=fingerprints[name], state=state, reason=reason,
            written_with=written_with, artifact=artifacts.get(written_with),
        )  # fmt: skip
    segments = tuple(Segment(chain=chain_of(dag, name)) for name in dag.steps if name in needed)
    return Plan(dag=dag, output=output, steps=steps, segments=segments, source_shards=shards)


def _present(dag: Dag, name: str, artifact: Artifact | None, outside: Outside | None) -> Artifact | None:
    """The artifact, if the same steps are fused into it: it holds their reports and ledger rows. And if what the step
    leaves outside is there too."""
    if outside is not None and not outside.is_complete:
        return None
    chain = [step.name for step in chain_of(dag, name)]
    return artifact if artifact is not None and artifact.manifest["chain"] == chain else None


def _list_shards(step: Step) -> list[SourceShard]:
    reader: SourceReader = step.stage.function(step.config, NarrowContext(step=step.name))
    shards = reader.shards()
    if not shards:
        raise DataError(
            "the source has no shards", where=f"{step.where}, step {step.name!r}",
            expected="at least one file of the kind this source reads", mend="Check the source's location.",
        )  # fmt: skip
    return shards


def _identity(
    step: Step, inputs: Mapping[str, str], shards: list[SourceShard] | None, outside: Outside | None
) -> dict[str, Any]:
    identity: dict[str, Any] = {
        "uses": step.uses,
        "version": step.stage.version,
        "config": config.fingerprint_fields(step.config),
        "inputs": dict(inputs),
        "files": [stamp for location in step.stage.files(step.config) for stamp in _stamps(location)],
    }
    if step.annotate:
        assert step.stage.measures is not None, f"{step.name}: checked when the DAG was read"
        # the names of the columns it writes have the step's name in them
        identity["annotate"] = {"step": step.name, "measures": list(step.stage.measures(step.config))}
    if outside is not None:
        identity["outside"] = outside.identity
    if shards is not None:
        identity["shards"] = {s.name: s.stamp for s in shards}
    return identity


def _stamps(location: str) -> list[str]:
    """What the file at a location holds, or every file below it."""
    return [file.stamp for file in list_files(location, lambda name: True, "a file")]


def is_written(dag: Dag, name: str) -> bool:
    """Whether a step gets an artifact of its own."""
    step, readers = dag.steps[name], dag.readers(name)
    if step.stage.kind == "wide" or step.keep or len(readers) != 1:
        return True
    return readers[0].stage.kind != "narrow" or readers[0].main_input != name


def chain_of(dag: Dag, name: str) -> tuple[Step, ...]:
    """The steps that run together to write `name`, in order."""
    chain = [dag.steps[name]]
    while chain[0].stage.kind == "narrow":
        main = chain[0].main_input
        assert main is not None
        if is_written(dag, main):
            break
        chain.insert(0, dag.steps[main])
    return tuple(chain)


def _written_with(dag: Dag, name: str) -> str:
    while not is_written(dag, name):
        name = dag.readers(name)[0].name
    return name


def _needed(dag: Dag, artifacts: Mapping[str, Artifact | None]) -> set[str]:
    """Written steps that must run: missing ones that are kept, final, or read by something that must run."""
    needed: set[str] = set()

    def visit(name: str) -> None:
        if name in needed or artifacts[name] is not None:
            return
        needed.add(name)
        for step in chain_of(dag, name):
            for source in step.inputs.values():
                if is_written(dag, source):
                    visit(source)

    for name, step in dag.steps.items():
        if is_written(dag, name) and (step.keep or not dag.readers(name)):
            visit(name)
    return needed


def _state(dag: Dag, name: str, written_with: str, artifacts: Mapping[str, Artifact | None], needed: set[str]) -> State:
    if written_with in needed:
        return "run" if name == written_with else "fused"
    if artifacts[written_with] is not None:
        return "fresh"
    return "unneeded"


def previous_identities(output: Folder) -> dict[str, Mapping[str, Any]]:
    """The identity every step had when it last finished, by its manifest; empty before the first run."""
    run = read_run(output)
    identities: dict[str, Mapping[str, Any]] = {}
    for step in run["steps"] if run else ():
        artifact = open_artifact(output.child(step["artifact"])) if step["artifact"] else None
        if artifact is not None and step["step"] in artifact.manifest["identities"]:
            identities[step["step"]] = artifact.manifest["identities"][step["step"]]
    return identities


def _reason(state: State, identity: Mapping[str, Any], before: Mapping[str, Any] | None, written_with: str) -> str:
    if state == "fresh":
        return "nothing it depends on has changed"
    if state == "unneeded":
        return "what reads it is fresh"
    if before is None:
        return "it has not run before"
    changes = differences(before, identity)
    if changes:
        return "; ".join(changes)
    return "its artifact is not there" if state == "run" else f"{written_with} runs, and it is fused into it"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What changed between two identities, a phrase for every field: `config.min_score: 0.65 -> 0.7`."""
    changes = []
    for name in ("uses", "version"):
        if before[name] != after[name]:
            changes.append(f"{name}: {before[name]} -> {after[name]}")
    if before.get("annotate") != after.get("annotate"):
        changes.append(f"annotate: {_annotates(before)} -> {_annotates(after)}")
    for name in sorted({*before["config"], *after["config"]}):
        old, new = before["config"].get(name, "(not there)"), after["config"].get(name, "(not there)")
        if old != new:
            changes.append(f"config.{name}: {json.dumps(old)} -> {json.dumps(new)}")
    for port in sorted({*before["inputs"], *after["inputs"]}):
        if before["inputs"].get(port) != after["inputs"].get(port):
            changes.append(f"its input {port!r} changed")
    if before["files"] != after["files"]:
        changes.append("the content of a file it names changed")
    if before.get("outside") != after.get("outside"):
        changes.append("what it depends on outside the DAG changed (an index of earlier runs)")
    if before.get("shards") != after.get("shards"):
        changes.append(_shard_changes(before.get("shards") or {}, after.get("shards") or {}))
    return changes


def _annotates(identity: Mapping[str, Any]) -> str:
    if "annotate" not in identity:
        return "false"
    annotate = identity["annotate"]
    return f"true ({', '.join(annotate['measures']) or 'the reason'}, as {annotate['step']}_...)"


def _shard_changes(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    added, removed = len(after.keys() - before.keys()), len(before.keys() - after.keys())
    changed = sum(before[name] != after[name] for name in before.keys() & after.keys())
    return f"its shards changed: {added} new, {removed} gone, {changed} with other content"


def why(plan: Plan, name: str) -> list[str]:
    """The chain of causes that makes a step run, from the step up to the field that changed."""
    lines = []
    seen: set[str] = set()
    queue = [name]
    while queue:
        current = queue.pop(0)
        if current in seen:
            continue
        seen.add(current)
        planned = plan.steps[current]
        lines.append(f"{current}: {planned.state}: {planned.reason}")
        if planned.state in ("run", "fused"):
            queue += [s for s in planned.step.inputs.values() if plan.steps[s].state in ("run", "fused")]
    return lines
