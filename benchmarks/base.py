"""From WARC to filtered, signed shard: pages per second against datatrove's FineWeb base processing and signatures.

Reads:  ../shared/data/warc and ../shared/peers/datatrove_base.py; the peers' environment is .peers (`make peers`)
Prints: pages per second of both, run in turn on the same shards, their ratio, and the share of our time in every step
Both run as one process held to one CPU, without language identification. What is timed is the run, not the imports
before it; ours is a second run in the same process, so that loading kernels (about 1.5 s) is not counted. datatrove
loads its libraries within its time (a few seconds of minutes), and its CPU time has its imports in it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.runner import Execution

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


def run_ours(source: str) -> dict[str, Any]:
    """One timed run of our path, in a process that has made the same run before and holds what that loaded."""
    from pipeline.resource_use import cpu_s

    _run(source)
    cpu_start_s = cpu_s()
    execution, seconds, pages, kept = _run(source)
    run_cpu_s = cpu_s() - cpu_start_s
    steps_s = {name: timing.seconds for name, timing in execution.timings.items()}
    engine_s = {"engine (Parquet, reports, commit)": seconds - sum(steps_s.values())}
    return {
        "pages": pages,
        "kept": kept,
        "seconds": round(seconds, 3),
        "cpu_s": round(run_cpu_s, 3),
        "pages_per_s": round(pages / seconds, 2),
        "shares": {name: round(s / seconds, 4) for name, s in (steps_s | engine_s).items()},
    }


def _run(source: str) -> tuple[Execution, float, int, int]:
    """A run into a folder of its own: the execution, its seconds, pages read and kept."""
    from pipeline.backend import LocalBackend
    from pipeline.dag import load_dag
    from pipeline.plan import make_plan
    from pipeline.progress import open_progress
    from pipeline.runner import Execution, read_report

    backend = LocalBackend()
    with tempfile.TemporaryDirectory() as folder, open_progress("silent", sys.stderr) as progress:
        path = Path(folder, "dag.yaml")
        path.write_text(DAG.format(output=f"{folder}/out", source=source))
        execution = Execution(plan=make_plan(load_dag(str(path))), backend=lambda: backend, progress=progress)
        start = time.perf_counter()
        execution.run()
        seconds = time.perf_counter() - start
        artifact = execution.artifacts["signatures"]
        pages, kept = (read_report(artifact, step)["docs_out"] for step in ("crawl", "signatures"))
    return execution, seconds, pages, kept


def on_one_cpu(command: list[str]) -> dict[str, Any]:
    """The JSON a command prints on its last line, run on one CPU with one thread; `cpu_s`, where it gives none, is that
    of the whole process."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_IO_THREADS"), "1")
    cpu = min(os.sched_getaffinity(0))
    before_s = _children_cpu_s()
    done = subprocess.run(
        ["taskset", "-c", str(cpu), *command], cwd=REPOSITORY, env=os.environ | threads, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"cpu_s": _children_cpu_s() - before_s} | result


def _children_cpu_s() -> float:
    use = resource.getrusage(resource.RUSAGE_CHILDREN)
    return use.ru_utime + use.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--shards", type=int, default=4, help="how many shards both read")
    parser.add_argument("--runs", type=int, default=3, help="runs of each")
    parser.add_argument("--ours", metavar="FOLDER", help="time our path alone over a folder and print its JSON")
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
        on_one_cpu(ours_command)  # compiles what is not compiled yet
        pairs = [(on_one_cpu(ours_command), on_one_cpu(peer_command)) for _ in range(args.runs)]
    report(pairs, args.json)


def report(pairs: list[tuple[dict[str, Any], dict[str, Any]]], as_json: bool) -> None:
    rates = [(ours["pages_per_s"], peer["pages_per_s"]) for ours, peer in pairs]
    for (ours_rate, peer_rate), (ours, peer) in zip(rates, pairs, strict=True):
        print(f"ours {ours_rate:9.1f} pages/s ({ours['pages']} pages, {ours['kept']} kept)   "
              f"datatrove {peer_rate:7.1f} pages/s ({peer['pages']} pages, {peer['kept']} kept)   "
              f"ratio {ours_rate / peer_rate:.1f}")  # fmt: skip
    last = pairs[-1][0]
    print("share of our time by step:")
    for name, share in last["shares"].items():
        print(f"  {name:34}{share:7.1%}")
    by_cpu = [ours["pages"] / ours["cpu_s"] / (peer["pages"] / peer["cpu_s"]) for ours, peer in pairs]
    figures = {
        "pages_per_s_vs_datatrove": round(statistics.median(a / b for a, b in rates), 2),
        "pages_per_cpu_s_vs_datatrove": round(statistics.median(by_cpu), 2),
        "pages_per_s": statistics.median(a for a, _ in rates),
        "datatrove_pages_per_s": statistics.median(b for _, b in rates),
    }
    print(f"median ratio: {figures['pages_per_s_vs_datatrove']}; of pages per second of CPU time, which a busy machine "
          f"leaves alone: {figures['pages_per_cpu_s_vs_datatrove']}")  # fmt: skip
    if as_json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
