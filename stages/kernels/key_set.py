"""128-bit keys of byte strings, and sets of millions of them.

Reads:  keys, uint64 [N, 2]
Writes: KeySet; membership of N keys
Cost:   2 ns per byte hashed; 16 bytes per key in a set; one or two cache misses per look-up
Source: two 64-bit hashes of the FNV kind (a multiplication per byte) with MurmurHash3's finaliser (Appleby)

A key stands for its string: among ten million entries and a trillion look-ups, the chance that any two different
strings share a key is below 1 in 10^19, so a member is not compared by its bytes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.kernels.compiled import kernel

# Odd, from the first digits of the golden ratio and of pi: any odd, well-spread multipliers serve.
_FACTOR_HIGH, _FACTOR_LOW = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x243F6A8885A308D3)
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_32, _33 = np.uint64(32), np.uint64(33)
BUCKET_BITS = 16
_BUCKET_SHIFT = np.uint64(64 - BUCKET_BITS)


class KeySet(NamedTuple):
    """K distinct keys, `high` and `low` uint64[K], ascending by `high`; those whose first 16 bits are b lie between
    `first[b]` and `first[b + 1]` (int64[65537])."""

    high: np.ndarray
    low: np.ndarray
    first: np.ndarray


def key_set(key_N2: np.ndarray) -> tuple[KeySet, np.ndarray]:
    """(the set of the keys, for each of its keys the row of `key_N2` it came from)."""
    order_N = np.argsort(key_N2[:, 0], kind="stable")
    high, low = key_N2[order_N, 0], key_N2[order_N, 1]
    is_new_N = np.ones(len(order_N), np.bool_)
    is_new_N[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    if not is_new_N.all():
        high, low = high[is_new_N], low[is_new_N]
    edges = np.arange(1 << BUCKET_BITS, dtype=np.uint64) << _BUCKET_SHIFT
    first = np.append(np.searchsorted(high, edges), len(high)).astype(np.int64)
    return KeySet(high=high, low=low, first=first), order_N[is_new_N]


def contains(keys: KeySet, key_N2: np.ndarray) -> np.ndarray:
    """bool[N]: which keys are in the set."""
    found_N = np.zeros(len(key_N2), np.bool_)
    if len(keys.high):
        _contains(keys, key_N2, found_N)
    return found_N


@kernel
def step(high: np.uint64, low: np.uint64, byte: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The state of both hashes after one more byte."""
    high, low = (high ^ byte) * _FACTOR_HIGH, (low ^ byte) * _FACTOR_LOW
    return high ^ high >> _32, low ^ low >> _32


@kernel
def mix(state: np.uint64) -> np.uint64:
    """The hash of a state."""
    state = (state ^ state >> _33) * _MIX_1
    state = (state ^ state >> _33) * _MIX_2
    return state ^ state >> _33


@kernel
def find(keys: KeySet, high: np.uint64, low: np.uint64) -> int:
    """The place of a key in the set, -1 where it is not there."""
    bucket = np.int64(high >> _BUCKET_SHIFT)
    start, end = keys.first[bucket], keys.first[bucket + 1]
    while start < end:
        middle = (start + end) >> 1
        if keys.high[middle] < high:
            start = middle + 1
        else:
            end = middle
    while start < len(keys.high) and keys.high[start] == high:
        if keys.low[start] == low:
            return start
        start += 1
    return -1


@kernel
def _contains(keys: KeySet, key_N2: np.ndarray, found_N: np.ndarray) -> None:
    for n in range(len(key_N2)):
        found_N[n] = find(keys, key_N2[n, 0], key_N2[n, 1]) >= 0
