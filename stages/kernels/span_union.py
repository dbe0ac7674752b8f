"""Runs of windows that overlap or touch become spans of words.

Reads:  runs of windows, by document and place
Writes: Union
Cost:   20 ns per run
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.kernels.compiled import kernel


@dataclass(frozen=True, kw_only=True)
class Union:
    """S spans: words `first` up to, not with, `end` of document `doc` (int64[S] each).

    `peak`: the first of the span's runs with the most documents. `source`: the first run of its longest part that one
    document keeps, and `source_windows` how many windows that part has.
    """

    doc: np.ndarray
    first: np.ndarray
    end: np.ndarray
    peak: np.ndarray
    source: np.ndarray
    source_windows: np.ndarray


def union(
    length: int, doc_R: np.ndarray, first_R: np.ndarray, num_R: np.ndarray, keeper_R: np.ndarray, num_docs_R: np.ndarray
) -> Union:
    """Spans of R runs, ordered by (doc, first): run r is `num_R[r]` windows of `length` words, the first one at word
    `first_R[r]` of document `doc_R[r]`, that `keeper_R[r]` keeps; `num_docs_R` documents have them. int64[R] each."""
    columns = [np.empty(len(doc_R), np.int64) for _ in range(6)]
    num_spans = _union(doc_R, first_R, num_R, keeper_R, num_docs_R, length, *columns)
    doc, first, end, peak, source, source_windows = (column[:num_spans] for column in columns)
    return Union(doc=doc, first=first, end=end, peak=peak, source=source, source_windows=source_windows)


@kernel
def _union(
    doc_R: np.ndarray, first_R: np.ndarray, num_R: np.ndarray, keeper_R: np.ndarray, num_docs_R: np.ndarray,
    length: int, doc: np.ndarray, first: np.ndarray, end: np.ndarray, peak: np.ndarray, source: np.ndarray,
    source_windows: np.ndarray,
) -> int:  # fmt: skip
    s, part, part_windows = -1, 0, 0  # the span, the first run of its last part, that part's windows
    for r in range(len(doc_R)):
        if s < 0 or doc_R[r] != doc[s] or first_R[r] > end[s]:
            s += 1
            doc[s], first[s], peak[s], source[s], source_windows[s] = doc_R[r], first_R[r], r, r, 0
            part, part_windows = r, 0
        elif keeper_R[r] != keeper_R[r - 1] or first_R[r] != first_R[r - 1] + num_R[r - 1]:
            part, part_windows = r, 0
        end[s] = first_R[r] + num_R[r] - 1 + length
        part_windows += num_R[r]
        if part_windows > source_windows[s]:
            source[s], source_windows[s] = part, part_windows
        if num_docs_R[r] > num_docs_R[peak[s]]:
            peak[s] = r
    return s + 1
