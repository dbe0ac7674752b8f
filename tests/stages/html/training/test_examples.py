"""Order, labels and weights of examples of made-up pages."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from stages.html.judging import first_stage
from stages.html.model import TABLES
from stages.html.training import examples as module
from stages.html.training.examples import make_examples
from stages.html.training.gold import broken_gold
from stages.kernels.html_features import STRUCTURE
from tests.stages.html.training.gold_site import QUICK, page, pages


def test_make_examples_in_any_order_and_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    one = make_examples(pages(8), QUICK)
    monkeypatch.setattr(module, "BATCH_BYTES", 1)
    other = make_examples(pages(8)[::-1], QUICK)
    assert len(other.batches) > len(one.batches)
    for name in ("fold_P", "site_P", "whole_P", "page_B", "label_B", "weight_B", "half_words_B"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "label_B")
    for name in ("paths", "words"):
        assert np.array_equal(getattr(one, name).hashes, getattr(other, name).hashes)
        assert np.array_equal(getattr(one, name).starts_B, getattr(other, name).starts_B)


def test_make_examples_pages_weigh_alike_and_long_blocks_more_than_short() -> None:
    of = make_examples(pages(8), QUICK)
    total_P = np.bincount(of.page_B, of.weight_B)
    assert total_P == pytest.approx(np.full(len(of.pages), QUICK.page_weight))
    first = (of.page_B == 0) & ~np.isnan(of.label_B)
    lengths = np.maximum(of.half_words_B[first], 1) ** QUICK.length_exponent
    assert of.weight_B[first] == pytest.approx(QUICK.page_weight * lengths / lengths.sum())


def test_make_examples_of_an_article_are_labelled_so() -> None:
    of = make_examples([page("site.com", 0)], QUICK)
    assert of.label_B.tolist() == [0.0] * 6 + [1.0] * 5 + [0.0] * 7


def test_make_examples_of_snippets_know_the_blocks_these_touch() -> None:
    of = make_examples([page("site.com", 0, "trafilatura")], QUICK)
    known = np.flatnonzero(~np.isnan(of.label_B))
    assert of.label_B[known].tolist() == [1.0, 1.0, 0.0]
    assert (of.weight_B > 0).nonzero()[0].tolist() == known.tolist()


def test_make_examples_of_broken_gold_know_nothing() -> None:
    whole = page("site.com", 0)
    broken = replace(whole, gold=replace(whole.gold, uri=next(iter(broken_gold()))))
    of = make_examples([broken], QUICK)
    assert np.isnan(of.label_B).all() and not of.weight_B.any()


def test_make_examples_paths_have_the_tokens_whose_weights_the_features_sum() -> None:
    of = make_examples(pages(8), QUICK)
    table = np.random.default_rng(1).integers(-5, 6, TABLES["structure"]).astype(np.int8)
    others = [np.zeros(TABLES[name], np.int8) for name in ("vocabulary", "following")]
    weights = table[of.paths.hashes & (len(table) - 1)].astype(np.int64)
    sums = np.array([weights[first:end].sum() for first, end in pairwise(of.paths.starts_B)])
    found = [first_stage(batch.html, batch.scan, table, *others).features[:, STRUCTURE] for batch in of.batches]
    assert len(set(sums.tolist())) >= 5
    assert np.concatenate(found).tolist() == np.clip(sums + 128, 0, 255).tolist()
