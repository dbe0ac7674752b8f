"""Learn the model of main text from gold pages.

usage: python -m stages.html.training --pages WARC_FOLDER --gold GOLD_FOLDER --output FILE.npz [--cross-validate]

Reads:  WARC shards; gold-*.jsonl.zst
Writes: the model and, beside it, its card (FILE.md). With --cross-validate it first measures how well models extract
        pages whose site, and whose source, they have not seen, chooses the threshold by site, and writes FILE.json
Cost:   about 2 minutes on two free cores for 4,000 pages; 16 with --cross-validate; 4 GB of memory
Source: stages/html/training/learning.py, cross_validation.py
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import CrawlmillError, DataError
from stages.html.model import save_model
from stages.html.training.card import about, card
from stages.html.training.cross_validation import cross_validate
from stages.html.training.examples import make_examples
from stages.html.training.gold import read_gold, read_pages
from stages.html.training.learning import learn
from stages.html.training.settings import Settings


def train(pages: Path, gold: Path, output: Path, *, measure: bool = False, models: Path | None = None) -> None:
    """Learn from the gold pages of two folders and write the model, its card and, if `measure`, its figures. `models`:
    a folder to keep the models of cross-validation in. Raises DataError where no page has gold, StoreError."""
    settings = Settings()
    if not output.parent.is_dir():
        raise DataError("no such folder", where=str(output.parent), expected="a folder to write the model to")
    gold_pages = list(read_pages(gold, pages, with_broken=True, with_unlabelled=True))
    if all(page.gold.main_text is None for page in gold_pages):
        raise DataError("no page has gold", where=str(gold), expected=f"the URIs of pages in {pages}")
    examples = make_examples(gold_pages, settings)
    figures = cross_validate(examples, read_gold(gold), settings, models) if measure else None
    if figures is not None:
        settings = dataclasses.replace(settings, threshold=figures.threshold)
        output.with_suffix(".json").write_text(json.dumps(figures.as_json(), indent=1) + "\n", encoding="utf-8")
    model = learn(examples, examples.fold_P, settings)
    model = dataclasses.replace(model, about=about(examples, settings))
    save_model(model, output)
    output.with_suffix(".md").write_text(card(model, output.stat().st_size, figures), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m stages.html.training", description="Learn the model of main text.")
    parser.add_argument("--pages", type=Path, required=True, help="folder of WARC shards")
    parser.add_argument("--gold", type=Path, required=True, help="folder of gold-*.jsonl.zst")
    parser.add_argument("--output", type=Path, required=True, help="model file to write, .npz")
    parser.add_argument("--cross-validate", action="store_true", help="measure first, and choose the threshold")
    parser.add_argument(
        "--keep-models", type=Path, help="folder for the models of cross-validation, used again if there"
    )
    args = parser.parse_args(argv)
    try:
        train(args.pages, args.gold, args.output, measure=args.cross_validate, models=args.keep_models)
    except CrawlmillError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
