"""The kernels of tokenizer/merge.py: pairs with their counts and words, a heap of them, and tokens by their bytes.

Reads:  words as tokens, with their counts
Writes: merges; the words' tokens are merged in place
Cost:   per merge one look-up for each different neighbour of the pair, and 5 to 10 ns for each token of its words
Source: as tokenizer/merge.py; all kernels stand in one file: Numba's cache on disk does not notice an edit in another
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

NUM_BYTES = 256
_NONE = np.int32(-1)
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: a multiplication by it spreads keys
_kernel = numba.njit(nogil=True, cache=True)
# Pieces that allocate nothing: inlined, and without counting references to arrays, which would cost more than they do.
_piece = numba.njit(forceinline=True, _nrt=False)


class Words(NamedTuple):
    """Word w is the `length_W[w]` tokens from `start_W[w]` on; merges make it shorter in place."""

    token_N: np.ndarray
    start_W: np.ndarray
    length_W: np.ndarray
    count_W: np.ndarray


class Pairs(NamedTuple):
    """P pairs: key (left << 32 | right), count, and the words they occur in, as a list from the last on: `last[p]` is
    an index into `word` and `before`, -1 ends it. `size[0]` pairs and `size[1]` list entries are in use; `cells` is a
    hash table of pair numbers, -1 where empty."""

    key: np.ndarray
    total: np.ndarray
    last: np.ndarray
    cells: np.ndarray
    word: np.ndarray
    before: np.ndarray
    size: np.ndarray


class Heap(NamedTuple):
    """Pairs by count, of equal ones by key: entry 0 is the next one. `size[0]` entries are in use."""

    total: np.ndarray
    key: np.ndarray
    pair: np.ndarray
    size: np.ndarray


@_kernel
def _grown(values: np.ndarray, fill: Any) -> np.ndarray:
    """Twice as long; what is new is `fill`."""
    grown = np.full(2 * len(values), fill, values.dtype)
    grown[: len(values)] = values
    return grown


@_piece
def _cell(pairs: Pairs, key: Any) -> Any:
    """Where a key is in the table, or would be put."""
    mask = np.uint64(len(pairs.cells) - 1)
    at = (np.uint64(key) * _MIX >> np.uint64(20)) & mask
    while pairs.cells[at] >= 0 and pairs.key[pairs.cells[at]] != key:
        at = (at + np.uint64(1)) & mask
    return at


@_kernel
def _with_room(pairs: Pairs, num_pairs: int, num_entries: int) -> Pairs:
    """The same pairs with room for so many more."""
    key, count, last, cells, word, before, size = pairs
    while size[0] + num_pairs > len(key):
        key, count, last = _grown(key, 0), _grown(count, 0), _grown(last, _NONE)
    while size[1] + num_entries > len(word):
        word, before = _grown(word, _NONE), _grown(before, _NONE)
    if 2 * len(key) > len(cells):
        cells = np.full(4 * len(key), _NONE, np.int32)
        grown = Pairs(key, count, last, cells, word, before, size)
        for pair in range(size[0]):
            cells[_cell(grown, key[pair])] = pair
    return Pairs(key, count, last, cells, word, before, size)


@_piece
def _pair_of(pairs: Pairs, key: Any) -> Any:
    """The number of a pair; a new one, with count 0, where it was not met before."""
    cell = _cell(pairs, key)
    pair = pairs.cells[cell]
    if pair < 0:
        pair = np.int32(pairs.size[0])
        pairs.size[0] += 1
        pairs.key[pair], pairs.total[pair], pairs.last[pair] = key, 0, _NONE
        pairs.cells[cell] = pair
    return pair


@_piece
def _note(pairs: Pairs, pair: Any, word: Any) -> None:
    """A pair occurs in a word."""
    last = pairs.last[pair]
    if last < 0 or pairs.word[last] != word:
        entry = np.int32(pairs.size[1])
        pairs.size[1] += 1
        pairs.word[entry], pairs.before[entry] = word, last
        pairs.last[pair] = entry


@_piece
def _comes_first(heap: Heap, i: Any, j: Any) -> Any:
    return heap.total[i] > heap.total[j] or (heap.total[i] == heap.total[j] and heap.key[i] < heap.key[j])


@_piece
def _swap(heap: Heap, i: Any, j: Any) -> None:
    heap.total[i], heap.total[j] = heap.total[j], heap.total[i]
    heap.key[i], heap.key[j] = heap.key[j], heap.key[i]
    heap.pair[i], heap.pair[j] = heap.pair[j], heap.pair[i]


@_kernel
def _push(heap: Heap, count: Any, key: Any, pair: Any) -> Heap:
    if heap.size[0] == len(heap.total):
        heap = Heap(_grown(heap.total, 0), _grown(heap.key, 0), _grown(heap.pair, _NONE), heap.size)
    i = heap.size[0]
    heap.size[0] += 1
    heap.total[i], heap.key[i], heap.pair[i] = count, key, pair
    while i > 0 and _comes_first(heap, i, (i - 1) >> 1):
        _swap(heap, i, (i - 1) >> 1)
        i = (i - 1) >> 1
    return heap


@_piece
def _sink(heap: Heap) -> None:
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


@_piece
def _pop(heap: Heap) -> None:
    heap.size[0] -= 1
    _swap(heap, 0, heap.size[0])
    _sink(heap)


@_piece
def _key(left: Any, right: Any) -> Any:
    return np.int64(left) << np.int64(32) | np.int64(right)


class Side(NamedTuple):
    """The tokens met on one side of a pair that is being merged. By token: how often (0: not yet), and the pair it
    makes with the new token (-1: too long a token would come of it). `met[:size[0]]` are those that were met."""

    amount: np.ndarray
    pair: np.ndarray
    met: np.ndarray
    size: np.ndarray


@_kernel
def _new_side(num_tokens: Any) -> Side:
    return Side(
        np.zeros(num_tokens, np.int64), np.zeros(num_tokens, np.int32), np.zeros(num_tokens, np.int32),
        np.zeros(1, np.int64),
    )  # fmt: skip


@_piece
def _meet(side: Side, pairs: Pairs, neighbour: Any, key: Any, is_short: Any, count: Any, word: Any) -> None:
    """The neighbour stands beside an occurrence in a word; `key` is the pair that comes of it."""
    if side.amount[neighbour] == 0:
        side.met[side.size[0]] = neighbour
        side.size[0] += 1
        side.pair[neighbour] = _pair_of(pairs, key) if is_short else _NONE
    side.amount[neighbour] += count
    if side.pair[neighbour] >= 0:
        _note(pairs, side.pair[neighbour], word)


@_piece
def _merge_word(
    text: Words, w: Any, left: Any, right: Any, token: Any, length_T: np.ndarray, max_bytes: Any, pairs: Pairs,
    before: Side, after: Side,
) -> None:  # fmt: skip
    """Merge a pair in a word, from left to right."""
    token_N, start = text.token_N, text.start_W[w]
    i, at, end = start, start, start + text.length_W[w]
    while i < end:
        if i + 1 < end and token_N[i] == left and token_N[i + 1] == right:
            if at > start:
                other = token_N[at - 1]
                is_short = length_T[other] + length_T[token] <= max_bytes
                _meet(before, pairs, other, _key(other, token), is_short, text.count_W[w], w)
            if i + 2 < end:
                other = token_N[i + 2]
                is_short = length_T[token] + length_T[other] <= max_bytes
                _meet(after, pairs, other, _key(token, other), is_short, text.count_W[w], w)
            token_N[at] = token
            i += 2
        else:
            token_N[at] = token_N[i]
            i += 1
        at += 1
    text.length_W[w] = at - start


class Tokens(NamedTuple):
    """Token t is `data[start_T[t]:start_T[t] + length_T[t]]`; `cells` is a hash table of tokens by their bytes.
    `size[0]` tokens and `size[1]` bytes are in use."""

    data: np.ndarray
    start_T: np.ndarray
    length_T: np.ndarray
    cells: np.ndarray
    size: np.ndarray


@_kernel
def _bytes_of_two(tokens: Tokens, left: Any, right: Any) -> tuple[np.ndarray, Any]:
    """The bytes of a pair, and their hash."""
    data = np.empty(tokens.length_T[left] + tokens.length_T[right], np.uint8)
    data[: tokens.length_T[left]] = tokens.data[tokens.start_T[left] :][: tokens.length_T[left]]
    data[tokens.length_T[left] :] = tokens.data[tokens.start_T[right] :][: tokens.length_T[right]]
    state = np.uint64(len(data))
    for byte in data:
        state = (state ^ np.uint64(byte)) * _MIX
        state ^= state >> np.uint64(32)
    return data, state


@_kernel
def _token_of(tokens: Tokens, left: Any, right: Any) -> Any:
    """The token that a pair makes; a new one where no token has its bytes."""
    data, state = _bytes_of_two(tokens, left, right)
    mask = np.uint64(len(tokens.cells) - 1)
    at = state & mask
    while tokens.cells[at] >= 0:
        token = tokens.cells[at]
        start = tokens.start_T[token]
        if tokens.length_T[token] == len(data) and (tokens.data[start : start + len(data)] == data).all():
            return token
        at = (at + np.uint64(1)) & mask
    token = np.int32(tokens.size[0])
    tokens.size[0] += 1
    tokens.start_T[token], tokens.length_T[token] = tokens.size[1], len(data)
    tokens.data[tokens.size[1] : tokens.size[1] + len(data)] = data
    tokens.size[1] += len(data)
    tokens.cells[at] = token
    return token


@_kernel
def _with_token_room(tokens: Tokens, num_bytes: Any) -> Tokens:
    data = tokens.data
    while tokens.size[1] + num_bytes > len(data):
        data = _grown(data, np.uint8(0))
    return Tokens(data, tokens.start_T, tokens.length_T, tokens.cells, tokens.size)


@_kernel
def _byte_tokens(byte_of_id: np.ndarray, num_tokens: Any) -> Tokens:
    cells = 16
    while cells < 2 * num_tokens:
        cells *= 2
    room = max(num_tokens, NUM_BYTES) + 1
    start_T, length_T = np.zeros(room, np.int64), np.ones(room, np.int32)
    start_T[:NUM_BYTES] = np.arange(NUM_BYTES)
    data = np.zeros(1 << 16, np.uint8)
    data[:NUM_BYTES] = byte_of_id
    return Tokens(data, start_T, length_T, np.full(cells, _NONE, np.int32), np.array([NUM_BYTES, NUM_BYTES], np.int64))


@_kernel
def _count_pairs(text: Words) -> Pairs:
    """All pairs of the words, counted."""
    pairs = Pairs(
        np.zeros(1 << 12, np.int64), np.zeros(1 << 12, np.int64), np.full(1 << 12, _NONE, np.int32),
        np.full(1 << 14, _NONE, np.int32), np.zeros(len(text.token_N) + 1, np.int32),
        np.zeros(len(text.token_N) + 1, np.int32), np.zeros(2, np.int64),
    )  # fmt: skip
    for w in range(len(text.start_W)):
        for i in range(text.start_W[w], text.start_W[w] + text.length_W[w] - 1):
            pairs = _with_room(pairs, 1, 1)
            pair = _pair_of(pairs, _key(text.token_N[i], text.token_N[i + 1]))
            pairs.total[pair] += text.count_W[w]
            _note(pairs, pair, np.int32(w))
    return pairs


@_kernel
def _merge_pair(
    text: Words, pairs: Pairs, pair: Any, token: Any, length_T: np.ndarray, max_bytes: Any, before: Side, after: Side
) -> Pairs:
    """Merge a pair in all its words; what stood beside it is noted in `before` and `after`."""
    left, right = np.int32(pairs.key[pair] >> np.int64(32)), np.int32(pairs.key[pair] & np.int64(0xFFFFFFFF))
    entry = pairs.last[pair]
    pairs.last[pair] = _NONE
    while entry >= 0:
        w = pairs.word[entry]
        most = 2 * text.length_W[w]
        if pairs.size[0] + most > len(pairs.key) or pairs.size[1] + most > len(pairs.word):
            pairs = _with_room(pairs, most, most)
        _merge_word(text, w, left, right, token, length_T, max_bytes, pairs, before, after)
        entry = pairs.before[entry]
    pairs.total[pair] = 0
    return pairs


@_kernel
def _settle(pairs: Pairs, side: Side, part: Any, is_before: Any) -> None:
    """Count the pairs that have come and gone on one side of a merged pair, whose token on that side was `part`."""
    for i in range(side.size[0]):
        other = side.met[i]
        gone = pairs.cells[_cell(pairs, _key(other, part) if is_before else _key(part, other))]
        if gone >= 0:
            pairs.total[gone] -= side.amount[other]
        if side.pair[other] >= 0:
            pairs.total[side.pair[other]] += side.amount[other]


@_kernel
def _push_met(pairs: Pairs, heap: Heap, side: Side) -> Heap:
    for i in range(side.size[0]):
        pair = side.pair[side.met[i]]
        side.amount[side.met[i]] = 0
        if pair >= 0 and pairs.total[pair] > 0:
            heap = _push(heap, pairs.total[pair], pairs.key[pair], pair)
    side.size[0] = 0
    return heap


@_kernel
def learn_merges(
    text: Words, byte_of_id: np.ndarray, num_tokens: Any, min_frequency: Any, max_bytes: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pairs, tokens = _count_pairs(text), _byte_tokens(byte_of_id, num_tokens)
    before, after = _new_side(len(tokens.length_T)), _new_side(len(tokens.length_T))
    heap = Heap(np.zeros(4096, np.int64), np.zeros(4096, np.int64), np.zeros(4096, np.int32), np.zeros(1, np.int64))
    for pair in range(pairs.size[0]):
        heap = _push(heap, pairs.total[pair], pairs.key[pair], np.int32(pair))
    merges, counts, num_merges = np.zeros((4096, 3), np.int32), np.zeros(4096, np.int64), 0
    while tokens.size[0] < num_tokens and heap.size[0] > 0:
        pair, count = heap.pair[0], heap.total[0]
        if count != pairs.total[pair]:  # outdated
            heap.total[0] = pairs.total[pair]
            _sink(heap)
            continue
        if count < min_frequency:
            break
        _pop(heap)
        left, right = np.int32(pairs.key[pair] >> np.int64(32)), np.int32(pairs.key[pair] & np.int64(0xFFFFFFFF))
        tokens = _with_token_room(tokens, tokens.length_T[left] + tokens.length_T[right])
        token = _token_of(tokens, left, right)
        if num_merges == len(counts):
            merges = np.concatenate((merges, np.zeros_like(merges)))
            counts = _grown(counts, 0)
        merges[num_merges, 0], merges[num_merges, 1], merges[num_merges, 2] = left, right, token
        counts[num_merges] = count
        num_merges += 1
        pairs = _merge_pair(text, pairs, pair, token, tokens.length_T, max_bytes, before, after)
        _settle(pairs, before, left, True)
        _settle(pairs, after, right, False)
        pairs.total[pair] = 0
        heap = _push_met(pairs, heap, before)
        heap = _push_met(pairs, heap, after)
    merges = merges[:num_merges]
    return merges[:, 0].copy(), merges[:, 1].copy(), merges[:, 2].copy(), counts[:num_merges].copy()
