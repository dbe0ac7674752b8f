"""Documents artifacts from tables, and a wide stage run over them by the engine's own context, tasks in this process.

Whatever travels to a task goes through pickle (LocalBackend), and what comes back through files, as on a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifact import Artifact, file_entry
from pipeline.backend import LocalBackend
from pipeline.dag import Resources
from pipeline.report import StepReport
from pipeline.schemas import DOCUMENT, DROPPED
from pipeline.stage_loader import load_stage
from pipeline.store import Folder
from pipeline.wide_context import EngineWideContext


@dataclass(frozen=True)
class Outcome:
    """What a wide stage left: the kept documents and the ledger, both ordered by id, and its report."""

    kept: pa.Table
    dropped: pa.Table
    report: StepReport

    def fates(self) -> dict[bytes, bytes | None]:
        """For every document's id: the id of the one it duplicates, or None where it was kept."""
        kept: dict[bytes, bytes | None] = dict.fromkeys(self.kept["id"].to_pylist())
        return kept | dict(zip(self.dropped["id"].to_pylist(), self.dropped["duplicate_of"].to_pylist(), strict=True))


def document_table(ids: Sequence[bytes], texts: Sequence[str | None], **columns: pa.Array) -> pa.Table:
    """DOCUMENT rows with the given ids and texts; other columns as given, null where not."""
    given = {"id": pa.array(ids, DOCUMENT.field("id").type), "text": pa.array(texts, pa.large_string()), **columns}
    for field in DOCUMENT:
        given.setdefault(field.name, pa.nulls(len(ids), field.type))
    return pa.table({name: given[name] for name in [*DOCUMENT.names, *(set(given) - set(DOCUMENT.names))]})


def documents_artifact(folder: Path, shards: Sequence[pa.Table], fingerprint: str = "0" * 64) -> Artifact:
    """A documents artifact with these shards."""
    location = Folder(str(folder))
    (folder / "shards").mkdir(parents=True)
    files = []
    for index, table in enumerate(shards):
        name = f"shards/{index:05d}.parquet"
        pq.write_table(table, folder / name, row_group_size=700)
        files.append(file_entry(location, name, table.num_rows))
    return Artifact(
        step="documents", kind="documents", fingerprint=fingerprint, manifest={"files": files}, folder=location
    )


def run_wide(
    uses: str, cfg: Any, shards: Sequence[pa.Table], folder: Path, fingerprint: str = "0" * 64, outside: Any = None
) -> Outcome:
    """Run a documents stage over shards; everything it writes lies under `folder`."""
    stage = load_stage(uses, "test")
    documents = documents_artifact(folder / "in", shards, fingerprint)
    columns: Mapping[str, pa.DataType] = {
        name: type_
        for name, type_ in ({f.name: f.type for f in shards[0].schema} | dict(stage.adds(cfg))).items()
        if name not in stage.removes
    }
    report = StepReport(step="test", uses=uses, kind="wide", produces="documents")
    context = EngineWideContext(
        step="test", uses=uses, columns=columns, inputs={"documents": documents}, output=Folder(str(folder / "out")),
        work=Folder(str(folder / "work")), backend=LocalBackend(), resources=Resources(), step_report=report,
        task_done=lambda phase, done, total: None, outside=outside,
    )  # fmt: skip
    stage.function(cfg, context)
    report.check("test")
    kept = [pq.read_table(path) for path in sorted((folder / "out" / "shards").glob("*"))]
    dropped = [pq.read_table(path) for path in sorted((folder / "out" / "dropped").glob("*"))]
    return Outcome(
        kept=pa.concat_tables(kept).sort_by("id"),
        dropped=pa.concat_tables([DROPPED.empty_table(), *dropped]).sort_by("id"),
        report=report,
    )
