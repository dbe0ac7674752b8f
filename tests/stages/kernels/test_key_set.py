"""Sets of 128-bit keys against Python's sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels.key_set import contains, key_set

WORDS = st.sampled_from([0, 1, 2, 3, 1 << 47, (1 << 48) - 1, 1 << 48, (1 << 64) - 2, (1 << 64) - 1])
KEYS = st.lists(st.tuples(WORDS, WORDS), max_size=30)


def array(keys: list[tuple[int, int]]) -> np.ndarray:
    return np.array(keys, np.uint64).reshape(-1, 2)


@settings(max_examples=500, deadline=None)
@given(KEYS, KEYS)
def test_key_set_any_keys_hold_what_a_set_holds(members: list[tuple[int, int]], asked: list[tuple[int, int]]) -> None:
    keys, row_K = key_set(array(members))
    assert contains(keys, array(asked)).tolist() == [key in set(members) for key in asked]
    np.testing.assert_array_equal(np.stack([keys.high, keys.low], axis=1), array(members)[row_K])


def test_key_set_of_many_keys_holds_them_and_no_others() -> None:
    rng = np.random.default_rng(1)
    member_N2 = rng.integers(0, 1 << 64, (200_000, 2), np.uint64, endpoint=False)
    other_N2 = member_N2.copy()
    other_N2[:, 1] ^= np.uint64(1)
    keys, _ = key_set(np.concatenate([member_N2, member_N2[:1000]]))
    assert len(keys.high) == 200_000
    assert contains(keys, member_N2).all() and not contains(keys, other_N2).any()
