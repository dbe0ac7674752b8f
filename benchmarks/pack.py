"""How fast documents are packed, how full the rows are, and whether each token is a target once.

Reads:  ../shared/data/text (real pages and prose) where it is, else the docstrings of installed modules
Writes: nothing that stays
Peer:   none packs with overlap; `best_fit_vs_python` is the same choice of rows in plain Python, in the same session

Run as `python -m benchmarks.pack [--json] [--tokens 50000000]`. Timed: cutting, packing and writing rows, from ids in
memory to a shard on disk, one thread, median of 5; not timed: encoding, and compiling the kernels.
"""

from __future__ import annotations

import argparse
import bisect
import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.schemas import tokens_schema
from pipeline.store import Folder
from stages.kernels import packing
from stages.packing.token_shard import TokenShard
from tokenizer.encode import Encoder
from tokenizer.train import Options, train_on

LENGTH, OVERLAP, VOCAB_SIZE = 512, 64, 8192
SPECIAL = ("<|end_of_text|>", "<|pad|>")
EOT, PAD = VOCAB_SIZE - 2, VOCAB_SIZE - 1
BATCH_DOCUMENTS = 1024
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


class Corpus:
    """Encoded documents, repeated under new ids until there are `num_tokens`."""

    def __init__(self, texts: list[str], num_tokens: int) -> None:
        options = Options(
            vocab_size=VOCAB_SIZE, min_frequency=2, max_token_length=64, pattern="llama3", normalization="none",
            special_tokens=SPECIAL,
        )  # fmt: skip
        encoder = Encoder(train_on(texts[:: max(1, len(texts) // TRAINING_TEXTS)], options))
        assert encoder.vocab_size == VOCAB_SIZE, "the corpus is too small to learn from"
        ids_T, offset_D = encoder.encode(pa.array(texts, pa.large_string()))
        copies = max(1, -(-num_tokens // len(ids_T)))
        self.ids_T = np.tile(ids_T, copies)
        self.num_tokens_D = np.tile(np.diff(offset_D), copies)
        self.offset_D = np.concatenate([[0], np.cumsum(self.num_tokens_D)])
        self.id_D16 = np.random.default_rng(1).integers(0, 256, (len(self.num_tokens_D), 16), np.uint8)

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(ids, offsets, document ids) of BATCH_DOCUMENTS documents at a time, as an encoder would give them."""
        for first in range(0, len(self.num_tokens_D), BATCH_DOCUMENTS):
            offset_D = self.offset_D[first : first + BATCH_DOCUMENTS + 1]
            ids_T = self.ids_T[offset_D[0] : offset_D[-1]]
            yield ids_T, offset_D - offset_D[0], self.id_D16[first : first + BATCH_DOCUMENTS]


def pack(corpus: Corpus, folder: Folder) -> tuple[float, dict[str, int]]:
    """(seconds, counts of the shard written)."""
    start = time.perf_counter()
    with TokenShard(folder, "tokens.arrow", tokens_schema(LENGTH, VOCAB_SIZE), PAD) as shard:
        for ids_T, offset_D, id_D16 in corpus.batches():
            num_tokens_D = np.diff(offset_D)
            segments = packing.cut(np.flatnonzero(num_tokens_D), num_tokens_D, LENGTH, OVERLAP)
            shard.add(segments, ids_T, offset_D, id_D16, EOT)
    return time.perf_counter() - start, shard.counts


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


def figures(num_tokens: int) -> dict[str, float]:
    corpus = Corpus(real_texts(), num_tokens)
    with tempfile.TemporaryDirectory() as name:
        folder = Folder(name)
        pack(corpus, folder)  # compiles
        runs = [pack(corpus, folder) for _ in range(5)]
        seconds, counts = statistics.median(run[0] for run in runs), runs[0][1]
        before = pa.total_allocated_bytes()
        table = pa.ipc.open_stream(pa.memory_map(folder.join("tokens.arrow"))).read_all()
        on_open = pa.total_allocated_bytes() - before
        once = each_token_once(corpus, table)
    return {
        "mtokens_per_s": round(len(corpus.ids_T) / seconds / 1e6, 1),
        "fill": round(counts["real_tokens"] / (counts["rows"] * LENGTH), 6),
        "duplication_factor": round(counts["real_tokens"] / (len(corpus.ids_T) + 2 * len(corpus.num_tokens_D)), 4),
        "mean_context_tokens": round(counts["context_sum"] / counts["targets"], 1),
        "each_token_once": float(once),
        "arrow_bytes_on_open": on_open,
        "best_fit_vs_python": round(best_fit_ratio(corpus), 1),
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
        print(f"{name:24} {value:,}")
    if arguments.json:
        print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
