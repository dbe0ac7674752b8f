"""Converted trees beside CatBoost's own predictions; the same trees again, and on other numbers of threads."""

from __future__ import annotations

import numpy as np
import pytest

from stages.html.judging import sums_of
from stages.html.training import boosting
from stages.html.training.settings import TreeSettings
from stages.kernels.html_trees import SCALE

SETTINGS = TreeSettings(iterations=30)


def problem(num_blocks: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    features = rng.integers(0, 256, (num_blocks, 9)).astype(np.uint8)
    features[:, 3] = rng.integers(0, 2, num_blocks)
    features[:, 4] = 7
    logit = features[:, 0] / 40 - features[:, 1] / 60 + 2.0 * features[:, 3] - 2
    label_B = np.clip(1 / (1 + np.exp(-logit)) + rng.normal(0, 0.1, num_blocks), 0, 1).astype(np.float32)
    return features, label_B, rng.uniform(0.1, 3, num_blocks)


def test_to_trees_sums_are_catboosts_logits_up_to_rounding() -> None:
    features, label_B, weight_B = problem()
    model = boosting.fit(features, label_B, weight_B, SETTINGS, seed=0)
    other = np.random.default_rng(6).integers(0, 256, (5000, 9)).astype(np.uint8)
    logits = model.predict(other.astype(np.float32), prediction_type="RawFormulaVal")
    sums = sums_of(boosting.to_trees(model), other)
    assert np.ptp(logits) > 1
    assert np.abs(sums - logits * SCALE).max() <= 0.5 * (SETTINGS.iterations + 1)


@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_learn_trees_on_any_number_of_threads_are_the_same(monkeypatch: pytest.MonkeyPatch, num_threads: int) -> None:
    expected = boosting.learn_trees(*problem(), SETTINGS, seed=0)
    monkeypatch.setattr(boosting, "NUM_THREADS", num_threads)
    found = boosting.learn_trees(*problem(), SETTINGS, seed=0)
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(expected, found, strict=True))


def test_learn_trees_of_another_seed_are_others() -> None:
    first, second = (boosting.learn_trees(*problem(), SETTINGS, seed=seed) for seed in (0, 1))
    assert not np.array_equal(first.leaf, second.leaf)
