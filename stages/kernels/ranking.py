"""How well a score ranks positives above negatives: ROC AUC, average precision, precision and recall by threshold.

Reads:  `score_N` float64, `positive_N` bool
Writes: floats and arrays
Cost:   one sort, O(N log N)
Source: AUC is the Mann-Whitney U statistic over its maximum, ties counted half (Hanley and McNeil 1982); average
        precision is the step-wise sum over distinct scores, without interpolation, as scikit-learn defines it
"""

from __future__ import annotations

import numpy as np


def auc(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher, ties counted half; exact.

    NaN where one of the two classes is missing.
    """
    num_positive = int(positive_N.sum())
    num_negative = len(positive_N) - num_positive
    if not num_positive or not num_negative:
        return float("nan")
    _, inverse_N, count_U = np.unique(score_N, return_inverse=True, return_counts=True)
    rank_U = np.cumsum(count_U) - (count_U - 1) / 2  # ranks from 1, equal scores share the mean of theirs
    rank_sum = float(rank_U[inverse_N][positive_N].sum())
    return (rank_sum - num_positive * (num_positive + 1) / 2) / (num_positive * num_negative)


def average_precision(score_N: np.ndarray, positive_N: np.ndarray) -> float:
    """Precision at each distinct score, weighted by the recall gained there; NaN without positives."""
    num_positive = int(positive_N.sum())
    if not num_positive:
        return float("nan")
    order_N = np.argsort(-score_N, kind="stable")
    last_of_score = np.append(np.diff(score_N[order_N]) != 0, True)
    true_positive = np.cumsum(positive_N[order_N])[last_of_score]
    predicted = (np.arange(len(score_N)) + 1)[last_of_score]
    recall_gained = np.diff(true_positive, prepend=0) / num_positive
    return float((recall_gained * true_positive / predicted).sum())


def precision_recall(score_N: np.ndarray, positive_N: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """(precision, recall, F1) when scores of `threshold` and above are called positive; 0 where there are none."""
    called_N = score_N >= threshold
    true_positive = float((called_N & positive_N).sum())
    precision = true_positive / max(int(called_N.sum()), 1)
    recall = true_positive / max(int(positive_N.sum()), 1)
    f1 = 2 * precision * recall / (precision + recall) if true_positive else 0.0
    return precision, recall, f1
