"""Random numbers that depend on where they are used and on nothing else.

Reads:  a seed, the places of rows in the endless stream of epochs, places in a row
Writes: numbers from 0 to below 1
Cost:   some 5 ns per number
Source: counter-based generators (Salmon et al. 2011); the mixing function is splitmix64's (Steele et al. 2014)

There is no generator with a state, so what a row draws is the same whichever rows are drawn for beside it, and another
thing in every epoch.
"""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def splitmix64(value: np.ndarray) -> np.ndarray:
    """A bijection of uint64 whose results look random."""
    value = value + GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def row_keys(seed: int, place_N: np.ndarray) -> np.ndarray:
    """Uint64 [N]: a key per row."""
    return splitmix64(splitmix64(np.array([seed], np.uint64)) ^ place_N.astype(np.uint64))


def uniform(key_N: np.ndarray, counter_N: np.ndarray, purpose: int) -> np.ndarray:
    """Float64 [N] from 0 to below 1, by key, counter and purpose (below 2 ** 16; a counter is below 2 ** 48)."""
    counter = counter_N.astype(np.uint64) << np.uint64(16) | np.uint64(purpose)
    return (splitmix64(splitmix64(key_N ^ counter * GOLDEN)) >> np.uint64(11)) * 2.0**-53


def whole_below(limit_N: np.ndarray, uniform_N: np.ndarray) -> np.ndarray:
    """Int64 [N]: whole numbers from 0 to below each limit, evenly as far as 53 bits reach."""
    return np.minimum((uniform_N * limit_N).astype(np.int64), np.asarray(limit_N) - 1)
