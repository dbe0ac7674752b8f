"""Learn a byte-level BPE vocabulary from Parquet shards with one library, in a process of its own.

usage: python bpe_learn.py LEARNER FEW FOLDER VOCAB_SIZE NUM_SHARDS [OUTPUT]

Reads:  column `text` of FEW, and of the first NUM_SHARDS shards of a folder (all: 0)
Writes: OUTPUT, the tokenizer.json (not rustbpe's); a JSON line with seconds, CPU seconds and peak memory in bytes

LEARNER is `crawlmill` (tokenizer/train_files.py on two threads), `tokenizers` (its BpeTrainer, fed with lists of texts)
or `rustbpe` (fed text by text; run by the interpreter of `make peers`). All read the files within the time, use the
pattern of Llama 3 and both cores. Imports, and loading or compiling of kernels, are left out: a few texts (FEW, a file)
come first.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NUM_THREADS = 2
MIN_FREQUENCY, MAX_TOKEN_BYTES = 2, 64
SPECIAL_TOKENS = ("<|end_of_text|>", "<|pad|>")
BATCH_ROWS = 256
PATTERN = (  # of Llama 3; rustbpe's interpreter has none of ours
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
Learner = Callable[[list[Path], int], bytes]


def crawlmill(paths: list[Path], vocab_size: int) -> bytes:
    from tokenizer.train_files import train_files

    return train_files(paths, _options(vocab_size), num_threads=NUM_THREADS)


def tokenizers(paths: list[Path], vocab_size: int) -> bytes:
    from tokenizers import AddedToken, pre_tokenizers, trainers

    from tokenizer.train import untrained

    tokenizer = untrained(_options(vocab_size))
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS), min_frequency=MIN_FREQUENCY,
        max_token_length=MAX_TOKEN_BYTES + 1,  # it makes tokens shorter than this
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(_batches(paths), trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL_TOKENS])
    return bytes(tokenizer.to_str(), "utf-8")


def rustbpe(paths: list[Path], vocab_size: int) -> bytes:
    from rustbpe import Tokenizer  # type: ignore[import-not-found, unused-ignore]

    tokenizer = Tokenizer()
    texts = (text for batch in _batches(paths) for text in batch)
    tokenizer.train_from_iterator(texts, vocab_size - len(SPECIAL_TOKENS), pattern=PATTERN)
    assert len(tokenizer.get_mergeable_ranks()) == vocab_size - len(SPECIAL_TOKENS)
    return b""


def _options(vocab_size: int):  # type: ignore[no-untyped-def]
    from tokenizer.train import Options

    return Options(
        vocab_size=vocab_size, min_frequency=MIN_FREQUENCY, max_token_length=MAX_TOKEN_BYTES, pattern="llama3",
        normalization="none", special_tokens=SPECIAL_TOKENS,
    )  # fmt: skip


def _batches(paths: list[Path]) -> Iterator[list[str]]:
    import pyarrow.parquet as pq

    for path in paths:
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=["text"]):
            yield batch["text"].to_pylist()


def main() -> None:
    name, few, folder, vocab_size, num_shards, *output = sys.argv[1:]
    paths = sorted(Path(folder).glob("*.parquet"))[: int(num_shards) or None]
    learner: Learner = {"crawlmill": crawlmill, "tokenizers": tokenizers, "rustbpe": rustbpe}[name]
    learner([Path(few)], 300)
    start, start_cpu = time.perf_counter(), time.process_time()
    tokenizer_json = learner(paths, int(vocab_size))
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - start_cpu
    if output and tokenizer_json:
        Path(output[0]).write_bytes(tokenizer_json)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu_s": cpu_s, "peak_memory_bytes": peak}))


if __name__ == "__main__":
    main()
