"""The kernels of tokenizer/merge.py: pairs with their counts and words, a heap of them, and tokens by their bytes.

Reads:  words as tokens, with their counts
Writes: merges; the words' tokens are merged in place
Cost:   per merge one look-up for each different neighbour of the pair, and some 80 ns for each of its words
Source: as tokenizer/merge.py

All places of a pair come up in one merge, that of the later of its two tokens. So a pair's words are written once, one
after the other, and read in that order, with the memory of those to come asked for ahead. The exception are tokens that
two merges make: their pairs may get more words later.

Arrays grow in kernels and are filled in pieces, which are called once a merge: a loop in which an array is replaced
counts references at each turn, which took three quarters of the time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tokenizer.compiled import MIX, grown, kernel, piece, prefetch
from tokenizer.merge_heap import Heap, new_heap, pop, push, sink, with_heap_room
from tokenizer.merge_tokens import NUM_BYTES, byte_tokens, token_of, with_token_room

_NONE = np.int32(-1)
_AHEAD = 8  # words whose memory is asked for before they are needed


class Words(NamedTuple):
    """Word w is the tokens from `start_W[w]` on, up to the first that is `end`; merges make it shorter in place."""

    token_N: np.ndarray
    start_W: np.ndarray
    count_W: np.ndarray
    end: Any


class Pairs(NamedTuple):
    """P pairs: key (left << 32 | right), count, and the words they occur in: `word[start[p]:start[p] + length[p]]`.
    `size[0]` pairs and `size[1]` places of `word` are in use; `cells` is a hash table of pair numbers, -1 where empty.
    """

    key: np.ndarray
    total: np.ndarray
    start: np.ndarray
    length: np.ndarray
    cells: np.ndarray
    word: np.ndarray
    size: np.ndarray


class Side(NamedTuple):
    """What stands on one side of a pair that is being merged. By token: how often, in how many words, the last of
    these, the pair that it makes with the new token (-1: none), and where that pair's next word is written.
    `met[:size[0]]` are the tokens that were met; find k of `size[1]` was that of `other[k]` in `word[k]`."""

    amount: np.ndarray
    num_words: np.ndarray
    last_word: np.ndarray
    pair: np.ndarray
    place: np.ndarray
    met: np.ndarray
    other: np.ndarray
    word: np.ndarray
    size: np.ndarray


@piece
def _cell(pairs: Pairs, key: Any) -> Any:
    """Where a key is in the table, or would be put."""
    mask = np.uint64(len(pairs.cells) - 1)
    at = (np.uint64(key) * MIX >> np.uint64(20)) & mask
    while pairs.cells[at] >= 0 and pairs.key[pairs.cells[at]] != key:
        at = (at + np.uint64(1)) & mask
    return at


@kernel
def _with_room(pairs: Pairs, num_pairs: int, num_words: int) -> Pairs:
    """The same pairs with room for so many more."""
    key, total, start, length, cells, word, size = pairs
    while size[0] + num_pairs > len(key):
        key, total, start, length = grown(key, 0), grown(total, 0), grown(start, 0), grown(length, 0)
    while size[1] + num_words > len(word):
        word = grown(word, _NONE)
    if 2 * len(key) > len(cells):
        cells = np.full(4 * len(key), _NONE, np.int32)
        larger = Pairs(key, total, start, length, cells, word, size)
        for pair in range(size[0]):
            cells[_cell(larger, key[pair])] = pair
    return Pairs(key, total, start, length, cells, word, size)


@piece
def _pair_of(pairs: Pairs, key: Any) -> Any:
    """The number of a pair; a new one, with count 0 and no words, where it was not met before."""
    cell = _cell(pairs, key)
    pair = pairs.cells[cell]
    if pair < 0:
        pair = np.int32(pairs.size[0])
        pairs.size[0] += 1
        pairs.key[pair], pairs.total[pair], pairs.start[pair], pairs.length[pair] = key, 0, 0, 0
        pairs.cells[cell] = pair
    return pair


@piece
def _give_places(pairs: Pairs, pair: Any, num_words: Any) -> Any:
    """Where so many words of a pair are to be written; those it had before are put in front of them."""
    before, had, start = pairs.start[pair], pairs.length[pair], pairs.size[1]
    for i in range(had):
        pairs.word[start + i] = pairs.word[before + i]
    pairs.start[pair], pairs.length[pair] = start, had + num_words
    pairs.size[1] += had + num_words
    return start + had


@piece
def _key(left: Any, right: Any) -> Any:
    return np.int64(left) << np.int64(32) | np.int64(right)


@kernel
def _new_side(num_tokens: Any) -> Side:
    return Side(
        np.zeros(num_tokens, np.int64), np.zeros(num_tokens, np.int32), np.zeros(num_tokens, np.int32),
        np.zeros(num_tokens, np.int32), np.zeros(num_tokens, np.int64), np.zeros(num_tokens, np.int32),
        np.zeros(1 << 12, np.int32), np.zeros(1 << 12, np.int32), np.zeros(2, np.int64),
    )  # fmt: skip


@kernel
def _with_finds(side: Side, num_finds: Any) -> Side:
    """The same side with room for so many more finds."""
    other, word = side.other, side.word
    while side.size[1] + num_finds > len(other):
        other, word = grown(other, _NONE), grown(word, _NONE)
    return Side(
        side.amount, side.num_words, side.last_word, side.pair, side.place, side.met, other, word, side.size
    )  # fmt: skip


@piece
def _meet(side: Side, other: Any, count: Any, w: Any) -> None:
    """A token stands beside the pair in a word."""
    if side.num_words[other] == 0:
        side.met[side.size[0]] = other
        side.size[0] += 1
    elif side.last_word[other] == w:
        side.amount[other] += count
        return
    side.amount[other] += count
    side.num_words[other] += 1
    side.last_word[other] = w
    side.other[side.size[1]], side.word[side.size[1]] = other, w
    side.size[1] += 1


@piece
def _first_place(text: Words, w: Any, left: Any, right: Any) -> Any:
    """Where a pair first stands in a word; -1: nowhere."""
    token_N, i = text.token_N, text.start_W[w]
    here = token_N[i]
    while here != text.end:
        following = token_N[i + 1]
        if here == left and following == right:
            return i
        here = following
        i += 1
    return np.int64(-1)


@piece
def _merge_word(text: Words, w: Any, i: Any, left: Any, right: Any, token: Any, before: Side, after: Side) -> None:
    """Merge a pair in a word, from left to right, from its first place on."""
    token_N, start, count, at = text.token_N, text.start_W[w], text.count_W[w], i
    while token_N[i] != text.end:
        if token_N[i] == left and token_N[i + 1] == right:
            if at > start:
                _meet(before, token_N[at - 1], count, w)
            if token_N[i + 2] != text.end:
                _meet(after, token_N[i + 2], count, w)
            token_N[at] = token
            i += 2
        else:
            token_N[at] = token_N[i]
            i += 1
        at += 1
    token_N[at] = text.end


@piece
def _ask_for(text: Words, pairs: Pairs, place: Any, end: Any) -> None:
    """Ask for the memory of words that will be merged soon."""
    if place + 2 * _AHEAD < end:
        later = np.int64(pairs.word[place + 2 * _AHEAD])
        prefetch(text.start_W, later)
        prefetch(text.count_W, later)
    if place + _AHEAD < end:
        prefetch(text.token_N, text.start_W[pairs.word[place + _AHEAD]])


@piece
def _merge_words(text: Words, pairs: Pairs, pair: Any, place: Any, token: Any, before: Side, after: Side) -> Any:
    """Merge a pair in its words from a place on; returns the place of the first word for which a side has no room."""
    left, right = np.int32(pairs.key[pair] >> np.int64(32)), np.int32(pairs.key[pair] & np.int64(0xFFFFFFFF))
    end = pairs.start[pair] + pairs.length[pair]
    while place < end:
        _ask_for(text, pairs, place, end)
        w = pairs.word[place]
        i = _first_place(text, w, left, right)
        if i >= 0:
            most = text.start_W[w + 1] - i
            if before.size[1] + most > len(before.other) or after.size[1] + most > len(after.other):
                break
            _merge_word(text, w, i, left, right, token, before, after)
        place += 1
    return place


@kernel
def _merge_pair(text: Words, pairs: Pairs, pair: Any, token: Any, before: Side, after: Side) -> tuple[Side, Side]:
    """Merge a pair in all its words; what stood beside it is noted in `before` and `after`."""
    place, end = pairs.start[pair], pairs.start[pair] + pairs.length[pair]
    while place < end:
        place = _merge_words(text, pairs, pair, place, token, before, after)
        if place < end:
            w = pairs.word[place]
            most = text.start_W[w + 1] - text.start_W[w]
            before, after = _with_finds(before, most), _with_finds(after, most)
    pairs.length[pair] = 0
    return before, after


@piece
def _find_new(pairs: Pairs, side: Side, token: Any, is_before: Any, length_T: np.ndarray, max_bytes: Any) -> Any:
    """Note the pairs that a new token makes on one side, but for too long tokens; how many words they had before."""
    num_words = 0
    for i in range(side.size[0]):
        other = side.met[i]
        side.pair[other] = _NONE
        if length_T[other] + length_T[token] <= max_bytes:
            side.pair[other] = _pair_of(pairs, _key(other, token) if is_before else _key(token, other))
            num_words += pairs.length[side.pair[other]]
    return num_words


@piece
def _write_new(pairs: Pairs, side: Side) -> None:
    """Count the pairs noted, and write down their words."""
    for i in range(side.size[0]):
        other = side.met[i]
        pair = side.pair[other]
        side.place[other] = -1 if pair < 0 else _give_places(pairs, pair, side.num_words[other])
        if pair >= 0:
            pairs.total[pair] += side.amount[other]
    for k in range(side.size[1]):
        place = side.place[side.other[k]]
        if place >= 0:
            pairs.word[place] = side.word[k]
            side.place[side.other[k]] += 1


@kernel
def _add_new(pairs: Pairs, side: Side, token: Any, is_before: Any, length_T: np.ndarray, max_bytes: Any) -> Pairs:
    """Count the pairs that a new token makes on one side, and write down their words; but for too long tokens."""
    pairs = _with_room(pairs, side.size[0], side.size[1])
    num_words = _find_new(pairs, side, token, is_before, length_T, max_bytes)
    pairs = _with_room(pairs, 0, num_words + side.size[1])
    _write_new(pairs, side)
    return pairs


@piece
def _take_old(pairs: Pairs, side: Side, part: Any, is_before: Any) -> None:
    """Take off the pairs that have gone on one side of a merged pair, whose token on that side was `part`."""
    for i in range(side.size[0]):
        other = side.met[i]
        gone = pairs.cells[_cell(pairs, _key(other, part) if is_before else _key(part, other))]
        if gone >= 0:
            pairs.total[gone] -= side.amount[other]


@piece
def _push_met(pairs: Pairs, heap: Heap, side: Side, min_frequency: Any) -> None:
    """Put the pairs that have come into the heap, and clear the side."""
    for i in range(side.size[0]):
        other = side.met[i]
        pair = side.pair[other]
        side.amount[other] = side.num_words[other] = 0
        if pair >= 0 and pairs.total[pair] >= min_frequency:
            push(heap, pairs.total[pair], pairs.key[pair], pair)
    side.size[:] = 0


@kernel
def tokens_of(words: np.ndarray, start_W: np.ndarray, id_of_byte: np.ndarray, end: Any) -> np.ndarray:
    """Words that lie one after the other, as tokens with `end` behind each."""
    token_N = np.full(start_W[-1], end, id_of_byte.dtype)
    for w in range(len(start_W) - 1):
        for i in range(start_W[w], start_W[w + 1] - 1):
            token_N[i] = id_of_byte[words[i - w]]
    return token_N


@kernel
def _count_pairs(text: Words) -> Pairs:
    """All pairs of the words, whose tokens are bytes, counted."""
    amount, num_words = np.zeros(NUM_BYTES * NUM_BYTES, np.int64), np.zeros(NUM_BYTES * NUM_BYTES, np.int64)
    last_word, place = np.full(NUM_BYTES * NUM_BYTES, -1, np.int64), np.zeros(NUM_BYTES * NUM_BYTES, np.int64)
    for w in range(len(text.count_W)):
        for i in range(text.start_W[w], text.start_W[w + 1] - 2):
            both = np.int64(text.token_N[i]) * NUM_BYTES + text.token_N[i + 1]
            amount[both] += text.count_W[w]
            num_words[both] += last_word[both] != w
            last_word[both] = w
    pairs = Pairs(
        np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64),
        np.full(4, _NONE, np.int32), np.zeros(1, np.int32), np.zeros(2, np.int64),
    )  # fmt: skip
    pairs = _with_room(pairs, (num_words > 0).sum(), num_words.sum())
    for both in np.flatnonzero(num_words):
        pair = _pair_of(pairs, _key(both // NUM_BYTES, both % NUM_BYTES))
        place[both], pairs.total[pair] = _give_places(pairs, pair, num_words[both]), amount[both]
    last_word[:] = -1
    for w in range(len(text.count_W)):
        for i in range(text.start_W[w], text.start_W[w + 1] - 2):
            both = np.int64(text.token_N[i]) * NUM_BYTES + text.token_N[i + 1]
            if last_word[both] != w:
                pairs.word[place[both]] = w
                place[both] += 1
                last_word[both] = w
    return pairs


@kernel
def learn_merges(
    text: Words, byte_of_id: np.ndarray, num_tokens: Any, min_frequency: Any, max_bytes: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pairs, tokens = _count_pairs(text), byte_tokens(byte_of_id, num_tokens)
    before, after = _new_side(len(tokens.length_T)), _new_side(len(tokens.length_T))
    heap = new_heap(pairs.size[0])
    for pair in range(pairs.size[0]):
        push(heap, pairs.total[pair], pairs.key[pair], np.int32(pair))
    merges, counts, num_merges = np.zeros((4096, 3), np.int32), np.zeros(4096, np.int64), 0
    while tokens.size[0] < num_tokens and heap.size[0] > 0:
        pair, count = heap.pair[0], heap.total[0]
        if count != pairs.total[pair]:  # outdated
            heap.total[0] = pairs.total[pair]
            sink(heap)
            continue
        if count < min_frequency:
            break
        pop(heap)
        left, right = np.int32(pairs.key[pair] >> np.int64(32)), np.int32(pairs.key[pair] & np.int64(0xFFFFFFFF))
        tokens = with_token_room(tokens, tokens.length_T[left] + tokens.length_T[right])
        token = token_of(tokens, left, right)
        if num_merges == len(counts):
            merges = np.concatenate((merges, np.zeros_like(merges)))
            counts = grown(counts, 0)
        merges[num_merges, 0], merges[num_merges, 1], merges[num_merges, 2] = left, right, token
        counts[num_merges] = count
        num_merges += 1
        before, after = _merge_pair(text, pairs, pair, token, before, after)
        pairs = _add_new(pairs, before, token, True, tokens.length_T, max_bytes)
        pairs = _add_new(pairs, after, token, False, tokens.length_T, max_bytes)
        _take_old(pairs, before, left, True)
        _take_old(pairs, after, right, False)
        pairs.total[pair] = 0
        heap = with_heap_room(heap, before.size[0] + after.size[0])
        _push_met(pairs, heap, before, min_frequency)
        _push_met(pairs, heap, after, min_frequency)
    merges = merges[:num_merges]
    return merges[:, 0].copy(), merges[:, 1].copy(), merges[:, 2].copy(), counts[:num_merges].copy()
