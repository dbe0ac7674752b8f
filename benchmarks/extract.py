"""Main text: how well it agrees with gold that no model has seen, and how fast, beside resiliparse and trafilatura.

Reads:  ../shared/data (pages with gold text), ../shared/peers/extraction_f1.py (the score)
Prints: F1 out of fold (the page's site unseen) and with its whole source unseen, with the stage's options; the peers'
        F1 with the options that serve them best; pages per second of all three, run in turn on the same pages
Speed is that of one process held to one CPU, by CPU time, from the HTTP body's bytes to text: charset and decoding are
in it, gzip and WARC parsing are shown apart. Ours is the stage itself, with metadata and the report's figures.
resiliparse and trafilatura decode by their own detection. The models of both F1 are learned anew (25 minutes on two
free cores) unless `--models FOLDER` has them from an earlier run of the same code.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.base import on_one_cpu

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
WARC, GOLD = SHARED / "data/warc", SHARED / "data"
Batches = list[pa.RecordBatch]


def read_batches(num_shards: int) -> tuple[Batches, float]:
    """The pages of some shards, evenly spread over all, and the seconds of reading them: gzip, WARC, HTTP."""
    from stages import commoncrawl

    config, batches = commoncrawl.Config(source=str(WARC)), []
    start = time.perf_counter()
    shards = commoncrawl.list_shards(config)
    for shard in shards[:: max(1, len(shards) // num_shards)][:num_shards]:
        batches += [batch.documents for batch in commoncrawl.read_shard(config, shard)]
    return batches, time.perf_counter() - start


Texts = Callable[[pa.RecordBatch], Sequence[Any]]


def open_ours() -> Texts:
    from pipeline.stage import NarrowContext
    from stages.extract import Config, extract

    stage = extract.function(Config(), NarrowContext(step="text"))
    return lambda batch: stage(batch).columns["text"].fill_null("")


def open_resiliparse() -> Texts:
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    def texts(batch: pa.RecordBatch) -> list[str]:
        return [
            extract_plain_text(
                bytes_to_str(payload, detect_encoding(payload) or "utf-8"),
                main_content=True,
                alt_texts=False,
                comments=False,
            )
            for payload in batch["payload"].to_pylist()
        ]

    return texts


def open_trafilatura() -> Texts:
    from trafilatura import extract

    def texts(batch: pa.RecordBatch) -> list[str]:
        return [
            extract(payload, fast=True, include_comments=False, deduplicate=False) or ""
            for payload in batch["payload"].to_pylist()
        ]

    return texts


ENGINES = {"ours": open_ours, "resiliparse": open_resiliparse, "trafilatura": open_trafilatura}


def run_engine(name: str, num_shards: int) -> dict[str, float]:
    """Pages per second of CPU time of one engine, alone in this process: a first pass over the pages loads what there
    is to load, the faster of two more counts."""
    texts = ENGINES[name]()
    batches, reading_s = read_batches(num_shards)
    num_pages = sum(batch.num_rows for batch in batches)
    passes = []
    for _ in range(3):
        start = time.process_time()
        for batch in batches:
            texts(batch)
        passes.append(time.process_time() - start)
    return {"pages_per_s": num_pages / min(passes[1:]), "reading_pages_per_s": num_pages / reading_s}


def speeds(num_shards: int, num_rounds: int) -> dict[str, float]:
    """Medians over rounds in which the engines take turns, each in a process of its own; the ratios are the medians of
    the rounds'."""
    rates: dict[str, list[float]] = {name: [] for name in ENGINES}
    for _ in range(num_rounds):
        for name in ENGINES:
            command = [sys.executable, "-m", "benchmarks.extract", "--engine", name, "--shards", str(num_shards)]
            result = on_one_cpu(command)
            rates[name].append(result["pages_per_s"])
    ours = rates["ours"]
    figures = {f"{name}_pages_per_s": statistics.median(values) for name, values in rates.items()}
    figures |= {
        f"vs_{name}": statistics.median(a / b for a, b in zip(ours, rates[name], strict=True))
        for name in ("resiliparse", "trafilatura")
    }
    reading = result["reading_pages_per_s"]
    return figures | {"pages_per_s": statistics.median(ours), "reading_warc_pages_per_s": reading}


def read_score() -> Any:
    """The module of the score, as it stands beside the data."""
    spec = importlib.util.spec_from_file_location("extraction_f1", SHARED / "peers/extraction_f1.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def f1_of(texts: dict[str, str], score: Any) -> dict[str, float]:
    """F1 by source and of `all` pages that have gold; a page without a text counts as empty."""
    from stages.html.training.gold import Snippets, read_gold

    rates: dict[str, list[tuple[float, float, float]]] = {}
    for uri, gold in read_gold(GOLD).items():
        main_text: Any = gold.main_text
        if isinstance(main_text, Snippets):
            main_text = {"with": main_text.wanted, "without": main_text.unwanted}
        found = score.page_rates(main_text, texts.get(uri, ""))
        for source in ("all", gold.source):
            rates.setdefault(source, []).append(found)
    figures = {}
    for source, rows in sorted(rates.items()):
        both, wrong, missed = (sum(row[k] for row in rows) for k in range(3))
        figures[source] = 2 * both / (2 * both + wrong + missed)
    return figures


def quality(models: Path | None) -> dict[str, dict[str, float]]:
    """F1 by source, of ours on unseen sites and on unseen sources, and of the peers."""
    from stages.html.assembling import TextOptions
    from stages.html.model import load_model
    from stages.html.training.cross_validation import leave_one_source_out_texts, out_of_fold_texts
    from stages.kernels.html_trees import SCALE

    score, threshold, options = read_score(), load_model().threshold / SCALE, TextOptions(list_bullets=True)
    found = {
        "out_of_fold": f1_of(out_of_fold_texts(WARC, GOLD, threshold=threshold, options=options, models=models), score),
        "leave_one_source_out": f1_of(
            leave_one_source_out_texts(WARC, GOLD, threshold=threshold, options=options, models=models), score
        ),
    }
    batches, _ = read_batches(1000)
    for name in ("resiliparse", "trafilatura"):
        engine = ENGINES[name]()
        texts: dict[str, str] = {}
        for batch in batches:
            texts |= dict(zip(batch["url"].to_pylist(), engine(batch), strict=True))
        found[name] = f1_of(texts, score)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON on the last line")
    parser.add_argument("--shards", type=int, default=5, help="how many shards the speeds are measured on")
    parser.add_argument("--rounds", type=int, default=3, help="how often the engines take turns")
    parser.add_argument("--models", type=Path, help="folder to keep the models of cross-validation in")
    parser.add_argument("--engine", choices=list(ENGINES), help="run one engine and print its figures as JSON")
    parser.add_argument("--speed-only", action="store_true", help="leave out F1")
    args = parser.parse_args()
    if not WARC.is_dir():
        raise SystemExit("needs ../shared/data")
    if args.engine:
        print(json.dumps(run_engine(args.engine, args.shards)))
        return
    found = {} if args.speed_only else quality(args.models)
    for name, by_source in found.items():
        print(f"F1 {name:22}" + "  ".join(f"{source} {f1:.4f}" for source, f1 in by_source.items()))
    figures = {f"f1_{name}": round(by_source["all"], 4) for name, by_source in found.items()}
    for name, value in speeds(args.shards, args.rounds).items():
        figures[name] = round(value, 2)
        print(f"{name:28}{value:10.1f}")
    if args.json:
        print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
