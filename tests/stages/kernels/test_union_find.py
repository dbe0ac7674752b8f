"""Groups and components against dictionaries and a graph search in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from stages.kernels.union_find import alone, groups, link, settle


def _components(num_nodes: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    parent = alone(num_nodes)
    link(parent, left, right)
    settle(parent)
    return parent


def _least_reachable(num_nodes: int, edges: np.ndarray) -> list[int]:
    near: list[list[int]] = [[] for _ in range(num_nodes)]
    for a, b in edges.tolist():
        near[a].append(b)
        near[b].append(a)
    least = [-1] * num_nodes
    for start in range(num_nodes):
        stack = [start] if least[start] < 0 else []
        while stack:
            node = stack.pop()
            if least[node] < 0:
                least[node] = start
                stack += near[node]
    return least


@pytest.mark.parametrize("num_edges", [0, 50, 400, 3000])
def test_components_random_graphs_equal_a_search(num_edges: int) -> None:
    rng = np.random.default_rng(num_edges)
    edges = rng.integers(0, 800, (num_edges, 2))
    assert _components(800, edges[:, 0], edges[:, 1]).tolist() == _least_reachable(800, edges)


@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
def test_components_long_chain_and_star_in_any_order_are_one(order: str) -> None:
    num = 200_000
    chain = np.stack([np.arange(num - 1), np.arange(1, num)], axis=1)
    star = np.stack([np.full(num - 1, num // 2), np.delete(np.arange(num), num // 2)], axis=1)
    for edges in (chain, star):
        if order == "backward":
            edges = edges[::-1]
        elif order == "shuffled":
            edges = np.random.default_rng(0).permutation(edges)
        assert not _components(num, np.ascontiguousarray(edges[:, 1]), np.ascontiguousarray(edges[:, 0])).any()


@pytest.mark.parametrize("num_keys", [1, 2])
def test_groups_equal_a_dictionary(num_keys: int) -> None:
    rng = np.random.default_rng(num_keys)
    keys = tuple(rng.integers(0, 12, 500).astype(np.uint64) << np.uint64(60) for _ in range(num_keys))
    rank = rng.integers(0, 3, 500).astype(np.float64)
    high, low = rng.integers(0, 3, 500).astype(np.uint64), rng.integers(0, 3, 500).astype(np.uint64)
    number = rng.permutation(500)
    expected: dict[tuple[int, ...], set[int]] = {}
    for row in range(500):
        expected.setdefault(tuple(int(k[row]) for k in keys), set()).add(row)
    found = groups(keys, (rank, high, low, number))
    members = [set(found.order[a:b].tolist()) for a, b in zip(found.starts, found.starts[1:], strict=False)]
    assert sorted(map(sorted, members)) == sorted(map(sorted, expected.values()))
    for first, group in zip(found.firsts.tolist(), members, strict=True):
        assert first == min(group, key=lambda row: (rank[row], high[row], low[row], number[row]))


def test_groups_of_no_rows_are_none() -> None:
    none = np.empty(0, np.uint64)
    found = groups((none,), (np.empty(0), none, none, np.empty(0, np.int64)))
    assert len(found.sizes()) == 0
