"""The logistic regression beside scipy's minimum of the same objective."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped]

from stages.html.training.examples import Bags
from stages.html.training.logistic import learn_weights, num_sites
from stages.html.training.settings import TableSettings

NUM_BUCKETS = 16
L2 = 0.05


def problem(num_blocks: int = 60) -> tuple[Bags, np.ndarray, np.ndarray, np.ndarray]:
    """Bags of one to five tokens, labels between 0 and 1 that the first buckets make likely, weights, sites."""
    rng = np.random.default_rng(3)
    sizes = rng.integers(1, 6, num_blocks)
    starts_B = np.concatenate(([0], np.cumsum(sizes)))
    hashes = rng.integers(0, 1 << 32, starts_B[-1], dtype=np.uint32)
    share = np.array([(hashes[a:b] % NUM_BUCKETS < 8).mean() for a, b in pairwise(starts_B)])
    label_B = np.clip(share + rng.normal(0, 0.2, num_blocks), 0, 1)
    return Bags(hashes=hashes, starts_B=starts_B), label_B, rng.uniform(0.2, 2, num_blocks), np.arange(num_blocks) // 3


def objective(values: np.ndarray, bags: Bags, label_B: np.ndarray, weight_B: np.ndarray, by_root: bool) -> float:
    weights, bias, total = values[:-1], values[-1], 0.0
    for b, (first, end) in enumerate(pairwise(bags.starts_B)):
        of_block = weights[bags.hashes[first:end] % NUM_BUCKETS]
        value = 1 / np.sqrt(end - first) if by_root else 1.0
        logit = bias + value * of_block.sum()
        loss = np.logaddexp(0, logit) - label_B[b] * logit
        total += weight_B[b] * (loss + L2 / 2 * value * (of_block**2).sum())
    return total


def test_learn_weights_given_many_epochs_reach_the_minimum_scipy_finds() -> None:
    bags, label_B, weight_B, site_B = problem()
    for by_root in (False, True):
        settings = TableSettings(min_sites=1, epochs=3000, rate=0.1, l2=L2)
        rows = np.arange(len(label_B))
        weights, bias = learn_weights(
            bags, label_B, weight_B, site_B.astype(np.int32), rows, NUM_BUCKETS, by_root, settings, seed=0
        )
        arguments = (bags, label_B, weight_B, by_root)
        best = minimize(objective, np.zeros(NUM_BUCKETS + 1), args=arguments).x
        found = np.append(weights, bias)
        assert objective(found, *arguments) < objective(best, *arguments) * 1.001
        assert np.abs(found - best).max() < 0.1


def test_learn_weights_of_buckets_few_sites_have_are_zero() -> None:
    bags, label_B, weight_B, site_B = problem()
    rows = np.arange(0, len(label_B), 2)
    sites = [set[int]() for _ in range(NUM_BUCKETS)]
    for b in rows:
        for k in range(bags.starts_B[b], bags.starts_B[b + 1]):
            sites[bags.hashes[k] % NUM_BUCKETS].add(int(site_B[b]))
    counts = [len(each) for each in sites]
    found = num_sites(bags.hashes, bags.starts_B, site_B.astype(np.int32), rows, NUM_BUCKETS)
    assert found.tolist() == counts
    least = sorted(counts)[NUM_BUCKETS // 2]
    settings = TableSettings(min_sites=least, rate=0.1)
    weights, _ = learn_weights(
        bags, label_B, weight_B, site_B.astype(np.int32), rows, NUM_BUCKETS, True, settings, seed=0
    )
    assert [weight != 0 for weight in weights] == [count >= least for count in counts]


def test_learn_weights_of_empty_bags_change_nothing() -> None:
    bags = Bags(hashes=np.zeros(0, np.uint32), starts_B=np.zeros(4, np.int64))
    settings = TableSettings(min_sites=1, rate=0.1)
    weights, _ = learn_weights(
        bags, np.ones(3), np.ones(3), np.zeros(3, np.int32), np.arange(3), NUM_BUCKETS, True, settings, seed=0
    )
    assert not weights.any()
