"""The four text filters: megabytes of text per second and verdicts beside datatrove's, on one core.

usage: python -m benchmarks.filters [--json] [--rounds N] [--every N]

Reads:  ../shared/data/warc (main content of every Nth page) and ../shared/peers/datatrove_filters.py, run by .peers
        (`make peers`)
Prints: per filter and for all four, one after the other on every text: MB/s of ours and of datatrove, in turn, medians;
        the share of texts with the same verdict, over English pages and over those without East Asian script
Ours is called as the engine calls a fused chain, batch after batch of 256 rows through all four, in this process held
to one CPU; wall time. What the filters share (words, lines) is counted for the first that needs it. Kernels are
compiled before. datatrove's filters each see every text, and so do ours.

Last line with --json: {"figures": {"filters_vs_datatrove", "filters_mb_per_s", "agreement_<filter>", ...}}.
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
from importlib import import_module
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.stage import BatchFunction, NarrowContext, Verdict

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
PEER_PYTHON = REPOSITORY / ".peers" / "bin" / "python"
PEER_SCRIPT = SHARED / "peers" / "datatrove_filters.py"
FILTERS = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality")
BATCH_ROWS = 256
LEAST_S = 1.0


def extract_texts(every: int) -> pa.Array:
    """Main content of every Nth page, empty ones left out."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    texts, seen = [], 0
    for path in sorted((SHARED / "data" / "warc").glob("*.warc.gz")):
        with path.open("rb") as file:
            for record in ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True):
                if seen % every == 0:
                    html = record.reader.read()
                    tree = HTMLTree.parse_from_bytes(html, detect_encoding(html) or "utf-8")
                    texts.append(extract_plain_text(tree, main_content=True))
                seen += 1
    return pa.array([t for t in texts if t], pa.large_string())


def open_filters() -> dict[str, BatchFunction]:
    """Our stages with their defaults."""
    opened = {}
    for name in FILTERS:
        module = import_module(f"stages.{name}")
        opened[name] = getattr(module, name).function(module.Config(), NarrowContext(step=name))
    return opened


def run_ours(texts: pa.Array, filters: dict[str, BatchFunction]) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """(seconds of one pass, which texts are kept) per filter; each batch goes through all of them, as in a fused chain,
    and the texts are judged again until LEAST_S are over."""
    batches = pa.table({"text": texts}).to_batches(max_chunksize=BATCH_ROWS)
    seconds, passes = dict.fromkeys(filters, 0.0), 0
    verdicts: dict[str, list[Verdict]] = {}
    while sum(seconds.values()) < LEAST_S:
        verdicts = {name: [] for name in filters}
        for batch in batches:
            for name, judge in filters.items():
                start = time.perf_counter()
                verdicts[name].append(judge(batch))
                seconds[name] += time.perf_counter() - start
        passes += 1
    kept = {name: np.concatenate([v.drops.code_N < 0 for v in given if v.drops]) for name, given in verdicts.items()}
    return {name: total / passes for name, total in seconds.items()}, kept


def run_peer(source: Path, target: Path, megabytes: float) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """(seconds, which texts are kept) per filter of datatrove, in a process of its own."""
    run = subprocess.run([PEER_PYTHON, PEER_SCRIPT, source, target], capture_output=True, text=True, check=True)
    speed = json.loads(run.stdout.splitlines()[-1])["MB_per_s"]
    table = pq.read_table(target)
    kept = {name: table[name].combine_chunks().is_null().to_numpy(zero_copy_only=False) for name in FILTERS}
    return {name: megabytes / speed[name] for name in FILTERS}, kept


def english(texts: pa.Array) -> np.ndarray:
    """bool[N]: pages resiliparse's language detection calls English."""
    from resiliparse.parse.lang import detect_fast

    return np.array([detect_fast(text)[0] == "en" for text in texts.to_pylist()])


def report(
    megabytes: float, ours: list[dict[str, float]], peer: list[dict[str, float]],
    agreement: Callable[[str], tuple[float, float]],
) -> dict[str, float]:  # fmt: skip
    """Print a table, return the figures."""
    medians = [{name: statistics.median(run[name] for run in runs) for name in FILTERS} for runs in (ours, peer)]
    figures = {}
    for name in FILTERS:
        mine, theirs = megabytes / medians[0][name], megabytes / medians[1][name]
        on_english, spaced = agreement(name)
        figures[f"{name}_mb_per_s"], figures[f"agreement_{name}"] = round(mine, 1), round(on_english, 5)
        print(
            f"{name:18} ours {mine:7.1f} MB/s  datatrove {theirs:6.3f} MB/s  {mine / theirs:6.0f} times  "
            f"same verdict {on_english:.4%} of English, {spaced:.4%} of non-East-Asian"
        )
    totals = [[sum(run.values()) for run in runs] for runs in (ours, peer)]
    figures["filters_mb_per_s"] = round(megabytes / statistics.median(totals[0]), 2)
    figures["filters_vs_datatrove"] = round(statistics.median(totals[1]) / statistics.median(totals[0]), 1)
    print(
        f"all four           ours {figures['filters_mb_per_s']} MB/s, {figures['filters_vs_datatrove']} times datatrove"
    )
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description="The text filters against datatrove's.")
    parser.add_argument("--json", action="store_true", help="print the figures as the last line")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turn")
    parser.add_argument("--every", type=int, default=16, help="take every Nth page")
    args = parser.parse_args()
    for needed, mend in (
        (PEER_PYTHON, "run `make peers`"),
        (PEER_SCRIPT, "put the shared folder beside the repository"),
    ):
        if not needed.exists():
            print(f"benchmarks.filters: {needed} is missing; {mend}", file=sys.stderr)
            return 2
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    texts, filters = extract_texts(args.every), open_filters()
    megabytes = sum(len(t.as_buffer()) for t in texts) / 1e6
    print(f"{len(texts)} texts, {megabytes:.1f} MB; rounds: {args.rounds}")
    run_ours(texts.slice(0, 8), filters)
    ours, peer = [], []
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "texts.parquet"), Path(folder, "verdicts.parquet")
        pq.write_table(pa.table({"text": texts}), source)
        for _ in range(args.rounds):
            seconds, kept = run_ours(texts, filters)
            peer_seconds, peer_kept = run_peer(source, target, megabytes)
            ours.append(seconds)
            peer.append(peer_seconds)
    from stages.kernels.analysis import analyse

    groups = [english(texts), ~analyse(pa.record_batch({"text": texts})).east_asian_N]

    def agreement(name: str) -> tuple[float, float]:
        same_N = kept[name] == peer_kept[name]
        return float(same_N[groups[0]].mean()), float(same_N[groups[1]].mean())

    figures = report(megabytes, ours, peer, agreement)
    if args.json:
        print(json.dumps({"figures": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
