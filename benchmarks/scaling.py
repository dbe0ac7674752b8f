"""Whether a document costs the same in a small run and in one a hundred times as large: CPU time and peak memory.

usage: python -m benchmarks.scaling [--json]

The engine's path from JSON lines over the four filters to signatures (one task at a time in one process, as
benchmarks/base.py runs it) over 1,000, 10,000 and 100,000 documents: the first 2,000 characters of the main content of
500 real pages (../shared/data/warc), repeated, every document with an id of its own. The input of a size is a single
file, so that a shard grows with it. Each size has a process of its own, which first runs 500 documents (kernels are
loaded) and then one document; the CPU time of that run, the cost of starting, is subtracted. Small sizes
are run several times and the median counts. Memory is the process's greatest resident size, libraries and mapped files
included: a finished shard is mapped while it is hashed, and a row group fills up to 32 MiB of text.

Last line with --json: {"figures": {"cost_per_document_100x", "peak_memory_100x", "ms_per_document", "peak_mb"}}: the
first two are what 100,000 documents take over what 1,000 take (1: flat), the others those of 100,000.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = (1_000, 10_000, 100_000)
NUM_PAGES, PAGE_CHARS = 500, 2_000
RUNS = {1_000: 9, 10_000: 3}  # 1 of the others
REPOSITORY = Path(__file__).resolve().parents[1]
DAG = """\
version: 1
output: {output}
steps:
  corpus: {{uses: stages.documents, with: {{source: {source}}}}}
  repetition: {{uses: stages.gopher_repetition, inputs: corpus}}
  gopher: {{uses: stages.gopher_quality, inputs: repetition}}
  c4: {{uses: stages.c4_quality, inputs: gopher}}
  fineweb: {{uses: stages.fineweb_quality, inputs: c4}}
  signatures: {{uses: stages.signatures, inputs: fineweb}}
"""


def write_documents(folder: Path) -> None:
    """One JSON-lines file per size, and one of the warm-up and one of a single document."""
    from benchmarks.minhash import pages

    lines = [json.dumps({"text": text[:PAGE_CHARS]}) + "\n" for text in pages() if text][:NUM_PAGES]
    for size in (1, NUM_PAGES, *SIZES):
        with open(folder / f"{size}.jsonl", "w", encoding="utf-8") as file:
            for start in range(0, size, len(lines)):
                file.writelines(lines[: size - start])


def run_once(source: Path) -> float:
    """CPU seconds of one run of the path in this process."""
    from pipeline.backend import LocalBackend
    from pipeline.dag import load_dag
    from pipeline.plan import make_plan
    from pipeline.progress import open_progress
    from pipeline.runner import Execution

    backend = LocalBackend()
    with tempfile.TemporaryDirectory() as folder, open_progress("silent", sys.stderr) as progress:
        path = Path(folder, "dag.yaml")
        path.write_text(DAG.format(output=f"{folder}/out", source=source))
        start = time.process_time()
        Execution(plan=make_plan(load_dag(str(path))), backend=lambda: backend, progress=progress).run()
        return time.process_time() - start


def measure(folder: Path, size: int) -> dict[str, float]:
    """CPU milliseconds per document and peak megabytes of this process, which runs that size."""
    run_once(folder / f"{NUM_PAGES}.jsonl")
    peak_before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start_s = statistics.median(run_once(folder / "1.jsonl") for _ in range(3))
    seconds = statistics.median(run_once(folder / f"{size}.jsonl") for _ in range(RUNS.get(size, 1)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "ms_per_document": (seconds - start_s) / (size - 1) * 1e3,
        "start_s": start_s,
        "warm_mb": peak_before / 1024,
        "peak_mb": peak / 1024,
    }


def in_child(folder: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scaling", "--folder", folder, "--size", str(size)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(measure(Path(given.folder), given.size)))
        return
    if not (REPOSITORY.parent / "shared/data/warc").is_dir():
        raise SystemExit("needs ../shared/data/warc")
    with tempfile.TemporaryDirectory() as folder:
        write_documents(Path(folder))
        in_child(folder, NUM_PAGES)  # compiles what is not in the kernels' cache: that takes memory of its own
        measured = {size: in_child(folder, size) for size in SIZES}
    print(f"{'documents':>10} {'ms each':>9} {'start, s':>9} {'warm, MB':>9} {'peak, MB':>9}")
    for size, row in measured.items():
        print(f"{size:10,} {row['ms_per_document']:9.4f} {row['start_s']:9.3f} {row['warm_mb']:9.1f}", end=" ")
        print(f"{row['peak_mb']:9.1f}")
    small, large = measured[SIZES[0]], measured[SIZES[-1]]
    figures = {
        "cost_per_document_100x": round(large["ms_per_document"] / small["ms_per_document"], 3),
        "peak_memory_100x": round(large["peak_mb"] / small["peak_mb"], 3),
        "ms_per_document": round(large["ms_per_document"], 4),
        "peak_mb": round(large["peak_mb"], 1),
    }
    for name, value in figures.items():
        print(f"{name:24} {value}")
    if given.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
