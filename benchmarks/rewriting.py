"""The stages that rewrite text: megabytes per second, and masking beside datatrove's PIIFormatter, in turn.

usage: python -m benchmarks.rewriting [--json] [--rounds N] [--every N]

Reads:  ../shared/data/warc (main content of every Nth page); datatrove 0.10.1 in .peers (`make peers`)
Prints: CPU time as MB/s of each stage with its defaults; of mask_pii with e-mail and IPv4 alone, which is what
        PIIFormatter masks, and of PIIFormatter; medians. Kernels are compiled before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.filters import BATCH_ROWS, PEER_PYTHON, extract_texts
from pipeline.stage import BatchFunction, NarrowContext
from stages import clean_lines, mask_pii, normalise_unicode

PEER = """
import sys, time
import pyarrow.parquet as pq
from datatrove.pipeline.formatters.pii import PIIFormatter
texts, mask = pq.read_table(sys.argv[1])["text"].to_pylist(), PIIFormatter()
start = time.process_time()
for text in texts:
    mask.format(text)
print(time.process_time() - start)
"""
ONLY_EMAIL_AND_IPV4 = mask_pii.Config(ipv6=None, chinese_id=None, credit_card=None, chinese_mobile=None, phone=None)


def open_stages() -> dict[str, BatchFunction]:
    context = NarrowContext(step="benchmark")
    return {
        "mask_pii": mask_pii.mask_pii.function(mask_pii.Config(), context),
        "mask_pii_email_ipv4": mask_pii.mask_pii.function(ONLY_EMAIL_AND_IPV4, context),
        "clean_lines": clean_lines.clean_lines.function(clean_lines.Config(), context),
        "normalise_unicode": normalise_unicode.normalise_unicode.function(normalise_unicode.Config(), context),
    }


def seconds_of(stage: BatchFunction, batches: list[pa.RecordBatch]) -> float:
    start = time.process_time()
    for batch in batches:
        stage(batch)
    return time.process_time() - start


def seconds_of_peer(file: Path) -> float:
    run = subprocess.run([PEER_PYTHON, "-c", PEER, file], capture_output=True, text=True, check=True)
    return float(run.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--every", type=int, default=1, help="take every Nth page")
    args = parser.parse_args()
    if not PEER_PYTHON.exists():
        raise SystemExit("needs ../shared/data/warc and the peers' environment: run `make peers` first")
    texts, stages = extract_texts(args.every), open_stages()
    batches = pa.table({"text": texts}).to_batches(max_chunksize=BATCH_ROWS)
    for stage in stages.values():
        stage(batches[0])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "texts.parquet")
        pq.write_table(pa.table({"text": texts}), file)
        rounds = [
            {name: seconds_of(stage, batches) for name, stage in stages.items()} | {"datatrove": seconds_of_peer(file)}
            for _ in range(args.rounds)
        ]
    megabytes = sum(len(text.as_buffer()) for text in texts.cast(pa.large_binary())) / 1e6
    figures = {
        f"{name}_mb_per_s": round(megabytes / statistics.median(row[name] for row in rounds), 1) for name in rounds[0]
    }
    ratio = statistics.median(row["datatrove"] / row["mask_pii_email_ipv4"] for row in rounds)
    figures["masking_vs_datatrove"] = round(ratio, 1)
    for name, value in figures.items():
        print(f"{name:32} {value:8.1f}")
    if args.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
