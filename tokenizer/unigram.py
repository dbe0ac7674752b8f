"""Learn a Unigram model from the counts of words over an alphabet.

Reads:  Characters (tokenizer/characters.py)
Writes: pieces with the logarithms of their probabilities
Cost:   one thread; 28 MB of web pages, 440,000 distinct words: 32,509 pieces in 35 s. Some 70 bytes of memory per byte
        of distinct words
Source: Kudo 2018; steps, constants and order are those of `tokenizers`' UnigramTrainer (which follows sentencepiece's).
        Its own result differs from run to run in the last digits of the scores, and so in the order of ids and in
        which of almost equal pieces it keeps: it adds up floating-point numbers in the order of a hash table with a
        random seed, on one thread as well. Here words are added in the order of their bytes, with 64-bit counts

A start with many substrings; then, over and over, expected counts under the probabilities so far give new ones (twice),
and a quarter of the pieces is taken away, those the text is least likely to miss, down to a tenth more than wanted.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tokenizer.characters import Characters
from tokenizer.unigram_kernels import (
    UNKNOWN,
    Pieces,
    Words,
    best_counts,
    common_prefixes,
    digamma,
    expected_counts,
    losses,
    repeated,
    trie_of,
)

NUM_SEEDS = 1_000_000  # pieces to start with
SEED_SYMBOLS = 1 << 25  # of the most frequent words, in which substrings are looked for
NUM_STEPS = 2  # of expectation and maximisation between prunings
KEPT_SHARE = 0.75  # of the pieces, at a pruning
LEAST_EXPECTED = 0.5  # a piece expected less often is dropped
UNKNOWN_PENALTY = 10.0  # below the least score
MISSING_STEP = 0.0001  # between the scores of characters that were dropped and come back at the end


class Learned(NamedTuple):
    """The best piece first: `pieces[p]` and `scores[p]`, a logarithm."""

    pieces: list[str]
    scores: list[float]


def learn(characters: Characters, num_pieces: int, max_characters: int) -> Learned:
    """Learn at most `num_pieces`, of at most `max_characters` each. Every character of the words is a piece, even where
    these are more than `num_pieces`."""
    words = Words(*(np.ascontiguousarray(a) for a in (characters.symbol_N, characters.start_W, characters.count_W)))
    if not len(words.count_W):
        empty = np.empty(0, np.int64)
        return _finished(characters, Pieces(empty, empty, empty, np.empty(0)), num_pieces)
    wanted = (num_pieces + 1) * 11 // 10  # the unknown one included
    pieces = _seeds(words, min(max_characters, int(np.diff(words.start_W).max())))
    while True:
        for _ in range(NUM_STEPS):
            pieces = _maximised(pieces, expected_counts(words, trie_of(pieces), pieces.score_P))
        if len(pieces.start_P) <= wanted:
            break
        pruned = _pruned(pieces, words, max(wanted, int(KEPT_SHARE * len(pieces.start_P))))
        if len(pruned.start_P) == len(pieces.start_P):
            break
        pieces = pruned
    return _finished(characters, pieces, num_pieces)


def _seeds(words: Words, max_characters: int) -> Pieces:
    """All symbols, and the substrings that cover most, each with a share of what all of them cover."""
    count_S = np.zeros(words.symbol_N.max(initial=-1) + 1, np.int64)
    np.add.at(count_S, words.symbol_N, np.repeat(words.count_W, np.diff(words.start_W)))
    singles = np.flatnonzero(count_S)[::-1]
    singles = singles[np.argsort(-count_S[singles], kind="stable")]  # of equal counts the later character
    text_N, start, length, cover = _substrings(words, max_characters, NUM_SEEDS - len(singles))
    covers = np.concatenate([count_S[singles], cover]).astype(np.float64)
    singles_start = len(text_N) + np.arange(len(singles))
    score_P = np.log(covers) - np.log(covers.sum())
    return Pieces(
        symbol=np.concatenate([text_N - 1, singles]).astype(np.int32),
        start_P=np.concatenate([[0], singles_start, start]).astype(np.int64),
        length_P=np.concatenate([[0], np.ones(len(singles)), length]).astype(np.int32),
        score_P=np.append(score_P.min() - UNKNOWN_PENALTY, score_P),
    )


def _substrings(words: Words, max_characters: int, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The `most` substrings with the largest product of length and number of places in distinct words, largest first:
    the words' symbols counted from 1, with a 0 behind each word; where in them each is, its length, the product."""
    by_count = np.argsort(-words.count_W, kind="stable")
    num_symbols = np.cumsum(np.diff(words.start_W)[by_count] + 1)
    chosen = np.sort(by_count[: np.searchsorted(num_symbols, SEED_SYMBOLS, side="right")])
    is_chosen_W = np.zeros(len(words.count_W), np.bool_)
    is_chosen_W[chosen] = True
    length_W = np.diff(words.start_W)
    symbols = words.symbol_N[np.repeat(is_chosen_W, length_W)]
    ends = np.cumsum(length_W[chosen])
    text_N = np.insert(symbols.astype(np.int64) + 1, ends, 0)
    order_N = _suffix_order(text_N, max_characters + 1)
    first, length, number = repeated(common_prefixes(text_N, order_N, max_characters + 1), max_characters + 1).T
    cover = length * number
    best = np.lexsort((-length, -first, -cover))[:most]  # of equal products the later in alphabetical order
    return text_N, order_N[first[best]], length[best], cover[best]


def _suffix_order(text_N: np.ndarray, num_symbols: int) -> np.ndarray:
    """Where the suffixes of a text begin, in the order of at least their first `num_symbols` symbols."""
    rank_N, known = text_N, 1
    order_N = np.argsort(rank_N, kind="stable")
    while known < num_symbols and len(text_N):
        key_N = rank_N * (int(rank_N.max()) + 1)
        key_N[:-known] += rank_N[known:]
        order_N = np.argsort(key_N, kind="stable")
        is_new_N = np.diff(key_N[order_N], prepend=key_N[order_N[0]]) != 0
        rank_N = np.empty_like(key_N)
        rank_N[order_N] = np.cumsum(is_new_N)
        known *= 2
    return order_N


def _maximised(pieces: Pieces, expected_P: np.ndarray) -> Pieces:
    """The pieces that are expected often enough, with the scores that follow (a sparse prior: Liang & Klein 2007)."""
    kept = np.flatnonzero(expected_P >= LEAST_EXPECTED)
    kept = kept[kept != UNKNOWN]
    sums = np.concatenate([expected_P[kept], [expected_P[kept].sum()]])
    logarithms = digamma(sums)
    return _with_unknown(pieces, kept, logarithms[:-1] - logarithms[-1])


def _pruned(pieces: Pieces, words: Words, num_wanted: int) -> Pieces:
    trie = trie_of(pieces)
    count_P = best_counts(words, trie, pieces.score_P)
    loss_P = losses(pieces, trie, count_P, float(words.count_W.sum()))
    needed = np.flatnonzero(np.isinf(loss_P))
    needed = needed[needed != UNKNOWN]
    others = np.flatnonzero(np.isfinite(loss_P))
    others = others[np.argsort(-loss_P[others], kind="stable")][: max(0, num_wanted - 1 - len(needed))]
    kept = np.concatenate([needed, others])
    return _with_unknown(pieces, kept, pieces.score_P[kept])


def _with_unknown(pieces: Pieces, kept: np.ndarray, score_P: np.ndarray) -> Pieces:
    """Some of the pieces, behind the unknown one."""
    numbers = np.append(UNKNOWN, kept)
    scores = np.append(score_P.min(initial=0.0) - UNKNOWN_PENALTY, score_P)
    return Pieces(pieces.symbol, pieces.start_P[numbers], pieces.length_P[numbers], scores)


def _finished(characters: Characters, pieces: Pieces, num_pieces: int) -> Learned:
    """All characters, and as many of the other pieces as there is room for."""
    text = "".join(map(chr, characters.alphabet[pieces.symbol].tolist()))
    starts, lengths = pieces.start_P.tolist(), pieces.length_P.tolist()
    names = [text[start : start + length] for start, length in zip(starts[1:], lengths[1:], strict=True)]
    scores = pieces.score_P.tolist()[1:]
    of_single = {name: score for name, score in zip(names, scores, strict=True) if len(name) == 1}
    finished, least = {}, min(scores, default=0.0)
    for single in (chr(code) for code in characters.alphabet.tolist()):
        score = of_single.get(single)
        if score is None:
            score, least = least, least + MISSING_STEP
        finished[single] = score
    for name, score in zip(names, scores, strict=True):
        if len(finished) >= num_pieces:
            break
        finished.setdefault(name, score)
    ordered = sorted(finished.items(), key=lambda pair: (-pair[1], pair[0]))
    return Learned([name for name, _ in ordered], [score for _, score in ordered])
