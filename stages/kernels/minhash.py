"""MinHash signatures and their LSH band keys.

Reads:  Shingles
Writes: signatures uint32[N, K], bit for bit those of datasketch 2.0.0's `MinHash(K, seed, scheme="affine32",
        hashfunc=hashing.shingle_hash)`; band keys uint64[N, num_bands]; how many rows two signatures agree in
Cost:   about 0.05 ns per shingle and permutation with AVX-512; no memory beside the result
Source: Broder 1997; datasketch 2.0.0, minhash.py (scheme "affine32"); Leskovec, Rajaraman, Ullman, "Mining of Massive
        Datasets", 3.4 (banding)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.inlined import inlined
from stages.kernels.shingles import Shingles, mix64

EMPTY = 0xFFFFFFFF  # what every row of a signature is before the first shingle (datasketch's sentinel)


def permutations(num_rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors (odd) and terms, uint32[num_rows] each, drawn as datasketch draws them."""
    generator = np.random.RandomState(seed)
    factors = generator.randint(0, 1 << 31, num_rows, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, generator.randint(0, 1 << 32, num_rows, dtype=np.uint32)


def sign(shingles: Shingles, factors: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """uint32[N, K]: per permutation the least of (factor * fmix32(hash) + term) modulo 2^32; EMPTY without shingles."""
    signatures = np.full((len(shingles.offsets) - 1, len(factors)), EMPTY, np.uint32)
    _sign_batch(shingles.offsets, shingles.hashes, factors, terms, signatures)
    return signatures


def band_keys(signatures: np.ndarray, num_bands: int, rows_per_band: int) -> np.ndarray:
    """uint64[N, num_bands]: a well-mixed hash of each band's number and rows. Signatures uint32[N, K]; rows behind the
    bands' are not looked at."""
    keys = np.empty((len(signatures), num_bands), np.uint64)
    _band_keys(np.ascontiguousarray(signatures), rows_per_band, keys)
    return keys


def near_keys(signatures: np.ndarray, num_bands: int, rows_per_band: int) -> np.ndarray:
    """uint64[N, num_bands]: the low 16 bits of the first (up to four) rows of the *next* band, the first one highest.
    Ordered by them, documents that share a band stand beside those they share more with. A row's low bits are as good
    as random; its high ones are not, since a row is a minimum."""
    near = np.zeros((len(signatures), num_bands), np.uint64)
    _near_keys(np.ascontiguousarray(signatures), rows_per_band, near)
    return near


def num_equal_rows(left: np.ndarray, left_P: np.ndarray, right: np.ndarray, right_P: np.ndarray) -> np.ndarray:
    """int64[P]: in how many rows signatures `left[left_P]` and `right[right_P]` (uint32[., K]) agree."""
    equal_P = np.empty(len(left_P), np.int64)
    _num_equal_rows(left, left_P, right, right_P, equal_P)
    return equal_P


def lsh_probability(similarity: np.ndarray, num_bands: int, rows_per_band: int) -> np.ndarray:
    """How likely two documents of that Jaccard similarity share at least one band."""
    return np.asarray(1 - (1 - similarity**rows_per_band) ** num_bands)


def lsh_midpoint(num_bands: int, rows_per_band: int) -> float:
    """The similarity around which the curve rises, (1 / bands) ^ (1 / rows) (Mining of Massive Datasets, 3.4.2)."""
    return float((1 / num_bands) ** (1 / rows_per_band))


@inlined
def _fmix32(value: Any) -> Any:
    """MurmurHash3's 32-bit finaliser, as datasketch mixes a hash before it permutes it."""
    value = np.uint32((value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B))  # Numba multiplies in 64 bits
    value = np.uint32((value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@inlined
def _least(one: Any, other: Any, factor: Any, term: Any) -> Any:
    return min(np.uint32(one * factor + term), np.uint32(other * factor + term))


@kernel
def _sign_batch(
    offsets: np.ndarray, hashes: np.ndarray, factors: np.ndarray, terms: np.ndarray, signatures: np.ndarray
) -> None:
    for n in range(len(offsets) - 1):
        signature = signatures[n]
        i, end = offsets[n], offsets[n + 1]
        # Eight shingles a pass, so that the signature is loaded and stored an eighth as often.
        while i + 8 <= end:
            a, b, c, d = _fmix32(hashes[i]), _fmix32(hashes[i + 1]), _fmix32(hashes[i + 2]), _fmix32(hashes[i + 3])
            e, f, g, h = _fmix32(hashes[i + 4]), _fmix32(hashes[i + 5]), _fmix32(hashes[i + 6]), _fmix32(hashes[i + 7])
            for k in range(len(factors)):
                factor, term = factors[k], terms[k]
                low = min(_least(a, b, factor, term), _least(c, d, factor, term))
                high = min(_least(e, f, factor, term), _least(g, h, factor, term))
                signature[k] = min(signature[k], min(low, high))
            i += 8
        for j in range(i, end):
            value = _fmix32(hashes[j])
            for k in range(len(factors)):
                signature[k] = min(signature[k], np.uint32(value * factors[k] + terms[k]))


@kernel
def _band_keys(signatures: np.ndarray, rows_per_band: int, keys: np.ndarray) -> None:
    num_bands = keys.shape[1]
    for n in range(len(signatures)):
        own = keys[n]
        for band in range(num_bands):
            own[band] = mix64(np.uint64(band + 1))
        for row in range(rows_per_band):  # all bands side by side: a key's next mix waits for the one before
            for band in range(num_bands):
                own[band] = mix64(own[band] ^ np.uint64(signatures[n, band * rows_per_band + row]))


@kernel
def _num_equal_rows(
    left: np.ndarray, left_P: np.ndarray, right: np.ndarray, right_P: np.ndarray, equal_P: np.ndarray
) -> None:
    for p in range(len(left_P)):
        one, other, count = left[left_P[p]], right[right_P[p]], 0
        for k in range(len(one)):
            count += one[k] == other[k]
        equal_P[p] = count


@kernel
def _near_keys(signatures: np.ndarray, rows_per_band: int, near: np.ndarray) -> None:
    num_bands = near.shape[1]
    for n in range(len(signatures)):
        for band in range(num_bands):
            start = (band + 1) % num_bands * rows_per_band
            for row in range(start, start + min(4, rows_per_band)):
                near[n, band] = near[n, band] << np.uint64(16) | np.uint64(signatures[n, row] & np.uint32(0xFFFF))
