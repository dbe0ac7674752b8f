"""Learning a vocabulary and encoding with it, against `tokenizers` and rustbpe, on at least 200 MB of real text.

Reads:  the corpus of benchmarks/bpe_corpus.py, which is made in a folder where it is not there
Writes: nothing that stays, but for the corpus
Peers:  tokenizers (BpeTrainer; encode_batch_fast), rustbpe (in the environment of `make peers`)

Run as `python -m benchmarks.bpe --corpus FOLDER [--debian DIR] [--rounds 5] [--json]`.

- Learning: each library in a process of its own (benchmarks/bpe_learn.py), all on both cores, in turn, round by round;
  32,768 entries, pattern of Llama 3, from the same files. Ratios are of medians: of seconds, and of peak memory.
- Equality: the files that `tokenizers` and we write, byte by byte, at 8,192 and 32,768 entries.
- The same through the DAG: one run of `stages.vocabulary` on Ray with two workers, everything in it.
- Encoding: one thread, in turn, on every twelfth document; equality is of the ids of every document of the corpus.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bpe_corpus import corpus
from tokenizer.encode import Encoder

REPOSITORY = Path(__file__).resolve().parents[1]
PEERS_PYTHON = REPOSITORY / ".peers" / "bin" / "python"
VOCAB_SIZE, SMALL_VOCAB_SIZE = 32_768, 8_192
SHARES = (4, 2, 1)  # of the shards, for the memory's growth: a quarter, half, all
ENCODED_STRIDE = 12
ENCODED_ROWS = 512
DAG = """\
version: 1
output: {output}
steps:
  text: {{uses: stages.documents, with: {{source: {source}}}, keep: true}}
  vocabulary: {{uses: stages.vocabulary, inputs: text, with: {{vocab_size: {vocab_size}, held_out: 0.001}}}}
"""


class Learners:
    """Runs benchmarks/bpe_learn.py."""

    def __init__(self, shards: list[Path], folder: Path) -> None:
        self._shards, self._folder = shards, folder
        self._few = folder / "few.parquet"
        few = next(pq.ParquetFile(shards[0]).iter_batches(8, columns=["text"]))
        pq.write_table(pa.Table.from_batches([few]), self._few)

    def learn(self, name: str, vocab_size: int, share: int = 1) -> dict[str, float]:
        """Seconds, CPU seconds and peak memory of one learner on the first of so many parts of the shards."""
        python = str(PEERS_PYTHON) if name == "rustbpe" else sys.executable
        arguments = [name, self._few, self._shards[0].parent, vocab_size, max(1, len(self._shards) // share)]
        script = REPOSITORY / "benchmarks" / "bpe_learn.py"
        done = subprocess.run(
            [python, str(script), *map(str, arguments), str(self.path(name, vocab_size))],
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin", "TOKENIZERS_PARALLELISM": "true"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr}")
        measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return measured

    def path(self, name: str, vocab_size: int) -> Path:
        return self._folder / f"{name}-{vocab_size}.json"

    def equal(self, vocab_size: int) -> bool:
        """Whether the last files of both at this size are the same."""
        return self.path("crawlmill", vocab_size).read_bytes() == self.path("tokenizers", vocab_size).read_bytes()


def learning(learners: Learners, num_rounds: int) -> dict[str, float]:
    """Medians over rounds in which all learners take turns."""
    names = ["crawlmill", "tokenizers", *(["rustbpe"] if PEERS_PYTHON.exists() else [])]
    rounds = [{name: learners.learn(name, VOCAB_SIZE) for name in names} for _ in range(num_rounds)]

    def median(name: str, measure: str) -> float:
        return statistics.median(one[name][measure] for one in rounds)

    found = {}
    for name in names[1:]:
        found[f"train_vs_{name}"] = round(median(name, "seconds") / median("crawlmill", "seconds"), 2)
        found[f"train_cpu_vs_{name}"] = round(median(name, "cpu_s") / median("crawlmill", "cpu_s"), 2)
        memory = median("crawlmill", "peak_memory_bytes") / median(name, "peak_memory_bytes")
        found[f"train_memory_vs_{name}"] = round(memory, 3)
    return found


def growth(learners: Learners) -> dict[str, float]:
    """Our share of the peak memory of `tokenizers` on parts of the corpus."""
    found = {}
    for share in SHARES[:-1]:
        ours, theirs = (learners.learn(name, VOCAB_SIZE, share) for name in ("crawlmill", "tokenizers"))
        ratio = ours["peak_memory_bytes"] / theirs["peak_memory_bytes"]
        found[f"train_memory_vs_tokenizers_at_1_of_{share}"] = round(ratio, 3)
    return found


def through_the_dag(shards: list[Path], folder: Path) -> float:
    """Seconds that a run of the DAG took, from the start of its process to its end."""
    source = folder / "source"
    source.mkdir()
    for shard in shards:
        (source / shard.name).symlink_to(shard.resolve())
    dag = folder / "dag.yaml"
    dag.write_text(DAG.format(output=folder / "run", source=source, vocab_size=VOCAB_SIZE))
    start = time.perf_counter()
    command = [sys.executable, "-m", "pipeline", "run", str(dag), "--workers", "2", "--plain"]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def encoding(shards: list[Path], tokenizer_json: bytes, num_rounds: int) -> dict[str, float]:
    """Speed on a part of the documents, and equality on all of them."""
    ours, theirs = Encoder(tokenizer_json), Encoder(tokenizer_json, use_gigatoken=False)
    batches = [
        batch["text"].cast(pa.large_string())
        for shard in shards
        for batch in pq.ParquetFile(shard).iter_batches(ENCODED_ROWS, columns=["text"])
    ]
    some = batches[::ENCODED_STRIDE]
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(num_rounds):
        for name, encoder in (("ours", ours), ("theirs", theirs)):
            start = time.perf_counter()
            for batch in some:
                encoder.encode(batch)
            times[name].append(time.perf_counter() - start)
    equal = all(
        np.array_equal(a, b) for batch in batches for a, b in zip(ours.encode(batch), theirs.encode(batch), strict=True)
    )
    return {
        "encode_vs_tokenizers": round(statistics.median(times["theirs"]) / statistics.median(times["ours"]), 1),
        "encode_equal": float(equal),
        "encode_mb_per_s": round(sum(b.nbytes for b in some) / statistics.median(times["ours"]) / 1e6, 1),
        "encoded_with_gigatoken": float(ours.name.startswith("gigatoken ")),
    }


def figures(arguments: argparse.Namespace) -> dict[str, float]:
    shards = corpus(Path(arguments.corpus), arguments.bytes, Path(arguments.debian) if arguments.debian else None)
    texts = [pq.read_table(shard, columns=["text"])["text"] for shard in shards]
    found: dict[str, float] = {"corpus_mb": round(sum(t.nbytes for t in texts) / 1e6, 1)}
    del texts
    with tempfile.TemporaryDirectory() as name:
        learners = Learners(shards, Path(name))
        found |= learning(learners, arguments.rounds)
        found["equal_32768"] = float(learners.equal(VOCAB_SIZE))
        for learner in ("crawlmill", "tokenizers"):
            learners.learn(learner, SMALL_VOCAB_SIZE)
        found["equal_8192"] = float(learners.equal(SMALL_VOCAB_SIZE))
        seconds = through_the_dag(shards, Path(name))
        found["dag_run_vs_tokenizers"] = round(learners.learn("tokenizers", VOCAB_SIZE)["seconds"] / seconds, 2)
        found |= encoding(shards, learners.path("crawlmill", VOCAB_SIZE).read_bytes(), arguments.rounds)
        found |= growth(learners)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", required=True, help="a folder for the corpus; one that has it is used as it is")
    parser.add_argument("--debian", help="a folder that has each Debian package unpacked in a folder of its name")
    parser.add_argument("--bytes", type=int, default=205_000_000, help="of text, where the corpus is made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one machine-readable object as the last line")
    arguments = parser.parse_args()
    found = figures(arguments)
    for name, value in found.items():
        print(f"{name:40} {value:,}")
    if arguments.json:
        print(json.dumps({"figures": found}))


if __name__ == "__main__":
    main()
