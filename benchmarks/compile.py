"""What compiling the kernels costs: a new process's way to its first verdicts, without compiled code and with it.

Reads:  nothing; two short texts stand for a batch
Prints: per stage, seconds of CPU time to open it and judge the first batch in a process that began with an empty cache
        folder, and in one that found everything there; `start` is Python, Arrow and Numba before that
CPU time is given because it says the same on a busy machine. The stages run one after the other: what a stage shares
with those before it is theirs.
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
STAGES = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality", "signatures")
TEXTS = (
    "The committee will meet again in spring, and the people have to decide on it. It is that with which they live.\n"
    "Others disagreed (see u.s.a. or https://example.org): they don't want a new harbour... do they?\n",
    "委員会は春に再び会合を開き、港をどのように再建すべきか、費用を誰が負担するのかについて話し合う予定です。",
)


def first_verdicts() -> dict[str, float]:
    """CPU seconds this process has taken by stage, run in the order of STAGES."""
    import pyarrow as pa

    from pipeline.stage import NarrowContext
    from pipeline.stage_loader import load_stage
    from stages.kernels import compiled  # noqa: F401 - Numba's import counts as start

    batch = pa.record_batch({"text": pa.array(TEXTS, pa.large_string())})
    seconds = {"start": time.process_time()}
    for name in STAGES:
        before = time.process_time()
        stage = load_stage(f"stages.{name}", name)
        stage.function(stage.config(), NarrowContext(step=name))(batch)
        seconds[name] = time.process_time() - before
    return seconds


def in_new_process(cache: str) -> dict[str, float]:
    environment = os.environ | {"NUMBA_CACHE_DIR": cache, "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.compile", "--here"], cwd=REPOSITORY, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--runs", type=int, default=5, help="processes that find everything compiled")
    parser.add_argument("--here", action="store_true", help="measure this process and print its JSON")
    args = parser.parse_args()
    if args.here:
        print(json.dumps(first_verdicts()))
        return
    with tempfile.TemporaryDirectory() as cache:
        cold = in_new_process(cache)
        size = sum(file.stat().st_size for file in Path(cache).rglob("*") if file.is_file())
        runs = [in_new_process(cache) for _ in range(args.runs)]
    warm = {name: statistics.median(run[name] for run in runs) for name in cold}
    print(f"{'':20}{'cold':>8}{'warm':>8}  s of CPU time")
    for name in cold:
        print(f"{name:20}{cold[name]:8.2f}{warm[name]:8.2f}")
    figures = {
        "compile_cold_s": round(sum(cold.values()), 2),
        "compile_warm_s": round(statistics.median(sum(run.values()) for run in runs), 2),
        "compiled_bytes": size,
    }
    print(f"{'all':20}{figures['compile_cold_s']:8.2f}{figures['compile_warm_s']:8.2f}  {size / 1e6:.1f} MB kept")
    if args.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
