"""From rows of token shards back to the documents they were packed from.

Reads:  `segment_docs` and `segment_offsets` of the rows asked for; of the documents artifact that was packed, the
        shards these rows came from: ids, and the other columns of the row groups in which a wanted document lies
Writes: nothing
Cost:   memory: the details of the wanted documents, and one row group's columns. Time: the id column of at most as many
        documents shards as rows were asked for; opening maps every token shard, as training does
Source: stages/pack.py: tokens shard NNNNN holds documents of documents shard NNNNN and of no other

A tokens artifact's manifest names the documents and the vocabulary it was made from by step and fingerprint, and these
lie beside it in the same output folder. Where they are gone, a document is known by its id alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.artifact import Artifact, artifact_folder, open_artifact
from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import InputArtifact
from pipeline.store import Folder, is_remote

_SHARD_NUMBER = re.compile(r"-(\d+)\.arrow$")
ID_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Source:
    """The shards of one tokens artifact and what it was made from; small and picklable. Empty: not known."""

    name: str
    shards: tuple[str, ...]
    documents: str = ""
    tokenizer: str = ""


def source_of(chunks: InputArtifact, shards: tuple[str, ...]) -> Source:
    """`shards`: local paths of those that are trained on (or validated on), in the order that numbers their rows."""
    return Source(
        name=chunks.step, shards=shards, documents=_beside(chunks, "documents"),
        tokenizer=_beside(chunks, "vocabulary"),
    )  # fmt: skip


def _beside(chunks: InputArtifact, port: str) -> str:
    """Where the artifact lies that a tokens artifact was given at `port`; empty where it is not said."""
    given = (chunks.manifest.get("inputs") or {}).get(port)
    if given is None or is_remote(chunks.folder.location):
        return ""
    output = os.path.dirname(os.path.dirname(os.path.abspath(chunks.folder.location)))
    return artifact_folder(Folder(output), given["step"], given["fingerprint"]).location


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """The segments of some rows: whose they are and where they begin; N of them, by row, then by place in it."""

    row_N: np.ndarray
    segment_N: np.ndarray
    num_tokens_N: np.ndarray
    offset_N: np.ndarray  # uint64: the segment's place in its document, in tokens
    source_N: np.ndarray  # index into the sources
    shard_N: np.ndarray  # index into that source's shards
    ids: tuple[bytes, ...]
    tokens: tuple[np.ndarray, ...] = field(repr=False)  # of each segment, views into the mapped shard


@dataclass(frozen=True, kw_only=True)
class _Batch:
    source: int
    shard: int
    first_row: int
    records: pa.RecordBatch


@lru_cache(maxsize=4)  # of the splits of one run; a batch is a view into a mapped file
def _batches(sources: tuple[Source, ...]) -> tuple[_Batch, ...]:
    found, first_row = [], 0
    for i, source in enumerate(sources):
        for k, path in enumerate(source.shards):
            with pa.memory_map(path) as file, pa.ipc.open_stream(file) as reader:
                for records in reader:
                    found.append(_Batch(source=i, shard=k, first_row=first_row, records=records))
                    first_row += records.num_rows
    return tuple(found)


def pieces(sources: Sequence[Source], row_N: np.ndarray) -> Pieces:
    """The segments of the rows with these numbers, each row once. Rows are numbered over all sources' shards."""
    batches = _batches(tuple(sources))
    first_rows = np.array([b.first_row for b in batches], np.int64)
    columns: list[tuple[int, ...]] = []
    ids: list[bytes] = []
    tokens: list[np.ndarray] = []
    for row in np.unique(row_N).tolist():
        batch = batches[int(np.searchsorted(first_rows, row, side="right")) - 1]
        r = row - batch.first_row
        starts = batch.records["segment_starts"][r].values.to_numpy()
        ends = np.append(starts[1:], batch.records["num_real"][r].as_py())
        offsets = batch.records["segment_offsets"][r].values.to_numpy()
        ids_T = batch.records["input_ids"][r].values.to_numpy()
        ids += batch.records["segment_docs"][r].values.to_pylist()
        for s, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            columns.append((row, s, end - start, int(offsets[s]), batch.source, batch.shard))
            tokens.append(ids_T[start:end])
    table = np.array(columns, np.int64).reshape(-1, 6)
    return Pieces(
        row_N=table[:, 0], segment_N=table[:, 1], num_tokens_N=table[:, 2], offset_N=table[:, 3].astype(np.uint64),
        source_N=table[:, 4], shard_N=table[:, 5], ids=tuple(ids), tokens=tuple(tokens),
    )  # fmt: skip


def select(segments: Pieces, chosen: Sequence[int]) -> Pieces:
    """Some of the segments, by their index."""
    n = np.asarray(chosen, np.int64)
    return Pieces(
        row_N=segments.row_N[n], segment_N=segments.segment_N[n], num_tokens_N=segments.num_tokens_N[n],
        offset_N=segments.offset_N[n], source_N=segments.source_N[n], shard_N=segments.shard_N[n],
        ids=tuple(segments.ids[i] for i in chosen), tokens=tuple(segments.tokens[i] for i in chosen),
    )  # fmt: skip


def key_of(row_N: np.ndarray, segment_N: np.ndarray) -> np.ndarray:
    """An int64 per segment that is larger the later it comes; a row has fewer than 65,536 segments."""
    return row_N * (1 << 16) + segment_N


@dataclass(frozen=True, kw_only=True)
class Found:
    """Documents by id with their columns (`text` only where it was asked for), and why some are missing."""

    documents: Mapping[bytes, Mapping[str, Any]]
    columns: Mapping[str, pa.DataType]  # all that some document has, in the order of the shards' schema
    missing: str  # empty where nothing is


def look_up(sources: Sequence[Source], wanted: Pieces, text_chars: int = 0) -> Found:
    """The documents of these segments; `text_chars`: how much of each text, 0 for none."""
    documents: dict[bytes, Mapping[str, Any]] = {}
    columns: dict[str, pa.DataType] = {}
    problems: list[str] = []
    for i, source in enumerate(sources):
        mine = np.flatnonzero(wanted.source_N == i)
        if not len(mine):
            continue
        artifact, problem = _open(source)
        if artifact is None:
            problems.append(problem)
            continue
        for k in np.unique(wanted.shard_N[mine]).tolist():
            ids = {wanted.ids[n] for n in mine.tolist() if wanted.shard_N[n] == k}
            shard = _documents_shard(artifact, source.shards[k])
            if shard is None:
                problems.append(f"{source.name}: no documents shard belongs to {os.path.basename(source.shards[k])}")
                continue
            try:
                documents |= _read(artifact.folder, shard, ids - documents.keys(), text_chars, columns)
            except (pa.ArrowInvalid, OSError, DataError) as error:
                problems.append(f"{artifact.step}/{shard} cannot be read: {str(error).splitlines()[0]}")
    return Found(documents=documents, columns=columns, missing="; ".join(dict.fromkeys(problems)))


def _open(source: Source) -> tuple[Artifact | None, str]:
    if not source.documents:
        return None, f"{source.name} does not say which documents it was packed from"
    try:
        artifact = open_artifact(Folder(source.documents))
    except (DataError, OSError) as error:
        return None, str(error)
    step = os.path.basename(os.path.dirname(source.documents))
    return artifact, "" if artifact else f"the documents that {source.name} was packed from, of step {step!r}, are gone"


def _documents_shard(artifact: Artifact, tokens_shard: str) -> str | None:
    """The documents shard that a tokens shard was packed from: the one with its number."""
    number = _SHARD_NUMBER.search(tokens_shard)
    shards = artifact.shards()
    return shards[int(number[1])] if number is not None and int(number[1]) < len(shards) else None


def _read(
    folder: Folder, shard: str, ids: set[bytes], text_chars: int, columns: dict[str, pa.DataType]
) -> dict[bytes, Mapping[str, Any]]:
    """Rows of a documents shard by id. `columns` gets the shown ones of its schema."""
    found: dict[bytes, Mapping[str, Any]] = {}
    wanted = pa.array(sorted(ids), ID)
    with folder.open_input(shard) as file, pq.ParquetFile(file) as parquet:
        shown = [f.name for f in parquet.schema_arrow if _is_shown(f)]
        columns |= {name: parquet.schema_arrow.field(name).type for name in shown}
        has_text = bool(text_chars) and "text" in parquet.schema_arrow.names
        for group in range(parquet.num_row_groups):
            if len(found) == len(ids):
                break
            id_column = parquet.read_row_group(group, columns=["id"], use_threads=False)["id"]
            rows = pc.indices_nonzero(pc.is_in(id_column, wanted))
            if not len(rows):
                continue
            names = ["id", *shown, *(["text"] if has_text else [])]
            table = parquet.read_row_group(group, columns=names, use_threads=False).take(rows)
            if has_text:
                cut = pc.utf8_slice_codeunits(table["text"], 0, text_chars)
                table = table.set_column(table.schema.get_field_index("text"), "text", cut)
            for row in table.to_pylist():
                found.setdefault(row.pop("id"), row)
    return found


def _is_shown(column: pa.Field) -> bool:
    """Whether a column says something of a document that a person would look at: numbers, names, dates."""
    return column.name not in ("id", "text", "payload") and (
        pa.types.is_primitive(column.type) or pa.types.is_string(column.type) or pa.types.is_dictionary(column.type)
    )
