"""One shard through a fused chain of steps, on a worker: read, apply every step batch by batch, write once.

Reads:  a source's shard, or one shard of a documents artifact
Writes: shards/NNNNN.parquet, dropped/NNNNN.parquet (where anything was dropped) and last the receipt that commits them
Costs:  one batch of each step and one row group in memory, whatever the shard's size
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline import ledger
from pipeline.annotation import annotated, check_measures
from pipeline.artifact import canonical_json
from pipeline.document_reader import read_documents
from pipeline.errors import RunError
from pipeline.report import StepReport
from pipeline.resource_use import cpu_s, peak_memory_bytes
from pipeline.shard_writer import ShardWriter
from pipeline.stage import BatchFunction, Columns, Names, NarrowContext, SourceBatch, SourceReader, SourceShard, Verdict
from pipeline.stage_loader import load_stage
from pipeline.store import Folder

_MAX_OPEN_STEPS = 32
_open_steps: dict[bytes, Any] = {}  # models load once per worker; what a step returns never depends on what came before


@dataclass(frozen=True, kw_only=True)
class ChainStep:
    """One step of a fused chain: what a worker needs to open it."""

    step: str
    uses: str
    config: Any
    fingerprint: str
    columns: Columns  # after this step
    annotate: bool = False
    input_columns: Columns = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)  # side inputs: port -> artifact

    def open(self) -> Any:
        key = canonical_json([self.step, self.fingerprint, repr(self.config)])
        if key not in _open_steps:
            while len(_open_steps) >= _MAX_OPEN_STEPS:
                _open_steps.pop(next(iter(_open_steps)))
            context = NarrowContext(step=self.step, inputs=self.inputs, input_columns=self.input_columns)
            _open_steps[key] = load_stage(self.uses, self.step).function(self.config, context)
        return _open_steps[key]


@dataclass(frozen=True, kw_only=True)
class NarrowStep:
    """A narrow step opened on a worker, and the columns after it; `measures` is None where its stage declares none."""

    step: str
    columns: Columns
    function: BatchFunction
    measures: Names | None
    annotates: bool


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """Shard `index` of a chain: from a source's shard, or from `name` in a documents artifact's folder."""

    chain: tuple[ChainStep, ...]
    index: int
    output: Folder
    work: Folder
    source_shard: SourceShard | None = None
    documents: tuple[Folder, str] | None = None


def receipt_name(index: int) -> str:
    return f"receipts/{index:05d}.json"


def read_receipt(task: ShardTask) -> dict[str, Any] | None:
    """A finished shard's receipt; None where it is damaged or a file it names is not there in its size."""
    try:
        receipt: dict[str, Any] = json.loads(task.work.read_bytes(receipt_name(task.index)))
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    for entry in receipt["files"]:
        if not task.output.exists(entry["name"]) or task.output.size(entry["name"]) != entry["bytes"]:
            return None
    return receipt


def run_shard(task: ShardTask) -> dict[str, Any]:
    """Run one shard and commit it; returns the small numbers the progress display shows."""
    reports = {s.step: new_report(s.step, s.uses, s.annotate) for s in task.chain}
    seconds = dict.fromkeys(reports, 0.0)
    cpu_start_s = cpu_s()
    writer = ShardWriter(task.output, task.index, schema_of(task.chain[-1].columns))
    opened = [s.open() for s in task.chain]
    narrow = [
        NarrowStep(step=s.step, columns=s.columns, function=function, measures=_measures(s), annotates=s.annotate)
        for s, function in zip(task.chain, opened, strict=True)
    ][0 if task.source_shard is None else 1 :]
    with writer:
        for batch in _clocked(_batches(task, opened[0], reports, writer), task.chain[0].step, seconds):
            kept = _through(batch, narrow, reports, seconds, writer)
            if kept is not None:
                writer.write(kept)
                if task.source_shard is None or len(task.chain) > 1:  # a source counts its hosts itself
                    reports[task.chain[-1].step].add_hosts(kept)
    for report in reports.values():
        report.check(f"shard {task.index}")
    _check_source_bytes(task, reports[task.chain[0].step])
    receipt = {
        "index": task.index,
        "files": writer.files(),
        "reports": {name: report.to_json() for name, report in reports.items()},
        "timings": {
            "seconds": seconds,
            "cpu_s": cpu_s() - cpu_start_s,
            "peak_memory_bytes": peak_memory_bytes(),
        },
    }
    task.work.write_bytes(receipt_name(task.index), json.dumps(receipt).encode())
    return {"docs_in": reports[task.chain[0].step].docs_in, "docs_out": reports[task.chain[-1].step].docs_out}


def new_report(step: str, uses: str, annotates: bool = False) -> StepReport:
    stage = load_stage(uses, step)
    return StepReport(step=step, uses=uses, kind=stage.kind, produces=stage.produces, annotates=annotates)


def _measures(step: ChainStep) -> Names | None:
    measures = load_stage(step.uses, step.step).measures
    return None if measures is None else measures(step.config)


def schema_of(columns: Columns) -> pa.Schema:
    return pa.schema([pa.field(name, type_) for name, type_ in columns.items()])


def _clocked(batches: Iterator[pa.RecordBatch], step: str, seconds: dict[str, float]) -> Iterator[pa.RecordBatch]:
    """Charge the time spent reading to the chain's first step."""
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        seconds[step] += time.perf_counter() - start
        if batch is None:
            return
        yield batch


def _batches(
    task: ShardTask, first: Any, reports: Mapping[str, StepReport], writer: ShardWriter
) -> Iterator[pa.RecordBatch]:
    if task.source_shard is not None:
        step = task.chain[0].step
        yield from _read_source(step, first, task.source_shard, reports[step], writer)
        return
    assert task.documents is not None
    yield from read_documents(*task.documents)


def _read_source(
    step: str, reader: SourceReader, shard: SourceShard, report: StepReport, writer: ShardWriter
) -> Iterator[pa.RecordBatch]:
    item: SourceBatch
    for item in reader.read(shard):
        report.add_source_batch(item)
        if item.dropped:
            writer.drop(ledger.rows_of_records(step, item.dropped))
        if item.documents.num_rows:
            yield item.documents


def _check_source_bytes(task: ShardTask, report: StepReport) -> None:
    quarantined = sum(report.bytes_dropped.values())
    if task.source_shard is not None and report.bytes_in != report.bytes_out + quarantined:
        raise RunError(
            f"{report.bytes_in} bytes read, {report.bytes_out} kept, {quarantined} dropped by name",
            where=f"shard {task.source_shard.name}, {report.step}", expected="every byte kept or named",
            mend="This is a fault in the source; please report it.",
        )  # fmt: skip


def _through(
    batch: pa.RecordBatch,
    steps: list[NarrowStep],
    reports: Mapping[str, StepReport],
    seconds: dict[str, float],
    writer: ShardWriter,
) -> pa.RecordBatch | None:
    """A batch through every step; None once nothing of it is left."""
    for step in steps:
        start = time.perf_counter()
        batch = _judge(step, batch, reports[step.step], writer)
        batch = batch.select([name for name in batch.schema.names if name in step.columns])  # a payload is heavy
        seconds[step.step] += time.perf_counter() - start
        if not batch.num_rows:
            return None
    return batch


def _judge(step: NarrowStep, batch: pa.RecordBatch, report: StepReport, writer: ShardWriter) -> pa.RecordBatch:
    verdict = step.function(batch)
    if step.measures is not None:
        check_measures(step.step, step.measures, verdict)
    if not step.annotates:
        return apply_verdict(step.step, batch, verdict, report, writer)
    report.add_annotation(batch, verdict)
    return annotated(step.step, batch, verdict, step.measures or ())


def apply_verdict(
    step: str, batch: pa.RecordBatch, verdict: Verdict, report: StepReport, writer: ShardWriter
) -> pa.RecordBatch:
    """Enter the rows that a verdict drops into the ledger and the report, and return the rest."""
    rewritten = with_columns(batch, verdict)
    kept = rewritten
    if verdict.drops is not None and (verdict.drops.code_N >= 0).any():
        assert len(verdict.drops.code_N) == batch.num_rows, f"{step}: a verdict has one entry per row"
        kept = rewritten.filter(pa.array(verdict.drops.code_N < 0))
        writer.drop(ledger.rows_of_batch(step, rewritten, verdict.drops))
    report.add_verdict(batch, kept, verdict)
    return kept


def with_columns(batch: pa.RecordBatch, verdict: Verdict) -> pa.RecordBatch:
    """The batch with the verdict's columns put in place of those of their name, or at the end."""
    arrays = dict(zip(batch.schema.names, batch.columns, strict=True)) | dict(verdict.columns)
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
