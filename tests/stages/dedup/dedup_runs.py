"""Near-duplicate dedup over tables in memory: signed documents, layouts of shards, contexts, exchanges from arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from pipeline.artifact import Artifact
from pipeline.backend import Backend, LocalBackend
from pipeline.dag import Resources
from pipeline.report import StepReport
from pipeline.stage import ExchangeReader, InputArtifact, NarrowContext, TaskContext
from pipeline.stage_loader import load_stage
from pipeline.store import Folder
from pipeline.wide_context import EngineWideContext
from stages import minhash, signatures
from tests.wide_context import document_table, documents_artifact

Columns = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Result:
    """What a run of stages.minhash left: the bytes of its files by name, and its report."""

    files: dict[str, bytes]
    report: StepReport


def hashed_ids(number: int) -> list[bytes]:
    """Distinct ids whose order has nothing to do with their numbers."""
    return [xxhash.xxh3_128_digest(f"document {n}".encode()) for n in range(number)]


def signed(texts: Sequence[str], cfg: signatures.Config | None = None, **columns: pa.Array) -> pa.Table:
    """Documents with these texts, signed by stages.signatures; their ids are `hashed_ids`, their URLs numbered."""
    urls = pa.array([f"https://site.example/{n}" for n in range(len(texts))])
    table = document_table(hashed_ids(len(texts)), texts, **({"url": urls} | columns))
    return sign_again(table, cfg or signatures.Config())


def sign_again(table: pa.Table, cfg: signatures.Config) -> pa.Table:
    """The table with its signatures replaced by those of these settings."""
    sign = load_stage("stages.signatures", "test").function(cfg, NarrowContext(step="signatures"))
    batch = table.select([name for name in table.schema.names if name != "signature"]).combine_chunks().to_batches()[0]
    return pa.table([*batch.columns, sign(batch).columns["signature"]], names=[*batch.schema.names, "signature"])


def laid_out(table: pa.Table, num_shards: int, seed: int) -> list[pa.Table]:
    """The rows in shuffled order, in shards of like size."""
    order_N = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(part)) for part in np.array_split(order_N, num_shards)]


def context(
    folder: Path,
    documents: InputArtifact | None = None,
    cfg: minhash.Config | None = None,
    backend: Backend | None = None,
) -> EngineWideContext:
    """The engine's context for stages.minhash; everything it writes lies under `folder`."""
    stage = load_stage("stages.minhash", "test")
    columns: dict[str, pa.DataType] = {}
    if documents is not None and cfg is not None:
        schema = pa.parquet.read_schema(Path(documents.folder.location) / documents.shards()[0])
        added: Mapping[str, pa.DataType] = stage.adds(cfg)
        columns = {f.name: f.type for f in schema if f.name not in stage.removes} | dict(added)
    return EngineWideContext(
        step="test", uses="stages.minhash", columns=columns,
        inputs={} if documents is None else {"documents": documents}, output=Folder(str(folder / "out")),
        work=Folder(str(folder / "work")), backend=backend or LocalBackend(), resources=Resources(),
        step_report=StepReport(step="test", uses="stages.minhash", kind="wide", produces="documents"),
        task_done=lambda phase, done, total: None,
    )  # fmt: skip


def run_minhash(
    cfg: minhash.Config, documents: Artifact | Sequence[pa.Table], folder: Path, backend: Backend | None = None
) -> Result:
    """Run stages.minhash; on the same artifact in the same folder it goes on where the run before it stopped."""
    artifact = documents if isinstance(documents, Artifact) else documents_artifact(folder / "in", documents)
    ctx = context(folder, artifact, cfg, backend)
    minhash.minhash.function(cfg, ctx)
    ctx.step_report.check("test")
    paths = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    return Result({str(path.relative_to(folder / "out")): path.read_bytes() for path in paths}, ctx.step_report)


def exchange_of(
    ctx: EngineWideContext, phase: str, schema: pa.Schema, producers: Sequence[Columns], num_partitions: int
) -> ExchangeReader:
    """An exchange with one producing task for each of `producers`: the columns of `schema`, `key` first."""
    return ctx.exchange(phase, _rows, producers, num_partitions, schema)


def _rows(schema: pa.Schema, columns: Columns, task: TaskContext) -> Iterator[pa.RecordBatch]:
    for part_N in np.array_split(np.arange(len(columns[0])), 3):
        yield pa.RecordBatch.from_arrays([pa.array(column[part_N]) for column in columns], schema=schema)


def rows_of(exchange: ExchangeReader, schema: pa.Schema) -> pa.Table:
    """All rows of an exchange."""
    batches = [batch for partition in range(exchange.num_partitions) for batch in exchange.read(partition)]
    return pa.Table.from_batches(batches, schema)
