"""Boosted trees over bytes: many blocks compared at once, sums in whole numbers.

Reads:  features uint8[B, F]; trees of DEPTH splits each, one split per level
Writes: int32[B]: sums of leaves, in 1/SCALE of a logit
Cost:   about 1.5 ns a block and tree
Source: symmetric trees: Prokhorenkova et al. 2018, "CatBoost" (arXiv 1706.09516). Whole numbers, so that the order of
        adding does not matter and every machine has the same sums
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.kernels.compiled import kernel

DEPTH = 6
NUM_LEAVES = 1 << DEPTH
SCALE = 4096
LANES = 64  # blocks at a time: a vector of bytes


class Trees(NamedTuple):
    """T trees. Level d of tree t asks whether feature[t, d] > threshold[t, d]; the answers are the leaf's number, level
    0 its lowest bit. `feature` int16[T, DEPTH], `threshold` uint8[T, DEPTH], `leaf` int16[T, NUM_LEAVES] in 1/SCALE,
    `bias` int32 too."""

    feature: np.ndarray
    threshold: np.ndarray
    leaf: np.ndarray
    bias: int


@kernel
def sum_trees(
    features: np.ndarray, feature: np.ndarray, threshold: np.ndarray, leaf: np.ndarray, bias: int, sums: np.ndarray
) -> None:  # fmt: skip
    """Fill `sums` int32[B]."""
    num_blocks, num_features = features.shape
    columns = np.zeros((num_features, LANES), np.uint8)
    place, total = np.zeros(LANES, np.uint8), np.zeros(LANES, np.int32)
    for first in range(0, num_blocks, LANES):
        count = min(LANES, num_blocks - first)
        for i in range(count):
            for f in range(num_features):
                columns[f, i] = features[first + i, f]
        total[:] = bias
        for t in range(len(feature)):
            place[:] = 0
            for d in range(DEPTH):
                f, most = feature[t, d], threshold[t, d]
                bit = np.uint8(1 << d)
                for i in range(LANES):
                    place[i] |= bit if columns[f, i] > most else np.uint8(0)
            for i in range(LANES):
                total[i] += leaf[t, place[i]]
        for i in range(count):
            sums[first + i] = total[i]
