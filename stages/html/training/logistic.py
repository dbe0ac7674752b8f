"""Logistic regression on bags of hashed tokens, one block at a time.

Reads:  bags, labels between 0 and 1, weights
Writes: float64: a weight per bucket of the hashes
Cost:   about 15 ns per token and epoch
Source: AdaGrad: Duchi et al. 2011, "Adaptive Subgradient Methods"; hashing: Weinberger et al. 2009
"""

from __future__ import annotations

import numpy as np

from stages.html.training.examples import Bags
from stages.html.training.settings import TableSettings
from stages.kernels.compiled import kernel

START_BIAS = -1.0  # four blocks in five are no main text
START_SQUARES = 0.1  # of AdaGrad's sums: the first steps are bounded by rate times gradient over its root


def learn_weights(
    bags: Bags, label_B: np.ndarray, weight_B: np.ndarray, site_B: np.ndarray, rows: np.ndarray, num_buckets: int,
    by_root: bool, settings: TableSettings, seed: int,
) -> tuple[np.ndarray, float]:  # fmt: skip
    """(float64[num_buckets], bias) learned on the blocks `rows` (int64, rising; `site_B` int32 rises with them). The
    logit of a block is the bias plus its tokens' weights, their sum divided by the root of their number if `by_root`.
    `num_buckets` is a power of two. The same on any number of threads: there is one."""
    allowed = num_sites(bags.hashes, bags.starts_B, site_B, rows, num_buckets) >= settings.min_sites
    order = np.random.default_rng(seed).permutation(rows)
    weights = np.zeros(num_buckets)
    bias = _descend(
        bags.hashes, bags.starts_B, label_B.astype(np.float64), weight_B, order, by_root, allowed, settings.epochs,
        settings.rate, settings.l2, weights,
    )  # fmt: skip
    return weights, bias


@kernel
def num_sites(
    hashes: np.ndarray, starts_B: np.ndarray, site_B: np.ndarray, rows: np.ndarray, num_buckets: int
) -> np.ndarray:
    """int32[num_buckets]: how many sites have a token there, of `rows` in which each site's stand together."""
    mask = np.uint32(num_buckets - 1)
    last, count = np.full(num_buckets, -1, np.int32), np.zeros(num_buckets, np.int32)
    for b in rows:
        for k in range(starts_B[b], starts_B[b + 1]):
            bucket = hashes[k] & mask
            if last[bucket] != site_B[b]:
                last[bucket] = site_B[b]
                count[bucket] += 1
    return count


@kernel
def _descend(
    hashes: np.ndarray, starts_B: np.ndarray, label_B: np.ndarray, weight_B: np.ndarray, order: np.ndarray,
    by_root: bool, allowed: np.ndarray, epochs: int, rate: float, l2: float, weights: np.ndarray,
) -> float:  # fmt: skip
    """Fill `weights`, zeros so far; the bias."""
    mask = np.uint32(len(weights) - 1)
    squares = np.full(len(weights), START_SQUARES)
    bias, bias_squares = START_BIAS, START_SQUARES
    for _ in range(epochs):
        for b in order:
            first, end = starts_B[b], starts_B[b + 1]
            if first == end:
                continue
            value = 1.0 / np.sqrt(end - first) if by_root else 1.0
            logit = bias
            for k in range(first, end):
                logit += weights[hashes[k] & mask] * value
            gradient = (1.0 / (1.0 + np.exp(-logit)) - label_B[b]) * weight_B[b]
            bias_squares += gradient * gradient
            bias -= rate * gradient / np.sqrt(bias_squares)
            for k in range(first, end):
                bucket = hashes[k] & mask
                if allowed[bucket]:
                    slope = (gradient + l2 * weight_B[b] * weights[bucket]) * value
                    squares[bucket] += slope * slope
                    weights[bucket] -= rate * slope / np.sqrt(squares[bucket])
    return bias
