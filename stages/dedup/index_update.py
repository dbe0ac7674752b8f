"""What a run adds to an index: an entry for each of its documents, links between clusters that have become one.

Reads:  decisions; scratch entries; url
Writes: updates/{key}/ in the index's folder, a file per shard and one of links per group, under names that hold what
        the index was before, so that no file that it names is ever written again; then index.json
Cost:   per document 4 * K + 60 bytes, less by compression; one batch in memory
Source: stages/dedup/index_folder.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifact import fingerprint_of
from pipeline.errors import RunError
from pipeline.schemas import ID
from pipeline.stage import JSON, ExchangeReader, TaskContext, WideContext
from stages.dedup import components, standings
from stages.dedup.bands import KEPT_BEFORE, LINK, Entries
from stages.dedup.corpus import NEW, Group, Part
from stages.dedup.decisions import Decided
from stages.dedup.documents import row_of
from stages.dedup.index_folder import (
    File,
    Index,
    Update,
    delete_replaced,
    entry_schema,
    held,
    missing_files,
    read_index,
    write_index,
)
from stages.dedup.removed import Removed
from stages.dedup.seen import Seen


@dataclass(frozen=True, kw_only=True)
class Updating:
    """What the tasks are given."""

    seen: Seen
    decided: Decided
    labels: ExchangeReader
    clusters: ExchangeReader
    num_rows: int
    link_all: bool  # entries of the index were compared with each other, not only with documents of this run


def update(ctx: WideContext, updating: Updating, groups: Sequence[Group]) -> None:
    """Write the run's update and make it part of the index."""
    seen = updating.seen
    found = ctx.map("index update", _write_group, groups, updating)
    added = Update(
        key=seen.key, base=tuple(u.key for u in seen.index.updates),
        files=tuple(File(**file) for group in found for file in group["files"]),
        num_docs=sum(group["documents"] for group in found), num_kept=sum(group["kept"] for group in found),
    )  # fmt: skip
    with held(seen.folder):
        now = read_index(seen.folder, seen.index.contract) or Index(contract=seen.index.contract)
        check_unchanged(seen, now.before(seen.key).identity())
        missing = missing_files(seen.folder, added)
        if missing:
            raise RunError(
                f"{len(missing)} files of this run's update have gone", where=seen.folder.shown(missing[0]),
                expected="the files its tasks wrote", mend="Delete the step's folder in the output and run again.",
            )  # fmt: skip
        write_index(seen.folder, now.with_update(added))
        delete_replaced(seen.folder, now, now.with_update(added))
    ctx.report.counter("documents_added_to_index", added.num_docs)


def check_unchanged(seen: Seen, identity: JSON) -> None:
    """RunError where the index is not what the run has counted on."""
    if identity != seen.index.identity():
        raise RunError(
            "the index has changed since this run was planned", where=seen.folder.shown(),
            expected="one run, command or step at a time", mend="Run again; the step is planned anew.",
        )  # fmt: skip


def _write_group(updating: Updating, group: Group, task: TaskContext) -> JSON:
    files, num_docs, num_kept = [], 0, 0
    removed = updating.seen.removed()
    for part in group.parts:
        if part.update == NEW:
            written, kept = _written(updating, f"{part.number:05d}", _entries(updating, group, part, removed, task))
            files += written
            num_docs, num_kept = num_docs + sum(file["rows"] for file in written), num_kept + kept
    files += _written(updating, f"links-{group.number:05d}", _links(updating, group, task))[0]
    return {"files": files, "documents": num_docs, "kept": num_kept}


def _written(updating: Updating, name: str, batches: Iterable[pa.RecordBatch]) -> tuple[list[JSON], int]:
    """The File of a shard's entries, none where it has none; and how many of them are kept."""
    base = fingerprint_of(updating.seen.index.identity())[:16]
    path = f"updates/{updating.seen.key}/{base}-{name}.parquet"
    rows = kept = 0
    with (
        updating.seen.folder.open_output(path) as stream,
        pq.ParquetWriter(stream, entry_schema(updating.num_rows), compression="zstd", use_dictionary=["url"]) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
            rows, kept = rows + batch.num_rows, kept + (pa.compute.sum(batch["kept"]).as_py() or 0)
    if not rows:
        updating.seen.folder.delete(path)
        return [], 0
    return [{"name": path, "rows": rows}], kept


def _entries(
    updating: Updating, group: Group, part: Part, removed: Removed, task: TaskContext
) -> Iterator[pa.RecordBatch]:
    """Entry rows of a shard's documents, but for those taken down."""
    decisions = updating.decided.of_shard(part.number)
    row_D = row_of(decisions["doc"].to_numpy())
    schema = entry_schema(updating.num_rows)
    entries = Entries(task.work, group, updating.num_rows, ("rank", "id", "weight", "signature"))
    for first, batch in part.read(("id", "url", "signature")):
        doc_N = first + np.arange(batch.num_rows)
        own = entries.take(group.places(doc_N)).combine_chunks()
        start, end = np.searchsorted(row_D, row_of(doc_N)[[0, -1]] + [0, 1])
        at_N = np.full(batch.num_rows, -1, np.int64)
        at_N[row_D[start:end] - row_of(doc_N)[0]] = np.arange(start, end)
        told = decisions.take(pa.array(at_N, mask=at_N < 0))
        columns: dict[str, Any] = {
            "id": own["id"], "url": batch["url"], "rank": own["rank"], "weight": own["weight"],
            "kept": told["kept"].fill_null(True),
            "representative": pa.compute.coalesce(told["representative"], own["id"]),
            "other": pa.nulls(batch.num_rows, ID), "signature": batch["signature"],
        }  # fmt: skip
        rows = pa.table([columns[name] for name in schema.names], schema=schema)
        yield from rows.filter(pa.array(~removed.hits(batch))).combine_chunks().to_batches()


def _links(updating: Updating, group: Group, task: TaskContext) -> list[pa.RecordBatch]:
    """Links from the entries that clusters of the index hung together by to what represents them now.

    An entry hangs by its representative; that one, and all of a cluster whose representative has gone, by links.
    """
    old = [part for part in group.parts if part.update != NEW]
    if not old:
        return []
    labels = pa.Table.from_batches(updating.labels.read(group.number), components.LABEL)
    labels = labels.filter(pa.compute.greater_equal(labels["doc"], old[0].number << 32)).sort_by("doc")
    told = pa.Table.from_batches(updating.clusters.read(group.number), standings.CLUSTER).sort_by("label")
    cluster = told.take(pa.array(np.searchsorted(told["label"].to_numpy(), labels["label"].to_numpy())))
    ids = Entries(task.work, group, updating.num_rows, ("standing", "id")).take(group.places(labels["doc"].to_numpy()))
    standing_N, best_N = ids["standing"].to_numpy(), cluster["representative_standing"].to_numpy()
    is_head_N = (standing_N == KEPT_BEFORE) | ((best_N != KEPT_BEFORE) & (standing_N != LINK))
    is_other_N = np.array(pa.compute.not_equal(ids["id"], cluster["representative"]))
    has_grown_N = cluster["num_new"].to_numpy() > 0
    chosen = pa.array(is_head_N & is_other_N & (has_grown_N | updating.link_all))
    ends, heads = cluster["representative"].filter(chosen), ids["id"].filter(chosen)
    schema, num = entry_schema(updating.num_rows), len(heads)
    columns = {
        "kept": pa.array([False] * num), "representative": heads, "other": ends,
    }  # fmt: skip
    return pa.table(
        [columns[f.name] if f.name in columns else pa.nulls(num, f.type) for f in schema], schema=schema
    ).to_batches()
