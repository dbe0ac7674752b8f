"""Small token shards, a byte-level tokenizer and the objects a stage is given, for the tests of this package."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from pipeline.schemas import tokens_schema
from pipeline.store import Folder

EOT_ID, PAD_ID, VOCAB_SIZE = 256, 257, 258


@dataclass
class Artifact:
    """A finished artifact on local disk."""

    step: str
    kind: str
    folder: Folder
    manifest: Mapping[str, Any]
    fingerprint: str = "0123456789abcdef" * 4

    def shards(self) -> list[str]:
        return [name for name in self.folder.list("shards") if name.endswith(".arrow")]


@dataclass
class Report:
    """Keeps what a stage reports."""

    figures: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, Any] = field(default_factory=dict)
    samples: dict[str, Any] = field(default_factory=dict)

    def figure(self, name: str, value: float | str) -> None:
        self.figures[name] = value

    def series(self, name: str, x_label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None:
        assert all(len(line) == len(x) for line in lines.values())
        self.lines[name] = {"x_label": x_label, "x": list(x), "lines": dict(lines)}

    def sample(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.samples[name] = list(rows)


@dataclass
class Context:
    """What the stage uses of a WideContext."""

    step: str
    inputs: Mapping[str, Artifact]
    output: Folder
    work: Folder
    report: Report

    def add_use(self, cpu_s: float, peak_memory_bytes: int) -> None:
        """A rank used at least some of both."""
        assert cpu_s > 0
        assert peak_memory_bytes > 0


def byte_tokenizer() -> bytes:
    """tokenizer.json of a byte-level vocabulary without merges: ids 0 to 255 are bytes, then two special tokens."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True), AddedToken("<|pad|>", special=True)])
    return tokenizer.to_str().encode()


def encode(text: str) -> list[int]:
    return [*Tokenizer.from_buffer(byte_tokenizer()).encode(text).ids, EOT_ID]


def pack(documents: Sequence[Sequence[int]], length: int, overlap: int) -> list[dict[str, Any]]:
    """Rows in the tokens schema: documents cut with a stride of length - overlap, segments placed first-fit."""
    rows: list[dict[str, Any]] = []
    for number, ids in enumerate(documents):
        for offset in range(0, max(1, len(ids) - overlap), length - overlap):
            piece = ids[offset : offset + length]
            row = next((r for r in rows if len(r["input_ids"]) + len(piece) <= length), None)
            if row is None:
                row = {name: [] for name in tokens_schema(length, VOCAB_SIZE).names}
                rows.append(row)
            start = len(row["input_ids"])
            row["input_ids"].extend(piece)
            row["segment_starts"].append(start)
            row["segment_docs"].append(number.to_bytes(16, "big"))
            row["segment_offsets"].append(offset)
            row["loss_starts"].append(start + (overlap if offset else 0))
    for row in rows:
        row["num_real"] = len(row["input_ids"])
        row["input_ids"] = row["input_ids"] + [PAD_ID] * (length - row["num_real"])
    return rows


def contract(length: int) -> dict[str, Any]:
    return {
        "tokenizer_sha256": hashlib.sha256(byte_tokenizer()).hexdigest(), "vocab_size": VOCAB_SIZE, "dtype": "uint16",
        "length": length, "overlap": length // 4, "eot_id": EOT_ID, "bos_id": EOT_ID, "pad_id": PAD_ID,
    }  # fmt: skip


def write_shard(
    path: Path, rows: Sequence[Mapping[str, Any]], length: int, batch_rows: int = 3,
    metadata: Mapping[bytes, bytes] | None = None,
) -> str:  # fmt: skip
    """The shard's path. Its schema's metadata is that of `contract`, unless it is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {b"crawlmill": json.dumps(contract(length)).encode()} if metadata is None else dict(metadata)
    schema = tokens_schema(length, VOCAB_SIZE, said)
    with pa.ipc.new_stream(str(path), schema) as writer:
        writer.write_table(pa.Table.from_pylist(list(rows), schema=schema), max_chunksize=batch_rows)
    return str(path)


def random_documents(num: int, longest: int, seed: int) -> list[list[int]]:
    """Documents of random bytes, low ones more often, each with its end-of-text token."""
    random = np.random.default_rng(seed)
    return [[*(256 * random.random(random.integers(1, longest)) ** 4).astype(int).tolist(), EOT_ID] for _ in range(num)]


def context(folder: Path, documents: Sequence[Sequence[int]], length: int, name: str = "run") -> Context:
    """Tokens and vocabulary artifacts of these documents (every fifth for validation), and empty folders to work in."""
    promised = contract(length)
    held_out = documents[::5]
    trained = [d for i, d in enumerate(documents) if i % 5]
    for split, part in (("train", trained), ("validation", held_out)):
        rows = pack(part, length, length // 4)
        write_shard(folder / "chunks" / "shards" / f"{split}-00000.arrow", rows, length)
    vocabulary = Folder(str(folder / "vocabulary"))
    vocabulary.write_bytes("tokenizer.json", byte_tokenizer())
    inputs = {
        "chunks": Artifact("chunks", "tokens", Folder(str(folder / "chunks")), {"contract": promised}),
        "vocabulary": Artifact("vocabulary", "vocabulary", vocabulary, {"contract": promised}),
    }
    output, work = Folder(str(folder / name / "output")), Folder(str(folder / name / "work"))
    return Context(step="model", inputs=inputs, output=output, work=work, report=Report())


def output_bytes(ctx: Context) -> dict[str, bytes]:
    return {name: ctx.output.read_bytes(name) for name in ctx.output.list()}
