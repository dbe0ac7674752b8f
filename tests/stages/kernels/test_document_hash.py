"""stages/kernels/document_hash.py: against splitmix64 written in whole numbers; even spread; seeds."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa

from pipeline.schemas import ID
from stages.kernels.document_hash import hash_ids, id_bytes, share_of

IDS = [hashlib.md5(str(i).encode()).digest() for i in range(20_000)]
MASK = (1 << 64) - 1


def splitmix64(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def test_hash_ids_equals_splitmix64_of_both_halves() -> None:
    for seed in (0, 1, -3):
        found = hash_ids(id_bytes(pa.array(IDS[:50], ID)), seed)
        for id_, value in zip(IDS[:50], found.tolist(), strict=True):
            low, high = int.from_bytes(id_[:8], "little"), int.from_bytes(id_[8:], "little")
            assert value == splitmix64(splitmix64(low ^ splitmix64(seed & MASK)) ^ high)


def test_id_bytes_sliced_and_empty_arrays() -> None:
    array = pa.array(IDS[:10], ID)
    assert [bytes(row) for row in id_bytes(array.slice(3, 4))] == IDS[3:7]
    assert id_bytes(array.slice(10)).shape == (0, 16)


def test_share_of_ids_is_spread_evenly_and_seeds_are_independent() -> None:
    id_N16 = id_bytes(pa.array(IDS, ID))
    one, two = share_of(id_N16, 1), share_of(id_N16, 2)
    assert one.min() >= 0 and one.max() < 1
    # 100 bins of 200 expected: chi squared with 99 degrees of freedom is below 150 but once in a thousand
    assert ((np.histogram(one, 100, (0, 1))[0] - 200) ** 2 / 200).sum() < 150
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.03
