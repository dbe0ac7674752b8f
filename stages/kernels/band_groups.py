"""Candidate pairs of the documents that share a band, without quadratic work in large groups.

Reads:  the band rows of one partition: key, near, tie, document
Writes: pairs (member, other) of documents: `other` is the one with the smaller tie
Cost:   10 ns per row to find those that share a key, about 100 ns for each of those; 8 to 16 bytes of table per row
Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4; sorted neighbourhoods for large groups
        (Hernandez and Stolfo 1995)

A group is the rows of one key. Up to ALL_PAIRS rows every pair is one. A larger group is ordered by `near`, some rows
of the signature's next band, then by tie: each row is paired with the WINDOW rows before it, which are likely to be
close, and with the row of the least tie, which makes copies of one page one cluster. That is at most 1 + WINDOW pairs
a row, where pairs with one row alone would miss likenesses among those that are not like that one.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel

ALL_PAIRS = 8
WINDOW = 2
MAX_TABLE_BITS = 26  # 64 MiB: of 8 million rows with different keys a ninth pass as maybe shared
_SLOTS_PER_ROW = 8


def shared_keys(key_batches: list[np.ndarray]) -> list[np.ndarray]:
    """bool per row: whether its key may stand in another row too. No row that shares its key is missed."""
    num_rows = sum(map(len, key_batches))
    bits = 4
    while 1 << bits < _SLOTS_PER_ROW * num_rows and bits < MAX_TABLE_BITS:
        bits += 1
    table = np.zeros(1 << bits, np.uint8)
    for key_R in key_batches:
        _count(key_R, table, np.uint64(64 - bits))
    return [_counted_twice(key_R, table, np.uint64(64 - bits)) for key_R in key_batches]


def pairs(key_R: np.ndarray, near_R: np.ndarray, tie_R: np.ndarray, doc_R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(member, other), int64 document numbers; a pair that shares several bands comes once for each."""
    order_R = np.argsort(key_R)
    key_R = key_R[order_R]
    starts = np.flatnonzero(np.append(True, key_R[1:] != key_R[:-1])) if len(key_R) else np.empty(0, np.int64)
    size_G = np.diff(np.append(starts, len(key_R)))
    in_large_R = np.repeat(size_G > ALL_PAIRS, size_G)
    small = _all_pairs(starts[(size_G > 1) & (size_G <= ALL_PAIRS)], size_G[(size_G > 1) & (size_G <= ALL_PAIRS)],
                       order_R, tie_R, doc_R)  # fmt: skip
    if not in_large_R.any():
        return small
    large_R, group_R = order_R[in_large_R], np.repeat(np.arange(len(size_G)), size_G)[in_large_R]
    large_R = large_R[np.lexsort((doc_R[large_R], tie_R[large_R], near_R[large_R], group_R))]
    large = _window_pairs(size_G[size_G > ALL_PAIRS], large_R, tie_R, doc_R)
    return np.concatenate([small[0], large[0]]), np.concatenate([small[1], large[1]])


@kernel
def _mixed(key: np.uint64, shift: np.uint64) -> np.uint64:
    """A slot; the keys of one partition share their highest bits."""
    return (key * np.uint64(0x9E3779B97F4A7C15)) >> shift


@kernel
def _count(key_R: np.ndarray, table: np.ndarray, shift: np.uint64) -> None:
    for key in key_R:
        slot = _mixed(key, shift)
        table[slot] = min(table[slot] + 1, 2)


@kernel
def _counted_twice(key_R: np.ndarray, table: np.ndarray, shift: np.uint64) -> np.ndarray:
    shared_R = np.empty(len(key_R), np.bool_)
    for r in range(len(key_R)):
        shared_R[r] = table[_mixed(key_R[r], shift)] > 1
    return shared_R


@kernel
def _set_pair(
    member: np.ndarray, other: np.ndarray, at: int, a: int, b: int, tie_R: np.ndarray, doc_R: np.ndarray
) -> None:
    """Pair rows a and b; of equal ties the document that lies first is `other`."""
    if tie_R[a] < tie_R[b] or (tie_R[a] == tie_R[b] and doc_R[a] < doc_R[b]):
        a, b = b, a
    member[at], other[at] = doc_R[a], doc_R[b]


@kernel
def _all_pairs(
    starts: np.ndarray, sizes: np.ndarray, order_R: np.ndarray, tie_R: np.ndarray, doc_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    num_pairs = 0
    for size in sizes:
        num_pairs += size * (size - 1) // 2
    member, other = np.empty(num_pairs, np.int64), np.empty(num_pairs, np.int64)
    at = 0
    for g in range(len(starts)):
        for i in range(starts[g], starts[g] + sizes[g]):
            for j in range(starts[g], i):
                _set_pair(member, other, at, order_R[i], order_R[j], tie_R, doc_R)
                at += 1
    return member, other


@kernel
def _window_pairs(
    sizes: np.ndarray, order_R: np.ndarray, tie_R: np.ndarray, doc_R: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    most = len(order_R) * (1 + WINDOW)
    member, other = np.empty(most, np.int64), np.empty(most, np.int64)
    at = start = 0
    for size in sizes:
        end = start + size
        hub = start
        for i in range(start + 1, end):
            a, b = order_R[i], order_R[hub]
            if tie_R[a] < tie_R[b] or (tie_R[a] == tie_R[b] and doc_R[a] < doc_R[b]):
                hub = i
        for i in range(start, end):
            for j in range(max(start, i - WINDOW), i):
                _set_pair(member, other, at, order_R[i], order_R[j], tie_R, doc_R)
                at += 1
            if abs(i - hub) > WINDOW:
                _set_pair(member, other, at, order_R[i], order_R[hub], tie_R, doc_R)
                at += 1
        start = end
    return member[:at], other[:at]
