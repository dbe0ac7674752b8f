"""The kernels of tokenizer/unigram.py: a trie of pieces, and the ways to cut words into them.

Reads:  words and pieces, as symbols
Writes: expected and best counts of pieces, what is lost without a piece, substrings that occur more than once
Cost:   some 100 ns for each place of a word where a piece lies
Source: as tokenizer/unigram.py

A symbol that is no piece by itself can be written as unknown, piece 0, so that every word can be cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tokenizer.compiled import MIX, grown, kernel, piece

_NONE = np.int32(-1)
UNKNOWN = 0  # number of the piece for symbols that are no piece
FAR_BELOW = 50.0  # of two logarithms, the lower is then nothing beside the other


class Trie(NamedTuple):
    """Node 0 is the root. `cells` is a hash table of edges by (node, symbol): `key` and `child` of each, -1 where
    empty. `piece_of[node]`: the piece that ends there, -1 where none does."""

    key: np.ndarray
    child: np.ndarray
    piece_of: np.ndarray


class Pieces(NamedTuple):
    """Piece p is `symbol[start_P[p]:start_P[p] + length_P[p]]`, with a logarithm of its probability."""

    symbol: np.ndarray
    start_P: np.ndarray
    length_P: np.ndarray
    score_P: np.ndarray


class Words(NamedTuple):
    """As tokenizer/characters.py has them."""

    symbol_N: np.ndarray
    start_W: np.ndarray
    count_W: np.ndarray


@piece
def _cell(key: np.ndarray, edge: Any) -> Any:
    """Where an edge is, or would be put."""
    mask = np.uint64(len(key) - 1)
    at = (np.uint64(edge) * MIX >> np.uint64(20)) & mask
    while key[at] != _NONE and key[at] != edge:
        at = (at + np.uint64(1)) & mask
    return at


@piece
def _edge(node: Any, symbol: Any) -> Any:
    return np.int64(node) << np.int64(32) | np.int64(symbol)


@kernel
def trie_of(pieces: Pieces) -> Trie:
    """The trie of all pieces but the unknown one."""
    num_cells = 64
    while num_cells < 2 * (pieces.length_P.sum() + 1):
        num_cells *= 2
    key, child = np.full(num_cells, np.int64(-1), np.int64), np.zeros(num_cells, np.int32)
    piece_of = np.full(pieces.length_P.sum() + 1, _NONE, np.int32)
    num_nodes = 1
    for p in range(1, len(pieces.start_P)):
        node = np.int32(0)
        for i in range(pieces.start_P[p], pieces.start_P[p] + pieces.length_P[p]):
            at = _cell(key, _edge(node, pieces.symbol[i]))
            if key[at] < 0:
                key[at], child[at] = _edge(node, pieces.symbol[i]), num_nodes
                num_nodes += 1
            node = child[at]
        piece_of[node] = p
    return Trie(key, child, piece_of)


class Lattice(NamedTuple):
    """The pieces that lie in a word, in the order of where they begin and end: K of them."""

    begin_K: np.ndarray
    end_K: np.ndarray
    piece_K: np.ndarray


@kernel
def _lattice(trie: Trie, symbol: np.ndarray, start: int, length: int, room: Lattice) -> tuple[Lattice, int]:
    """Fill `room`, or a larger one, with the lattice of symbol[start:start + length]; its number of pieces."""
    begin_K, end_K, piece_K = room
    num = 0
    for begin in range(length):
        node, has_single = np.int32(0), False
        for end in range(begin, length):
            at = _cell(trie.key, _edge(node, symbol[start + end]))
            if trie.key[at] < 0:
                break
            node = trie.child[at]
            if trie.piece_of[node] >= 0:
                if num + 2 > len(begin_K):
                    begin_K, end_K, piece_K = grown(begin_K, 0), grown(end_K, 0), grown(piece_K, 0)
                begin_K[num], end_K[num], piece_K[num] = begin, end + 1, trie.piece_of[node]
                num += 1
                has_single = has_single or end == begin
        if not has_single:
            if num + 2 > len(begin_K):
                begin_K, end_K, piece_K = grown(begin_K, 0), grown(end_K, 0), grown(piece_K, 0)
            begin_K[num], end_K[num], piece_K[num] = begin, begin + 1, UNKNOWN
            num += 1
    return Lattice(begin_K, end_K, piece_K), num


@kernel
def _empty_lattice() -> Lattice:
    return Lattice(np.zeros(1024, np.int32), np.zeros(1024, np.int32), np.zeros(1024, np.int32))


@piece
def _log_of_sum(x: float, y: float) -> float:
    """log(exp(x) + exp(y))."""
    low, high = min(x, y), max(x, y)
    return high if high > low + FAR_BELOW else high + np.log(np.exp(low - high) + 1.0)


@kernel
def expected_counts(words: Words, trie: Trie, score_P: np.ndarray) -> np.ndarray:
    """How often each piece occurs, over all ways to cut the words, each with its probability."""
    expected_P, room = np.zeros(len(score_P)), _empty_lattice()
    before, behind = np.zeros(64), np.zeros(64)
    for w in range(len(words.count_W)):
        length = words.start_W[w + 1] - words.start_W[w]
        while length + 1 > len(before):
            before, behind = grown(before, 0.0), grown(behind, 0.0)
        room, num = _lattice(trie, words.symbol_N, words.start_W[w], length, room)
        before[: length + 1], behind[: length + 1] = -np.inf, -np.inf
        before[0], behind[length] = 0.0, 0.0
        for k in range(num):
            end, through = room.end_K[k], before[room.begin_K[k]] + score_P[room.piece_K[k]]
            before[end] = through if before[end] == -np.inf else _log_of_sum(before[end], through)
        for k in range(num - 1, -1, -1):
            begin, through = room.begin_K[k], behind[room.end_K[k]] + score_P[room.piece_K[k]]
            behind[begin] = through if behind[begin] == -np.inf else _log_of_sum(behind[begin], through)
        whole = before[length]
        for k in range(num):
            p = room.piece_K[k]
            share = before[room.begin_K[k]] + score_P[p] + behind[room.end_K[k]] - whole
            expected_P[p] += words.count_W[w] * np.exp(share)
    return expected_P


@kernel
def _best_cut(lattice: Lattice, num: int, length: int, score_P: np.ndarray, but: int, best: Any, by: Any) -> float:
    """The score of the best way to cut a word, without piece number `but` of its lattice; `by[end]` is the piece that
    ends there in the best way to `end`. Of equal ways the longer last piece."""
    best[: length + 1], by[: length + 1] = -np.inf, _NONE
    best[0] = 0.0
    for k in range(num):
        score = best[lattice.begin_K[k]] + score_P[lattice.piece_K[k]]
        if k != but and score > best[lattice.end_K[k]]:
            best[lattice.end_K[k]], by[lattice.end_K[k]] = score, k
    return float(best[length])


@kernel
def best_counts(words: Words, trie: Trie, score_P: np.ndarray) -> np.ndarray:
    """How often each piece occurs where every word is cut in the best way."""
    count_P, room = np.zeros(len(score_P)), _empty_lattice()
    best, by = np.zeros(64), np.zeros(64, np.int32)
    for w in range(len(words.count_W)):
        length = words.start_W[w + 1] - words.start_W[w]
        while length + 1 > len(best):
            best, by = grown(best, 0.0), grown(by, 0)
        room, num = _lattice(trie, words.symbol_N, words.start_W[w], length, room)
        _best_cut(room, num, length, score_P, -1, best, by)
        end = length
        while end > 0:
            count_P[room.piece_K[by[end]]] += words.count_W[w]
            end = np.int64(room.begin_K[by[end]])
    return count_P


@kernel
def losses(pieces: Pieces, trie: Trie, count_P: np.ndarray, num_words: float) -> np.ndarray:
    """What the words' likelihood loses without each piece, which is then written as the best of the other ways. NaN:
    the piece is not needed; inf: there is nothing in its place, or something else is better."""
    loss_P, room = np.full(len(count_P), np.inf), _empty_lattice()
    longest = max(64, pieces.length_P.max() + 1)
    best, by = np.zeros(longest), np.zeros(longest, np.int32)
    total = count_P.sum()
    for p in range(1, len(count_P)):
        length: Any = np.int64(pieces.length_P[p])
        room, num = _lattice(trie, pieces.symbol, pieces.start_P[p], length, room)
        itself = 0
        while room.begin_K[itself] != 0 or room.end_K[itself] != length or room.piece_K[itself] != p:
            itself += 1
        second = _best_cut(room, num, length, pieces.score_P, itself, best, by) if length > 1 else -np.inf
        is_best = pieces.score_P[p] >= second
        if count_P[p] == 0 and length > 1:
            loss_P[p] = np.nan
        elif length > 1 and is_best:
            end, num_others = length, 0
            while end > 0:
                end, num_others = np.int64(room.begin_K[by[end]]), num_others + 1
            total_without = np.log(total + count_P[p] * (num_others - 1))
            end, of_others = length, 0.0
            while end > 0:
                of_others += np.log(count_P[room.piece_K[by[end]]] + count_P[p]) - total_without
                end = np.int64(room.begin_K[by[end]])
            loss_P[p] = count_P[p] / num_words * (np.log(count_P[p]) - np.log(total) - of_others)
    return loss_P


@kernel
def digamma(value_P: np.ndarray) -> np.ndarray:
    """The digamma function of positive numbers."""
    result_P = np.zeros(len(value_P))
    for p in range(len(value_P)):
        x = value_P[p]
        while x < 7.0:
            result_P[p] -= 1.0 / x
            x += 1.0
        x -= 0.5
        xx = 1.0 / (x * x)
        result_P[p] += np.log(x) + xx / 24.0 - 7.0 / 960.0 * xx * xx
        result_P[p] += 31.0 / 8064.0 * xx * xx * xx - 127.0 / 30720.0 * xx * xx * xx * xx
    return result_P


@kernel
def common_prefixes(symbol_N: np.ndarray, order_N: np.ndarray, limit: int) -> np.ndarray:
    """How many symbols each suffix has in common with the one before it in `order_N`, no more than `limit`; `limit`
    where they are common up to the end of a word, which is 0."""
    common_N = np.zeros(len(order_N), np.int32)
    for n in range(1, len(order_N)):
        a, b, k = order_N[n - 1], order_N[n], 0
        while k < limit and symbol_N[a + k] == symbol_N[b + k]:
            if symbol_N[a + k] == 0:
                k = limit
            else:
                k += 1
        common_N[n] = k
    return common_N


@kernel
def repeated(common_N: np.ndarray, limit: int) -> np.ndarray:
    """The substrings of 2 to `limit` - 1 symbols that occur more than once and are followed by different symbols, as
    rows: where in the order of suffixes its first one is, its length, how often it occurs."""
    found, num = np.zeros((1024, 3), np.int64), 0
    begin, length, depth = np.zeros(limit + 2, np.int64), np.zeros(limit + 2, np.int64), 0
    for n in range(1, len(common_N) + 1):
        common = common_N[n] if n < len(common_N) else 0
        first = n - 1
        while length[depth] > common:
            first = begin[depth]
            if 2 <= length[depth] < limit:
                if num == len(found):
                    found = np.concatenate((found, np.zeros_like(found)))
                found[num, 0], found[num, 1], found[num, 2] = first, length[depth], n - first
                num += 1
            depth -= 1
        if length[depth] < common:
            depth += 1
            begin[depth], length[depth] = first, common
    return found[:num]
