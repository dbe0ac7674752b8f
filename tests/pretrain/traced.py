"""Token shards beside the documents and the vocabulary they were packed from, in one output folder."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import artifact
from pipeline.schemas import DOCUMENT
from pipeline.store import Folder
from pretrain.provenance import Source, source_of
from tests.pretrain.packed import EOT_ID, byte_tokenizer, contract, encode, pack, write_shard

SCHEMA = pa.schema([*DOCUMENT, pa.field("language", pa.string()), pa.field("quality", pa.float32())])
NUM_SHARDS = 2


@dataclass(frozen=True)
class Document:
    text: str
    url: str | None = "https://a.example/"
    language: str | None = "en"
    quality: float | None = 0.5


def id_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


def stream(text: str) -> list[int]:
    """A document's tokens as stages/pack.py has them."""
    return [EOT_ID, *encode(text)]


def write_run(output: Path, documents: Sequence[Document], length: int, overlap: int = 4, first: int = 0) -> Source:
    """The train split's Source. Document n, with the id first + n, is in shard n % NUM_SHARDS."""
    inputs = write_inputs(output, documents, first)
    folder = artifact.artifact_folder(Folder(str(output)), "chunks", _fingerprint("chunks"))
    files = {}
    for k in range(NUM_SHARDS):
        rows = pack([stream(d.text) for d in documents[k::NUM_SHARDS]], length, overlap)
        for row in rows:  # pack numbers the documents it is given
            row["segment_docs"] = [id_of(first + int.from_bytes(id) * NUM_SHARDS + k) for id in row["segment_docs"]]
        path = folder.local_path(f"shards/train-{k:05d}.arrow")
        files[f"shards/train-{k:05d}.arrow"] = Path(write_shard(path, rows, length)).read_bytes()
    chunks = commit(output, "chunks", "tokens", inputs, files)
    return source_of(chunks, tuple(str(chunks.folder.local_path(name)) for name in chunks.shards()))


def write_inputs(output: Path, documents: Sequence[Document], first: int = 0) -> dict[str, artifact.Artifact]:
    """The documents and the vocabulary, by the names of the ports they are given at."""
    return {
        "documents": commit(output, "clean", "documents", {}, _document_files(documents, first)),
        "vocabulary": commit(
            output, "vocabulary", "vocabulary", {}, {"tokenizer.json": byte_tokenizer()}, contract(512)
        ),
    }  # fmt: skip


def _document_files(documents: Sequence[Document], first: int) -> dict[str, bytes]:
    files = {}
    for k in range(NUM_SHARDS):
        rows = [
            {"id": id_of(first + n), "text": d.text, "url": d.url, "language": d.language, "quality": d.quality,
             "warc_path": "file.jsonl"}
            for n, d in enumerate(documents) if n % NUM_SHARDS == k
        ]  # fmt: skip
        written = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), written, row_group_size=3)
        files[f"shards/{k:05d}.parquet"] = written.getvalue()
    return files


def _fingerprint(step: str) -> str:
    return artifact.fingerprint_of({"step": step})


def commit(
    output: Path, step: str, kind: str, inputs: Mapping[str, artifact.Artifact], files: Mapping[str, bytes],
    promised: Mapping[str, Any] | None = None,
) -> artifact.Artifact:  # fmt: skip
    folder = artifact.artifact_folder(Folder(str(output)), step, _fingerprint(step))
    for name, data in files.items():
        folder.write_bytes(name, data)
    manifest = {
        "format": artifact.FORMAT, "step": step, "kind": kind, "fingerprint": _fingerprint(step),
        "inputs": {port: {"step": given.step, "fingerprint": given.fingerprint} for port, given in inputs.items()},
        "files": [artifact.file_entry(folder, name) for name in files], "contract": promised or {},
    }  # fmt: skip
    return artifact.commit(folder, manifest)
