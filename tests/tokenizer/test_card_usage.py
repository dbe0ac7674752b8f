"""tokenizer/card_usage.py: entropies against their definitions summed one by one, and against published values."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.card_usage import ALPHA, NUM_POINTS, efficiency, rank_frequency, seen

COUNTS = st.lists(st.integers(0, 10**12), min_size=2, max_size=60)


@given(COUNTS)
def test_efficiency_any_counts_is_the_definition(counts: list[int]) -> None:
    found = efficiency(np.array(counts, np.int64))
    total = sum(counts)
    if not total:
        assert found["renyi_efficiency"] is found["shannon_efficiency"] is None
        return
    p = [n / total for n in counts if n]
    renyi = math.log2(sum(x**ALPHA for x in p)) / (1 - ALPHA)
    shannon = -sum(x * math.log2(x) for x in p)
    assert found["renyi_entropy_bits"] == pytest.approx(renyi, abs=1e-4)
    assert found["shannon_entropy_bits"] == pytest.approx(shannon, abs=1e-4)
    assert found["renyi_efficiency"] == pytest.approx(renyi / math.log2(len(counts)), abs=1e-4)
    assert found["shannon_efficiency"] == pytest.approx(shannon / math.log2(len(counts)), abs=1e-4)
    assert (found["renyi_efficiency"] or 0) <= (found["shannon_efficiency"] or 0) + 1e-4


@pytest.mark.parametrize(
    "text, renyi, shannon",
    [
        ("pick @@ed pick @@l @@ed pick @@les", 0.8265064834225245, 0.9211854965885544),
        ("pick @@e @@d pick @@l @@e @@d pick @@l @@e @@s", 0.9204840242168808, 0.9609557933859342),
    ],
)
def test_efficiency_is_that_of_tokenization_scorer(text: str, renyi: float, shannon: float) -> None:
    """What the package of the paper's authors gives for its examples; its vocabulary is what occurs."""
    found = efficiency(np.array(list(Counter(text.split()).values()), np.int64))
    assert (found["renyi_efficiency"], found["shannon_efficiency"]) == (round(renyi, 4), round(shannon, 4))


def test_efficiency_equal_counts_are_one_and_unused_entries_cost() -> None:
    assert efficiency(np.full(64, 7, np.int64))["renyi_efficiency"] == 1
    assert efficiency(np.array([7] * 64 + [0] * 192, np.int64))["renyi_efficiency"] == 0.75  # 6 bits of 8
    assert efficiency(np.array([5, 0], np.int64))["renyi_entropy_bits"] == 0


@given(st.lists(st.integers(0, 10**6), max_size=2000))
def test_rank_frequency_points_are_on_the_sorted_counts(counts: list[int]) -> None:
    found = rank_frequency(np.array(counts, np.int64))
    ordered = sorted((n for n in counts if n), reverse=True)
    assert len(found["rank"]) <= NUM_POINTS
    assert found["occurrences"] == [ordered[rank - 1] for rank in found["rank"]]
    assert found["rank"] == sorted(set(found["rank"]))
    if ordered:
        assert found["rank"][0] == 1 and found["rank"][-1] == len(ordered)


def test_seen_classes_hold_every_learned_entry_once() -> None:
    count_V = np.array([50, 0, 0, 1, 9, 10, 99, 100, 999, 1000, 5000], np.int64)
    found = seen(count_V, np.arange(1, 11))
    assert [row["entries"] for row in found["classes"]] == [2, 2, 2, 2, 2]
    assert found["tokens"] == 7268 and found["never_seen_is_rarer_than"] == float(f"{3 / 7268:.3g}")
    assert found["classes"][1] == {
        "from": 1, "to": 9, "entries": 2, "share_of_vocabulary": round(2 / 11, 4),
        "share_of_tokens": round(10 / 7268, 4),
    }  # fmt: skip
    assert seen(np.zeros(3, np.int64), np.arange(3))["never_seen_is_rarer_than"] is None
