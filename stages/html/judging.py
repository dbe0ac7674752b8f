"""How likely every block of a page is main text: features, the first stage's trees, features again, the second's.

Reads:  a scan, the model
Writes: Judged
Cost:   about 1 us a block
Source: docs/design.md, "Main text"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.html.model import Model
from stages.html.scanning import Scan
from stages.kernels.html_pages import fill_second_features, first_features, likelihoods
from stages.kernels.html_second import NUM_FEATURES, NUM_FIRST
from stages.kernels.html_structure import NUM_PATH
from stages.kernels.html_totals import NUM_TOTALS
from stages.kernels.html_trees import SCALE, Trees, sum_trees
from stages.kernels.html_words import NUM_COUNTS
from stages.kernels.utf8 import Utf8

# Below this the second stage is not asked: of 387,000 such blocks of 4,162 pages it would have kept two.
HOPELESS = -9 * SCALE // 2


@dataclass(frozen=True, kw_only=True)
class Features:
    """Of B blocks: `counts` int32[B, NUM_COUNTS], `words` uint32 (their hashes), `features` uint8[B, NUM_FEATURES], of
    which the first stage's are filled; and what the second stage needs of the first's work."""

    counts: np.ndarray
    words: np.ndarray
    features: np.ndarray
    path: np.ndarray
    totals: np.ndarray
    common: np.ndarray
    alike_slot_B: np.ndarray
    num_slots: int


@dataclass(frozen=True, kw_only=True)
class Judged:
    """`logit_B` int32, in 1/SCALE of html_trees; `first_logit_B`: of the first stage, the same below HOPELESS;
    the features of both stages."""

    logit_B: np.ndarray
    first_logit_B: np.ndarray
    of: Features


def first_stage(
    pages: Utf8, scan: Scan, structure: np.ndarray, vocabulary: np.ndarray, following: np.ndarray
) -> Features:
    """The features that need no probabilities. The tables as in Model."""
    num_blocks, num_elements = len(scan.rows.blocks), len(scan.rows.elements)
    most = int(np.diff(scan.ends[:, 1]).max(initial=0))
    of = Features(
        counts=np.empty((num_blocks, NUM_COUNTS), np.int32),
        words=np.empty(len(scan.rows.text) + num_blocks + 1, np.uint32),
        features=np.zeros((num_blocks, NUM_FEATURES), np.uint8),
        path=np.empty((num_elements, NUM_PATH), np.int32),
        totals=np.empty((num_elements, NUM_TOTALS), np.int64),
        common=np.empty(num_elements, np.int32),
        alike_slot_B=np.empty(num_blocks, np.int32),
        num_slots=max(16, 1 << (2 * most + 2).bit_length()),
    )
    first_features(
        pages.data, scan.rows, scan.ends, structure, vocabulary, following, of.counts, of.words, of.features, of.path,
        of.totals, of.common, of.alike_slot_B, of.num_slots,
    )  # fmt: skip
    return of


def second_stage(scan: Scan, of: Features, first_logit_B: np.ndarray) -> None:
    """Fill the features that the first stage's logits give."""
    likely_B = np.empty(len(first_logit_B), np.uint8)
    likelihoods(first_logit_B, likely_B)
    fill_second_features(
        scan.rows, scan.ends, of.counts, of.features, likely_B, of.totals, of.common, of.alike_slot_B, of.num_slots
    )


def judge(pages: Utf8, scan: Scan, model: Model) -> Judged:
    """Both stages."""
    of = first_stage(pages, scan, model.structure, model.vocabulary, model.following)
    first_logit_B = sums_of(model.first, of.features[:, :NUM_FIRST])
    second_stage(scan, of, first_logit_B)
    logit_B, asked = first_logit_B.copy(), np.flatnonzero(first_logit_B >= HOPELESS)
    logit_B[asked] = sums_of(model.second, of.features[asked])
    return Judged(logit_B=logit_B, first_logit_B=first_logit_B, of=of)


def sums_of(trees: Trees, features: np.ndarray) -> np.ndarray:
    """int32[B]."""
    sums = np.empty(len(features), np.int32)
    sum_trees(features, trees.feature, trees.threshold, trees.leaf, trees.bias, sums)
    return sums
