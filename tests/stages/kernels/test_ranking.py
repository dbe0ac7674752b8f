from __future__ import annotations

import math

import numpy as np
import pytest

from stages.kernels.ranking import auc, average_precision, precision_recall


def pairs_won(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """AUC by counting all pairs."""
    won = [
        1.0 if p > n else 0.5 if p == n else 0.0 for p in score_N[positive_N] for n in score_N[~positive_N]
    ]  # fmt: skip
    return sum(won) / len(won)


def precision_steps(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """Average precision by one pass over the distinct thresholds, from high to low."""
    total = recall_before = 0.0
    for threshold in sorted(set(score_N.tolist()), reverse=True):
        precision, recall, _ = precision_recall(score_N, positive_N, threshold)
        total += (recall - recall_before) * precision
        recall_before = recall
    return total


@pytest.mark.parametrize("num_values", [2, 5, 50, 10**6])
def test_auc_random_scores_with_ties_equals_pair_count(num_values: int) -> None:
    random = np.random.default_rng(num_values)
    for _ in range(20):
        score_N = random.integers(0, num_values, 60) / num_values
        positive_N = random.random(60) < 0.3
        positive_N[0], positive_N[1] = True, False
        assert auc(score_N, positive_N) == pytest.approx(pairs_won(score_N, positive_N), abs=1e-12)
        assert average_precision(score_N, positive_N) == pytest.approx(precision_steps(score_N, positive_N), abs=1e-12)


def test_auc_perfect_and_reversed_order_are_one_and_zero() -> None:
    score_N, positive_N = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert auc(score_N, positive_N) == 1.0 and auc(-score_N, positive_N) == 0.0
    assert average_precision(score_N, positive_N) == 1.0


def test_auc_one_class_only_is_nan() -> None:
    assert math.isnan(auc(np.array([0.5, 0.6]), np.array([True, True])))
    assert math.isnan(average_precision(np.array([0.5]), np.array([False])))


def test_precision_recall_nothing_called_is_zero() -> None:
    assert precision_recall(np.array([0.1, 0.2]), np.array([True, False]), 0.5) == (0.0, 0.0, 0.0)
