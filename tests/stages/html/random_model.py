"""A model of main text that has learned nothing, for tests that need one of the right form."""

from __future__ import annotations

import numpy as np

from stages.html.model import TABLES, Model
from stages.kernels.html_second import NUM_FEATURES, NUM_FIRST
from stages.kernels.html_trees import DEPTH, NUM_LEAVES, Trees


def random_trees(rng: np.random.Generator, num_trees: int, num_features: int) -> Trees:
    return Trees(
        rng.integers(0, num_features, (num_trees, DEPTH)).astype(np.int16),
        rng.integers(0, 256, (num_trees, DEPTH)).astype(np.uint8),
        rng.integers(-3000, 3000, (num_trees, NUM_LEAVES)).astype(np.int16),
        int(rng.integers(-4000, 4000)),
    )


def random_model(seed: int, num_trees: int = 20) -> Model:
    rng = np.random.default_rng(seed)
    tables = {name: rng.integers(-20, 21, size).astype(np.int8) for name, size in TABLES.items()}
    return Model(
        **tables, first=random_trees(rng, num_trees, NUM_FIRST), second=random_trees(rng, num_trees, NUM_FEATURES),
        threshold=-2048, about={},
    )  # fmt: skip
