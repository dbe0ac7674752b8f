"""Candidate pairs against itertools.combinations and a plain walk over sorted rows; shared keys against a Counter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest

from stages.kernels.band_groups import ALL_PAIRS, WINDOW, pairs, shared_keys

Row = tuple[int, int, int, int]  # key, near, tie, document
Pairs = Counter[tuple[int, int]]
TOP = 1 << 64


def _rows(sizes: Sequence[int], seed: int, num_ties: int = TOP, num_nears: int = TOP) -> list[Row]:
    """Groups of these sizes, their rows mixed; documents have arbitrary distinct numbers beyond 32 bits."""
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        key = int(rng.integers(0, TOP, dtype=np.uint64))
        for _ in range(size):
            near, tie = (int(rng.integers(0, n, dtype=np.uint64)) for n in (num_nears, num_ties))
            rows.append((key, near, tie))
    docs = rng.choice(10 * len(rows) + 10, len(rows), replace=False)
    mixed = [(*row, int(doc) << 30) for row, doc in zip(rows, docs, strict=True)]
    return [mixed[i] for i in rng.permutation(len(mixed)).tolist()]


def _found(rows: Sequence[Row]) -> Pairs:
    key, near, tie = (np.array([row[c] for row in rows], np.uint64) for c in range(3))
    member_P, other_P = pairs(key, near, tie, np.array([row[3] for row in rows], np.int64))
    return Counter(zip(member_P.tolist(), other_P.tolist(), strict=True))


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    by_key: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        by_key[row[0]].append(row)
    return list(by_key.values())


def _pair(a: Row, b: Row) -> tuple[int, int]:
    """(member, other): `other` has the smaller tie, of equal ties the smaller number."""
    other, member = sorted((a, b), key=lambda row: row[2:])
    return member[3], other[3]


def _oracle(rows: Sequence[Row]) -> Pairs:
    expected: Pairs = Counter()
    for group in _groups(rows):
        if len(group) <= ALL_PAIRS:
            expected.update(_pair(a, b) for a, b in combinations(group, 2))
            continue
        group.sort(key=lambda row: row[1:])
        hub = min(group, key=lambda row: row[2:])
        wanted = {_pair(group[i], hub) for i in range(len(group)) if group[i] is not hub}
        wanted |= {_pair(group[i], group[j]) for i in range(len(group)) for j in range(max(0, i - WINDOW), i)}
        expected.update(wanted)
    return expected


@pytest.mark.parametrize("size", range(1, ALL_PAIRS + 1))
def test_pairs_of_a_small_group_are_all_combinations(size: int) -> None:
    rows = _rows([size] * 30, seed=size)
    expected = Counter(_pair(a, b) for group in _groups(rows) for a, b in combinations(group, 2))
    assert sum(expected.values()) == 30 * size * (size - 1) // 2
    assert _found(rows) == expected


@pytest.mark.parametrize("size", [ALL_PAIRS + 1, 10, 30, 500])
def test_pairs_of_a_large_group_are_its_neighbours_and_its_least(size: int) -> None:
    rows = _rows([size], seed=size)
    found, hub = _found(rows), min(rows, key=lambda row: row[2])
    ordered = sorted(rows, key=lambda row: row[1:])
    for i, row in enumerate(ordered):
        assert row is hub or found[row[3], hub[3]] == 1
        for before in ordered[max(0, i - WINDOW) : i]:
            assert found[_pair(row, before)] == 1
    assert size - 1 <= sum(found.values()) <= (1 + WINDOW) * size
    assert found == _oracle(rows)


@pytest.mark.parametrize("num_ties, num_nears", [(TOP, 3), (2, TOP), (2, 3), (1, 1)])
def test_pairs_with_equal_ties_and_nears_equal_a_plain_walk(num_ties: int, num_nears: int) -> None:
    rows = _rows(
        [1, 2, 8, 9, 40, 300, 3, 1, 9], seed=num_ties % 7 + num_nears % 5, num_ties=num_ties, num_nears=num_nears
    )
    found = _found(rows)
    assert found == _oracle(rows)
    assert all(count == 1 for count in found.values())


def test_pairs_of_many_groups_equal_a_plain_walk_whatever_the_order_of_rows() -> None:
    rng = np.random.default_rng(0)
    sizes = [*rng.integers(1, 7, 300).tolist(), *rng.integers(7, 60, 40).tolist(), 2_000]
    rows = _rows(sizes, seed=1)
    expected = _oracle(rows)
    for order in (range(len(rows)), reversed(range(len(rows))), rng.permutation(len(rows)).tolist()):
        found = _found([rows[i] for i in order])
        assert found == expected
    assert all(member != other for member, other in expected)


def test_pairs_point_to_the_smaller_tie() -> None:
    rows = _rows([4, 8, 9, 200], seed=3)
    tie = {row[3]: row[2] for row in rows}
    for member, other in _found(rows):
        assert tie[other] < tie[member]


def test_pairs_of_a_group_of_100_000_are_linear_and_join_all() -> None:
    size = 100_000
    rng = np.random.default_rng(5)
    near, tie = (rng.integers(0, TOP, size, dtype=np.uint64) for _ in range(2))
    member_P, other_P = pairs(np.full(size, 7, np.uint64), near, tie, np.arange(size))
    assert len(member_P) <= (1 + WINDOW) * size
    hub = int(np.argmin(tie))
    assert set(member_P[other_P == hub].tolist()) == set(range(size)) - {hub}
    per_member = np.bincount(member_P, minlength=size)
    assert per_member[hub] == 0


def test_pairs_without_rows_or_without_company_are_none() -> None:
    assert not _found([])
    assert not _found(_rows([1] * 100, seed=0))


def _check_shared(key_batches: list[np.ndarray]) -> tuple[int, int]:
    """(rows that pass although their key is alone, rows whose key is alone); fails where a shared key does not pass."""
    shared = shared_keys(key_batches)
    assert [len(one) for one in shared] == [len(one) for one in key_batches]
    keys = np.concatenate([np.empty(0, np.uint64), *key_batches]).tolist()
    passed = np.concatenate([np.empty(0, bool), *shared]).tolist()
    counts = Counter(keys)
    alone = [ok for key, ok in zip(keys, passed, strict=True) if counts[key] == 1]
    assert all(ok for key, ok in zip(keys, passed, strict=True) if counts[key] > 1)
    return sum(alone), len(alone)


@pytest.mark.parametrize("num_keys", [1, 5, 200, 20_000])
def test_shared_keys_miss_none_across_batches(num_keys: int) -> None:
    rng = np.random.default_rng(num_keys)
    keys = rng.integers(0, TOP, num_keys, dtype=np.uint64)
    batches = [rng.choice(keys, size) for size in (0, num_keys // 2, 1, num_keys // 3, num_keys // 3)]
    _check_shared(batches)


@pytest.mark.parametrize("times", [2, 255, 256, 257, 511, 512, 65_536, 65_537])
def test_shared_keys_that_stand_often_pass(times: int) -> None:
    """However often: counts must not wrap around."""
    key = np.full(times, 0x0123456789ABCDEF, np.uint64)
    assert all(one.all() for one in shared_keys([key[:1], key[1:]]))


def test_shared_keys_pass_few_that_are_alone() -> None:
    """Eight slots or more per row: a row meets another in its slot with a chance of 1 - exp(-1/8) = 0.118 at most."""
    rng = np.random.default_rng(9)
    for num_rows in (3, 1_000, 33_000, 65_536):
        batches = np.array_split(rng.integers(0, TOP, num_rows, dtype=np.uint64), 3)
        num_passed, num_alone = _check_shared(list(batches))
        assert num_passed <= 0.125 * num_alone + 3


@pytest.mark.parametrize("low, shift", [(0, 0), (0, 40), (7 << 61, 0)])
def test_shared_keys_pass_few_where_keys_are_alike(low: int, shift: int) -> None:
    """Keys of one partition share their highest bits; consecutive keys, and keys that end in zeros, spread as well."""
    keys = np.uint64(low) + (np.arange(20_000, dtype=np.uint64) << np.uint64(shift))
    num_passed, num_alone = _check_shared([keys])
    assert num_alone == 20_000 and num_passed <= 0.125 * num_alone


def test_shared_keys_of_no_rows_are_none() -> None:
    assert shared_keys([]) == []
    assert [one.tolist() for one in shared_keys([np.empty(0, np.uint64)])] == [[]]
