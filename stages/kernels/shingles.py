"""Shingles: a 32-bit hash of every run of `ngram` words of every text.

Reads:  Folded (words with one space between them)
Writes: Shingles, uint32 hashes of all texts one after another
Cost:   about 2 ns a byte; 4 bytes per word
Source: Broder 1997, "On the resemblance and containment of documents"; the hash is stages/kernels/hashing.py's
        `shingle_hash`, rolled: S' = S * F - h(first) * F^n + h(next) modulo 2^64
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros

from stages.kernels.fold import Folded

_WORD_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # hashing.WORD_FACTOR
_SHINGLE_FACTOR = np.uint64(0x243F6A8885A308D3)  # hashing.SHINGLE_FACTOR
MAX_NGRAM = 64  # words of a shingle that are held at once


@dataclass(frozen=True)
class Shingles:
    """Text i's shingles are `hashes[offsets[i]:offsets[i + 1]]`, repeats included. int64[N + 1] and uint32."""

    offsets: np.ndarray
    hashes: np.ndarray


def shingles(folded: Folded, ngram: int) -> Shingles:
    """All shingles of `ngram` words (1 to MAX_NGRAM); a text of fewer words has none."""
    assert 1 <= ngram <= MAX_NGRAM
    num_texts = len(folded.offsets) - 1
    hashes = np.empty(len(folded.data) // 2, np.uint32)  # a word takes two bytes with its space
    offsets = np.zeros(num_texts + 1, np.int64)
    eights = folded.data[: len(folded.data) // 8 * 8].view("<u8")
    _shingle_batch(folded.offsets, eights, ngram, hashes, offsets)
    return Shingles(offsets, hashes[: offsets[-1]])


@njit(nogil=True, cache=True)
def _mix64(value):  # type: ignore[no-untyped-def]
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@njit(nogil=True, cache=True)
def _step(state, group):  # type: ignore[no-untyped-def]
    state = (state ^ group) * _WORD_FACTOR
    return state ^ (state >> np.uint64(32))


@njit(nogil=True, cache=True)
def _load(eights, i):  # type: ignore[no-untyped-def]
    """Bytes i to i + 7 as a little-endian number, from the two aligned ones they lie in."""
    shift = np.uint64((i & 7) * 8)
    low = eights[i >> 3] >> shift
    return low | eights[(i >> 3) + 1] << np.uint64(1) << (np.uint64(63) - shift)


@njit(nogil=True, cache=True)
def _space_marks(group):  # type: ignore[no-untyped-def]
    """Zero without a space among the eight bytes; else its lowest bit lies in the first one's byte.

    Source: Warren, "Hacker's Delight", 6-1, finding a zero byte.
    """
    other = group ^ np.uint64(0x2020202020202020)
    return (other - np.uint64(0x0101010101010101)) & ~other & np.uint64(0x8080808080808080)


@njit(nogil=True, cache=True)
def _word(eights, i):  # type: ignore[no-untyped-def]
    """(hash of the word at i, position of the space after it), eight bytes at a time."""
    state, at = np.uint64(0), i
    group = _load(eights, at)
    marks = _space_marks(group)
    while marks == 0:
        state = _step(state, group)
        at += 8
        group = _load(eights, at)
        marks = _space_marks(group)
    num_bytes = np.int64(trailing_zeros(marks)) >> 3
    if num_bytes:
        state = _step(state, group & ((np.uint64(1) << np.uint64(8 * num_bytes)) - np.uint64(1)))
    at += num_bytes
    return _mix64(state ^ np.uint64(at - i)), at


@njit(nogil=True, cache=True)
def _shingle_text(eights, i, end, ngram, leaving, recent, hashes, at):  # type: ignore[no-untyped-def]
    """Write the shingle hashes of the text from byte i to end to hashes[at:]; the position after them."""
    total, count, slot = np.uint64(0), 0, 0
    if _space_marks(_load(eights, i)) & np.uint64(0x80):
        return at  # an empty text
    while i < end:
        word, i = _word(eights, i)
        i += 1
        total = total * _SHINGLE_FACTOR + word
        if count >= ngram:
            total -= recent[slot] * leaving
        recent[slot] = word
        slot = slot + 1 if slot + 1 < ngram else 0
        count += 1
        if count >= ngram:
            hashes[at] = np.uint32(_mix64(total) >> np.uint64(32))
            at += 1
    return at


@njit(nogil=True, cache=True)
def _shingle_batch(text_offsets, eights, ngram, hashes, offsets):  # type: ignore[no-untyped-def]
    recent = np.zeros(ngram, np.uint64)
    leaving = np.uint64(1)
    for _ in range(ngram):
        leaving *= _SHINGLE_FACTOR
    at = np.int64(0)
    for n in range(len(text_offsets) - 1):
        at = _shingle_text(eights, text_offsets[n], text_offsets[n + 1], ngram, leaving, recent, hashes, at)
        offsets[n + 1] = at
