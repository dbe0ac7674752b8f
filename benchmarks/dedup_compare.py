"""How well clusters and edges match the exact similarities: recall against the LSH curve, precision, known clusters.

Reads:  Pairs (dedup_truth.py), labels and edges of a run, or labels that are known beforehand
Cost:   linear in the pairs and the documents
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.dedup_run import NUM_BANDS, ROWS_PER_BAND, THRESHOLD
from benchmarks.dedup_truth import Pairs

RECALL_FROM = 0.8
BINS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)  # the last one holds equal sets alone


@dataclass(frozen=True)
class Outcome:
    """What a contender found: each document's cluster, and its edges."""

    label_N: np.ndarray
    left_E: np.ndarray
    right_E: np.ndarray


def expected(similarity_P: np.ndarray) -> float:
    """The share of these pairs that share at least one band: the mean of the LSH curve, 1 - (1 - s^rows)^bands."""
    return float(np.mean(1 - (1 - similarity_P**ROWS_PER_BAND) ** NUM_BANDS)) if len(similarity_P) else float("nan")


def compare(pairs: Pairs, outcome: Outcome) -> dict[str, Any]:
    """Recall of pairs from RECALL_FROM on, by clusters and by edges; precision of edges; recall by similarity."""
    together_P = outcome.label_N[pairs.left] == outcome.label_N[pairs.right]
    edge_P = _among(pairs, outcome)
    exact_E = pairs.similarity_of(outcome.left_E, outcome.right_E)

    def recall(wanted_P: np.ndarray) -> dict[str, float]:
        chance = expected(pairs.similarity[wanted_P])
        share = float(together_P[wanted_P].mean()) if wanted_P.any() else float("nan")
        direct = float(edge_P[wanted_P].mean()) if wanted_P.any() else float("nan")
        return {
            "pairs": int(wanted_P.sum()), "recall": share, "recall_by_edge": direct, "lsh_curve": chance,
            "recall_over_lsh_curve": share / chance,
        }  # fmt: skip

    similar_P = pairs.similarity >= RECALL_FROM
    bounds = [*BINS, 2.0]
    bins = {
        f"{low:.2f}": recall((pairs.similarity >= low) & (pairs.similarity < high)) for low, high in pairwise(bounds)
    }
    return {
        "at_0.8": recall(similar_P),
        "at_0.8_below_1": recall(similar_P & (pairs.similarity < 1)),  # copies, which no LSH misses, left out
        "edges": len(exact_E),
        "precision": float(np.mean(exact_E >= THRESHOLD)) if len(exact_E) else float("nan"),
        "bins": bins,
        **_dropped(pairs, outcome.label_N),
    }


def _among(pairs: Pairs, outcome: Outcome) -> np.ndarray:
    """bool[P]: which pairs are edges."""
    left_E = np.minimum(outcome.left_E, outcome.right_E)
    right_E = np.maximum(outcome.left_E, outcome.right_E)
    return np.isin(pairs.keys, left_E * pairs.num_documents + right_E)


def _dropped(pairs: Pairs, label_N: np.ndarray) -> dict[str, Any]:
    """Documents not kept, and the share of them that are alike the one they are dropped for."""
    number_D = np.flatnonzero(label_N != np.arange(len(label_N)))
    alike_D = pairs.similarity_of(number_D, label_N[number_D]) >= THRESHOLD
    return {"dropped": len(number_D), "dropped_alike": float(alike_D.mean()) if len(number_D) else float("nan")}


def print_recall(rows: dict[str, dict[str, Any]]) -> None:
    """A table of recall by similarity, a column per contender."""
    any_row = next(iter(rows.values()))
    print(f"{'similarity':>10} {'pairs':>9} {'LSH curve':>10}" + "".join(f"{name:>22}" for name in rows))
    for low, one in any_row["bins"].items():
        found = "".join(f"{row['bins'][low]['recall']:22.4f}" for row in rows.values())
        print(f"{'from ' + low:>10} {one['pairs']:9,} {one['lsh_curve']:10.4f}{found}")
    lines: dict[str, Callable[[dict[str, Any]], str]] = {
        "recall from 0.8 over the curve": lambda row: f"{row['at_0.8']['recall_over_lsh_curve']:.4f}",
        "the same, copies left out": lambda row: f"{row['at_0.8_below_1']['recall_over_lsh_curve']:.4f}",
        "by a direct edge": lambda row: f"{row['at_0.8_below_1']['recall_by_edge']:.4f}",
        "precision of edges": lambda row: f"{row['precision']:.4f}",
        "edges": lambda row: f"{row['edges']:,}",
        "documents dropped": lambda row: f"{row['dropped']:,}",
        "of them alike the kept one": lambda row: f"{row['dropped_alike']:.4f}",
    }
    for title, value in lines.items():
        print(f"{title:31}" + "".join(f"{value(row):>22}" for row in rows.values()))


def compare_known(known_N: np.ndarray, label_N: np.ndarray) -> dict[str, float]:
    """Shares of known pairs and clusters that were found, and of found pairs that are known."""
    both_N = known_N.astype(np.int64) * len(label_N) + label_N
    _, first, met = np.unique(both_N, return_index=True, return_counts=True)
    known_size, found_size = np.bincount(known_N), np.bincount(label_N)
    known_pairs, found_pairs = (float((size * (size - 1) // 2).sum()) for size in (known_size, found_size))
    common = float((met * (met - 1) // 2).sum())
    equal = (met == known_size[known_N[first]]) & (met == found_size[label_N[first]]) & (met > 1)
    return {
        "known_clusters": int((known_size > 1).sum()),
        "clusters_equal": float(equal.sum() / max(1, (known_size > 1).sum())),
        "pairs_found": common / max(1.0, known_pairs),
        "pairs_right": common / max(1.0, found_pairs),
    }
