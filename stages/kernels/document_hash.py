"""A number in [0, 1) per document, from its id alone: for samples and splits that no layout of shards can change.

Cost:   three multiplications per document
Source: splitmix64's finaliser (Steele et al. 2014), over both halves of the id
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

ID_BYTES = 16


def id_bytes(ids: pa.Array) -> np.ndarray:
    """uint8 [N, 16], without a copy, of a fixed_size_binary[16] array without nulls."""
    if not len(ids):
        return np.empty((0, ID_BYTES), np.uint8)
    data = np.frombuffer(ids.buffers()[1], np.uint8)
    return data[ids.offset * ID_BYTES : (ids.offset + len(ids)) * ID_BYTES].reshape(-1, ID_BYTES)


def mix(value_N: np.ndarray) -> np.ndarray:
    """Well-mixed uint64 of each uint64."""
    value_N = value_N + np.uint64(0x9E3779B97F4A7C15)
    value_N = (value_N ^ (value_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value_N = (value_N ^ (value_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value_N ^ (value_N >> np.uint64(31))


def hash_ids(id_N16: np.ndarray, seed: int) -> np.ndarray:
    """uint64 per id (uint8 [N, 16])."""
    half_N2 = np.ascontiguousarray(id_N16).view("<u8").astype(np.uint64)
    seed_1 = mix(np.array([seed], np.int64).view(np.uint64))
    return mix(mix(half_N2[:, 0] ^ seed_1) ^ half_N2[:, 1])


def share_of(id_N16: np.ndarray, seed: int) -> np.ndarray:
    """float64 in [0, 1) per id, evenly spread: below `share` lies that share of the documents."""
    return (hash_ids(id_N16, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
