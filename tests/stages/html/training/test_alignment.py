"""Words of blocks matched with gold text: against a plain search over all matches, and cases worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.html.training import alignment
from stages.html.training.alignment import align, match_words, matched_words
from stages.html.training.word_runs import NONE, OPEN, WORD, extend_runs, match_runs

ARTICLE = (
    "The harbour was closed on Monday after a crane fell across its only gate.",
    "Nobody was hurt, the port authority said, and ferries will leave from the old pier.",
    "Repairs are expected to last until the end of the month at the least.",
)
words = st.lists(st.integers(-1, 3), max_size=9)
gold_words = st.lists(st.integers(0, 3), max_size=8)


def score(matched: Sequence[int]) -> int:
    """By the definition in word_runs.py, with a gap cost of 1 per word."""
    places = [n for n, m in enumerate(matched) if m != NONE]
    runs = sum(k == 0 or n != places[k - 1] + 1 or matched[n] != matched[n - 1] + 1 for k, n in enumerate(places))
    skipped = places[-1] - places[0] + 1 - len(places) if places else 0
    return len(places) * WORD - runs * OPEN - skipped


def best_score(page: Sequence[int], gold: Sequence[int], matched: tuple[int, ...] = ()) -> int:
    """Of all increasing matches, one by one."""
    if len(matched) == len(page):
        return score(matched)
    last = max(matched, default=NONE)
    choices = [m for m in range(last + 1, len(gold)) if gold[m] == page[len(matched)]]
    return max(best_score(page, gold, (*matched, m)) for m in (NONE, *choices))


def test_match_runs_any_words_score_as_high_as_the_best_of_all_matches() -> None:
    @settings(max_examples=300, deadline=None)
    @given(words, gold_words)
    def check(page: list[int], gold: list[int]) -> None:
        found = match_runs(np.array(page, np.int32), np.ones(len(page), np.int32), np.array(gold, np.int32)).tolist()
        pairs = [(n, m) for n, m in enumerate(found) if m != NONE]
        assert all(page[n] == gold[m] for n, m in pairs)
        assert all(m0 < m1 for (_, m0), (_, m1) in pairwise(pairs))
        assert score(found) == best_score(page, gold)

    check()


def test_match_words_with_long_gaps_taken_together_scores_as_match_runs() -> None:
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from([-1, -1, -1, 0, 1, 2]), max_size=40), gold_words)
    def check(page: list[int], gold: list[int]) -> None:
        page_W, gold_M = np.array(page, np.int32), np.array(gold, np.int32)
        whole = match_runs(page_W, np.ones(len(page), np.int32), gold_M)
        assert score(match_words(page_W, gold_M).tolist()) == score(whole.tolist())

    check()


def test_match_words_of_a_large_page_between_anchors_scores_nearly_as_high_as_the_whole_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = random.Random(7)
    vocabulary = [int(draw.paretovariate(0.6)) % 500 for _ in range(3000)]
    gold = vocabulary[400:1100] + vocabulary[1300:2500]
    page = [number if draw.random() > 0.03 else draw.randrange(-1, 500) for number in vocabulary]
    page_W, gold_M = np.array(page, np.int32), np.array(gold, np.int32)
    whole = match_words(page_W, gold_M)
    monkeypatch.setattr(alignment, "_MAX_PAIRS", 10_000)
    between = match_words(page_W, gold_M)
    assert score(between.tolist()) > 0.995 * score(whole.tolist())
    assert (between != NONE).sum() > 1700


def test_match_words_too_repetitive_for_anchors_matches_nothing_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "_MAX_PAIRS", 100)
    found = match_words(np.zeros(1000, np.int32), np.zeros(1000, np.int32))
    assert (found == NONE).all()


def test_extend_runs_from_one_pair_reaches_both_ends_of_the_equal_words() -> None:
    page, gold = np.array([9, 1, 2, 3, 4, 8], np.int32), np.array([1, 2, 3, 4], np.int32)
    matched = np.array([NONE, NONE, 1, NONE, NONE, NONE], np.int64)
    extend_runs(page, gold, matched)
    assert matched.tolist() == [NONE, 0, 1, 2, 3, NONE]


def test_extend_runs_between_two_runs_never_crosses_them() -> None:
    page, gold = np.array([1, 5, 5, 5, 2], np.int32), np.array([1, 5, 2], np.int32)
    matched = np.array([0, NONE, NONE, NONE, 2], np.int64)
    extend_runs(page, gold, matched)
    assert matched.tolist() == [0, 1, NONE, NONE, 2]


def test_matched_words_article_between_boilerplate_matches_the_article_alone() -> None:
    blocks = [
        "Home of the news",
        "Sports and the rest of it",
        *ARTICLE,
        "Read more on the harbour",
        "All rights reserved",
    ]
    num_words, matched = matched_words(blocks, "\n\n".join(ARTICLE))
    assert num_words.tolist() == [4, 6, 14, 15, 14, 5, 3]
    assert matched.tolist() == [0, 0, 14, 15, 14, 0, 0]


def test_matched_words_headline_in_navigation_and_above_the_article_is_matched_above_it() -> None:
    headline = "Harbour closed after crane falls"
    teasers = ["Council meets again", "Rain by the weekend"]
    num_words, matched = matched_words(
        [headline, *teasers, headline, "By Ann Other", *ARTICLE], "\n".join([headline, *ARTICLE])
    )
    assert matched.tolist() == [0, 0, 0, 5, 0, 14, 15, 14]
    assert num_words.sum() == 5 + 3 + 4 + 5 + 3 + 14 + 15 + 14


def test_matched_words_gold_in_another_order_is_found_by_its_shingles() -> None:
    _, matched = matched_words([*ARTICLE], "\n".join([ARTICLE[2], ARTICLE[0], ARTICLE[1]]))
    assert matched.tolist() == [14, 15, 14]


def test_matched_words_paragraph_repeated_on_the_page_is_matched_once() -> None:
    _, matched = matched_words([*ARTICLE, ARTICLE[1]], "\n".join(ARTICLE))
    assert matched.tolist() == [14, 15, 14, 0]


def test_matched_words_chinese_without_spaces_is_matched_by_character() -> None:
    num_words, matched = matched_words(
        ["首頁", "港口於星期一關閉。", "版權所有"], "港口於星期一關閉,渡輪改由舊碼頭出發"
    )
    assert num_words.tolist() == [2, 8, 4]
    assert matched.tolist() == [0, 8, 0]


def test_align_gold_with_question_marks_for_characters_is_compared_in_ascii() -> None:
    blocks = ["Menü", "Der Künstler grüßte müde Gäste höflich für fünf Minuten", "Über uns"]
    found = align(blocks, "Der K?nstler gr??te m?de G?ste h?flich f?r f?nf Minuten")
    assert found.spelling == "ascii"
    assert found.matched_N[1] == found.num_words_N[1]
    assert found.matched_N[[0, 2]].tolist() == [0, 0]


def test_align_gold_in_capitals_is_compared_folded() -> None:
    found = align(["Menu", *ARTICLE], "\n".join(ARTICLE).upper())
    assert (found.spelling, found.gold_share) == ("folded", 1.0)
    assert found.matched_N.tolist() == [0, 14, 15, 14]


def test_align_gold_broken_and_joined_at_line_ends_matches_all_words() -> None:
    gold = "The harbour was closed on Mon\nday after acrane fell across its only gate."
    found = align([*ARTICLE], gold)
    assert found.matched_N.tolist() == [14, 0, 0]
    assert found.gold_share == 1.0


def test_align_without_blocks_or_gold_has_no_matches() -> None:
    assert align([], "gold text").gold_share == 0.0
    assert align(["a block", ""], "").matched_N.tolist() == [0, 0]
    assert align(["a block", ""], "").num_words_N.tolist() == [2, 0]
