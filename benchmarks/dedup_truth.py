"""Which documents are alike: the exact Jaccard similarity of all pairs, by brute force and without any LSH.

Reads:  texts
Writes: Pairs: every pair of documents from a least similarity on
Cost:   two seconds per million words for the shingles; one addition per shingle two documents share. A counter per
        document; 8 bytes per distinct shingle of a document
Source: the words are those of stages/kernels/fold.py; a shingle is its bytes, hashed to 64 bits by xxh3

An inverted index from shingle to documents; document by document, the index's lists of its shingles are counted, in
full, so that no pair is missed. That the hashes of two different shingles are equal has a chance of 1 in 40,000 among
thirty million of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import xxhash

LEAST = 0.3  # pairs below it are of no interest
FOLD_TEXTS = 256  # at a time


@dataclass(frozen=True)
class ShingleSets:
    """Document n's distinct shingles are `hashes[offsets[n]:offsets[n + 1]]`, uint64."""

    offsets: np.ndarray
    hashes: np.ndarray


@dataclass(frozen=True)
class Pairs:
    """Pairs (left, right) with left < right, ordered by both; `keys` are left * N + right."""

    num_documents: int
    left: np.ndarray
    right: np.ndarray
    similarity: np.ndarray

    @property
    def keys(self) -> np.ndarray:
        return self.left * self.num_documents + self.right

    def similarity_of(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """The similarity of given pairs, in either order; 0 where it is below LEAST."""
        keys = self.keys
        wanted = np.minimum(left, right) * self.num_documents + np.maximum(left, right)
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        found = keys[at] == wanted if len(keys) else np.zeros(len(wanted), bool)
        return np.where(found, self.similarity[at] if len(keys) else 0.0, 0.0)


def folded_words(texts: Sequence[str]) -> list[list[bytes]]:
    """Every text's words, as stages.signatures has them by default."""
    from stages.kernels import fold, fold_table

    table = fold_table.load("datatrove", split_unspaced=True)
    words = []
    for start in range(0, len(texts), FOLD_TEXTS):
        part = texts[start : start + FOLD_TEXTS]
        folded = fold.fold(pa.array(part, pa.large_string()), table)
        data = folded.data.tobytes()
        words += [data[a:b].split() for a, b in zip(folded.offsets[:-1], folded.offsets[1:], strict=True)]
    return words


def shingle_set(words: Sequence[bytes], ngram: int) -> np.ndarray:
    """uint64: the hashes of the distinct shingles, sorted."""
    found = {xxhash.xxh3_64_intdigest(b" ".join(words[i : i + ngram])) for i in range(len(words) - ngram + 1)}
    return np.sort(np.fromiter(found, np.uint64, len(found)))


def shingle_sets(texts: Sequence[str], ngram: int) -> ShingleSets:
    sets = []
    for start in range(0, len(texts), FOLD_TEXTS):
        sets += [shingle_set(words, ngram) for words in folded_words(texts[start : start + FOLD_TEXTS])]
    offsets = np.zeros(len(sets) + 1, np.int64)
    np.cumsum([len(one) for one in sets], out=offsets[1:])
    return ShingleSets(offsets, np.concatenate([np.empty(0, np.uint64), *sets]))


def all_pairs(sets: ShingleSets, least: float = LEAST) -> Pairs:
    """All pairs whose similarity is at least `least`, which is more than 0."""
    num_documents = len(sets.offsets) - 1
    distinct, number_S = np.unique(sets.hashes, return_inverse=True)
    starts = np.zeros(len(distinct) + 1, np.int64)
    np.cumsum(np.bincount(number_S, minlength=len(distinct)), out=starts[1:])
    left, right, similarity = _count(sets.offsets, number_S.astype(np.int64), starts, least)
    order = np.lexsort((right, left))
    return Pairs(num_documents, left[order], right[order], similarity[order])


@numba.njit
def _count(
    offsets: np.ndarray, shingles: np.ndarray, starts: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    num_documents = len(offsets) - 1
    ends = starts[:-1].copy()  # of each shingle's list, which holds the documents seen so far
    listed = np.empty(len(shingles), np.int32)
    counts, touched = np.zeros(num_documents, np.int32), np.empty(num_documents, np.int32)
    room, size = 1 << 16, 0
    left, right, similarity = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.float64)
    for n in range(num_documents):
        num_touched = 0
        for s in shingles[offsets[n] : offsets[n + 1]]:
            for at in range(starts[s], ends[s]):
                other = listed[at]
                if counts[other] == 0:
                    touched[num_touched] = other
                    num_touched += 1
                counts[other] += 1
            listed[ends[s]] = n
            ends[s] += 1
        for at in range(num_touched):
            other = touched[at]
            common, counts[other] = counts[other], 0
            jaccard = common / (offsets[n + 1] - offsets[n] + offsets[other + 1] - offsets[other] - common)
            if jaccard < least:
                continue
            if size == room:
                room *= 2
                left, right, similarity = _longer(left, room), _longer(right, room), _longer(similarity, room)
            left[size], right[size], similarity[size] = other, n, jaccard
            size += 1
    return left[:size], right[:size], similarity[:size]


@numba.njit
def _longer(values: np.ndarray, room: Any) -> np.ndarray:
    longer = np.empty(room, values.dtype)
    longer[: len(values)] = values
    return longer


def check_sample(sets: ShingleSets, pairs: Pairs, num_pairs: int, seed: int) -> None:
    """Compare a sample, half of it found pairs, half random ones, with Python's own sets; AssertionError if wrong."""
    generator = np.random.default_rng(seed)
    at = generator.integers(0, len(pairs.left), num_pairs)
    drawn = generator.integers(0, pairs.num_documents, (num_pairs, 2))
    drawn = drawn[drawn[:, 0] != drawn[:, 1]]
    lefts = np.concatenate([pairs.left[at], drawn[:, 0]])
    rights = np.concatenate([pairs.right[at], drawn[:, 1]])
    for a, b, similarity in zip(lefts, rights, pairs.similarity_of(lefts, rights), strict=True):
        one, other = (set(sets.hashes[sets.offsets[n] : sets.offsets[n + 1]].tolist()) for n in (a, b))
        exact = len(one & other) / len(one | other) if one or other else 0.0
        if (exact if exact >= LEAST else 0.0) != similarity:
            raise AssertionError(f"documents {a} and {b}: {similarity}, by sets {exact}")
