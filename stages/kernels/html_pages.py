"""From a scan to the first stage's features, page by page.

Reads:  a scan's arrays and row counts, the two tables of learned weights
Writes: `counts` and `features` of all blocks; per page scratch
Cost:   about 0.6 us a block
Source: stages/kernels/html_words.py, html_structure.py, html_word_sums.py, html_features.py, html_context.py
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_context import NUM_ALIKE, NUM_SO_FAR, context_features
from stages.kernels.html_features import NUM_WORD_SUMS, own_features
from stages.kernels.html_scan import NOTE_TITLE
from stages.kernels.html_second import second_features
from stages.kernels.html_structure import weigh_elements
from stages.kernels.html_text import B_END, B_START, Scanned
from stages.kernels.html_totals import NUM_TOTALS
from stages.kernels.html_trees import SCALE
from stages.kernels.html_word_sums import TITLE_SLOTS, note_title, sum_words
from stages.kernels.html_words import NUM_COUNTS, count_block

TITLE_BYTES = 1000
_LOGISTIC = np.array([round(255 / (1 + np.exp(-(k - 512 + 0.5) / 64))) for k in range(1024)], np.uint8)  # of -8 to 8


@kernel
def first_features(
    data: np.ndarray, out: Scanned, ends: np.ndarray, structure: np.ndarray, vocabulary: np.ndarray,
    following: np.ndarray,
    counts: np.ndarray, words: np.ndarray, features: np.ndarray, path: np.ndarray, totals: np.ndarray,
    common: np.ndarray, alike_slot_B: np.ndarray, num_slots: int,
) -> None:  # fmt: skip
    """Fill `counts` int32[B, NUM_COUNTS], `words` uint32, `features` uint8[B, NUM_FEATURES] and the scratch of the
    second stage: `path` int32[E, NUM_PATH], `totals` int64[E, NUM_TOTALS], `common` int32[E]."""
    sums = np.empty((len(out.blocks), NUM_WORD_SUMS), np.int32)
    likelihood = np.empty(len(out.blocks), np.uint8)
    title_counts, title_words = np.empty(NUM_COUNTS, np.int32), np.empty(TITLE_BYTES + 1, np.uint32)
    slots = np.zeros(TITLE_SLOTS, np.uint32)
    keys, alike = np.zeros(num_slots, np.int32), np.zeros((num_slots, NUM_ALIKE), np.int64)
    opening_keys, openings = np.zeros(num_slots, np.int32), np.zeros(num_slots, np.int32)
    opening_B = np.zeros(len(out.blocks), np.int32)
    so_far, page = np.zeros(NUM_SO_FAR, np.int64), np.zeros(NUM_TOTALS, np.int64)
    num_words = 0
    for n in range(len(ends) - 1):
        first, last = ends[n, 1], ends[n + 1, 1]
        first_element, last_element = ends[n, 2], ends[n + 1, 2]
        num_title_words = 0
        slots[:] = 0
        for m in range(ends[n, 5], ends[n + 1, 5]):
            if out.notes[m, 0] == NOTE_TITLE:
                start, end = out.notes[m, 1], min(out.notes[m, 2], out.notes[m, 1] + TITLE_BYTES)
                count = count_block(data, start, end, title_counts, title_words, 0)
                num_title_words = note_title(title_words, 0, count, slots)
        weigh_elements(out.elements, out.tokens, first_element, last_element, ends[n + 1, 3], structure, path)
        for b in range(first, last):
            num_words = count_block(out.text, out.blocks[b, B_START], out.blocks[b, B_END], counts[b], words, num_words)
            sum_words(b, counts, words, num_words, vocabulary, following, slots, sums)
            own_features(b, features[b], out.blocks, counts, sums, path, out.elements, num_title_words)
        bits = 16
        while bits < 2 * (last - first) + 2:
            bits *= 2
        context_features(
            first, last, first_element, last_element, out.blocks, counts, out.elements, path, words, features,
            likelihood, totals, common, keys[:bits], alike[:bits], alike_slot_B, opening_keys[:bits], openings[:bits],
            opening_B, so_far, page,
        )  # fmt: skip


@kernel
def fill_second_features(
    out: Scanned, ends: np.ndarray, counts: np.ndarray, features: np.ndarray, likely_B: np.ndarray, totals: np.ndarray,
    common: np.ndarray, alike_slot_B: np.ndarray, num_slots: int,
) -> None:  # fmt: skip
    """Fill the rows of `features` that stages/kernels/html_second.py names, from `likely_B` uint8."""
    alike = np.zeros((num_slots, NUM_ALIKE), np.int64)
    for n in range(len(ends) - 1):
        second_features(
            ends[n, 1], ends[n + 1, 1], ends[n, 2], ends[n + 1, 2], out.blocks, counts, out.elements, features,
            likely_B, totals, common, alike, alike_slot_B,
        )  # fmt: skip


@kernel
def likelihoods(sums: np.ndarray, likely_B: np.ndarray) -> None:
    """Sums of trees, in 1/SCALE of a logit, to probabilities in 255ths: of a table, so that all machines agree."""
    for b in range(len(sums)):
        step: Any = (np.int64(sums[b]) + 8 * SCALE) * len(_LOGISTIC) // (16 * SCALE)
        likely_B[b] = _LOGISTIC[min(max(step, 0), len(_LOGISTIC) - 1)]
