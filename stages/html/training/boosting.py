"""Boosted trees: learned by CatBoost, then written as the arrays that stages/kernels/html_trees.py sums.

Reads:  features, labels between 0 and 1, weights
Writes: Trees
Cost:   about 10 s for 250 trees on 600,000 blocks and two cores
Source: Prokhorenkova et al. 2018, "CatBoost" (arXiv 1706.09516); its JSON model:
        https://catboost.ai/docs/en/concepts/json-model-tutorial

Symmetric trees, since one question per level is what the kernel can ask many blocks at once.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import catboost
import numpy as np

from stages.html.training.settings import TreeSettings
from stages.kernels.html_trees import DEPTH, NUM_LEAVES, SCALE, Trees

NUM_THREADS = -1  # all cores; trees were the same, bit for bit, on 1, 2, 3, 8 and 16 threads (CatBoost 1.2.10)
NEVER = 255  # a threshold that no byte is above
_MAX_LEAF = 32767


def learn_trees(
    features: np.ndarray, label_B: np.ndarray, weight_B: np.ndarray, settings: TreeSettings, seed: int
) -> Trees:
    """Learn from uint8[B, F], float32[B] and float64[B]."""
    return to_trees(fit(features, label_B, weight_B, settings, seed))


def fit(
    features: np.ndarray, label_B: np.ndarray, weight_B: np.ndarray, settings: TreeSettings, seed: int
) -> catboost.CatBoostClassifier:
    """CatBoost's own model; its loss is the cross-entropy with labels that may be between 0 and 1."""
    model = catboost.CatBoostClassifier(
        loss_function="CrossEntropy", depth=DEPTH, iterations=settings.iterations,
        learning_rate=settings.learning_rate, l2_leaf_reg=settings.l2_leaf_reg, border_count=settings.border_count,
        rsm=settings.feature_share, bootstrap_type="Bernoulli", subsample=settings.row_share, random_seed=seed,
        thread_count=NUM_THREADS, allow_writing_files=False, verbose=False,
    )  # fmt: skip
    model.fit(features.astype(np.float32), label_B, sample_weight=weight_B)
    return model


def to_trees(model: catboost.CatBoostClassifier) -> Trees:
    """The model's arrays; leaves are rounded to 1/SCALE, thresholds to the byte below, which changes no answer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.json"
        model.save_model(str(file), format="json")
        saved: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    scale, bias = saved["scale_and_bias"]
    num_trees = len(saved["oblivious_trees"])
    feature = np.zeros((num_trees, DEPTH), np.int16)
    threshold = np.full((num_trees, DEPTH), NEVER, np.uint8)
    leaf = np.zeros((num_trees, NUM_LEAVES), np.int16)
    for t, tree in enumerate(saved["oblivious_trees"]):
        for level, split in enumerate(tree["splits"] or ()):
            feature[t, level], threshold[t, level] = split["float_feature_index"], int(np.floor(split["border"]))
        values = np.round(np.array(tree["leaf_values"]) * scale * SCALE)
        leaf[t, : len(values)] = np.clip(values, -_MAX_LEAF, _MAX_LEAF)
    return Trees(feature, threshold, leaf, round((bias[0] if isinstance(bias, list) else bias) * SCALE))
