"""Groups of equal keys, and connected components, over integer arrays.

Reads:  keys and edges as arrays
Writes: Groups; the smallest node of each node's component
Cost:   groups: one sort, 16 bytes per row beside the input. Components: 8 bytes per node, about 20 ns per edge
Source: Galler and Fischer 1964; path halving (Tarjan and van Leeuwen 1984); linking to the smaller node makes the root
        the least node of its component, whatever the order of the edges
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.inlined import inlined


@dataclass(frozen=True)
class Groups:
    """Rows with equal keys, int64: group g holds rows `order[starts[g]:starts[g + 1]]`; it prefers `firsts[g]`."""

    order: np.ndarray
    starts: np.ndarray
    firsts: np.ndarray

    def sizes(self) -> np.ndarray:
        return np.diff(self.starts)


def groups(keys: tuple[np.ndarray, ...], preferences: tuple[np.ndarray, ...]) -> Groups:
    """Group rows by all of `keys` (uint64 each); the preferred row of each has the least `preferences` (rank float64,
    high and low uint64, number int64), compared in this order. Linear beside the sort, however large a group is."""
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0])
    new_group = np.zeros(len(order), bool)
    new_group[:1] = True
    for key in keys:
        ordered = key[order]
        new_group[1:] |= ordered[1:] != ordered[:-1]
    starts = np.append(np.flatnonzero(new_group), len(order)).astype(np.int64)
    return Groups(order, starts, _firsts(order, starts, *preferences))


def alone(num_nodes: int) -> np.ndarray:
    """int64[num_nodes]: the parent of each node where none is linked: itself."""
    return np.arange(num_nodes, dtype=np.int64)


@inlined
def _less(i: Any, j: Any, rank: np.ndarray, high: np.ndarray, low: np.ndarray, number: np.ndarray) -> Any:
    if rank[i] != rank[j]:
        return rank[i] < rank[j]
    if high[i] != high[j]:
        return high[i] < high[j]
    if low[i] != low[j]:
        return low[i] < low[j]
    return number[i] < number[j]


@kernel
def _firsts(
    order: np.ndarray, starts: np.ndarray, rank: np.ndarray, high: np.ndarray, low: np.ndarray, number: np.ndarray
) -> np.ndarray:
    firsts = np.empty(len(starts) - 1, np.int64)
    for g in range(len(firsts)):
        best = order[starts[g]]
        for at in range(starts[g] + 1, starts[g + 1]):
            if _less(order[at], best, rank, high, low, number):
                best = order[at]
        firsts[g] = best
    return firsts


@inlined
def _root(parent: np.ndarray, node: Any) -> Any:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@kernel
def link(parent: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """Link the ends of edges; the least node of a component is its root."""
    for e in range(len(left)):
        a, b = _root(parent, left[e]), _root(parent, right[e])
        if a < b:
            parent[b] = a
        else:
            parent[a] = b


@kernel
def settle(parent: np.ndarray) -> None:
    """Let every node's parent be its root."""
    for node in range(len(parent)):  # parents come before their children
        parent[node] = parent[parent[node]]
