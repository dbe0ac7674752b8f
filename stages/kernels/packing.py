"""Cut documents into segments, and lay segments out in rows of equal length.

Cost:   cutting is O(segments); best fit O(segments x length / 32) at worst, and copying; see benchmarks/pack.py
Source: best-fit decreasing, Johnson 1973: each segment, longest first, into the fullest row that has room for it

A document of n tokens is the stream `begin, token 0, ..., token n - 1, end` of n + 2. Shapes: D documents, S segments,
R rows, L positions of a row, T tokens of a batch, P tokens of a window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.inlined import inlined

DELIMITERS = 2  # begin and end
_WORD_BITS = 32  # of the set of rooms; in int64, so that no sign bit is in use


class Segments(NamedTuple):
    """Pieces of documents' streams, in document order; int64 [S] each."""

    document_S: np.ndarray  # index of the document in its batch
    offset_S: np.ndarray  # where the segment starts in the document's stream
    length_S: np.ndarray
    context_S: np.ndarray  # tokens at its start that are context only: the stream's first, or those repeated


class Rows(NamedTuple):
    """Packed rows. Row r holds the segments first_R[r]:first_R[r + 1] of `order_S`, which lists segments row by row."""

    ids_RL: np.ndarray
    first_R: np.ndarray  # int32 [R + 1]
    order_S: np.ndarray  # int64
    start_S: np.ndarray  # uint16, in order_S's order: position in its row
    loss_start_S: np.ndarray  # uint16, likewise
    num_real_R: np.ndarray  # uint16


@inlined
def _num_segments(stream: int, length: int, overlap: int) -> int:
    """ceil((stream - overlap) / stride): every segment but the first begins with `overlap` tokens of the one before."""
    if stream <= length:
        return 1
    stride = length - overlap
    return (stream - overlap + stride - 1) // stride


@kernel
def _cut(documents: np.ndarray, num_tokens_D: np.ndarray, length: int, overlap: int) -> tuple:
    total = 0
    for d in documents:
        total += _num_segments(num_tokens_D[d] + DELIMITERS, length, overlap)
    document_S = np.empty(total, np.int64)
    offset_S = np.empty(total, np.int64)
    length_S = np.empty(total, np.int64)
    context_S = np.empty(total, np.int64)
    s = 0
    for d in documents:
        stream = num_tokens_D[d] + DELIMITERS
        for k in range(_num_segments(stream, length, overlap)):
            offset = k * (length - overlap)
            document_S[s] = d
            offset_S[s] = offset
            length_S[s] = min(length, stream - offset)
            context_S[s] = overlap if k else 1
            s += 1
    return document_S, offset_S, length_S, context_S


def cut(documents: np.ndarray, num_tokens_D: np.ndarray, length: int, overlap: int) -> Segments:
    """The segments of the documents with these indices (int64), of num_tokens_D tokens without delimiters.

    `1 <= overlap < length`. Every stream position but a document's first is past `context_S` in exactly one segment.
    """
    return Segments(*_cut(documents, num_tokens_D, length, overlap))


@kernel
def _cut_at_row_ends(documents: np.ndarray, num_tokens_D: np.ndarray, length: int, room: int) -> tuple:
    most = 0  # a stream has the most pieces where its first one is a single token
    for d in documents:
        most += 1 + (num_tokens_D[d] + DELIMITERS + length - 3) // (length - 1)
    document_S = np.empty(most, np.int64)
    offset_S = np.empty(most, np.int64)
    length_S = np.empty(most, np.int64)
    s = 0
    for d in documents:
        stream = num_tokens_D[d] + DELIMITERS
        offset = 0
        while True:
            document_S[s] = d
            offset_S[s] = offset
            length_S[s] = min(room, stream - offset)
            offset += length_S[s]
            room -= length_S[s]
            s += 1
            if room == 0:
                room = length
            if offset == stream:
                break
            offset -= 1
    return document_S[:s], offset_S[:s], length_S[:s], room


def cut_at_row_ends(
    documents: np.ndarray, num_tokens_D: np.ndarray, length: int, room: int
) -> tuple[Segments, int]:  # fmt: skip
    """The segments of documents laid out one after the other in rows, and the room left in the last row.

    `1 <= room <= length` is that of the row the first document begins in; `2 <= length`. A stream that meets the end of
    its row goes on in the next one, after the token before the cut. Where only its first token fit, that one is
    repeated: such a segment has no target.
    """
    document_S, offset_S, length_S, room = _cut_at_row_ends(documents, num_tokens_D, length, room)
    return Segments(document_S, offset_S, length_S, np.ones(len(length_S), np.int64)), room


@kernel
def copy_segments(
    ids_T: np.ndarray, offset_D: np.ndarray, document_S: np.ndarray, offset_S: np.ndarray, length_S: np.ndarray,
    delimiter: int, pool_P: np.ndarray, used: int,
) -> int:  # fmt: skip
    """Append the segments' tokens to pool_P from position `used` on; how much of it is used then."""
    for s in range(len(document_S)):
        d = document_S[s]
        num_tokens = offset_D[d + 1] - offset_D[d]
        first, last = offset_S[s], offset_S[s] + length_S[s]  # in the stream, where token i is at i + 1
        if first == 0:
            pool_P[used] = delimiter
            used += 1
            first = 1
        source = offset_D[d] + first - 1
        for i in range(min(last, num_tokens + 1) - first):
            pool_P[used + i] = ids_T[source + i]
        used += min(last, num_tokens + 1) - first
        if last == num_tokens + DELIMITERS:
            pool_P[used] = delimiter
            used += 1
    return used


@kernel
def _longest_first(length_S: np.ndarray, capacity: int) -> np.ndarray:
    """Segment indices by falling length, equal ones in their order."""
    place = np.zeros(capacity + 2, np.int64)
    for length in length_S:
        place[capacity - length + 1] += 1
    for i in range(1, capacity + 2):
        place[i] += place[i - 1]
    order_S = np.empty(len(length_S), np.int64)
    for s in range(len(length_S)):
        bucket = capacity - length_S[s]
        order_S[place[bucket]] = s
        place[bucket] += 1
    return order_S


@inlined
def _smallest_room(words: np.ndarray, room: int) -> int:
    """The smallest member of the set that is at least `room`, or -1."""
    word = room // _WORD_BITS
    bits = words[word] >> (room % _WORD_BITS) << (room % _WORD_BITS)
    while bits == 0:
        word += 1
        if word == len(words):
            return -1
        bits = words[word]
    lowest = bits & -bits
    index = 0
    while lowest > 1:
        lowest >>= 1
        index += 1
    return word * _WORD_BITS + index


@kernel
def best_fit(length_S: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray, int]:
    """(row of each segment int64 [S], segments longest first int64 [S], number of rows). Lengths from 1 to capacity."""
    order_S = _longest_first(length_S, capacity)
    row_S = np.empty(len(length_S), np.int64)
    next_R = np.empty(len(length_S), np.int64)  # the row below on the stack of rows with the same room
    top = np.full(capacity + 1, -1, np.int64)  # of the stack per room
    words = np.zeros(capacity // _WORD_BITS + 1, np.int64)  # which rooms have a row
    num_rows = 0
    for s in order_S:
        room = _smallest_room(words, length_S[s])
        if room < 0:
            row, room = num_rows, capacity
            num_rows += 1
        else:
            row = top[room]
            top[room] = next_R[row]
            if top[room] < 0:
                words[room // _WORD_BITS] &= ~(1 << (room % _WORD_BITS))
        row_S[s] = row
        room -= length_S[s]
        if room > 0:
            next_R[row] = top[room]
            top[room] = row
            words[room // _WORD_BITS] |= 1 << (room % _WORD_BITS)
    return row_S, order_S, num_rows


@kernel
def _group(row_S: np.ndarray, longest_first_S: np.ndarray, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Segments row by row, longest first within a row, and where each row begins among them."""
    first_R = np.zeros(num_rows + 1, np.int32)
    for row in row_S:
        first_R[row + 1] += 1
    for r in range(num_rows):
        first_R[r + 1] += first_R[r]
    place_R = first_R[:-1].copy()
    order_S = np.empty(len(row_S), np.int64)
    for s in longest_first_S:
        order_S[place_R[row_S[s]]] = s
        place_R[row_S[s]] += 1
    return order_S, first_R


@kernel
def _fill(
    pool_P: np.ndarray, begin_S: np.ndarray, length_S: np.ndarray, context_S: np.ndarray, order_S: np.ndarray,
    first_R: np.ndarray, length: int, pad_id: int,
) -> tuple:  # fmt: skip
    num_rows = len(first_R) - 1
    ids_RL = np.empty((num_rows, length), pool_P.dtype)
    start_S = np.empty(len(order_S), np.uint16)
    loss_start_S = np.empty(len(order_S), np.uint16)
    num_real_R = np.empty(num_rows, np.uint16)
    for r in range(num_rows):
        at = 0
        for i in range(first_R[r], first_R[r + 1]):
            s = order_S[i]
            start_S[i] = at
            loss_start_S[i] = at + context_S[s]
            for j in range(length_S[s]):
                ids_RL[r, at + j] = pool_P[begin_S[s] + j]
            at += length_S[s]
        num_real_R[r] = at
        for j in range(at, length):
            ids_RL[r, j] = pad_id
    return ids_RL, start_S, loss_start_S, num_real_R


def fill(
    pool_P: np.ndarray, length_S: np.ndarray, context_S: np.ndarray, order_S: np.ndarray, first_R: np.ndarray,
    length: int, pad_id: int,
) -> Rows:  # fmt: skip
    """The rows of segments that lie one after the other in pool_P; order_S and first_R are as in Rows."""
    begin_S = np.cumsum(length_S) - length_S
    ids_RL, start_S, loss_start_S, num_real_R = _fill(
        pool_P, begin_S, length_S, context_S, order_S, first_R, length, pad_id
    )
    return Rows(ids_RL, first_R, order_S, start_S, loss_start_S, num_real_R)


def pack(
    pool_P: np.ndarray, length_S: np.ndarray, context_S: np.ndarray, key_S: np.ndarray, length: int, pad_id: int
) -> Rows:
    """Pack segments that lie one after the other in pool_P; rows are in the order of their longest segment's key.

    Keys (uint64) are hashes: rows come out mixed, full ones and packed ones, whatever the order of the documents.
    """
    row_S, longest_first_S, num_rows = best_fit(length_S, length)
    order_S, first_R = _group(row_S, longest_first_S, num_rows)
    rank_R = np.empty(num_rows, np.int64)
    rank_R[np.argsort(key_S[order_S[first_R[:-1]]], kind="stable")] = np.arange(num_rows)
    order_S, first_R = _group(rank_R[row_S], longest_first_S, num_rows)
    return fill(pool_P, length_S, context_S, order_S, first_R, length, pad_id)
