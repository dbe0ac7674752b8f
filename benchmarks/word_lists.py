"""The filters by lists: C4's bad words and the URL filter beside datatrove's, with the same lists, on one core.

usage: python -m benchmarks.word_lists [--json] [--rounds N] [--every N]

Reads:  ../shared/data/warc (main content of every Nth page, the addresses of all); .peers (`make peers`) with datatrove
        and its own lists for URLs (4.6 million domains, 19,586 URLs, 437 words)
Prints: megabytes of text per second and microseconds per URL of both, CPU time, run in turn, medians and their ratio;
        the rows with another verdict; the seconds it takes to load the lists
The list of bad words is datatrove's for URLs, 340 of them; C4's English one has 403. Ours is called as the engine calls
it, on batches of 256 rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from benchmarks.filters import BATCH_ROWS, PEER_PYTHON, SHARED, extract_texts
from pipeline.stage import BatchFunction, NarrowContext
from stages import c4_badwords, url_filter

ASSETS = PEER_PYTHON.parents[1] / "lib/python3.11/site-packages/datatrove/assets"
PEER = """
import json, sys, time
from datatrove.data import Document
from datatrove.pipeline.filters import C4BadWordsFilter, URLFilter, c4_filters
from tldextract import TLDExtract
asked = json.load(open(sys.argv[1]))
c4_filters.cached_asset_path_or_download = lambda *_, **__: asked["words"]
opened = {"c4_badwords": C4BadWordsFilter(), "url_filter": URLFilter()}
opened["url_filter"].tldextractor = TLDExtract(suffix_list_urls=(), cache_dir=None)
documents = {
    "c4_badwords": [Document(text=t, id="0", metadata={"language": "en"}) for t in asked["texts"]],
    "url_filter": [Document(text="", id="0", metadata={"url": u}) for u in asked["urls"]],
}
answer = {}
for name, heuristic in opened.items():
    start = time.process_time()
    heuristic.filter(Document(text="", id="0", metadata={"url": "http://a.com/"}))
    loaded = time.process_time()
    kept = [heuristic.filter(document) is True for document in documents[name]]
    answer[name] = {"load_s": loaded - start, "seconds": time.process_time() - loaded, "kept": kept}
json.dump(answer, sys.stdout)
"""


def bad_words() -> list[str]:
    """Words nobody would miss: datatrove's own for URLs."""
    files = ("banned_words", "banned_subwords")
    entries = [line.strip() for file in files for line in (ASSETS / f"{file}.txt").read_text().splitlines()]
    return sorted({entry for entry in entries if entry and not entry.startswith("#")})


def run_ours(batches: list[pa.RecordBatch], judge: BatchFunction) -> tuple[float, list[bool]]:
    """(CPU seconds, which rows are kept)."""
    start = time.process_time()
    verdicts = [judge(batch) for batch in batches]
    seconds = time.process_time() - start
    return seconds, [code < 0 for v in verdicts if v.drops for code in v.drops.code_N]


def open_ours(folder: Path) -> dict[str, BatchFunction]:
    """Both stages with the lists; prints what loading them takes."""
    config = url_filter.Config(
        blocked_domains=(str(folder / "domains"),), blocked_urls=(str(folder / "urls"),),
        banned_words=(str(ASSETS / "banned_words.txt"),), banned_subwords=(str(ASSETS / "banned_subwords.txt"),),
        soft_words=(str(ASSETS / "soft_banned_words.txt"),),
    )  # fmt: skip
    context = NarrowContext(step="benchmark")
    url_filter.url_filter.function(config, context)  # compiles
    start = time.process_time()
    opened = {"url_filter": url_filter.url_filter.function(config, context)}
    print(f"ours: lists for URLs loaded in {time.process_time() - start:.1f} s")
    listed = c4_badwords.Config(lists={"en": str(folder / "words")})
    return opened | {"c4_badwords": c4_badwords.c4_badwords.function(listed, context)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as the last line")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turn")
    parser.add_argument("--every", type=int, default=16, help="take every Nth page")
    args = parser.parse_args()
    if not ASSETS.is_dir() or not (SHARED / "data/warc").is_dir():
        print("needs ../shared/data/warc and the peers' environment: run `make peers` first", file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    texts = extract_texts(args.every)
    ids = pa.array([n.to_bytes(16, "big") for n in range(len(texts))], pa.binary(16))
    urls = page_addresses()
    tables = {"c4_badwords": pa.table({"id": ids, "text": texts}), "url_filter": pa.table({"url": pa.array(urls)})}
    batches = {name: table.to_batches(max_chunksize=BATCH_ROWS) for name, table in tables.items()}
    amounts = {"c4_badwords": sum(len(t.as_buffer()) for t in texts) / 1e6, "url_filter": len(urls) / 1e6}
    print(f"{len(texts)} texts, {amounts['c4_badwords']:.1f} MB; {len(urls)} URLs; rounds: {args.rounds}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with tarfile.open(ASSETS / "url_filterblacklistsv0_3_0.tar.gz") as archive:
            archive.extractall(folder, filter="data")
        (folder / "words").write_text("\n".join(bad_words()))
        asked = {"texts": texts.to_pylist(), "urls": urls, "words": str(folder / "words")}
        (folder / "asked.json").write_text(json.dumps(asked))
        opened = open_ours(folder)
        for stage, judge in opened.items():
            run_ours(batches[stage][:1], judge)
        rounds = []
        for _ in range(args.rounds):
            ours = {stage: run_ours(batches[stage], judge) for stage, judge in opened.items()}
            peer = subprocess.run([PEER_PYTHON, "-c", PEER, folder / "asked.json"], capture_output=True, check=True)
            rounds.append((ours, json.loads(peer.stdout)))
    figures = {k: v for stage in sorted(opened) for k, v in compare(stage, rounds, amounts[stage]).items()}
    if args.json:
        print(json.dumps({"figures": figures}))
    return 0


def page_addresses() -> list[str]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    urls = []
    for path in sorted((SHARED / "data/warc").glob("*.warc.gz")):
        with path.open("rb") as file:
            urls += [r.headers["WARC-Target-URI"] for r in ArchiveIterator(file, record_types=WarcRecordType.response)]
    return urls


def compare(stage: str, rounds: list, amount: float) -> dict[str, float]:
    """Print a stage's line, return its figures. `amount` in MB of text, or in millions of URLs."""
    ours_s = statistics.median(ours[stage][0] for ours, _ in rounds)
    peer_s = statistics.median(peer[stage]["seconds"] for _, peer in rounds)
    ratio = statistics.median(peer[stage]["seconds"] / ours[stage][0] for ours, peer in rounds)
    ours, peer = rounds[-1]
    different = sum(a != b for a, b in zip(ours[stage][1], peer[stage]["kept"], strict=True))
    if stage == "c4_badwords":
        figures = {"badwords_mb_per_s": amount / ours_s, "datatrove_badwords_mb_per_s": amount / peer_s}
    else:
        figures = {"us_per_url": ours_s / amount, "datatrove_us_per_url": peer_s / amount}
    figures = {name: round(value, 2) for name, value in figures.items()} | {f"{stage}_vs_datatrove": round(ratio, 1)}
    print(
        f"{stage:12} {figures}; {different} of {len(ours[stage][1])} verdicts differ, {sum(peer[stage]['kept'])} kept; "
        f"datatrove loads in {peer[stage]['load_s']:.1f} s"
    )
    return figures


if __name__ == "__main__":
    sys.exit(main())
