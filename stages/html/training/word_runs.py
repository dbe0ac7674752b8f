"""The best monotone match of two word sequences, in runs: what is matched alone counts for nothing.

Reads:  two sequences of word numbers
Writes: for each word of the first, which word of the second it is matched with
Cost:   1 byte and about 2 ns per pair of words
Source: Smith and Waterman 1981, Gotoh 1982 (gaps that cost something to open); here it is a run that costs, and gaps
        in the first sequence cost next to nothing, so that of two equal places the one nearer to the rest is taken

The score of a match is WORD per pair of words less OPEN per run, less a word's gap cost for each word of the first
sequence skipped between the first run and the last.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel

WORD = 4096
OPEN = 2 * WORD  # a run has to have three words to be worth it
NONE = -1

# How the best score up to a pair of words came about, in the bits of a byte; RUN: the pair goes on with a run.
_START, _MATCH, _ABOVE, _LEFT, _SOURCE, _RUN = 0, 1, 2, 3, 3, 4
_IMPOSSIBLE = -(1 << 30)


@kernel
def match_runs(page_N: np.ndarray, gap_cost_N: np.ndarray, gold_M: np.ndarray) -> np.ndarray:
    """int64[N]: index in `gold_M` (int32, not negative) of the word that each of `page_N` (int32, negative: matches
    nothing) is matched with, or NONE; increasing. `gap_cost_N` int32: of skipping the word. Allocates N * M bytes."""
    num_page, num_gold = len(page_N), len(gold_M)
    matched_N = np.full(num_page, NONE, np.int64)
    trace = np.zeros((num_page, num_gold), np.uint8)
    best_M = np.zeros(num_gold + 1, np.int32)  # the best score with the words up to here, whatever it ends with
    run_M = np.full(num_gold + 1, _IMPOSSIBLE, np.int32)  # the best one that ends in a run at this pair
    highest, last_page, last_gold = np.int32(0), NONE, NONE
    for n in range(num_page):
        word, cost = page_N[n], gap_cost_N[n]
        diagonal_best, diagonal_run, left = np.int32(0), np.int32(_IMPOSSIBLE), np.int32(0)
        for m in range(num_gold):
            above, above_run = best_M[m + 1], run_M[m + 1]
            source, best, run = _START, np.int32(0), np.int32(_IMPOSSIBLE)
            if above - cost > best:
                source, best = _ABOVE, np.int32(above - cost)
            if left > best:
                source, best = _LEFT, left
            if gold_M[m] == word:
                going_on = diagonal_run >= diagonal_best - OPEN
                run = np.int32((diagonal_run if going_on else diagonal_best - OPEN) + WORD)
                if run > best:
                    source, best = _MATCH, run
                if going_on:
                    source |= _RUN
                if run > highest:
                    highest, last_page, last_gold = run, n, m
            trace[n, m] = source
            best_M[m + 1], run_M[m + 1] = best, run
            diagonal_best, diagonal_run, left = above, above_run, best
    n, m, in_run = last_page, last_gold, True
    while n >= 0 and m >= 0:
        step = trace[n, m]
        if in_run or step & _SOURCE == _MATCH:
            matched_N[n] = m
            in_run = step & _RUN != 0
            n, m = n - 1, m - 1
        elif step & _SOURCE == _ABOVE:
            n -= 1
        elif step & _SOURCE == _LEFT:
            m -= 1
        else:
            break
    return matched_N


@kernel
def extend_runs(page_N: np.ndarray, gold_M: np.ndarray, matched_N: np.ndarray) -> None:
    """Lengthen the runs of `matched_N` (as from match_runs; changed in place) both ways while the words are equal."""
    num_page, num_gold = len(page_N), len(gold_M)
    free_until_N = np.empty(num_page, np.int64)  # first word of the gold that is matched after this one of the page
    first = num_gold
    for n in range(num_page - 1, -1, -1):
        free_until_N[n] = first
        if matched_N[n] != NONE:
            first = matched_N[n]
    for n in range(1, num_page):
        m = matched_N[n - 1] + 1
        if matched_N[n] == NONE and 0 < m < free_until_N[n] and page_N[n] == gold_M[m]:
            matched_N[n] = m
    free_from_N = free_until_N  # one after the last that is matched before this one
    last = 0
    for n in range(num_page):
        free_from_N[n] = last
        if matched_N[n] != NONE:
            last = matched_N[n] + 1
    for n in range(num_page - 2, -1, -1):
        m = matched_N[n + 1] - 1
        if matched_N[n] == NONE and m >= free_from_N[n] and page_N[n] == gold_M[m]:
            matched_N[n] = m
