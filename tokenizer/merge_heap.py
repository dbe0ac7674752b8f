"""A heap of pairs by their counts, for tokenizer/merge_kernels.py.

Reads:  counts, keys and numbers of pairs
Writes: arrays
Cost:   20 bytes an entry; O(log entries) a change
Source: binary heap, Williams 1964
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tokenizer.compiled import grown, kernel, piece


class Heap(NamedTuple):
    """Pairs by count, of equal ones by key: entry 0 is the next one. `size[0]` entries are in use."""

    total: np.ndarray
    key: np.ndarray
    pair: np.ndarray
    size: np.ndarray


@piece
def _comes_first(heap: Heap, i: Any, j: Any) -> Any:
    return heap.total[i] > heap.total[j] or (heap.total[i] == heap.total[j] and heap.key[i] < heap.key[j])


@piece
def _swap(heap: Heap, i: Any, j: Any) -> None:
    heap.total[i], heap.total[j] = heap.total[j], heap.total[i]
    heap.key[i], heap.key[j] = heap.key[j], heap.key[i]
    heap.pair[i], heap.pair[j] = heap.pair[j], heap.pair[i]


@kernel
def new_heap(num_entries: Any) -> Heap:
    """An empty heap with room for at least so many entries."""
    room = max(num_entries, 16)
    return Heap(np.zeros(room, np.int64), np.zeros(room, np.int64), np.zeros(room, np.int32), np.zeros(1, np.int64))


@kernel
def with_heap_room(heap: Heap, num_entries: Any) -> Heap:
    """The same heap with room for so many more entries."""
    total, key, pair = heap.total, heap.key, heap.pair
    while heap.size[0] + num_entries > len(total):
        total, key, pair = grown(total, 0), grown(key, 0), grown(pair, np.int32(-1))
    return Heap(total, key, pair, heap.size)


@piece
def push(heap: Heap, count: Any, key: Any, pair: Any) -> None:
    i = heap.size[0]
    heap.size[0] += 1
    heap.total[i], heap.key[i], heap.pair[i] = count, key, pair
    while i > 0 and _comes_first(heap, i, (i - 1) >> 1):
        _swap(heap, i, (i - 1) >> 1)
        i = (i - 1) >> 1


@piece
def sink(heap: Heap) -> None:
    """Put entry 0, whose count has become lower, into its place."""
    i, size = 0, heap.size[0]
    while True:
        first = i
        for child in (2 * i + 1, 2 * i + 2):
            if child < size and _comes_first(heap, child, first):
                first = child
        if first == i:
            return
        _swap(heap, i, first)
        i = first


@piece
def pop(heap: Heap) -> None:
    heap.size[0] -= 1
    _swap(heap, 0, heap.size[0])
    sink(heap)
