"""Attribution against Shapley's own formula, and that its sums are the logit; words against the kernel's hashes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from stages.html.explaining import ABOUT, ALONE_BLOCKS, GROUPS, credits, explain, group_weights
from stages.html.explaining_words import weigh_words, words_of
from stages.html.judging import first_stage, sums_of
from stages.html.model import TABLES
from stages.html.scanning import scan
from stages.kernels import utf8
from stages.kernels.html_second import FEATURE_NAMES, NUM_FEATURES
from stages.kernels.html_trees import DEPTH, NUM_LEAVES, SCALE, Trees
from stages.kernels.html_words import FIRST_WORD
from tests.stages.html.random_model import random_trees


def shapley(leaf_L: np.ndarray, odds_D: np.ndarray, leaf: int) -> list[float]:
    """By the definition: the mean over all orders of what knowing one more answer changes."""

    def expected(known: frozenset[int]) -> float:
        total = 0.0
        for other in range(NUM_LEAVES):
            if all((other ^ leaf) >> d & 1 == 0 for d in known):
                free = [d for d in range(DEPTH) if d not in known]
                total += leaf_L[other] * math.prod(odds_D[d] if other >> d & 1 else 1 - odds_D[d] for d in free)
        return total

    subsets = {
        frozenset(s): expected(frozenset(s)) for k in range(DEPTH + 1) for s in itertools.combinations(range(DEPTH), k)
    }
    values = []
    for d in range(DEPTH):
        value = 0.0
        for known, before in subsets.items():
            if d not in known:
                share = math.factorial(len(known)) * math.factorial(DEPTH - len(known) - 1) / math.factorial(DEPTH)
                value += share * (subsets[known | {d}] - before)
        values.append(value)
    return values


def test_credits_random_tree_are_the_shapley_values_of_its_questions() -> None:
    rng = np.random.default_rng(3)
    leaf_TL, odds_TD = rng.normal(size=(2, NUM_LEAVES)), rng.random((2, DEPTH))
    means_T, credits_TLD = credits(leaf_TL, odds_TD)
    for t, leaf in ((0, 0), (0, 37), (1, 63)):
        assert credits_TLD[t, leaf] == pytest.approx(shapley(leaf_TL[t], odds_TD[t], leaf))
    assert credits_TLD.sum(axis=2) + means_T[:, None] == pytest.approx(leaf_TL)


@pytest.mark.parametrize("num_blocks", [1, 2, 700])
def test_explain_random_trees_contributions_and_base_sum_up_to_the_logit(num_blocks: int) -> None:
    rng = np.random.default_rng(num_blocks)
    trees = random_trees(rng, 40, NUM_FEATURES)
    features = rng.integers(0, 256, (num_blocks, NUM_FEATURES), np.uint8)
    shown_S = np.arange(0, num_blocks, 2)
    found = explain(trees, features, shown_S)
    assert found.by_group_SG.shape == (len(shown_S), len(GROUPS))
    assert found.base + found.by_group_SG.sum(axis=1) == pytest.approx(sums_of(trees, features)[shown_S] / SCALE)


def test_explain_one_question_is_credited_to_its_group_alone() -> None:
    leaf = np.zeros((1, NUM_LEAVES), np.int16)
    leaf[0, 1::2] = SCALE  # one logit where level 0 is answered by yes
    feature = np.full((1, DEPTH), FEATURE_NAMES.index("length"), np.int16)
    feature[0, 0] = FEATURE_NAMES.index("link_share")
    trees = Trees(feature, np.full((1, DEPTH), 100, np.uint8), leaf, -SCALE)
    features = np.zeros((8, NUM_FEATURES), np.uint8)
    features[:2, feature[0, 0]] = 101
    found = explain(trees, features, np.arange(8))
    odds = (2 + ALONE_BLOCKS / 2) / (8 + ALONE_BLOCKS)
    links = list(GROUPS).index("links")
    assert found.base == pytest.approx(odds - 1)
    assert found.by_group_SG[:, links] == pytest.approx([1 - odds] * 2 + [-odds] * 6)
    assert np.abs(np.delete(found.by_group_SG, links, axis=1)).max() < 1e-12


def test_explain_no_blocks_is_empty() -> None:
    trees = random_trees(np.random.default_rng(1), 3, NUM_FEATURES)
    found = explain(trees, np.zeros((0, NUM_FEATURES), np.uint8), np.zeros(0, np.int64))
    assert found.by_group_SG.shape == (0, len(GROUPS)) and np.isfinite(found.base)


def test_groups_name_every_feature_and_no_other() -> None:
    named = [name for names in GROUPS.values() for name in names.split()]
    assert set(named) == set(FEATURE_NAMES)
    assert len(named) == len(FEATURE_NAMES) + 1  # words_and_structure counts for both
    assert GROUPS.keys() == ABOUT.keys()
    assert group_weights().sum(axis=1) == pytest.approx(1)


TEXTS = (
    "The Queen's 3rd speech, in 1992: naïve—or not?", "中国新闻社北京电：カタカナ and more 中",
    "한국어 뉴스 기사입니다.", "x", "؟ \u202eمرحبا بالعالم", "e\u0301 ½ … ©2024 a|b", "1,000,000 $ (ABC-def_ghi)",
)  # fmt: skip


def test_words_of_many_scripts_are_those_the_kernel_hashes() -> None:
    """As many words, and equal words have equal hashes."""
    pages = utf8.padded(utf8.view(pa.array(["".join(f"<p>{text} end {text}" for text in TEXTS)], pa.large_string())))
    found = scan(pages)
    tables = [np.zeros(size, np.int8) for size in TABLES.values()]
    of = first_stage(pages, found, *tables)
    first_B = of.counts[:, FIRST_WORD]
    for b, text in enumerate(TEXTS[:-1]):
        words = words_of(found.rows.text[slice(*found.rows.blocks[b, :2])].tobytes().decode())
        assert first_B[b + 1] - first_B[b] == len(words), text
        hashes = of.words[first_B[b] : first_B[b + 1]]
        lowered = ["".join(chr(ord(c) | 32) if "A" <= c <= "Z" else c for c in word) for word in words]
        assert len(set(zip(lowered, hashes.tolist(), strict=True))) == len(set(lowered)) == len(set(hashes.tolist()))


def test_weigh_words_finds_the_words_and_pairs_with_weights() -> None:
    vocabulary = np.zeros(1 << 18, np.int8)
    hashes = np.array([11, 22, 33, 44], np.uint32)
    mask = (1 << 18) - 1
    vocabulary[22], vocabulary[33] = 16, -32
    vocabulary[(33 * 0xC2B2AE35 & 0xFFFFFFFF ^ 44) & mask] = 40
    most, least = weigh_words("One two, three four", hashes, vocabulary)
    assert most == [("three four", 2.5), ("two", 1.0)]
    assert least == [("three", -2.0)]
    vocabulary[(22 * 0xC2B2AE35 & 0xFFFFFFFF ^ 33) & mask] = -100
    assert weigh_words("新闻社", hashes[:3], vocabulary)[1][0] == ("新闻社", -8.25)
    assert weigh_words("", hashes[:0], vocabulary) == ((), ())
