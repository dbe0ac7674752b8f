"""From WARC to filtered, signed shard: pages per second against datatrove's FineWeb base processing and signatures.

Reads:  ../shared/data/warc and ../shared/peers/datatrove_base.py; the peers' environment is .peers (`make peers`)
Prints: pages per second of both, run in turn on the same shards, and their ratio
Both run as one process held to one CPU (our child process for HTML parsing too), without language identification. What
is timed is the run, not the imports before it; compiled kernels are loaded from their cache by a first, uncounted run.
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
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
PEER_PYTHON = REPOSITORY / ".peers" / "bin" / "python"
DAG = """\
version: 1
output: {output}
steps:
  crawl: {{uses: stages.commoncrawl, with: {{source: {source}}}}}
  text: {{uses: stages.extract, inputs: crawl}}
  repetition: {{uses: stages.gopher_repetition, inputs: text}}
  gopher: {{uses: stages.gopher_quality, inputs: repetition}}
  c4: {{uses: stages.c4_quality, inputs: gopher}}
  fineweb: {{uses: stages.fineweb_quality, inputs: c4}}
  signatures: {{uses: stages.signatures, inputs: fineweb}}
"""


def run_ours(source: str) -> dict[str, object]:
    """One timed run of our path in this process."""
    from pipeline.backend import LocalBackend
    from pipeline.dag import load_dag
    from pipeline.plan import make_plan
    from pipeline.progress import open_progress
    from pipeline.runner import Execution

    backend = LocalBackend()
    with tempfile.TemporaryDirectory() as folder, open_progress("silent", sys.stderr) as progress:
        path = Path(folder, "dag.yaml")
        path.write_text(DAG.format(output=f"{folder}/out", source=source))
        execution = Execution(plan=make_plan(load_dag(str(path))), backend=lambda: backend, progress=progress)
        start = time.perf_counter()
        execution.run()
        seconds = time.perf_counter() - start
        pages = execution.artifacts["signatures"].manifest
        rows = json.loads(Path(folder, "out/signatures", pages["fingerprint"][:16], "report/crawl.json").read_text())
        kept = sum(f["rows"] for f in pages["files"] if f["name"].startswith("shards/"))
    shares = {name: round(timing.seconds / seconds, 4) for name, timing in execution.timings.items()}
    return {
        "pages": rows["docs_out"],
        "kept": kept,
        "seconds": round(seconds, 3),
        "pages_per_s": round(rows["docs_out"] / seconds, 2),
        "shares": shares,
    }


def on_one_cpu(command: list[str]) -> dict[str, object]:
    """The JSON a command prints on its last line, run on one CPU with one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_IO_THREADS"), "1")
    cpu = min(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(cpu), *command], cwd=REPOSITORY, env=os.environ | threads, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--shards", type=int, default=2, help="how many shards both read")
    parser.add_argument("--runs", type=int, default=3, help="runs of each")
    parser.add_argument("--ours", metavar="FOLDER", help="run our path once over a folder and print its JSON")
    args = parser.parse_args()
    if args.ours:
        print(json.dumps(run_ours(args.ours)))
        return
    if not PEER_PYTHON.exists() or not (SHARED / "data/warc").is_dir():
        raise SystemExit("needs ../shared/data/warc and the peers' environment: run `make peers` first")
    with tempfile.TemporaryDirectory() as folder:
        for shard in sorted((SHARED / "data/warc").glob("*.warc.gz"))[: args.shards]:
            Path(folder, shard.name).symlink_to(shard)
        ours_command = [sys.executable, "-m", "benchmarks.base", "--ours", folder]
        peer_command = [str(PEER_PYTHON), str(SHARED / "peers/datatrove_base.py"), folder, "*.warc.gz"]
        on_one_cpu(ours_command)
        pairs = [(on_one_cpu(ours_command), on_one_cpu(peer_command)) for _ in range(args.runs)]
    report(pairs, args.json)


def report(pairs: list[tuple[dict[str, object], dict[str, object]]], as_json: bool) -> None:
    rates = [(float(str(ours["pages_per_s"])), float(str(peer["pages_per_s"]))) for ours, peer in pairs]
    for (ours_rate, peer_rate), (ours, peer) in zip(rates, pairs, strict=True):
        print(f"ours {ours_rate:9.1f} pages/s ({ours['pages']} pages, {ours['kept']} kept)   "
              f"datatrove {peer_rate:7.1f} pages/s ({peer['pages']} pages, {peer['kept']} kept)   "
              f"ratio {ours_rate / peer_rate:.1f}")  # fmt: skip
    print("share of our time by step:", json.dumps(pairs[-1][0]["shares"]))
    figures = {
        "pages_per_s_vs_datatrove": round(statistics.median(a / b for a, b in rates), 2),
        "pages_per_s": statistics.median(a for a, _ in rates),
        "datatrove_pages_per_s": statistics.median(b for _, b in rates),
    }
    print(f"median ratio: {figures['pages_per_s_vs_datatrove']}")
    if as_json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
