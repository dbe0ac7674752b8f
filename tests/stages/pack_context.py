"""A WideContext that runs every task here, and documents artifacts in a temporary folder."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.exchange import Exchange, opened, write_partitions
from pipeline.schemas import ID
from pipeline.stage import JSON, TaskContext
from pipeline.store import Folder


@dataclass(frozen=True, kw_only=True)
class MadeArtifact:
    """An InputArtifact over a folder, with the contract a stage returned."""

    step: str
    kind: str
    folder: Folder
    manifest: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = "f" * 64

    def shards(self) -> list[str]:
        return self.folder.list("shards")


@dataclass
class Report:
    counters: dict[str, int] = field(default_factory=dict)
    figures: dict[str, float | str] = field(default_factory=dict)
    histograms: dict[str, tuple[list[str], list[int]]] = field(default_factory=dict)
    samples: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def counter(self, name: str, value: int) -> None:
        self.counters[name] = self.counters.get(name, 0) + value

    def figure(self, name: str, value: float | str) -> None:
        self.figures[name] = value

    def series(self, name: str, x_label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None:
        raise AssertionError("these stages draw no series")

    def histogram(self, name: str, labels: Sequence[str], counts: Sequence[int]) -> None:
        self.histograms[name] = (list(labels), list(counts))

    def sample(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.samples[name] = list(rows)


@dataclass
class HereContext:
    """Tasks run in this process, in order; what travels is pickled and what comes back is JSON, as in the engine."""

    inputs: Mapping[str, MadeArtifact]
    output: Folder
    work: Folder
    step: str = "step"
    report: Report = field(default_factory=Report)

    def add_use(self, cpu_s: float, peak_memory_bytes: int) -> None:
        raise AssertionError("packing starts no process of its own")

    def map(
        self, phase: str, function: Callable[[Any, Any, TaskContext], JSON], items: Sequence[Any], shared: Any = None
    ) -> list[JSON]:
        results = []
        for index, item in enumerate(items):
            sent_function, sent_shared, sent_item = pickle.loads(pickle.dumps((function, shared, item)))
            task = TaskContext(step=self.step, output=self.output, work=self.work, index=index)
            results.append(json.loads(json.dumps(sent_function(sent_shared, sent_item, task))))
        return results

    def exchange(
        self,
        phase: str,
        function: Callable[[Any, Any, TaskContext], Any],
        items: Sequence[Any],
        num_partitions: int,
        shared: Any = None,
    ) -> Exchange:
        name = f"exchanges/{phase}"
        produced = self.map(phase, partial(_write_exchange, function, name, num_partitions), items, shared)
        return opened(self.work, name, num_partitions, produced)


def _write_exchange(
    function: Callable[[Any, Any, TaskContext], Any], name: str, num_partitions: int, shared: Any, item: Any,
    task: TaskContext,
) -> JSON:  # fmt: skip
    return write_partitions(task.work, name, task.index, function(shared, item, task), num_partitions)


def document_id(number: int) -> bytes:
    return hashlib.md5(str(number).encode()).digest()


def write_documents(
    location: str, shards: Sequence[Sequence[tuple[bytes, str | None, str]]], row_group_size: int = 1000
) -> MadeArtifact:
    """A documents artifact of (id, text, language) rows."""
    folder = Folder(location)
    for index, rows in enumerate(shards):
        ids, texts, languages = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
        table = pa.table(
            {
                "id": pa.array(ids, ID),
                "text": pa.array(texts, pa.large_string()),
                "language": pa.array(languages, pa.string()),
            }
        )
        file = io.BytesIO()
        pq.write_table(table, file, row_group_size=row_group_size)
        folder.write_bytes(f"shards/{index:05d}.parquet", file.getvalue())
    return MadeArtifact(step="documents", kind="documents", folder=folder)


def run_stage(stage: Any, cfg: Any, inputs: Mapping[str, MadeArtifact], location: str) -> tuple[MadeArtifact, Report]:
    """The artifact a wide stage writes, and its report."""
    context = HereContext(inputs=inputs, output=Folder(location), work=Folder(location + ".work"))
    contract = json.loads(json.dumps(stage.function(cfg, context)))
    artifact = MadeArtifact(step="step", kind=stage.produces, folder=context.output, manifest={"contract": contract})
    return artifact, context.report
