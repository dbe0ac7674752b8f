"""What a wide stage runs with: phases of tasks that commit one by one, exchanges, and the documents filter.

Writes: under the step's scratch folder `phases/{phase}/NNNNN.json`, a task's result and its commit marker; a killed run
        reads those and runs only what is missing
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa

from pipeline.backend import Backend
from pipeline.dag import Resources
from pipeline.document_reader import read_documents
from pipeline.exchange import opened, write_partitions
from pipeline.report import StepReport
from pipeline.resource_use import cpu_s, peak_memory_bytes
from pipeline.shard_task import apply_verdict, new_report, schema_of
from pipeline.shard_writer import ShardWriter
from pipeline.stage import JSON, BatchFunction, Columns, ExchangeReader, InputArtifact, TaskContext
from pipeline.store import Folder


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One task of a phase, as it travels to a worker."""

    function: Callable[..., Any]
    shared: Any
    item: Any
    context: TaskContext
    result_name: str


def _run_task(task: _Task) -> None:
    cpu_start_s = cpu_s()
    result = task.function(task.shared, task.item, task.context)
    record = {
        "result": result,
        "cpu_s": cpu_s() - cpu_start_s,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    task.context.work.write_bytes(task.result_name, json.dumps(record).encode())


def _exchange_task(
    function: Callable[[Any, Any, TaskContext], Iterable[pa.RecordBatch]],
    phase: str,
    num_partitions: int,
    shared: Any,
    item: Any,
    context: TaskContext,
) -> JSON:
    rows = function(shared, item, context)
    return write_partitions(context.work, _exchange_name(phase), context.index, rows, num_partitions)


def _exchange_name(phase: str) -> str:
    return f"exchanges/{phase.replace(' ', '_')}"


@dataclass(frozen=True, kw_only=True)
class _FilterShared:
    step: str
    uses: str
    columns: Columns
    documents: Folder
    open_filter: Callable[[Any, int], BatchFunction]
    shared: Any


def _filter_task(given: _FilterShared, name: str, context: TaskContext) -> JSON:
    report = new_report(given.step, given.uses)
    function = given.open_filter(given.shared, context.index)
    with ShardWriter(context.output, context.index, schema_of(given.columns)) as writer:
        for batch in read_documents(given.documents, name, list(given.columns)):
            kept = apply_verdict(given.step, batch, function(batch), report, writer)
            if kept.num_rows:
                writer.write(kept)
                report.add_hosts(kept)
    report.check(name)
    return {"files": writer.files(), "report": report.to_json()}


@dataclass
class ReportWriter:
    """pipeline.stage.StepReportWriter over a StepReport."""

    report: StepReport

    def counter(self, name: str, value: int) -> None:
        self.report.counters[name] += int(value)

    def figure(self, name: str, value: float | str) -> None:
        self.report.figures[name] = value

    def series(self, name: str, x_label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None:
        self.report.series[name] = {"x_label": x_label, "x": list(x), "lines": {k: list(v) for k, v in lines.items()}}

    def histogram(self, name: str, labels: Sequence[str], counts: Sequence[int]) -> None:
        self.report.bars[name] = {"labels": list(labels), "counts": [int(c) for c in counts]}

    def sample(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.report.tables[name] = [dict(row) for row in rows]


@dataclass(kw_only=True)
class EngineWideContext:
    """pipeline.stage.WideContext on a backend."""

    step: str
    uses: str
    columns: Columns
    inputs: Mapping[str, InputArtifact]
    output: Folder
    work: Folder
    backend: Backend
    resources: Resources
    step_report: StepReport
    task_done: Callable[[str, int, int], None]  # phase, tasks done, tasks in all
    outside: JSON = None
    files: list[dict[str, Any]] = field(default_factory=list)
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0

    @property
    def report(self) -> ReportWriter:
        return ReportWriter(self.step_report)

    def map(
        self, phase: str, function: Callable[[Any, Any, TaskContext], JSON], items: Sequence[Any], shared: Any = None
    ) -> list[JSON]:
        folder = f"phases/{phase.replace(' ', '_')}"  # an object store's address takes no blanks
        names = [f"{folder}/{index:05d}.json" for index in range(len(items))]
        present = set(self.work.list(folder))
        todo = [index for index, name in enumerate(names) if name not in present or self._record(name) is None]
        tasks = [
            _Task(
                function=function, shared=shared, item=items[index], result_name=names[index],
                context=TaskContext(step=self.step, output=self.output, work=self.work, index=index),
            )
            for index in todo
        ]  # fmt: skip
        done = len(items) - len(todo)
        for _ in self.backend.run(_run_task, tasks, self.resources):
            done += 1
            self.task_done(phase, done, len(items))
        records = [record for name in names if (record := self._record(name)) is not None]
        assert len(records) == len(names), f"{self.step}: a result of phase {phase} has gone while it ran"
        self.cpu_s += sum(r["cpu_s"] for r in records)
        self.peak_memory_bytes = max([self.peak_memory_bytes, *(r["peak_memory_bytes"] for r in records)])
        return [record["result"] for record in records]

    def add_use(self, cpu_s: float, peak_memory_bytes: int) -> None:
        self.cpu_s += cpu_s
        self.peak_memory_bytes = max(self.peak_memory_bytes, peak_memory_bytes)

    def _record(self, name: str) -> dict[str, Any] | None:
        """What a task committed; None where it is damaged."""
        try:
            record: dict[str, Any] = json.loads(self.work.read_bytes(name))
        except (json.JSONDecodeError, UnicodeDecodeError):
            return None
        return record

    def exchange(
        self,
        phase: str,
        function: Callable[[Any, Any, TaskContext], Iterable[pa.RecordBatch]],
        items: Sequence[Any],
        num_partitions: int,
        shared: Any = None,
    ) -> ExchangeReader:
        produced = self.map(phase, partial(_exchange_task, function, phase, num_partitions), items, shared)
        return opened(self.work, _exchange_name(phase), num_partitions, produced)

    def filter_documents(
        self, documents: InputArtifact, open_filter: Callable[[Any, int], BatchFunction], shared: Any = None
    ) -> None:
        given = _FilterShared(
            step=self.step, uses=self.uses, columns=self.columns, documents=documents.folder,
            open_filter=open_filter, shared=shared,
        )  # fmt: skip
        for result in self.map("filter_documents", _filter_task, documents.shards(), given):
            self.files += result["files"]
            self.step_report.merge(StepReport.from_json(result["report"]))
