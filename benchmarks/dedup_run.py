"""A run of `stages.minhash` by the engine on Ray, phase by phase: seconds, CPU, memory, bytes; its edges and clusters.

Reads:  a documents artifact whose ids hold the documents' numbers (`ids_of`), `shard_rows` of them in every shard
Writes: everything below the folder it is given; the step's scratch folder stays there, so that its edges can be read

Workers are warm: a small artifact is deduplicated on them before, as benchmarks/base.py does; Ray's own start is not
counted. CPU time is that of this process and everything below it, Ray's servers included; per phase it is the tasks'.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.dedup_clock import TreeClock
from pipeline.artifact import Artifact
from pipeline.backend import Backend
from pipeline.dag import Resources
from pipeline.report import StepReport
from pipeline.schemas import DOCUMENT, ID
from pipeline.stage import JSON, ExchangeReader, TaskContext
from pipeline.stage_loader import load_stage
from pipeline.store import Folder
from pipeline.wide_context import EngineWideContext

NUM_BANDS, ROWS_PER_BAND, THRESHOLD, SEED, NGRAM = 14, 8, 0.7, 1, 5
NUM_ROWS = NUM_BANDS * ROWS_PER_BAND
EXTRA_ROWS = 144  # behind them, for verification, as in dag.yaml
ROW_BITS = 32  # of a document's number in the exchanges: shard << 32 | row
SIGNATURE = pa.list_(pa.uint32(), NUM_ROWS)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What the tasks of a phase took. `exchanged_bytes` are those of the files it wrote for an exchange."""

    name: str
    num_tasks: int
    wall_s: float
    cpu_s: float
    longest_task_s: float  # of CPU
    peak_memory_bytes: int  # of a process that ran one of its tasks, since the process started
    exchanged_bytes: int
    num_partitions: int


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run: where it lies and what it took."""

    folder: Path
    shard_rows: int
    num_documents: int
    phases: Sequence[Phase]
    edges: ExchangeReader
    wall_s: float
    cpu_s: float
    scratch_bytes: int  # all files in the scratch folder

    @property
    def exchanged_bytes(self) -> int:
        return sum(phase.exchanged_bytes for phase in self.phases)

    @property
    def peak_memory_bytes(self) -> int:
        return max(phase.peak_memory_bytes for phase in self.phases)

    def to_clusters(self) -> Sequence[Phase]:
        """The phases up to the one after which the clusters are known."""
        names = [phase.name for phase in self.phases]
        return self.phases[: names.index("clusters") + 1]


@dataclass(kw_only=True)
class MeasuredContext(EngineWideContext):
    """The engine's context, which also keeps what each phase took."""

    phases: list[Phase] = field(default_factory=list)
    readers: dict[str, ExchangeReader] = field(default_factory=dict)
    num_partitions: int = 0  # of the exchange that is running
    clock: TreeClock = field(default_factory=TreeClock)

    def map(
        self, phase: str, function: Callable[[Any, Any, TaskContext], JSON], items: Sequence[Any], shared: Any = None
    ) -> list[JSON]:
        start = time.perf_counter()
        results = super().map(phase, function, items, shared)
        wall_s, name = time.perf_counter() - start, phase.replace(" ", "_")
        found = (self._record(name) for name in self.work.list(f"phases/{name}"))
        records = [record for record in found if record is not None]
        exchanged = self.work.list(f"exchanges/{name}")
        self.clock.sample()
        self.phases.append(
            Phase(
                name=phase, num_tasks=len(records), wall_s=wall_s, cpu_s=sum(r["cpu_s"] for r in records),
                longest_task_s=max((r["cpu_s"] for r in records), default=0.0),
                peak_memory_bytes=max((r["peak_memory_bytes"] for r in records), default=0),
                exchanged_bytes=sum(self.work.size(name) for name in exchanged), num_partitions=self.num_partitions,
            )
        )  # fmt: skip
        return results

    def exchange(
        self,
        phase: str,
        function: Callable[[Any, Any, TaskContext], Iterable[pa.RecordBatch]],
        items: Sequence[Any],
        num_partitions: int,
        shared: Any = None,
    ) -> ExchangeReader:
        self.num_partitions = num_partitions
        reader = super().exchange(phase, function, items, num_partitions, shared)
        self.num_partitions = 0
        self.readers[phase] = reader
        return reader


def ids_of(number_N: np.ndarray) -> pa.Array:
    """Ids that hold the documents' numbers in their low half; the high half is mixed, as real ids are."""
    number_N = number_N.astype(np.uint64)
    mixed_N = (number_N + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed_N ^= mixed_N >> np.uint64(29)
    data = np.stack([mixed_N, number_N], axis=1).astype(">u8")
    return pa.Array.from_buffers(ID, len(number_N), [None, pa.py_buffer(data.tobytes())])


def numbers_of(ids: pa.ChunkedArray) -> np.ndarray:
    """The documents' numbers, int64, of ids without nulls."""
    whole = pa.concat_arrays(ids.chunks) if ids.num_chunks else pa.array([], ID)
    data = np.frombuffer(whole.buffers()[1], ">u8") if len(whole) else np.empty(0, ">u8")
    return data[2 * whole.offset + 1 : 2 * (whole.offset + len(whole)) : 2].astype(np.int64)


def write_artifact(folder: Path, shards: Iterable[pa.Table]) -> Artifact:
    """A documents artifact of these shards: tables with `text`, `url`, `id` and `signature`."""
    (folder / "shards").mkdir(parents=True)
    files = []
    for index, table in enumerate(shards):
        name = f"shards/{index:05d}.parquet"
        for column in DOCUMENT:
            if column.name not in table.column_names:
                table = table.append_column(column, pa.nulls(table.num_rows, column.type))
        table = table.select([*DOCUMENT.names, "signature"])
        pq.write_table(
            table, folder / name, row_group_size=1 << 16, compression="zstd", compression_level=1, use_dictionary=False
        )
        files.append({"name": name, "rows": table.num_rows})
    return Artifact(
        step="documents", kind="documents", fingerprint="0" * 64, manifest={"files": files}, folder=Folder(str(folder))
    )


@contextmanager
def ray_backend(folder: Path) -> Iterator[Backend]:
    """Ray as a run without flags starts it: a worker per CPU. Its workers have loaded all kernels."""
    from pipeline.ray_backend import RayBackend

    backend = RayBackend()
    try:
        shards = 2 * backend.num_workers
        number_N = np.arange(shards * 10)
        table = pa.table(
            {
                "id": ids_of(number_N), "url": pa.array([f"https://warm.example/{n}" for n in number_N]),
                "text": pa.array(["one two three four five six seven"] * len(number_N), pa.large_string()),
                "signature": signature_column(np.ones((len(number_N), NUM_ROWS), np.uint32)),
            }
        )  # fmt: skip
        warm = write_artifact(folder / "warm", [table.slice(10 * shard, 10) for shard in range(shards)])
        run_dedup({}, warm, folder / "warmed", backend)
        yield backend
    finally:
        backend.close()
        for name in ("warm", "warmed"):
            shutil.rmtree(folder / name, ignore_errors=True)


def signature_column(signature_NK: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(signature_NK.reshape(-1)), NUM_ROWS)


def run_dedup(settings: dict[str, Any], documents: Artifact, folder: Path, backend: Backend) -> Run:
    """`stages.minhash` with `settings` over the documents."""
    stage = load_stage("stages.minhash", "dedup")
    cfg = stage.config(
        num_bands=NUM_BANDS, rows_per_band=ROWS_PER_BAND, threshold=THRESHOLD, keep="longest", **settings
    )
    columns = {column.name: column.type for column in DOCUMENT} | dict(stage.adds(cfg))
    report = StepReport(step="dedup", uses="stages.minhash", kind="wide", produces="documents")
    context = MeasuredContext(
        step="dedup", uses="stages.minhash", columns=columns, inputs={"documents": documents},
        output=Folder(str(folder / "out")), work=Folder(str(folder / "work")), backend=backend, resources=Resources(),
        step_report=report, task_done=lambda phase, done, total: None,
    )  # fmt: skip
    start_s = time.perf_counter()
    stage.function(cfg, context)
    wall_s, cpu_s = time.perf_counter() - start_s, context.clock.sample()
    report.check("dedup")
    rows = [entry["rows"] for entry in documents.manifest["files"]]
    return Run(
        folder=folder, shard_rows=rows[0], num_documents=sum(rows), phases=context.phases,
        edges=context.readers["edges"], wall_s=wall_s, cpu_s=cpu_s,
        scratch_bytes=sum(file.stat().st_size for file in (folder / "work").rglob("*") if file.is_file()),
    )  # fmt: skip


def edges_of(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The confirmed edges, once each, as numbers of documents."""
    left, right = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for partition in range(run.edges.num_partitions):
        for batch in run.edges.read(partition):
            one_E, other_E = (_number(batch[name].to_numpy(), run.shard_rows) for name in ("doc", "neighbour"))
            left.append(one_E[one_E < other_E])  # an edge comes in both directions
            right.append(other_E[one_E < other_E])
    return np.concatenate(left), np.concatenate(right)


def _number(place_E: np.ndarray, shard_rows: int) -> np.ndarray:
    return (place_E >> ROW_BITS) * shard_rows + (place_E & ((1 << ROW_BITS) - 1))


def labels_of(run: Run) -> np.ndarray:
    """int64[N]: the document each one was dropped for, or its own number where it was kept."""
    label_N = np.arange(run.num_documents)
    for path in sorted((run.folder / "out" / "dropped").glob("*.parquet")):
        ledger = pq.read_table(path, columns=["id", "duplicate_of"])
        label_N[numbers_of(ledger["id"])] = numbers_of(ledger["duplicate_of"])
    return label_N
