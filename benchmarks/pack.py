"""How fast documents are packed in each mode, how full the rows are, and whether each token is a target once.

Reads:  ../shared/data/text (real pages and prose) where it is, else the docstrings of installed modules
Writes: nothing that stays
Peers:  none packs with overlap. `best_fit_vs_python`: the same choice of rows in plain Python.
        `concatenate_vs_datasets`: the usual way with `datasets` (`map`, as in transformers' run_clm.py)

Run as `python -m benchmarks.pack [--json] [--tokens 50000000]`. Timed: cutting, packing and writing rows, from ids in
memory to a shard on disk, one thread, medians of 5, modes in turn; not timed: encoding, and compiling the kernels. The
figures without a mode's name are those of the default, overlap. Memory is the peak of a process that runs the step in
the default mode, encoding included, over one shard (whose tokens fill a window), and over one of 8 times as much text.
"""

from __future__ import annotations

import argparse
import bisect
import io
import itertools
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import pack_memory
from pipeline.schemas import ID, tokens_schema
from pipeline.store import Folder
from stages.kernels import packing
from stages.pack import Config, Packing, mode_of
from stages.packing.token_shard import TokenShard
from tokenizer.encode import Encoder
from tokenizer.train import Options, train_on

LENGTH, OVERLAP, VOCAB_SIZE = 512, 64, 8192
SPECIAL = ("<|end_of_text|>", "<|pad|>")
EOT, PAD = VOCAB_SIZE - 2, VOCAB_SIZE - 1
MODES: tuple[Packing, ...] = get_args(Packing)
BATCH_DOCUMENTS = 1024
PEER_DOCUMENTS = 4096
MEMORY_TEXT_BYTES = 80_000_000  # 20 million tokens: more than a window
TRAINING_TEXTS = 8000
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def real_texts() -> list[str]:
    """Pages' main text and prose; docstrings where the shared data is missing."""
    files = [*sorted(SHARED.glob("text/lm-*.zst")), *sorted(SHARED.glob("text/quality-*.zst"))]
    gold = sorted(SHARED.glob("gold-*.zst"))
    texts = [str(row["text"]) for file in files for row in _rows(file)]
    texts += [row["gold"] for file in gold for row in _rows(file) if isinstance(row["gold"], str)]
    if not texts:
        modules = [m for m in list(sys.modules.values()) if m is not None]
        texts = [str(v.__doc__) for m in modules for v in list(vars(m).values()) if getattr(v, "__doc__", None)]
    return [text for text in texts if text]


def _rows(file: Path) -> Iterator[dict]:
    import zstandard

    with open(file, "rb") as stream:
        reader = zstandard.ZstdDecompressor().stream_reader(stream)
        yield from map(json.loads, io.TextIOWrapper(reader, encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Encoded documents: document d has ids_T[offset_D[d]:offset_D[d + 1]]."""

    ids_T: np.ndarray
    offset_D: np.ndarray
    id_D16: np.ndarray
    tokenizer_json: bytes

    @classmethod
    def of(cls, texts: list[str], num_tokens: int) -> Corpus:
        """Of the texts, repeated under new ids until there are `num_tokens`."""
        options = Options(
            vocab_size=VOCAB_SIZE, min_frequency=2, max_token_length=64, pattern="llama3", normalization="none",
            special_tokens=SPECIAL,
        )  # fmt: skip
        tokenizer_json = train_on(texts[:: max(1, len(texts) // TRAINING_TEXTS)], options)
        encoder = Encoder(tokenizer_json)
        assert encoder.vocab_size == VOCAB_SIZE, "the corpus is too small to learn from"
        ids_T, offset_D = encoder.encode(pa.array(texts, pa.large_string()))
        copies = max(1, -(-num_tokens // len(ids_T)))
        num_tokens_D = np.tile(np.diff(offset_D), copies)
        return cls(
            ids_T=np.tile(ids_T, copies), offset_D=np.concatenate([[0], np.cumsum(num_tokens_D)]),
            id_D16=np.random.default_rng(1).integers(0, 256, (len(num_tokens_D), 16), np.uint8),
            tokenizer_json=tokenizer_json,
        )  # fmt: skip

    @property
    def num_tokens_D(self) -> np.ndarray:
        return np.diff(self.offset_D)

    def first(self, num_documents: int) -> Corpus:
        offset_D = self.offset_D[: num_documents + 1]
        return replace(self, ids_T=self.ids_T[: offset_D[-1]], offset_D=offset_D, id_D16=self.id_D16[:num_documents])

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(ids, offsets, document ids) of BATCH_DOCUMENTS documents at a time, as an encoder would give them."""
        for first in range(0, len(self.id_D16), BATCH_DOCUMENTS):
            offset_D = self.offset_D[first : first + BATCH_DOCUMENTS + 1]
            ids_T = self.ids_T[offset_D[0] : offset_D[-1]]
            yield ids_T, offset_D - offset_D[0], self.id_D16[first : first + BATCH_DOCUMENTS]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A shard written in one mode: seconds of each run, its counts, and what reading it back found."""

    seconds: list[float]
    counts: dict[str, int]
    arrow_bytes_on_open: int
    each_token_once: bool

    def figures(self, corpus: Corpus) -> dict[str, float]:
        num_documents = len(corpus.num_tokens_D)
        return {
            "mtokens_per_s": round(len(corpus.ids_T) / statistics.median(self.seconds) / 1e6, 1),
            "fill": round(self.counts["real_tokens"] / (self.counts["rows"] * LENGTH), 6),
            "duplication_factor": round(self.counts["real_tokens"] / (len(corpus.ids_T) + 2 * num_documents), 4),
            "documents_cut": round(self.counts["documents_cut"] / num_documents, 4),
            "mean_context_tokens": round(self.counts["context_sum"] / self.counts["targets"], 1),
            "each_token_once": float(self.each_token_once),
            "arrow_bytes_on_open": self.arrow_bytes_on_open,
        }


def pack(corpus: Corpus, mode: Packing, folder: Folder) -> tuple[float, dict[str, int]]:
    """(seconds, counts of the shard `{mode}.arrow` written)."""
    way = mode_of(Config(packing=mode, length=LENGTH))
    start = time.perf_counter()
    with TokenShard(folder, f"{mode}.arrow", tokens_schema(LENGTH, VOCAB_SIZE), PAD, way) as shard:
        for ids_T, offset_D, id_D16 in corpus.batches():
            shard.add(np.flatnonzero(np.diff(offset_D)), ids_T, offset_D, id_D16, EOT)
    return time.perf_counter() - start, shard.counts


def outcomes(corpus: Corpus) -> dict[Packing, Outcome]:
    """Of every mode, packed in turn."""
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(name)
        warm = corpus.first(BATCH_DOCUMENTS)
        for mode in MODES:
            pack(warm, mode, folder)  # compiles
        runs = [{mode: pack(corpus, mode, folder) for mode in MODES} for _ in range(5)]
        found = {}
        for mode in MODES:
            before = pa.total_allocated_bytes()
            table = pa.ipc.open_stream(pa.memory_map(folder.join(f"{mode}.arrow"))).read_all()
            on_open = pa.total_allocated_bytes() - before
            found[mode] = Outcome(
                seconds=[run[mode][0] for run in runs], counts=runs[0][mode][1], arrow_bytes_on_open=on_open,
                each_token_once=each_token_once(corpus, table),
            )  # fmt: skip
    return found


def each_token_once(corpus: Corpus, table: pa.Table) -> bool:
    """Whether the rows' targets, put where their segments say, are every document's tokens and eot, each set once."""
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    rows = np.repeat(np.arange(table.num_rows), np.diff(columns["segment_starts"].offsets.to_numpy()))
    start_S, loss_S, offset_S = (
        columns[n].values.to_numpy().astype(np.int64) for n in ("segment_starts", "loss_starts", "segment_offsets")
    )
    last_S = np.append(rows[1:] != rows[:-1], True)
    end_S = np.where(last_S, columns["num_real"].to_numpy()[rows], np.append(start_S[1:], 0))
    document_S = _documents(corpus, columns["segment_docs"].values)
    ids_RL = columns["input_ids"].values.to_numpy().reshape(-1, LENGTH)
    stream_begin_D = corpus.offset_D[:-1] + 2 * np.arange(len(corpus.num_tokens_D))
    seen = np.full(len(corpus.ids_T) + 2 * len(corpus.num_tokens_D), -1, np.int32)
    for s, row in enumerate(rows):
        at = stream_begin_D[document_S[s]] + offset_S[s] - start_S[s]
        target = slice(at + loss_S[s], at + end_S[s])
        if (seen[target] >= 0).any():
            return False
        seen[target] = ids_RL[row, loss_S[s] : end_S[s]]
    expected = np.full(len(seen), EOT, np.int32)
    document_T = np.repeat(np.arange(len(corpus.num_tokens_D)), corpus.num_tokens_D)
    token_places = np.arange(len(corpus.ids_T)) + 2 * document_T
    expected[token_places + 1] = corpus.ids_T
    expected[stream_begin_D] = -1  # a document's first eot is no target
    empty = np.flatnonzero(corpus.num_tokens_D == 0)
    expected[stream_begin_D[empty] + 1] = -1
    return bool((seen == expected).all())


def _documents(corpus: Corpus, ids: pa.Array) -> np.ndarray:
    """Index of each segment's document."""
    id_S = np.frombuffer(ids.buffers()[1], "V16")[ids.offset : ids.offset + len(ids)]
    known = {bytes(id_): d for d, id_ in enumerate(corpus.id_D16)}
    return np.array([known[id_.tobytes()] for id_ in id_S])


def python_best_fit(lengths: list[int]) -> float:
    """Seconds that best-fit decreasing takes in plain Python, with a sorted list of rooms."""
    start = time.perf_counter()
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        place = bisect.bisect_left(rooms, length)
        room = rooms.pop(place) if place < len(rooms) else LENGTH
        if room > length:
            bisect.insort(rooms, room - length)
    return time.perf_counter() - start


def best_fit_ratio(corpus: Corpus) -> float:
    """Python's time over ours for choosing rows, on the same segments; medians of 5, alternating."""
    documents = np.flatnonzero(corpus.num_tokens_D[:100_000])
    length_S = packing.cut(documents, corpus.num_tokens_D, LENGTH, OVERLAP).length_S
    python, ours = [], []
    for _ in range(5):
        python.append(python_best_fit(length_S.tolist()))
        start = time.perf_counter()
        packing.best_fit(length_S, LENGTH)
        ours.append(time.perf_counter() - start)
    return statistics.median(python) / statistics.median(ours)


def group_texts(examples: dict[str, list[list[int]]]) -> dict[str, list[list[int]]]:
    """As in transformers' examples/pytorch/language-modeling/run_clm.py: a batch's rest is thrown away."""
    ids = list(itertools.chain(*examples["input_ids"]))
    total = len(ids) // LENGTH * LENGTH
    return {"input_ids": [ids[i : i + LENGTH] for i in range(0, total, LENGTH)]}


def concatenate_ratio(corpus: Corpus) -> float:
    """`datasets`' time over ours for the same documents, from ids in memory to a file; medians of 3, alternating."""
    try:
        import datasets
    except ImportError:
        return math.nan
    datasets.disable_progress_bars()
    part = corpus.first(PEER_DOCUMENTS)
    ids = [ids_T.tolist() for ids_T in np.split(part.ids_T, part.offset_D[1:-1])]
    documents = datasets.Dataset.from_dict({"input_ids": [[EOT, *tokens, EOT] for tokens in ids if tokens]})
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as name:
        for run in range(3):
            start = time.perf_counter()
            documents.map(group_texts, batched=True, cache_file_name=f"{name}/{run}.arrow")
            theirs.append(time.perf_counter() - start)
            ours.append(pack(part, "concatenate", Folder(name))[0])
    return statistics.median(theirs) / statistics.median(ours)


def memory_ratio(texts: list[str], tokenizer_json: bytes) -> tuple[float, float]:
    """(peak for 8 times the text over that for 1, megabytes for 1)."""
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    copies = -(-MEMORY_TEXT_BYTES // sum(map(len, texts)))
    peaks = []
    with tempfile.TemporaryDirectory() as name:
        Path(name, "tokenizer.json").write_bytes(tokenizer_json)
        Path(name, "shards").mkdir()
        for size in (copies, 8 * copies):
            shard = Path(name, "shards", "00000.parquet")
            _write_documents(shard, table, size)
            peaks.append(pack_memory.peak_bytes(shard, Path(name, "tokenizer.json")))
    return peaks[1] / peaks[0], peaks[0] / 1e6


def _write_documents(path: Path, table: pa.Table, copies: int) -> None:
    schema = pa.schema([pa.field("id", ID), table.schema.field("text")])
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=False) as writer:
        for seed in range(copies):
            drawn = np.random.default_rng(seed).bytes(16 * table.num_rows)
            ids = pa.Array.from_buffers(ID, table.num_rows, [None, pa.py_buffer(drawn)])
            writer.write_table(table.add_column(0, "id", ids), row_group_size=8192)


def figures(num_tokens: int) -> dict[str, float]:
    texts = real_texts()
    corpus = Corpus.of(texts, num_tokens)
    found: dict[str, float] = {}
    for mode, outcome in outcomes(corpus).items():
        prefix = "" if mode == "overlap" else f"{mode}_"
        found |= {f"{prefix}{name}": value for name, value in outcome.figures(corpus).items()}
    memory, megabytes = memory_ratio(texts, corpus.tokenizer_json)
    return found | {
        "best_fit_vs_python": round(best_fit_ratio(corpus), 1),
        "concatenate_vs_datasets": round(concatenate_ratio(corpus), 1),
        "peak_memory_8x_over_1x": round(memory, 3),
        "peak_memory_mb": round(megabytes),
        "tokens": len(corpus.ids_T),
        "documents": len(corpus.num_tokens_D),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print one machine-readable object as the last line")
    parser.add_argument(
        "--tokens", type=int, default=50_000_000, help="tokens to pack; the corpus is repeated up to it"
    )
    arguments = parser.parse_args()
    found = figures(arguments.tokens)
    for name, value in found.items():
        print(f"{name:32} {value:,}")
    if arguments.json:
        print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
