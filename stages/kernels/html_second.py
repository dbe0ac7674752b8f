"""What the second stage looks at besides: what the first stage thinks of a block's neighbours, containers and likes.

Reads:  the first stage's probabilities, a byte per block
Writes: further rows of `features`
Cost:   about 0.2 us a block
Source: stacking as in Vogels et al. 2018, "Web2Text", where a hidden Markov model does this; our own measurements:
        docs/log.md
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_context import A_LENGTH, A_MASS, CONTEXT_FEATURES, since
from stages.kernels.html_features import OWN_FEATURES, quotient, share
from stages.kernels.html_text import B_ELEMENT, E_PARENT
from stages.kernels.html_totals import T_LENGTH, T_MASS, levels_below, main_element, mark_main, sum_elements
from stages.kernels.html_words import HALF_WORDS
from stages.kernels.inlined import inlined

NUM_FIRST = len(OWN_FEATURES) + len(CONTEXT_FEATURES)
SECOND_FEATURES = (
    "likely", "likely_before", "likely_before2", "likely_before3", "likely_after", "likely_after2", "likely_after3",
    "near_mean", "wide_mean", "most_before", "most_after", "element_mean", "parent_mean", "grandparent_mean_likely",
    "third_mean", "alike_mean", "likely_mass_before", "since_likely", "until_likely", "in_likely_main",
    "below_likely_common", "parent_likely_share", "grandparent_likely_share", "third_likely_share", "over_parent",
)  # fmt: skip
(
    LIKELY, LIKELY_BEFORE, LIKELY_BEFORE2, LIKELY_BEFORE3, LIKELY_AFTER, LIKELY_AFTER2, LIKELY_AFTER3, NEAR_MEAN,
    WIDE_MEAN, MOST_BEFORE, MOST_AFTER, ELEMENT_MEAN, PARENT_MEAN, GRANDPARENT_MEAN, THIRD_MEAN, ALIKE_MEAN,
    LIKELY_MASS_BEFORE, SINCE_LIKELY, UNTIL_LIKELY, IN_LIKELY_MAIN, BELOW_LIKELY_COMMON, PARENT_LIKELY_SHARE,
    GRANDPARENT_LIKELY_SHARE, THIRD_LIKELY_SHARE, OVER_PARENT,
) = range(NUM_FIRST, NUM_FIRST + len(SECOND_FEATURES))  # fmt: skip
FEATURE_NAMES = (*OWN_FEATURES, *CONTEXT_FEATURES, *SECOND_FEATURES)
NUM_FEATURES = len(FEATURE_NAMES)
NEAR, WIDE = 2, 6  # blocks to each side
STRONG, STRONG_HALF_WORDS = 128, 12  # a likely block: more likely than not, of six words and more


@inlined
def _mean(mass: Any, length: Any) -> Any:
    """A mean probability of nothing is 0."""
    return min(quotient(mass, length), 255) if length > 0 else 0


@inlined
def _neighbours(b: int, first: int, last: int, row: np.ndarray, likely: np.ndarray, counts: np.ndarray) -> None:
    for k in range(1, 4):
        row[LIKELY + k] = likely[b - k] if b - k >= first else 0
        row[LIKELY_AFTER + k - 1] = likely[b + k] if b + k < last else 0
    near_mass: Any = 0
    near_length: Any = 0
    wide_mass: Any = 0
    wide_length: Any = 0
    most_before: Any = 0
    most_after: Any = 0
    for other in range(max(first, b - WIDE), min(last, b + WIDE + 1)):
        half, p = np.int64(counts[other, HALF_WORDS]) + 1, np.int64(likely[other])
        wide_mass, wide_length = wide_mass + half * p, wide_length + half
        if -NEAR <= other - b <= NEAR:
            near_mass, near_length = near_mass + half * p, near_length + half
        if other < b:
            most_before = max(most_before, p)
        elif other > b:
            most_after = max(most_after, p)
    row[NEAR_MEAN], row[WIDE_MEAN] = _mean(near_mass, near_length), _mean(wide_mass, wide_length)
    row[MOST_BEFORE], row[MOST_AFTER] = most_before, most_after


@inlined
def _containers(
    e: int, row: np.ndarray, elements: np.ndarray, totals: np.ndarray, common: np.ndarray, page_mass: Any
) -> None:  # fmt: skip
    parent = elements[e, E_PARENT]
    grand = elements[parent, E_PARENT]
    third = elements[grand, E_PARENT]
    row[ELEMENT_MEAN] = _mean(totals[e, T_MASS], totals[e, T_LENGTH])
    row[PARENT_MEAN] = _mean(totals[parent, T_MASS], totals[parent, T_LENGTH])
    row[GRANDPARENT_MEAN] = _mean(totals[grand, T_MASS], totals[grand, T_LENGTH])
    row[THIRD_MEAN] = _mean(totals[third, T_MASS], totals[third, T_LENGTH])
    row[PARENT_LIKELY_SHARE] = share(totals[parent, T_MASS], page_mass)
    row[GRANDPARENT_LIKELY_SHARE] = share(totals[grand, T_MASS], page_mass)
    row[THIRD_LIKELY_SHARE] = share(totals[third, T_MASS], page_mass)
    row[IN_LIKELY_MAIN] = min(common[e], 255)
    row[BELOW_LIKELY_COMMON] = levels_below(e, elements, common)


@inlined
def second_features(
    first: int, last: int, first_element: int, last_element: int, blocks: np.ndarray, counts: np.ndarray,
    elements: np.ndarray, features: np.ndarray, likely: np.ndarray, totals: np.ndarray, common: np.ndarray,
    alike: np.ndarray, slot_B: np.ndarray,
) -> None:  # fmt: skip
    """Fill the second stage's rows of blocks[first:last] from `likely` uint8[B]."""
    sum_elements(first, last, first_element, last_element, blocks, counts, elements, likely, totals)
    main = main_element(first_element, last_element, elements, totals)
    mark_main(main, first_element, last_element, elements, common)
    page_mass = totals[first_element, T_MASS]
    for b in range(first, last):
        alike[slot_B[b], A_MASS] = alike[slot_B[b], A_LENGTH] = 0
    for b in range(first, last):
        alike[slot_B[b], A_LENGTH] += counts[b, HALF_WORDS] + 1
        alike[slot_B[b], A_MASS] += np.int64(counts[b, HALF_WORDS] + 1) * np.int64(likely[b])
    mass: Any = 0
    last_strong = -1
    for b in range(first, last):
        row, slot = features[b], slot_B[b]
        row[LIKELY] = likely[b]
        _neighbours(b, first, last, row, likely, counts)
        _containers(blocks[b, B_ELEMENT], row, elements, totals, common, page_mass)
        row[ALIKE_MEAN] = _mean(alike[slot, A_MASS], alike[slot, A_LENGTH])
        row[LIKELY_MASS_BEFORE] = share(mass, page_mass)
        row[SINCE_LIKELY] = since(last_strong, b)
        row[OVER_PARENT] = (255 + np.int64(likely[b]) - np.int64(row[PARENT_MEAN])) // 2
        mass += np.int64(counts[b, HALF_WORDS]) * np.int64(likely[b])
        if likely[b] >= STRONG and counts[b, HALF_WORDS] >= STRONG_HALF_WORDS:
            last_strong = b
    until = -1
    for b in range(last - 1, first - 1, -1):
        features[b, UNTIL_LIKELY] = since(until, b)
        if likely[b] >= STRONG and counts[b, HALF_WORDS] >= STRONG_HALF_WORDS:
            until = b
