"""MinHash signatures with shingling: megabytes of text per second on one core, beside datasketch, rensa and datatrove.

usage: python -m benchmarks.minhash [--json] [--rounds N]

Every contender signs the same real pages (main content of ../shared/data/warc, every 8th page) with 112 permutations
over word 5-grams, in a process of its own, in turn; speeds are by CPU time, a figure is the ratio of the medians. Ours
includes datatrove's normalisation, word splitting, shingles, hashes and signatures. datasketch and rensa are given the
cheapest preparation that makes sense (`text.lower().split()`) and their bulk calls. datatrove runs its own get_shingles
and get_signature without any file. rensa and datatrove run in .peers (`make peers`), datasketch here.

`vs_datasketch`, the figure that is quoted, is against datasketch as it comes, hashing with SHA-1;
`vs_datasketch_xxh32`, beside it, against datasketch given xxh32, with which it is nearly twice as fast.

Last line with --json: {"figures": {"vs_datasketch", "vs_datasketch_xxh32", "vs_rensa", "vs_datatrove",
"equal_to_datasketch", "mb_per_s"}}.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUM_ROWS, SEED, NGRAM = 112, 1, 5
EVERY = 8  # pages of the sample
LEAST_S = 1.0  # a contender signs the sample again until this much time is over
REPOSITORY = Path(__file__).resolve().parents[1]
ONE_CORE = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


def pages() -> list[str]:
    """The main content of every 8th page."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    texts, number = [], 0
    for path in sorted((REPOSITORY.parent / "shared" / "data" / "warc").glob("*.warc.gz")):
        with open(path, "rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                number += 1
                if number % EVERY == 0:
                    body = record.reader.read()
                    html = bytes_to_str(body, detect_encoding(body) or "utf-8")
                    texts.append(extract_plain_text(html, main_content=True))
    return texts


def _shingles(text: str) -> list[str]:
    words = text.lower().split()
    return [" ".join(words[i : i + NGRAM]) for i in range(len(words) - NGRAM + 1)]


def ours(texts: list[str]) -> Callable[[], object]:
    import pyarrow as pa

    from pipeline.stage import NarrowContext
    from pipeline.stage_loader import load_stage

    stage = load_stage("stages.signatures", "benchmark")
    sign = stage.function(stage.config(ngram=NGRAM, seed=SEED), NarrowContext(step="signatures"))
    batches = pa.table({"text": pa.array(texts, pa.large_string())}).to_batches(1024)
    return lambda: [sign(batch) for batch in batches]


def datasketch(texts: list[str]) -> Callable[[], object]:
    from datasketch import MinHash

    return _signs_with(MinHash(NUM_ROWS, SEED, scheme="affine32"), texts)


def datasketch_xxh32(texts: list[str]) -> Callable[[], object]:
    import xxhash
    from datasketch import MinHash

    return _signs_with(MinHash(NUM_ROWS, SEED, scheme="affine32", hashfunc=xxhash.xxh32_intdigest), texts)


def _signs_with(empty: Any, texts: list[str]) -> Callable[[], object]:
    def sign() -> None:
        for text in texts:
            empty.copy().update_batch([shingle.encode() for shingle in _shingles(text)])

    return sign


def rensa(texts: list[str]) -> Callable[[], object]:
    from rensa import RMinHash  # type: ignore[import-not-found]

    return lambda: RMinHash.digest_matrix_from_token_sets([_shingles(text) for text in texts], NUM_ROWS, SEED)


def datatrove(texts: list[str]) -> Callable[[], object]:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature  # type: ignore[import-not-found]
    from datatrove.utils.hashing import HashConfig  # type: ignore[import-not-found]

    config = MinhashConfig(
        n_grams=NGRAM,
        num_buckets=14,
        hashes_per_bucket=8,
        seed=SEED,
        hash_config=HashConfig(precision=64, hash_fc="xxhash"),
    )
    step = MinhashDedupSignature(tempfile.mkdtemp(), config)

    def sign() -> None:
        for text in texts:
            shingles = step.get_shingles(text)
            if shingles.size:
                step.get_signature(shingles)

    return sign


CONTENDERS = {f.__name__: f for f in (ours, datasketch, datasketch_xxh32, rensa, datatrove)}


def child(name: str, texts_path: str) -> None:
    """Print the contender's megabytes per second, compiling and loading left out."""
    texts = json.loads(Path(texts_path).read_text(encoding="utf-8"))
    num_bytes = sum(len(text.encode()) for text in texts)
    CONTENDERS[name](texts[:20])()
    sign = CONTENDERS[name](texts)
    start, passes = time.process_time(), 0
    while not passes or time.process_time() - start < LEAST_S:
        sign()
        passes += 1
    print(num_bytes * passes / (time.process_time() - start) / 1e6)


def run_child(name: str, texts_path: str) -> float:
    peers = REPOSITORY / ".peers" / "bin" / "python"
    python = str(peers) if name in ("rensa", "datatrove") else sys.executable
    command = [python, "-P", str(Path(__file__).resolve()), "--child", name, "--texts", texts_path]
    environment = {**os.environ, **ONE_CORE, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tempfile.gettempdir(), check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed (is .peers there? `make peers`):\n{done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def equal_to_datasketch(texts: list[str]) -> bool:
    """Whether the signatures of every 10th page are datasketch's of the same shingle byte strings."""
    import pyarrow as pa
    from datasketch import MinHash

    from stages.kernels import fold, fold_table, hashing, minhash, shingles

    texts = texts[::10]
    folded = fold.fold(pa.array(texts, pa.large_string()), fold_table.load("datatrove"))
    signed = minhash.sign(shingles.shingles(folded, NGRAM), *minhash.permutations(NUM_ROWS, SEED))
    for i, signature in enumerate(signed):
        words = folded.data[folded.offsets[i] : folded.offsets[i + 1]].tobytes().split()
        theirs = MinHash(NUM_ROWS, SEED, scheme="affine32", hashfunc=hashing.shingle_hash)
        theirs.update_batch([b" ".join(words[k : k + NGRAM]) for k in range(len(words) - NGRAM + 1)])
        if (signature != theirs.hashvalues).any():
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender")
    parser.add_argument("--child", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--texts", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.texts)
        return
    texts = pages()
    speeds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        for _ in range(given.rounds):
            for name, found in speeds.items():
                found.append(run_child(name, str(path)))
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    for name, found in speeds.items():
        print(f"{name:17} {medians[name]:9.2f} MB/s   (rounds: {', '.join(f'{speed:.2f}' for speed in found)})")
    figures = {f"vs_{name}": medians["ours"] / medians[name] for name in CONTENDERS if name != "ours"}
    figures |= {"equal_to_datasketch": float(equal_to_datasketch(texts)), "mb_per_s": medians["ours"]}
    for name, value in figures.items():
        print(f"{name:20} {value:.2f}")
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
