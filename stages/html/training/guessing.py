"""Labels for blocks that the gold says nothing of: what a first model, which has not seen their site, thinks of them.

Reads:  Examples, that model's logits
Writes: Examples with more labels
Cost:   none beside the first model's
Source: self-training: Yarowsky 1995, "Unsupervised Word Sense Disambiguation Rivaling Supervised Methods"

Pages with snippets for gold are known in three or four blocks of a hundred; pages without gold are in languages that
have none. The surer the first model is of a block, the more its guess weighs.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stages.html.training.examples import Examples, page_weights
from stages.html.training.settings import Settings
from stages.kernels.html_trees import SCALE


def with_guesses(examples: Examples, logit_B: np.ndarray, learned_B: np.ndarray, settings: Settings) -> Examples:
    """Fill unknown labels of `learned_B` (bool: blocks that may be learned from) from `logit_B` int32, in 1/SCALE."""
    unknown_B = np.isnan(examples.label_B) & learned_B
    guess_B = 1 / (1 + np.exp(-logit_B / SCALE))
    sure_B = np.abs(2 * guess_B - 1)
    num_pages = len(examples.fold_P)
    even_B = page_weights(
        np.where(unknown_B, 0.0, np.nan), examples.half_words_B, examples.page_B, num_pages, settings
    )  # fmt: skip
    return replace(
        examples,
        label_B=np.where(unknown_B, guess_B, examples.label_B).astype(np.float32),
        weight_B=np.where(unknown_B, settings.guess_weight * sure_B * even_B, examples.weight_B),
    )


def sampled(rows: np.ndarray, examples: Examples, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Some of the blocks `rows` (int64, rising) and their weights: of pages with more than `most_blocks` about as many,
    chosen at random, each for the others of its page; blocks of much weight always."""
    weight_N, page_N = examples.weight_B[rows], examples.page_B[rows]
    num_blocks_P = np.bincount(page_N, minlength=len(examples.fold_P))
    share_N = np.minimum(1.0, settings.most_blocks / np.maximum(num_blocks_P, 1))[page_N]
    draw_N = np.random.default_rng(settings.seed).random(len(examples.label_B))[rows]
    heavy_N = weight_N > settings.page_weight / settings.most_blocks
    taken_N = (draw_N < share_N) | heavy_N
    weight_N = np.where(heavy_N, weight_N, weight_N / share_N)
    return rows[taken_N], weight_N[taken_N]
