"""The model's three tables of weights: class words and tags on a block's path, its words, what a short block announces.

Reads:  Examples and which blocks may be learned from
Writes: Tables
Cost:   about 5 s for 4,000 pages
Source: logistic.py; which features they give: stages/kernels/html_structure.py, html_word_sums.py
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.html.model import TABLES
from stages.html.training.examples import Examples
from stages.html.training.logistic import learn_weights
from stages.html.training.settings import Settings
from stages.kernels.html_word_sums import SHORT_WORDS

STEPS = 16  # of a logit: the tables are of bytes
MAX_STEP = 127


class Tables(NamedTuple):
    """int8 each, as in Model."""

    structure: np.ndarray
    vocabulary: np.ndarray
    following: np.ndarray


def learn_tables(examples: Examples, rows: np.ndarray, settings: Settings) -> Tables:
    """Learn them from the blocks `rows` (int64, rising), which have labels."""
    site_B = examples.site_P[examples.page_B]
    structure, _ = learn_weights(
        examples.paths, examples.label_B, examples.weight_B, site_B, rows, TABLES["structure"], False,
        settings.structure, settings.seed,
    )  # fmt: skip
    vocabulary, _ = learn_weights(
        examples.words, examples.label_B, examples.weight_B, site_B, rows, TABLES["vocabulary"], True,
        settings.vocabulary, settings.seed,
    )  # fmt: skip
    announcing_B = _announcing(examples)
    following, _ = learn_weights(
        examples.words, following_labels(examples, settings.following_blocks),
        _even_weights(announcing_B, examples, settings.page_weight), site_B, rows[announcing_B[rows]],
        TABLES["following"], True, settings.following, settings.seed,
    )  # fmt: skip
    return Tables(*(in_steps(weights) for weights in (structure, vocabulary, following)))


def in_steps(weights: np.ndarray) -> np.ndarray:
    """int8: logits to sixteenths."""
    return np.clip(np.round(weights * STEPS), -MAX_STEP, MAX_STEP).astype(np.int8)


def following_labels(examples: Examples, num_blocks: int) -> np.ndarray:
    """float64[B]: the mean label of the next blocks of the same page, weighted by length; 0 where none is known."""
    known_B = ~np.isnan(examples.label_B)
    lengths_B = np.where(known_B, np.maximum(examples.half_words_B, 1), 0).astype(np.float64)
    lengths = np.concatenate(([0.0], np.cumsum(lengths_B)))
    masses = np.concatenate(([0.0], np.cumsum(lengths_B * np.nan_to_num(examples.label_B.astype(np.float64)))))
    num_pages = len(examples.fold_P)
    end_P = np.searchsorted(examples.page_B, np.arange(1, num_pages + 1))
    first_B = np.arange(1, len(known_B) + 1)
    last_B = np.minimum(first_B + num_blocks, end_P[examples.page_B])
    length_B = lengths[last_B] - lengths[first_B]
    labels_B: np.ndarray = (masses[last_B] - masses[first_B]) / np.where(length_B > 0, length_B, 1.0)
    return np.clip(labels_B, 0.0, 1.0)


def _announcing(examples: Examples) -> np.ndarray:
    """bool[B]: blocks that are short enough, of pages where all labels are known: snippets name few neighbours."""
    num_words_B = np.diff(examples.words.starts_B) // 2
    short_B: np.ndarray = (num_words_B > 0) & (num_words_B <= SHORT_WORDS) & ~np.isnan(examples.label_B)
    return short_B & examples.whole_P[examples.page_B]


def _even_weights(chosen_B: np.ndarray, examples: Examples, page_weight: float) -> np.ndarray:
    """float64[B]: every page's weight, divided evenly among its chosen blocks."""
    total_P = np.bincount(examples.page_B, chosen_B, len(examples.fold_P))
    weights_B: np.ndarray = page_weight * chosen_B / np.maximum(total_P, 1)[examples.page_B]
    return weights_B
