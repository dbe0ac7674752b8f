"""The texts that models extract from pages they know nothing of, and how these agree with the gold.

Reads:  Examples, gold
Writes: texts by URI; Figures
Cost:   learning once per split (80 s each for 4,000 pages on two free cores), 0.4 ms a page, threshold and text
Source: held_out.py for what is held out, scoring.py for the score; the texts are those of stages/html/extractor.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stages.html.assembling import TextOptions
from stages.html.extractor import extract_pages
from stages.html.model import Model
from stages.html.training.examples import Examples, html_bytes, make_examples, page_runs
from stages.html.training.gold import Gold, read_pages
from stages.html.training.held_out import Split, by_site, by_source
from stages.html.training.kept_models import model_of
from stages.html.training.scoring import Rates, Score, page_rates, score
from stages.html.training.settings import Settings
from stages.kernels.html_trees import SCALE

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Scores by source, and of ALL. `threshold`: of those tried, with the best F1 out of fold, the same for all pages;
    both scores are with it. `f1_by_threshold`: of all pages, out of fold. `f1_threshold_unseen`: each fold's pages with
    the threshold that is best for the other folds, which shows how little choosing on the test pages gives."""

    threshold: float
    out_of_fold: dict[str, Score]
    leave_one_source_out: dict[str, Score]
    f1_by_threshold: dict[str, float]
    f1_threshold_unseen: float

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries and numbers, rounded to four places."""
        scores = {
            name: {source: _rounded(asdict(of)) for source, of in getattr(self, name).items()}
            for name in ("out_of_fold", "leave_one_source_out")
        }
        return {
            "threshold": self.threshold, **scores, "f1_by_threshold": _rounded(self.f1_by_threshold),
            "f1_threshold_unseen": round(self.f1_threshold_unseen, 4),
        }  # fmt: skip


def out_of_fold_texts(
    pages: Path, gold: Path, settings: Settings | None = None, *, threshold: float | None = None,
    options: TextOptions | None = None, models: Path | None = None,
) -> dict[str, str]:  # fmt: skip
    """By URI, the main text of every gold page, from a model that was learned without its site. `pages`: a folder of
    WARC shards, `gold`: of gold files. `threshold`: a logit (Model.threshold / SCALE for that of
    a model); settings.threshold without. `models`: a folder to keep
    models in; without, nothing is kept. Raises StoreError where reading fails."""
    return _held_out_texts(by_site, pages, gold, settings, threshold, options, models)


def leave_one_source_out_texts(
    pages: Path, gold: Path, settings: Settings | None = None, *, threshold: float | None = None,
    options: TextOptions | None = None, models: Path | None = None,
) -> dict[str, str]:  # fmt: skip
    """As out_of_fold_texts, from a model that was learned without the page's source, and without its site."""
    return _held_out_texts(by_source, pages, gold, settings, threshold, options, models)


def _held_out_texts(
    split_by: Callable[[Examples], list[Split]], pages: Path, gold: Path, settings: Settings | None,
    threshold: float | None, options: TextOptions | None, models: Path | None,
) -> dict[str, str]:  # fmt: skip
    settings, options = settings or Settings(), options or TextOptions()
    examples = make_examples(read_pages(gold, pages, with_broken=True, with_unlabelled=True), settings)
    at = settings.threshold if threshold is None else threshold
    texts: dict[str, str] = {}
    for split in split_by(examples):
        texts |= dict(split_texts(examples, split, model_of(examples, split, settings, models), at, options))
    return texts


def split_texts(
    examples: Examples, split: Split, model: Model, threshold: float, options: TextOptions
) -> Iterator[tuple[str, str]]:
    """(URI, text) of the pages that a split tests."""
    pages = [examples.pages[n] for n in np.flatnonzero(split.tested_P)]
    model = replace(model, threshold=round(threshold * SCALE))
    for part in page_runs(pages):
        texts = extract_pages(html_bytes(pages[part]), model, options).text.to_pylist()
        yield from zip((page.gold.uri for page in pages[part]), texts, strict=True)


def cross_validate(
    examples: Examples, gold: Mapping[str, Gold], settings: Settings, models: Path | None = None,
    options: TextOptions | None = None,
) -> Figures:  # fmt: skip
    """Score the pages of `examples` (broken gold included) against `gold`, by URI; gold without a page scores as an
    empty text. `models` as in out_of_fold_texts."""
    options = options or TextOptions()
    tried = sorted({*settings.thresholds, settings.threshold})
    missing = {uri: page_rates(row.main_text, "") for uri, row in gold.items()}
    rates = {threshold: dict(missing) for threshold in tried}
    for split in by_site(examples):
        model = model_of(examples, split, settings, models)
        for threshold, found in _rates_at(examples, split, model, tried, options, gold).items():
            rates[threshold] |= found
    f1 = {threshold: score(found.values()).f1 for threshold, found in rates.items()}
    best = max(tried, key=f1.__getitem__)
    left_out = dict(missing)
    for split in by_source(examples):
        model = model_of(examples, split, settings, models)
        left_out |= _rates_at(examples, split, model, [best], options, gold)[best]
    fold_of = {page.gold.uri: page.fold for page in examples.pages}
    return Figures(
        threshold=best, out_of_fold=_by_source(rates[best], gold), leave_one_source_out=_by_source(left_out, gold),
        f1_by_threshold={str(threshold): value for threshold, value in f1.items()},
        f1_threshold_unseen=_threshold_unseen(rates, fold_of),
    )  # fmt: skip


def _rates_at(
    examples: Examples, split: Split, model: Model, thresholds: Sequence[float], options: TextOptions,
    gold: Mapping[str, Gold],
) -> dict[float, dict[str, Rates]]:  # fmt: skip
    """Per threshold and URI. A text that is as it was at the threshold before is not scored again."""
    found: dict[float, dict[str, Rates]] = {}
    last: dict[str, tuple[str, Rates]] = {}
    for threshold in thresholds:
        for uri, text in split_texts(examples, split, model, threshold, options):
            if uri not in last or last[uri][0] != text:
                last[uri] = (text, page_rates(gold[uri].main_text, text))
        found[threshold] = {uri: rates for uri, (_, rates) in last.items()}
    return found


def _by_source(rates: Mapping[str, Rates], gold: Mapping[str, Gold]) -> dict[str, Score]:
    sources = sorted({gold[uri].source for uri in rates})
    scores = {source: score(r for uri, r in rates.items() if gold[uri].source == source) for source in sources}
    return {ALL: score(rates.values()), **scores}


def _threshold_unseen(rates: Mapping[float, Mapping[str, Rates]], fold_of: Mapping[str, int]) -> float:
    """Gold without a page belongs to no fold and is scored all the same."""
    chosen: list[Rates] = []
    first = next(iter(rates.values()))
    for fold in {fold_of.get(uri, -1) for uri in first}:
        others = {
            threshold: score(r for uri, r in found.items() if fold_of.get(uri, -1) != fold).f1
            for threshold, found in rates.items()
        }
        best = max(others, key=others.__getitem__)
        chosen += [r for uri, r in rates[best].items() if fold_of.get(uri, -1) == fold]
    return score(chosen).f1


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items()}
