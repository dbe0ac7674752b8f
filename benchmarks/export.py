"""How fast `crawlmill export` writes each format, and how much memory it takes.

Reads:  ../shared/data/text (real pages and prose) where it is, else the docstrings of installed modules
Writes: nothing that stays
Peer:   a plain copy of the shards, `copy`

Run as `python -m benchmarks.export [--json] [--tokens N]`. Tokens are packed here, in rows of 512 that overlap by
64. Rates: median of three, one process, the shards in the page cache. Memory: a process each, at a quarter and whole.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.pack import real_texts
from pipeline import artifact
from pipeline.artifact import Artifact, artifact_folder
from pipeline.export.exporting import export
from pipeline.export.formats import FORMATS
from pipeline.export.source import open_source
from pipeline.schemas import ID, tokens_schema
from pipeline.store import Folder

LENGTH, OVERLAP, VOCAB_SIZE = 512, 64, 32_768
EOT, PAD = VOCAB_SIZE - 2, VOCAB_SIZE - 1
SHARD_TOKENS = 10_000_000
MEAN_TOKENS = 700  # of a document
BATCH_ROWS = 4096


def tokens_shard(random: np.random.Generator, schema: pa.Schema) -> tuple[bytes, int]:
    """Documents of random ids, cut with overlap, their segments strewn over rows; and how many tokens they have."""
    num_D = np.minimum(random.geometric(1 / MEAN_TOKENS, SHARD_TOKENS // MEAN_TOKENS), 40 * MEAN_TOKENS) + 1
    ids_D = [random.bytes(16) for _ in num_D]
    streams = [random.integers(0, VOCAB_SIZE - 2, n + 2).astype(np.uint16) for n in num_D.tolist()]
    for stream in streams:
        stream[[0, -1]] = EOT
    segments = [
        (document, offset, min(LENGTH, len(stream) - offset))
        for document, stream in enumerate(streams)
        for offset in range(0, max(1, len(stream) - OVERLAP), LENGTH - OVERLAP)
    ]
    rows: list[dict[str, list]] = []
    at = LENGTH
    for place in random.permutation(len(segments)):
        document, offset, length = segments[place]
        if at + length > LENGTH:
            rows.append({name: [] for name in schema.names})
            at = 0
        row = rows[-1]
        row["input_ids"].append(streams[document][offset : offset + length])
        row["segment_starts"].append(at)
        row["segment_docs"].append(ids_D[document])
        row["segment_offsets"].append(offset)
        row["loss_starts"].append(at + (OVERLAP if offset else 1))
        at += length
        row["num_real"] = [at]
    return _stream(rows, schema), int(num_D.sum()) + len(num_D)


def _stream(rows: list[dict[str, list]], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for first in range(0, len(rows), BATCH_ROWS):
            part = rows[first : first + BATCH_ROWS]
            ids_RL = np.full((len(part), LENGTH), PAD, np.uint16)
            for ids_L, row in zip(ids_RL, part, strict=True):
                ids_L[: row["num_real"][0]] = np.concatenate(row["input_ids"])
            columns = [pa.FixedSizeListArray.from_arrays(pa.array(ids_RL.reshape(-1)), LENGTH)]
            columns += [pa.array([row[name] for row in part], schema.field(name).type) for name in schema.names[1:-1]]
            columns.append(pa.array([row["num_real"][0] for row in part], pa.uint16()))
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return bytes(sink.getvalue())


def tokens_artifact(folder: Path, num_tokens: int) -> tuple[Artifact, int]:
    """As many shards as hold `num_tokens`, all alike; and how many tokens they hold without what is repeated."""
    output = Folder(str(folder))
    tokenizer = b"{}"
    contract = {
        "tokenizer_sha256": hashlib.sha256(tokenizer).hexdigest(), "vocab_size": VOCAB_SIZE, "dtype": "uint16",
        "length": LENGTH, "overlap": OVERLAP, "eot_id": EOT, "bos_id": EOT, "pad_id": PAD,
    }  # fmt: skip
    schema = tokens_schema(LENGTH, VOCAB_SIZE, {b"crawlmill": json.dumps(contract).encode()})
    shard, per_shard = tokens_shard(np.random.default_rng(1), schema)
    copies = max(1, round(num_tokens / per_shard))
    _commit(output, "vocabulary", "vocabulary", {}, {"tokenizer.json": tokenizer}, contract)
    inputs = {"vocabulary": {"step": "vocabulary", "fingerprint": "0" * 64}}
    files = {f"shards/train-{i:05d}.arrow": shard for i in range(copies)}
    return _commit(output, "chunks", "tokens", inputs, files, contract), per_shard * copies


def documents_artifact(folder: Path, num_bytes: int) -> tuple[Artifact, int]:
    """Shards of real texts until there are `num_bytes` of them; and how many they are."""
    texts = real_texts()
    size = sum(len(text.encode()) for text in texts)
    random = np.random.default_rng(1)
    table = pa.table(
        {
            "id": pa.array([random.bytes(16) for _ in texts], ID), "text": pa.array(texts, pa.large_string()),
            "url": pa.array([f"https://example/{i}" for i in range(len(texts))]),
            "date": pa.array(range(len(texts)), pa.timestamp("s", tz="UTC")),
            "quality": pa.array(random.random(len(texts)), pa.float32()),
        }
    )  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", row_group_size=8192)
    copies = max(1, round(num_bytes / size))
    files = {f"shards/{i:05d}.parquet": bytes(sink.getvalue()) for i in range(copies)}
    return _commit(Folder(str(folder)), "clean", "documents", {}, files, {}), size * copies


def _commit(output: Folder, step: str, kind: str, inputs: dict, files: dict[str, bytes], contract: dict) -> Artifact:
    folder = artifact_folder(output, step, "0" * 64)
    for name, data in files.items():
        folder.write_bytes(name, data)
    entries = [artifact.file_entry(folder, name) for name in files]
    return artifact.commit(
        folder,
        {"format": 1, "step": step, "kind": kind, "fingerprint": "0" * 64, "inputs": inputs, "contract": contract,
         "files": entries},
    )  # fmt: skip


def seconds(function: Callable[[], object], into: Path) -> float:
    """Median of three, each into a folder that is not there."""
    found = []
    for _ in range(3):
        shutil.rmtree(into, ignore_errors=True)
        start = time.perf_counter()
        function()
        found.append(time.perf_counter() - start)
    shutil.rmtree(into)
    return statistics.median(found)


def measured(made: Artifact, amount: int, folder: Path) -> dict[str, float]:
    """Millions (of tokens, or of bytes of text) a second, of each format that takes the artifact, and of a copy."""
    into = folder / "out"
    names = {name: {"compress": "zstd"} if name == "jsonl" else {} for name in FORMATS if made.kind in FORMATS[name]}
    found = {"copy": amount / seconds(lambda: shutil.copytree(made.folder.local_path(), into), into) / 1e6}
    for name, options in names.items():

        def run(name: str = name, options: dict[str, str] = options) -> None:
            export(open_source(made), name, Folder(str(into)), options, lambda done, total: None)

        found[name] = amount / seconds(run, into) / 1e6
    return {name: round(rate, 1) for name, rate in found.items()}


_RUN_AND_TELL = """\
import re, sys
from pipeline.cli import main
assert main(sys.argv[1:]) == 0
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def peak_mb(made: Artifact, folder: Path) -> dict[str, float]:
    """The most memory that `crawlmill export` takes, mapped shards included, by format."""
    found = {}
    for name in (n for n in FORMATS if made.kind in FORMATS[n]):
        into = folder / "out"
        command = ["export", made.folder.location, "--to", name, "--into", str(into), "--json"]
        done = subprocess.run([sys.executable, "-c", _RUN_AND_TELL, *command], check=True, capture_output=True)
        found[name] = round(int(done.stdout.splitlines()[-1]) * 1024 / 1e6, 1)
        shutil.rmtree(into)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tokens", type=int, default=40_000_000)
    parser.add_argument("--text-bytes", type=int, default=160_000_000)
    args = parser.parse_args()
    rates: dict[str, dict[str, float]] = {}
    memory: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, part in (("quarter", 4), ("whole", 1)):
            tokens, num_tokens = tokens_artifact(folder / size, args.tokens // part)
            documents, num_bytes = documents_artifact(folder / size, args.text_bytes // part)
            memory[f"tokens_{size}"] = peak_mb(tokens, folder)
            memory[f"documents_{size}"] = peak_mb(documents, folder)
        rates["mtokens_per_s"] = measured(tokens, num_tokens, folder)
        rates["mb_of_text_per_s"] = measured(documents, num_bytes, folder)
    if args.json:
        print(json.dumps({"num_tokens": num_tokens, "num_bytes": num_bytes, **rates, "peak_mb": memory}))
        return
    for title, by_format in [*rates.items(), *((f"peak_mb {size}", peaks) for size, peaks in memory.items())]:
        for format_, figure in by_format.items():
            print(f"{title:24} {format_:12} {figure:10,.1f}")


if __name__ == "__main__":
    main()
