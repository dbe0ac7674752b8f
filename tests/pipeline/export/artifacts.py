"""A run's folder made by hand: documents, a vocabulary, tokens packed in plain Python, and run.json.

The packing knows nothing of stages/packing: segments of a document are strewn over the rows of its shard.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import artifact
from pipeline.artifact import Artifact, artifact_folder
from pipeline.export.exporting import Exported, export
from pipeline.export.source import find, open_source
from pipeline.schemas import DOCUMENT, tokens_schema
from pipeline.store import Folder

LENGTH, OVERLAP = 16, 4
Tokens = list[int]


@dataclass(frozen=True)
class TokensRun:
    """Where it is, and the tokens of each document by split and id, without end-of-text tokens."""

    output: str
    chunks: Artifact
    documents: Mapping[str, Mapping[bytes, Tokens]]
    contract: Mapping[str, Any]


def tokens_run(
    folder: Path, vocab_size: int = 300, splits: Sequence[str] = ("train", "validation"), num_shards: int = 3
) -> TokensRun:
    """Shards of both splits; shard 1 has no validation documents, and a last shard of train has no rows."""
    random = np.random.default_rng(1)
    output = Folder(str(folder))
    tokenizer = json.dumps({"made": "by hand", "vocab_size": vocab_size}).encode()
    contract = {
        "tokenizer_sha256": hashlib.sha256(tokenizer).hexdigest(), "vocab_size": vocab_size,
        "dtype": "uint16" if vocab_size <= 1 << 16 else "uint32", "length": LENGTH, "overlap": OVERLAP,
        "eot_id": vocab_size - 2, "bos_id": vocab_size - 2, "pad_id": vocab_size - 1,
    }  # fmt: skip
    words = _commit(output, "vocabulary", "vocabulary", {}, {"tokenizer.json": tokenizer}, contract)
    files: dict[str, bytes] = {}
    documents: dict[str, dict[bytes, Tokens]] = {split: {} for split in splits}
    for index in range(num_shards):
        for split in splits:
            if split == "validation" and index == 1:
                continue
            made = random_documents(random, 40 if split == "train" else 5, vocab_size - 2)
            files[f"shards/{split}-{index:05d}.arrow"] = tokens_shard(packed(made, contract, random), contract)
            documents[split].update(made)
    files[f"shards/train-{num_shards:05d}.arrow"] = tokens_shard([], contract)
    inputs = {"vocabulary": {"step": "vocabulary", "fingerprint": words.fingerprint}}
    chunks = _commit(output, "chunks", "tokens", inputs, files, contract)
    write_run_json(folder, [words, chunks])
    return TokensRun(str(folder), chunks, documents, contract)


def random_documents(random: np.random.Generator, num: int, num_words: int) -> dict[bytes, Tokens]:
    """Documents of every length around a row's, and a few of many rows."""
    lengths = [1, 2, LENGTH - 3, LENGTH - 2, LENGTH - 1, LENGTH, 2 * LENGTH - OVERLAP - 2, 40 * LENGTH]
    lengths += random.integers(1, 3 * LENGTH, num).tolist()
    return {random.bytes(16): random.integers(0, num_words, length).tolist() for length in lengths}


def segments_of(stream: Tokens) -> list[tuple[int, Tokens]]:
    """(offset, tokens), LENGTH at a time, all but the first with OVERLAP tokens of the one before."""
    return [
        (start, stream[start : start + LENGTH])
        for start in range(0, max(1, len(stream) - OVERLAP), LENGTH - OVERLAP)
    ]  # fmt: skip


def packed(
    documents: Mapping[bytes, Tokens], contract: Mapping[str, Any], random: np.random.Generator
) -> list[dict[str, Any]]:
    """Rows with the segments in random order, each in the first row that has room."""
    eot = contract["eot_id"]
    segments = [(id_, *segment) for id_, ids in documents.items() for segment in segments_of([eot, *ids, eot])]
    rows: list[dict[str, Any]] = []
    for place in random.permutation(len(segments)):
        id_, offset, tokens = segments[place]
        row = next((r for r in rows if len(r["input_ids"]) + len(tokens) <= LENGTH), None)
        if row is None:
            row = {name: [] for name in tokens_schema(LENGTH, 2).names}
            rows.append(row)
        row["segment_starts"].append(len(row["input_ids"]))
        row["segment_docs"].append(id_)
        row["segment_offsets"].append(offset)
        row["loss_starts"].append(len(row["input_ids"]) + (OVERLAP if offset else 1))
        row["input_ids"] += tokens
    for row in rows:
        row["num_real"] = len(row["input_ids"])
        row["input_ids"] += [contract["pad_id"]] * (LENGTH - row["num_real"])
    return rows


def tokens_shard(rows: Sequence[Mapping[str, Any]], contract: Mapping[str, Any], said: Any = None) -> bytes:
    """An Arrow stream of several small batches, which says of itself what `contract` says, or `said`."""
    metadata = {b"crawlmill": json.dumps(contract if said is None else said).encode()}
    schema = tokens_schema(LENGTH, contract["vocab_size"], metadata)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), schema=schema), max_chunksize=7)
    return sink.getvalue().to_pybytes()


def replaced(run: TokensRun, files: Mapping[str, bytes], contract: Mapping[str, Any] | None = None) -> str:
    """The run with a tokens artifact of other files, or of another contract; its output folder."""
    folder = artifact_folder(Folder(run.output), "chunks", run.chunks.fingerprint)
    manifest = dict(run.chunks.manifest) | {"contract": dict(contract or run.contract)}
    for name, data in files.items():
        folder.write_bytes(name, data)
    manifest["files"] = [artifact.file_entry(folder, name) for name in folder.list("shards")]
    artifact.commit(folder, manifest)
    return run.output


def documents_run(folder: Path, shards: Sequence[pa.Table]) -> str:
    """The output folder of a run whose one step wrote these documents."""
    files = {}
    for index, table in enumerate(shards):
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, row_group_size=7)
        files[f"shards/{index:05d}.parquet"] = sink.getvalue().to_pybytes()
    write_run_json(folder, [_commit(Folder(str(folder)), "clean", "documents", {}, files, {})])
    return str(folder)


def documents_table(texts: Sequence[str | None], first: int = 0, **columns: pa.Array) -> pa.Table:
    """DOCUMENT rows with ids counted from `first`."""
    ids = [hashlib.md5(str(first + i).encode()).digest() for i in range(len(texts))]
    dates = pa.array([1_700_000_000 + i for i in range(len(texts))], pa.timestamp("s", tz="UTC"))
    given = {
        "id": pa.array(ids, DOCUMENT.field("id").type), "text": pa.array(texts, pa.large_string()), "date": dates,
        "url": pa.array([f"https://example/{first + i}" for i in range(len(texts))], pa.string()), **columns,
    }  # fmt: skip
    for field in DOCUMENT:
        given.setdefault(field.name, pa.nulls(len(texts), field.type))
    return pa.table({name: given[name] for name in [*DOCUMENT.names, *columns]})


def _commit(
    output: Folder, step: str, kind: str, inputs: Mapping[str, Any], files: Mapping[str, bytes],
    contract: Mapping[str, Any],
) -> Artifact:  # fmt: skip
    fingerprint = hashlib.sha256(step.encode()).hexdigest()
    folder = artifact_folder(output, step, fingerprint)
    for name, data in files.items():
        folder.write_bytes(name, data)
    return artifact.commit(
        folder,
        {
            "format": 1, "step": step, "uses": f"stages.{step}", "kind": kind, "fingerprint": fingerprint,
            "inputs": dict(inputs), "contract": dict(contract),
            "files": [artifact.file_entry(folder, name) for name in files],
        },
    )  # fmt: skip


def write_run_json(folder: Path, artifacts: Sequence[Artifact], **changed: Any) -> None:
    steps = [
        {
            "step": a.step, "fingerprint": a.fingerprint, "artifact": f"{a.step}/{a.fingerprint[:16]}", "state": "ran",
            "produces": a.kind, "seconds": 0.0, "cpu_s": 0.0, "peak_memory_bytes": 0,
        }
        for a in artifacts
    ]  # fmt: skip
    (folder / "run.json").write_text(json.dumps({"status": "done", "steps": steps, **changed}))


def exported(output: str, format_: str, into: Path, kinds: Sequence[str] = ("tokens",), **options: str) -> Exported:
    source = open_source(find(output, kinds, None))
    return export(source, format_, Folder(str(into)), options, lambda done, total: None)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, and its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def ending(documents: Mapping[bytes, Tokens], contract: Mapping[str, Any]) -> list[Tokens]:
    """The documents with an end-of-text token behind each, in an order of their own."""
    return sorted([*ids, contract["eot_id"]] for ids in documents.values())


def cut_at(flat: np.ndarray, eot: int) -> list[Tokens]:
    """The documents of a flat stream, each with the token that ends it; sorted."""
    ends = np.flatnonzero(flat == eot) + 1
    assert len(flat) == 0 or ends[-1] == len(flat), "the stream ends with an end-of-text token"
    return sorted(part.tolist() for part in np.split(flat, ends)[:-1])
