"""Sets of shingles and their Jaccard similarity, exactly.

Reads:  texts
Writes: per text the 64-bit hashes of its distinct shingles, ascending; the similarity of pairs of such sets
Cost:   about 60 ns per shingle to make a set, 2 ns per shingle of both sets to compare two
Source: Jaccard 1901. Two shingles are one where their 64-bit hashes are: among the 10^4 of a pair of long documents the
        chance of any wrong one is 10^-12
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.kernels import fold, fold_table
from stages.kernels import shingles as kernels
from stages.kernels.compiled import kernel
from stages.kernels.shingling import Shingling


@dataclass(frozen=True)
class ShingleSets:
    """Text i's shingles are `hashes[offsets[i]:offsets[i + 1]]`, distinct and ascending. int64[N + 1] and uint64."""

    offsets: np.ndarray
    hashes: np.ndarray


def shingles_of(texts: pa.Array, shingling: Shingling, hash_bits: int = 32) -> kernels.Shingles:
    """All shingles of every text."""
    by_words = shingling.shingles == "words"
    folded = fold.fold(texts, fold_table.load(shingling.normalisation, split_unspaced=by_words))
    find = kernels.shingles if by_words else kernels.character_shingles
    return find(folded, shingling.ngram, hash_bits)


def shingle_sets(texts: pa.Array, shingling: Shingling) -> ShingleSets:
    """The set of shingles of every text; empty where a text is too short for one."""
    found = shingles_of(texts, shingling, hash_bits=64)
    hashes, offsets = found.hashes.copy(), np.zeros_like(found.offsets)
    _distinct(found.offsets, hashes, offsets)
    return ShingleSets(offsets, hashes[: offsets[-1]])


def jaccard(left: ShingleSets, left_P: np.ndarray, right: ShingleSets, right_P: np.ndarray) -> np.ndarray:
    """float64[P]: the share of the shingles of either set that are in both; 0 where both are empty."""
    similarity_P = np.empty(len(left_P))
    _jaccard(left.offsets, left.hashes, left_P, right.offsets, right.hashes, right_P, similarity_P)
    return similarity_P


@kernel
def _distinct(offsets: np.ndarray, hashes: np.ndarray, ends: np.ndarray) -> None:
    """Sort each text's hashes and move them together without repeats."""
    at = 0
    for n in range(len(offsets) - 1):
        own = np.sort(hashes[offsets[n] : offsets[n + 1]])
        for i in range(len(own)):
            if i == 0 or own[i] != own[i - 1]:
                hashes[at] = own[i]
                at += 1
        ends[n + 1] = at


@kernel
def _jaccard(
    left_offsets: np.ndarray, left: np.ndarray, left_P: np.ndarray, right_offsets: np.ndarray, right: np.ndarray,
    right_P: np.ndarray, similarity_P: np.ndarray,
) -> None:  # fmt: skip
    for p in range(len(left_P)):
        i, left_end = left_offsets[left_P[p]], left_offsets[left_P[p] + 1]
        j, right_end = right_offsets[right_P[p]], right_offsets[right_P[p] + 1]
        total, both = left_end - i + right_end - j, 0
        while i < left_end and j < right_end:
            one, other = left[i], right[j]
            both += one == other
            i += one <= other
            j += other <= one
        similarity_P[p] = both / (total - both) if total else 0.0
