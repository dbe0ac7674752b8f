"""What the report says of candidates: how many there were and were confirmed, and what bands and threshold miss.

Reads:  the counts that each group's `edges` task wrote down
Writes: counters, figures, a histogram, the LSH curve
Cost:   16 kB per group
Source: recall: each confirmed pair stands for 1 / P pairs, P being its chance to share a band (Horvitz and Thompson
        1952). Of large bands not all pairs are compared; the estimate knows nothing of that. Precision of signatures:
        the share of a beta distribution with a uniform prior that lies at or above the threshold, given the rows that
        agree (Bayes); too high where most pairs lie below the threshold. 1 with exact verification
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.stage import JSON, StepReportWriter, TaskContext, WideContext
from stages.dedup.bands import unsigned_name
from stages.dedup.corpus import Group
from stages.dedup.evidence import NUM_LEVELS, Verify

COUNTS = "pair-counts"
RECALL = "estimated recall above the threshold, by the bands"
NUM_BINS = 20
MAX_EXACT_ROWS = 1024


@dataclass(frozen=True)
class Candidates:
    """Distinct candidate pairs by similarity, in thousandths rounded down, and those of them that are edges; ties of
    entries of an index, which are edges too; documents without signature."""

    count_L: np.ndarray
    edge_L: np.ndarray
    num_ties: int
    num_unsigned: int

    @property
    def num_edges(self) -> int:
        """Edges, ties left out."""
        return int(self.edge_L.sum())


def write_counts(task: TaskContext, group: int, count_L: np.ndarray, edge_L: np.ndarray, num_ties: int) -> None:
    counts = np.concatenate([count_L, edge_L, [num_ties]]).astype("<i8")
    task.work.write_bytes(f"{COUNTS}/{group:05d}", counts.tobytes())


def read(ctx: WideContext, groups: Sequence[Group]) -> Candidates:
    """The counts of all groups."""
    [(counts, num_unsigned)] = ctx.map("edge counts", _sum, [len(groups)])
    count_2L = np.array(counts[:-1], np.int64).reshape(2, -1)
    return Candidates(count_2L[0], count_2L[1], counts[-1], num_unsigned)


def _sum(shared: None, num_groups: int, task: TaskContext) -> JSON:
    total, num_unsigned = np.zeros(2 * (NUM_LEVELS + 1) + 1, np.int64), 0
    for group in range(num_groups):
        total += np.frombuffer(task.work.read_bytes(f"{COUNTS}/{group:05d}"), "<i8")
        num_unsigned += int(task.work.read_bytes(unsigned_name(group)))
    return total.tolist(), num_unsigned


def write(
    report: StepReportWriter, found: Candidates, num_bands: int, rows_per_band: int, verify: Verify, threshold: float
) -> None:
    """Candidates, the share of them confirmed, the estimates, and the curve of the chosen bands and rows."""
    from stages.kernels.minhash import lsh_midpoint, lsh_probability

    num_candidates = int(found.count_L.sum())
    report.counter("without_signature", found.num_unsigned)
    report.counter("candidate_pairs", num_candidates)
    report.counter("confirmed_pairs", found.num_edges)
    similarity_L = np.arange(NUM_LEVELS + 1) / NUM_LEVELS
    chance_L = lsh_probability(similarity_L, num_bands, rows_per_band)
    if num_candidates:
        report.figure("share of candidates confirmed", found.num_edges / num_candidates)
    edge_L = found.edge_L
    if found.num_edges:
        weighed = float(
            (edge_L / np.maximum(_shares_band(edge_L, chance_L, num_bands, rows_per_band, verify), 1e-12)).sum()
        )
        report.figure(RECALL, found.num_edges / weighed)
        report.figure("estimated precision of confirmed pairs", _precision(edge_L, verify, threshold))
    report.figure(
        "chance to be compared at the threshold", float(lsh_probability(np.array(threshold), num_bands, rows_per_band))
    )
    report.figure("LSH midpoint", lsh_midpoint(num_bands, rows_per_band))
    bins_B = np.add.reduceat(found.count_L[:-1], np.arange(0, NUM_LEVELS, NUM_LEVELS // NUM_BINS))
    bins_B[-1] += found.count_L[-1]
    labels = [f"{b / NUM_BINS:.2f}-{(b + 1) / NUM_BINS:.2f}" for b in range(NUM_BINS)]
    report.histogram("similarity of candidates", labels, bins_B.tolist())
    shown = slice(0, NUM_LEVELS + 1, 10)
    report.series("LSH curve", "Jaccard similarity", similarity_L[shown].tolist(), {
        "chance to share a band": chance_L[shown].tolist(),
        "chance to be confirmed": (chance_L[shown] * _confirmed(similarity_L[shown], verify, threshold)).tolist(),
    })  # fmt: skip


def _shares_band(
    edge_L: np.ndarray, chance_L: np.ndarray, num_bands: int, rows_per_band: int, verify: Verify
) -> np.ndarray:
    """How likely a pair of a level that has edges shares a band: with signatures, given how many of its rows agree,
    wherever those are; with the exact similarity, the LSH curve."""
    if verify.method == "exact":
        return chance_L
    level_E = np.flatnonzero(edge_L)
    shares_L = np.ones(len(edge_L))
    shares_L[level_E] = [
        _one_band_whole(equal, verify.num_rows, num_bands, rows_per_band)
        for equal in _equal_rows(level_E, verify.num_rows).tolist()
    ]
    return shares_L


def _one_band_whole(equal: int, num_rows: int, num_bands: int, rows_per_band: int) -> float:
    """The share of the ways to choose `equal` of the rows that hold a whole band, by inclusion and exclusion; for very
    long signatures as if bands were independent."""
    if num_rows > MAX_EXACT_ROWS:
        band = math.prod(max(equal - row, 0) / (num_rows - row) for row in range(rows_per_band))
        return 1 - (1 - band) ** num_bands
    ways = sum(
        (-1) ** (whole + 1) * math.comb(num_bands, whole)
        * math.comb(num_rows - whole * rows_per_band, equal - whole * rows_per_band)
        for whole in range(1, min(num_bands, equal // rows_per_band) + 1)
    )  # fmt: skip
    return ways / math.comb(num_rows, equal)


def _equal_rows(level_E: np.ndarray, num_rows: int) -> np.ndarray:
    """The least number of equal rows whose share falls into the level."""
    return np.asarray(np.ceil(level_E * num_rows / NUM_LEVELS - 1e-9).astype(int))


def _confirmed(similarity_L: np.ndarray, verify: Verify, threshold: float) -> np.ndarray:
    """How likely a candidate pair of that similarity is confirmed."""
    if verify.method == "exact":
        return (similarity_L >= threshold).astype(float)
    least = math.ceil(threshold * verify.num_rows - 1e-9)
    return np.array([1 - _at_most(least - 1, verify.num_rows, s) for s in similarity_L.tolist()])


def _precision(edge_L: np.ndarray, verify: Verify, threshold: float) -> float:
    if verify.method == "exact":
        return 1.0
    level_E = np.flatnonzero(edge_L)
    equal_E = _equal_rows(level_E, verify.num_rows)
    chance_E = [_at_most(equal, verify.num_rows + 1, threshold) for equal in equal_E.tolist()]
    return float(np.dot(chance_E, edge_L[level_E]) / edge_L.sum())


def _at_most(successes: int, trials: int, chance: float) -> float:
    """P(X <= successes) of a binomial distribution; also P(beta(successes + 1, trials - successes) >= chance)."""
    if successes >= trials or chance <= 0:
        return 1.0 if successes >= 0 else 0.0
    if chance >= 1 or successes < 0:
        return 0.0
    log_chance, log_other, log_all = math.log(chance), math.log1p(-chance), math.lgamma(trials + 1)
    return min(1.0, math.fsum(
        math.exp(log_all - math.lgamma(i + 1) - math.lgamma(trials - i + 1) + i * log_chance + (trials - i) * log_other)
        for i in range(successes + 1)
    ))  # fmt: skip
