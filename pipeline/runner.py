"""Runs a plan segment by segment, commits artifacts, and keeps run.json true while it does.

A segment's tasks leave receipts in `.work` below the artifact's folder; what a killed run finished is found there. Once
the artifact is committed, that goes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import xxhash

from pipeline import artifact as artifacts
from pipeline.artifact import Artifact
from pipeline.backend import Backend
from pipeline.config import fingerprint_fields
from pipeline.dag import Step
from pipeline.errors import DataError, RunError
from pipeline.plan import Plan, Segment
from pipeline.preparations import Preparation, listening
from pipeline.report import StepReport
from pipeline.shard_task import ChainStep, ShardTask, new_report, read_receipt, receipt_name, run_shard
from pipeline.store import Folder
from pipeline.wide_context import EngineWideContext
from pipeline.wording import duration


class Progress(Protocol):
    """What a run tells whoever watches (pipeline.progress)."""

    def step_started(self, step: str, num_shards: int) -> None: ...
    def shard_done(self, step: str, docs_in: int, docs_out: int) -> None: ...
    def step_done(self, step: str, docs_in: int, docs_out: int, seconds: float) -> None: ...
    def step_reused(self, steps: Sequence[str]) -> None: ...
    def note(self, message: str) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How long a step took and what it held; kept out of artifacts, for run.json alone."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0


@dataclass(kw_only=True)
class Execution:
    """A run under way: the artifacts there are, and the timings of what ran."""

    plan: Plan
    backend: Callable[[], Backend]  # called when the first task runs; a run with nothing to do starts nothing
    progress: Progress
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    timings: dict[str, Timing] = field(default_factory=dict)
    _announced: set[str] = field(default_factory=set)  # preparations that have begun somewhere
    _prepared: dict[str, float] = field(default_factory=dict)  # seconds that went into each, not yet told

    def __post_init__(self) -> None:
        for name, planned in self.plan.steps.items():
            if planned.artifact is not None and planned.written_with == name:
                self.artifacts[name] = planned.artifact

    def run(self) -> None:
        """Run every segment in order. What is finished stays finished when one fails."""
        fresh = [name for name, planned in self.plan.steps.items() if planned.state == "fresh"]
        if fresh:
            self.progress.step_reused(fresh)
        for artifact in self.artifacts.values():
            artifact.folder.delete(artifacts.SCRATCH)  # left where a run was killed right after its commit
        for segment in self.plan.segments:
            start = time.perf_counter()
            self._folder(segment.last).delete(artifacts.MANIFEST)  # of a run that fused other steps into it
            run = self._run_wide if segment.last.stage.kind == "wide" else self._run_chain
            with listening(self._hear):
                artifact, reports = run(segment, self._work(segment))
            self._tell_prepared()
            self.artifacts[segment.last.name] = artifact
            artifact.folder.delete(artifacts.SCRATCH)
            self.progress.step_done(
                segment.last.name, reports[0].docs_in, reports[-1].docs_out, time.perf_counter() - start
            )

    def _hear(self, preparation: Preparation) -> None:
        """Say once that something is being prepared, whichever workers tell it; add up the seconds."""
        what = preparation.what
        if preparation.seconds is not None:
            self._prepared[what] = self._prepared.get(what, 0.0) + preparation.seconds
        elif what not in self._announced:
            self._announced.add(what)
            self.progress.note(f"{what} (first use here, kept in {preparation.kept_in})")

    def _tell_prepared(self) -> None:
        """Say how long it took. A task that has ended has used all it needs, so most often this is the whole of it."""
        for what, seconds in self._prepared.items():
            self.progress.note(f"{what}: done in {duration(seconds)}")
        self._prepared.clear()

    def _work(self, segment: Segment) -> Folder:
        """Scratch of a segment: another chain of fused steps gives other ledger rows, so other receipts."""
        chain = xxhash.xxh3_64_hexdigest(" ".join(step.name for step in segment.chain).encode())
        return self._folder(segment.last).child(f"{artifacts.SCRATCH}/{chain}")

    def _folder(self, step: Step) -> Folder:
        return artifacts.artifact_folder(self.plan.output, step.name, self.plan.steps[step.name].fingerprint)

    def _inputs(self, step: Step, ports: Sequence[str]) -> dict[str, Artifact]:
        return {port: self.artifacts[step.inputs[port]] for port in ports if port in step.inputs}

    def _run_chain(self, segment: Segment, work: Folder) -> tuple[Artifact, list[StepReport]]:
        folder = self._folder(segment.last)
        tasks = self._shard_tasks(segment, folder, work)
        named = set(work.list("receipts"))
        finished = {t.index for t in tasks if receipt_name(t.index) in named and read_receipt(t) is not None}
        todo = [task for task in tasks if task.index not in finished]
        self.progress.step_started(segment.last.name, len(tasks))
        if finished:
            self.progress.note(
                f"{segment.last.name}: {len(tasks) - len(todo)} of {len(tasks)} shards were finished before"
            )
        resources = self.plan.dag.resources_of(segment.last.name)
        if todo:
            for _, counts in self.backend().run(run_shard, todo, resources):
                self._tell_prepared()
                self.progress.shard_done(segment.last.name, counts["docs_in"], counts["docs_out"])
        return self._merge_receipts(segment, tasks, folder)

    def _merge_receipts(
        self, segment: Segment, tasks: Sequence[ShardTask], folder: Folder
    ) -> tuple[Artifact, list[StepReport]]:
        """Add up the shards in their order, one receipt in memory at a time, and commit."""
        reports = {step.name: new_report(step.name, step.uses, step.annotate) for step in segment.chain}
        timings = {name: Timing() for name in reports}
        files: list[dict[str, Any]] = []
        for task in tasks:
            receipt = read_receipt(task)
            if receipt is None:
                raise RunError(
                    "a finished shard has gone", where=task.work.shown(receipt_name(task.index)),
                    expected="the files its task wrote", mend="Run again; the shard is made anew.",
                )  # fmt: skip
            files += receipt["files"]
            for name, report in reports.items():
                report.merge(StepReport.from_json(receipt["reports"][name]))
                timings[name] = _later(timings[name], name, receipt["timings"], name == segment.last.name)
        for name, report in reports.items():
            report.check(name)
        self.timings |= timings
        return self._commit(segment, folder, files, list(reports.values()), contract={}), list(reports.values())

    def _shard_tasks(self, segment: Segment, folder: Folder, work: Folder) -> list[ShardTask]:
        chain = tuple(self._chain_step(step) for step in segment.chain)
        first = segment.chain[0]
        if first.stage.kind == "source":
            shards = self.plan.source_shards[first.name]
            return [
                ShardTask(chain=chain, index=i, output=folder, work=work, source_shard=shard)
                for i, shard in enumerate(shards)
            ]
        assert first.main_input is not None
        documents = self.artifacts[first.main_input]
        return [
            ShardTask(chain=chain, index=i, output=folder, work=work, documents=(documents.folder, name))
            for i, name in enumerate(documents.shards())
        ]

    def _chain_step(self, step: Step) -> ChainStep:
        columns = self.plan.dag.columns
        return ChainStep(
            step=step.name, uses=step.uses, config=step.config, fingerprint=self.plan.steps[step.name].fingerprint,
            columns=columns[step.name], input_columns=columns[step.main_input] if step.main_input else {},
            annotate=step.annotate,
            inputs=self._inputs(step, [port for port in step.inputs if port in step.stage.optional_ports]),
        )  # fmt: skip

    def _run_wide(self, segment: Segment, work: Folder) -> tuple[Artifact, list[StepReport]]:
        step, folder = segment.last, self._folder(segment.last)
        report = new_report(step.name, step.uses)
        phases: dict[str, int] = {}

        def task_done(phase: str, done: int, total: int) -> None:
            if phase not in phases:
                phases[phase] = total
                self.progress.step_started(f"{step.name}: {phase}", total)
            self._tell_prepared()
            self.progress.shard_done(f"{step.name}: {phase}", 0, 0)

        start = time.perf_counter()
        context = EngineWideContext(
            step=step.name, uses=step.uses, columns=self.plan.dag.columns.get(step.name, {}),
            inputs=self._inputs(step, list(step.inputs)), output=folder, work=work, backend=self.backend(),
            resources=self.plan.dag.resources_of(step.name), step_report=report, task_done=task_done,
            outside=self.plan.steps[step.name].identity.get("outside"),
        )  # fmt: skip
        contract = step.stage.function(step.config, context)
        if not report.docs_in:
            report.docs_in = report.docs_out = _num_documents(context.inputs)
        report.check(step.name)
        files = self._seal(context, folder)
        self.timings[step.name] = Timing(
            seconds=time.perf_counter() - start, cpu_s=context.cpu_s,
            peak_memory_bytes=context.peak_memory_bytes,
        )  # fmt: skip
        return self._commit(segment, folder, files, [report], contract=dict(contract)), [report]

    def _seal(self, context: EngineWideContext, folder: Folder) -> list[dict[str, Any]]:
        """Entries of all files the stage wrote; those the engine's own tasks wrote are known already."""
        known = {entry["name"] for entry in context.files}
        ours = ("report/", f"{artifacts.SCRATCH}/", artifacts.MANIFEST)
        others = [
            (folder, name)
            for name in folder.list()
            if name not in known and not name.startswith(ours) and not name.endswith(".tmp")
        ]
        return context.files + [entry for _, entry in context.backend.run(_seal_file, others, context.resources)]

    def _commit(
        self, segment: Segment, folder: Folder, files: list[dict[str, Any]], reports: Sequence[StepReport],
        contract: Mapping[str, Any],
    ) -> Artifact:  # fmt: skip
        for report in reports:
            name = f"report/{report.step}.json"
            text = json.dumps(report.published(), indent=1, ensure_ascii=False)
            folder.write_bytes(name, text.encode())
            files.append(artifacts.file_entry(folder, name))
        step, planned = segment.last, self.plan.steps[segment.last.name]
        columns = self.plan.dag.columns.get(step.name, {})
        manifest = {
            "format": artifacts.FORMAT,
            "step": step.name,
            "uses": step.uses,
            "kind": step.stage.produces,
            "fingerprint": planned.fingerprint,
            "config": fingerprint_fields(step.config),
            "inputs": {
                port: {"step": name, "fingerprint": self.plan.steps[name].fingerprint}
                for port, name in step.inputs.items()
            },
            "chain": [s.name for s in segment.chain],
            "identities": {s.name: self.plan.steps[s.name].identity for s in segment.chain},
            "schema": [{"name": name, "type": str(type_)} for name, type_ in columns.items()],
            "files": sorted(files, key=lambda entry: entry["name"]),
            "contract": contract,
            "versions": artifacts.versions(),
        }
        return artifacts.commit(folder, manifest)


def _seal_file(place: tuple[Folder, str]) -> dict[str, Any]:
    return artifacts.file_entry(*place)


def _later(timing: Timing, step: str, shard: Mapping[str, Any], last: bool) -> Timing:
    """A step's timing with one more shard's; the CPU time of a chain is charged to its last step."""
    return Timing(
        seconds=timing.seconds + shard["seconds"][step],
        cpu_s=timing.cpu_s + (shard["cpu_s"] if last else 0.0),
        peak_memory_bytes=max(timing.peak_memory_bytes, shard["peak_memory_bytes"]),
    )


def _num_documents(inputs: Mapping[str, Artifact] | Mapping[str, Any]) -> int:
    """Documents a wide step took in: rows of its documents artifact, 0 where it takes none."""
    for given in inputs.values():
        if given.kind == "documents":
            return sum(f["rows"] for f in given.manifest["files"] if f["name"].startswith("shards/"))
    return 0


def read_report(artifact: Artifact, step: str) -> dict[str, Any]:
    """A step's published report, from the artifact it was written with."""
    name = f"report/{step}.json"
    if not artifact.folder.exists(name):
        raise DataError("no report", where=artifact.folder.shown(name), expected="the report of a finished step")
    result: dict[str, Any] = json.loads(artifact.folder.read_bytes(name))
    return result
