"""Rates and scores by hand, and beside the scorer of the shared peers."""

from __future__ import annotations

import importlib.util
import random

import pytest

from stages.html.training.gold import Snippets
from stages.html.training.scoring import Rates, page_rates, score, shingles
from tests.shared_data import SHARED

PEER = SHARED / "peers" / "extraction_f1.py"


def test_page_rates_of_texts_count_shingles_as_often_as_they_are() -> None:
    rates = page_rates("a b c d a b c d", "a b c d x")  # shingles: 5, of which abcd twice; 2
    assert rates == Rates(1 / 6, 1 / 6, 4 / 6)


def test_page_rates_of_few_words_take_them_as_one_shingle() -> None:
    assert page_rates("one two", "one, two!") == Rates(1.0, 0.0, 0.0)
    assert page_rates("one two", "one two three") == Rates(0.0, 0.5, 0.5)
    assert page_rates("", "") == Rates(0.0, 0.0, 0.0)
    assert not shingles(" .,")


def test_page_rates_of_snippets_count_those_in_the_text() -> None:
    gold = Snippets(("first", "second"), ("menu",))
    assert page_rates(gold, "the first part and the menu") == Rates(1 / 3, 1 / 3, 1 / 3)
    assert page_rates(gold, "") == Rates(0.0, 0.0, 1.0)


def test_score_of_mean_rates_has_precision_and_recall_of_these() -> None:
    found = score([Rates(1.0, 0.0, 0.0), Rates(0.0, 0.5, 0.5)])
    assert (found.num_pages, found.precision, found.recall) == (2, 2 / 3, 2 / 3)
    assert found.f1 == pytest.approx(2 / 3)
    assert score([]).f1 == 0.0


@pytest.mark.skipif(not PEER.is_file(), reason="the shared scorer is not beside the project")
def test_page_rates_of_random_texts_are_those_of_the_shared_scorer() -> None:
    spec = importlib.util.spec_from_file_location("extraction_f1", PEER)
    assert spec is not None and spec.loader is not None
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    rng = random.Random(7)
    words = ["a", "b", "c", "d", "é_1", "汉字", "--", "it's"]
    for _ in range(300):
        gold, text = (" ".join(rng.choices(words, k=rng.randrange(40))) for _ in range(2))
        snippets = {"with": rng.choices(["a b", "c", "汉"], k=2), "without": rng.choices(["d a", "it"], k=1)}
        as_ours = Snippets(tuple(snippets["with"]), tuple(snippets["without"]))
        for theirs, ours in ((gold, gold), (snippets, as_ours)):
            rates = page_rates(ours, text)
            assert (rates.both, rates.text_alone, rates.gold_alone) == peer.page_rates(theirs, text)
