"""Signatures against datasketch 2.0.0, and the estimate and the LSH curve against known sets."""

from __future__ import annotations

import datasketch
import numpy as np
import pytest

from stages.kernels import hashing, minhash
from stages.kernels.shingles import Shingles


def _signatures(sets: list[list[bytes]], num_rows: int, seed: int) -> np.ndarray:
    hashes = np.array([hashing.shingle_hash(s) for one in sets for s in one], np.uint32)
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in sets])]).astype(np.int64)
    return minhash.sign(Shingles(offsets, hashes), *minhash.permutations(num_rows, seed))


@pytest.mark.parametrize("num_rows, seed", [(112, 1), (1, 7), (128, 42), (37, 0)])
def test_sign_equals_datasketch_affine32(num_rows: int, seed: int) -> None:
    sets = [[f"shingle {n} of {size}".encode() for n in range(size)] for size in (0, 1, 2, 3, 4, 5, 8, 100, 1001)]
    ours = _signatures(sets, num_rows, seed)
    for row, one in zip(ours, sets, strict=True):
        theirs = datasketch.MinHash(num_rows, seed, scheme="affine32", hashfunc=hashing.shingle_hash)
        theirs.update_batch(one)
        assert row.dtype == theirs.hashvalues.dtype
        assert (row == theirs.hashvalues).all()


def test_sign_agreement_estimates_jaccard() -> None:
    """Pairs of 2,000 shingles that share 2,000 * s: Jaccard s / (2 - s); the error is below 4 standard deviations."""
    for shared in (0, 500, 1000, 1800, 2000):
        left = [f"a {n}".encode() for n in range(2000)]
        right = left[:shared] + [f"b {n}".encode() for n in range(2000 - shared)]
        one, other = _signatures([left, right], 1024, 1)
        jaccard = shared / (4000 - shared)
        assert abs((one == other).mean() - jaccard) <= 4 * np.sqrt(jaccard * (1 - jaccard) / 1024)


def test_band_keys_are_equal_exactly_where_the_rows_are() -> None:
    rng = np.random.default_rng(0)
    signatures = rng.integers(0, 3, (400, 12 + 5), dtype=np.uint32)
    keys = minhash.band_keys(signatures, 4, 3)
    for band in range(4):
        rows = [tuple(r) for r in signatures[:, band * 3 : band * 3 + 3].tolist()]
        assert len(set(keys[:, band].tolist())) == len(set(rows)) == len(set(zip(rows, keys[:, band], strict=True)))
    assert len(np.unique(keys)) == sum(len(np.unique(keys[:, band])) for band in range(4))


def test_near_keys_order_by_the_rows_of_the_next_band() -> None:
    rng = np.random.default_rng(1)
    signatures = rng.integers(0, 4, (500, 12 + 2), dtype=np.uint32)
    near = minhash.near_keys(signatures, 4, 3)
    for band in range(4):
        following = (band + 1) % 4 * 3
        rows = [tuple(r) for r in signatures[:, following : following + 3].tolist()]
        assert np.argsort(near[:, band], kind="stable").tolist() == sorted(range(500), key=rows.__getitem__)


def test_num_equal_rows_equals_a_comparison_row_by_row() -> None:
    rng = np.random.default_rng(2)
    left, right = (rng.integers(0, 3, (30, 112), dtype=np.uint32) for _ in range(2))
    one_P, other_P = rng.integers(0, 30, 200), rng.integers(0, 30, 200)
    expected = [(left[a] == right[b]).sum() for a, b in zip(one_P, other_P, strict=True)]
    assert minhash.num_equal_rows(left, one_P, right, other_P).tolist() == expected


def test_lsh_probability_equals_the_share_found_by_drawing() -> None:
    rng = np.random.default_rng(0)
    for similarity in (0.5, 0.72, 0.9):
        equal = rng.random((20_000, 14, 8)) < similarity
        share = np.mean(np.any(np.all(equal, axis=2), axis=1))
        assert abs(minhash.lsh_probability(np.array([similarity]), 14, 8)[0] - share) < 0.015
    assert minhash.lsh_midpoint(14, 8) == pytest.approx(0.719, abs=0.001)
