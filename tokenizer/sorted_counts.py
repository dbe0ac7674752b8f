"""Counts of distinct words in the order of their bytes: put in order, added up, merged in bounded memory.

Reads:  Counts, sorted or not
Writes: Counts that do not depend on the order, or on the number, of the parts they come from
Cost:   one thread; 0.5 us per word; `combine` takes about three times the memory of its parts, a merge that of one
        chunk of each run
Source: a 64-bit number per word (its first eight bytes, big-endian) is sorted; what that leaves open, by merging
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tokenizer.compiled import kernel, piece
from tokenizer.pretokenize import read_only

CHUNK_WORDS = 1 << 16


class Counts(NamedTuple):
    """V distinct pretokens, ascending by their bytes: word v is `data[offsets[v]:offsets[v + 1]]` and occurred
    `counts[v]` times. `data` uint8, `offsets` int64 [V + 1], `counts` int64 [V]."""

    data: np.ndarray
    offsets: np.ndarray
    counts: np.ndarray

    def word(self, v: int) -> bytes:
        return self.data[self.offsets[v] : self.offsets[v + 1]].tobytes()

    def part(self, start: int, end: int) -> Counts:
        """Words start..end - 1, without a copy of their bytes."""
        offsets = self.offsets[start : end + 1]
        return Counts(self.data[offsets[0] : offsets[-1]], offsets - offsets[0], self.counts[start:end])


def combine(parts: Sequence[Counts]) -> Counts:
    """The counts of all parts together; a word that occurs twice gets the sum. The parts need not be sorted."""
    joined = parts[0] if len(parts) == 1 else _joined(parts)
    data, offsets = _kernel_words(joined)
    key_V = np.empty(len(offsets) - 1, np.uint64)
    _sort_keys(data, offsets, key_V)
    order_V = np.argsort(key_V, kind="stable").astype(np.int64, copy=False)
    is_new_V = np.ones(len(order_V), np.bool_)
    _sort_ties(data, offsets, key_V, order_V, is_new_V)
    first_W = np.flatnonzero(is_new_V)
    counts = np.add.reduceat(joined.counts[order_V], first_W) if len(first_W) else np.empty(0, np.int64)
    word_W = order_V[first_W]
    new_offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.diff(offsets)[word_W], dtype=np.int64)])
    new_data = np.empty(int(new_offsets[-1]), np.uint8)
    _gather(data, offsets, word_W, new_offsets, new_data)
    return Counts(new_data, new_offsets, counts)


def chunks(counts: Counts, num_words: int = CHUNK_WORDS) -> Iterator[Counts]:
    """The counts in pieces of so many words, to be stored, and read again one at a time."""
    for start in range(0, len(counts.counts), num_words):
        yield counts.part(start, min(start + num_words, len(counts.counts)))


def merge_sorted(runs: Iterable[Iterable[Counts]]) -> Iterator[Counts]:
    """The sum of runs, chunk by chunk. A run is the chunks of one WordCounts (or of another merge), in their order."""
    sources = [iter(run) for run in runs]
    heads: list[Counts] = [_EMPTY] * len(sources)
    while True:
        for k, source in enumerate(sources):
            while not len(heads[k].counts) and (chunk := next(source, None)) is not None:
                heads[k] = chunk
        live = [k for k, head in enumerate(heads) if len(head.counts)]
        if not live:
            return
        # What follows in any run is greater than the last word of its chunk: up to the least of these all is there.
        bound = np.frombuffer(min(heads[k].word(len(heads[k].counts) - 1) for k in live), np.uint8)
        cuts = [_rank(*_kernel_words(heads[k]), bound) for k in live]
        yield combine([heads[k].part(0, cut) for k, cut in zip(live, cuts, strict=True)])
        for k, cut in zip(live, cuts, strict=True):
            heads[k] = heads[k].part(cut, len(heads[k].counts))


_EMPTY = Counts(np.empty(0, np.uint8), np.zeros(1, np.int64), np.empty(0, np.int64))


def _kernel_words(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    return read_only(counts.data, np.uint8), read_only(counts.offsets, np.int64)


def _joined(parts: Sequence[Counts]) -> Counts:
    """The words of all parts, one after the other."""
    bases = np.cumsum([0, *(len(part.data) for part in parts)])
    shifted = [part.offsets[1:] + base for part, base in zip(parts, bases[:-1], strict=True)]
    return Counts(
        np.concatenate([_EMPTY.data, *(part.data for part in parts)]),
        np.concatenate([_EMPTY.offsets, *shifted]),
        np.concatenate([_EMPTY.counts, *(part.counts for part in parts)]),
    )


# Kernels.


@kernel
def _sort_keys(data: np.ndarray, offsets: np.ndarray, key_V: np.ndarray) -> None:
    """A number per word, its first eight bytes: smaller numbers, smaller words."""
    for v in range(len(offsets) - 1):
        key = np.uint64(0)
        for k in range(min(offsets[v + 1] - offsets[v], 8)):
            key |= np.uint64(data[offsets[v] + k]) << np.uint64(56 - 8 * k)
        key_V[v] = key


@piece
def _common(a: np.ndarray, i: int, b: np.ndarray, j: int, length: int) -> int:
    """How many of so many bytes from a[i] and b[j] on are equal before the first that are not."""
    k = 0
    while k < length and a[i + k] == b[j + k]:
        k += 1
    return k


@piece
def _compare(data: np.ndarray, offsets: np.ndarray, v: int, w: int) -> int:
    """Below, at or above 0 as word v comes before, is or comes after word w."""
    length_v, length_w = offsets[v + 1] - offsets[v], offsets[w + 1] - offsets[w]
    shorter = min(length_v, length_w)
    k = _common(data, offsets[v], data, offsets[w], shorter)
    if k == shorter:
        return length_v - length_w
    difference: Any = np.int64(data[offsets[v] + k]) - np.int64(data[offsets[w] + k])
    return difference


@piece
def _merge_halves(
    data: np.ndarray, offsets: np.ndarray, order_V: np.ndarray, start: int, middle: int, end: int, spare: np.ndarray
) -> None:
    """Make one ascending run of the two, order_V[start:middle] and order_V[middle:end]."""
    for k in range(middle - start):
        spare[k] = order_V[start + k]
    a, b, out = 0, middle, start
    while a < middle - start:
        if b < end and _compare(data, offsets, order_V[b], spare[a]) < 0:
            order_V[out] = order_V[b]
            b += 1
        else:
            order_V[out] = spare[a]
            a += 1
        out += 1


@kernel
def _sort_ties(
    data: np.ndarray, offsets: np.ndarray, key_V: np.ndarray, order_V: np.ndarray, is_new_V: np.ndarray
) -> None:
    """Bring words with equal keys into order, and note in `is_new_V` which words are not like the one before."""
    start, num_words = 0, len(order_V)
    spare = np.empty(num_words, np.int64)
    while start < num_words:
        end = start + 1
        while end < num_words and key_V[order_V[end]] == key_V[order_V[start]]:
            end += 1
        width = 1
        while width < end - start:
            for left in range(start, end - width, 2 * width):
                _merge_halves(data, offsets, order_V, left, left + width, min(left + 2 * width, end), spare)
            width *= 2
        for v in range(start + 1, end):
            is_new_V[v] = _compare(data, offsets, order_V[v - 1], order_V[v]) != 0
        start = end


@kernel
def _gather(
    data: np.ndarray, offsets: np.ndarray, word_W: np.ndarray, new_offsets: np.ndarray, new_data: np.ndarray
) -> None:
    for w in range(len(word_W)):
        start = offsets[word_W[w]]
        for k in range(new_offsets[w + 1] - new_offsets[w]):
            new_data[new_offsets[w] + k] = data[start + k]


@kernel
def _rank(data: np.ndarray, offsets: np.ndarray, word: np.ndarray) -> int:
    """How many of the ascending words are at most `word`."""
    low, high = 0, len(offsets) - 1
    while low < high:
        middle = (low + high) // 2
        length = offsets[middle + 1] - offsets[middle]
        shorter = min(length, len(word))
        k = _common(data, offsets[middle], word, 0, shorter)
        is_above = length > len(word) if k == shorter else data[offsets[middle] + k] > word[k]
        if is_above:
            high = middle
        else:
            low = middle + 1
    return low
