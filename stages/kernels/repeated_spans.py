"""Hashes of every run of `length` words, and anchors that tell which runs may stand in two texts.

Reads:  Folded (words with one space between them, stages/kernels/fold.py)
Writes: Grams, 64 bits for the half-length run of words at each word; Runs of windows with one anchor; window hashes
Cost:   16 bytes per word; measured with length 50 on web pages, ns per word: grams 9, runs 8, windows 1 (with length 5:
        7, 19, 1, as there are seven times as many runs)
Source: winnowing (Schleimer, Wilkerson, Aiken 2003); runs of n words from runs of n / 2 (Karp, Miller, Rosenberg 1972)

A window is a run of `length` words, a gram one of half as many. A window's anchor is the least hash of the grams in it:
it depends on the window's words alone, so equal windows have equal anchors, and neighbouring windows mostly share one.

The hash of n words is made of those of two runs of fewer words, which overlap where n is no power of two. Unlike a
polynomial that rolls modulo 2^64, it has no structured texts (Thue-Morse) that collide.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from stages.kernels import fold_table
from stages.kernels.byte_masks import first_bit, load_8
from stages.kernels.compiled import kernel
from stages.kernels.fold import Folded
from stages.kernels.fold_table import CLASS_MASK, SLOW, SPACE, FoldTable
from stages.kernels.inlined import inlined
from stages.kernels.shingles import mix64

Normalisation = Literal["none", "plain"]
_LANE_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9))  # odd, well spread
_LEFT_FACTOR, _JOIN_FACTOR = np.uint64(0x243F6A8885A308D3), np.uint64(0x94D049BB133111EB)
_SPACES, _LOWS, _HIGHS = (np.uint64(byte * 0x0101010101010101) for byte in (0x20, 0x01, 0x80))
_8, _29, _32 = np.uint64(8), np.uint64(29), np.uint64(32)


@dataclass(frozen=True)
class Grams:
    """Text i's words are `offsets[i]` to `offsets[i + 1]` (int64[N + 1]); `hashes` uint64[W]: of the gram at each word,
    of no meaning where fewer words follow in the text."""

    offsets: np.ndarray
    hashes: np.ndarray


@dataclass(frozen=True)
class Runs:
    """R runs of consecutive windows with one anchor: run r is the windows that begin at words `first_R[r]` up to, not
    with, `end_R[r]`, counted over all texts, and lies in text `text_R[r]`. `anchor_R` uint64, well mixed."""

    text_R: np.ndarray
    first_R: np.ndarray
    end_R: np.ndarray
    anchor_R: np.ndarray


@functools.cache
def table(normalisation: Normalisation) -> FoldTable:
    """How texts are folded: Han, kana and Hangul letters are words of their own; `none` changes no character."""
    plain = fold_table.load("plain", split_unspaced=True)
    if normalisation == "plain":
        return plain
    itself = np.arange(256, dtype=np.uint8)
    is_space = (plain.entries[:256] & CLASS_MASK) == SPACE
    return FoldTable(
        entries=plain.entries & np.uint32(CLASS_MASK), pool=plain.pool,
        bytes=np.where(plain.bytes == SLOW, np.uint8(SLOW), np.where(is_space, np.uint8(0x20), itself)),
    )  # fmt: skip


def gram_words(length: int) -> int:
    """Words of a gram, for windows of `length` words."""
    return (length + 1) // 2


def grams(folded: Folded, length: int, lane: int) -> Grams:
    """The grams for windows of `length` words. Lanes 0 and 1 are independent hashes of the words."""
    offsets, hashes = np.zeros_like(folded.offsets), np.empty(len(folded.data) // 2 + 1, np.uint64)
    _hash_words(folded.offsets, folded.data, _LANE_FACTORS[lane], hashes, offsets)
    hashes = hashes[: offsets[-1]]
    for distance in _distances(gram_words(length)):
        _join(hashes, distance)
    return Grams(offsets, hashes)


def windows(found: Grams, length: int) -> np.ndarray:
    """uint64[W]: hash of the window at each word, in the place of the grams."""
    _join(found.hashes, length - gram_words(length))
    return found.hashes


def runs(found: Grams, length: int) -> Runs:
    """All windows of the texts, in order."""
    least = found.hashes.copy()
    for distance in _distances(length - gram_words(length) + 1):
        _least(least, distance)
    lengths = np.diff(found.offsets)
    most = int(np.maximum(lengths - length + 1, 0).sum())
    text_R, first_R, end_R = (np.empty(most, np.int64) for _ in range(3))
    anchor_R = np.empty(most, np.uint64)
    num_runs = _runs(found.offsets, least, length, text_R, first_R, end_R, anchor_R)
    return Runs(text_R[:num_runs], first_R[:num_runs], end_R[:num_runs], anchor_R[:num_runs])


def _distances(length: int) -> Iterator[int]:
    """How far apart the two parts lie of which runs of 2, 4, 8, ... and last `length` words are made."""
    size = 1
    while size < length:
        yield min(size, length - size)
        size = min(2 * size, length)


@inlined
def _step(state: Any, group: Any, factor: Any) -> Any:
    state = (state ^ group) * factor
    return state ^ state >> _32


@inlined
def _space_marks(group: Any) -> Any:
    """Zero without a space among the eight bytes; else its lowest bit is the highest of the first one's byte.

    Source: Warren, "Hacker's Delight", 6-1, finding a zero byte.
    """
    other = group ^ _SPACES
    return (other - _LOWS) & ~other & _HIGHS


@kernel
def _hash_words(
    text_offsets: np.ndarray, data: np.ndarray, factor: Any, hashes: np.ndarray, offsets: np.ndarray
) -> None:
    at = 0
    for n in range(len(text_offsets) - 1):
        i, end = text_offsets[n], text_offsets[n + 1]
        if data[i] == 0x20:
            i = end  # an empty text
        while i < end:
            start, state = i, np.uint64(0)
            group = load_8(data, i)
            marks = _space_marks(group)
            while marks == 0:
                state = _step(state, group, factor)
                i += 8
                group = load_8(data, i)
                marks = _space_marks(group)
            num_bytes = first_bit(marks) >> 3
            if num_bytes:
                below = (np.uint64(1) << np.uint64(8 * num_bytes)) - np.uint64(1)
                state = _step(state, group & below, factor)
            i += num_bytes
            hashes[at] = mix64(state ^ np.uint64(i - start))
            at += 1
            i += 1  # over the space
        offsets[n + 1] = at


@kernel
def _join(hashes: np.ndarray, distance: int) -> None:
    """Each hash becomes that of its run and the one `distance` words on; the last ones have none and stay."""
    for i in range(len(hashes) - distance):
        both = hashes[i] * _LEFT_FACTOR + hashes[i + distance]
        both = (both ^ both >> _32) * _JOIN_FACTOR
        hashes[i] = both ^ both >> _29


@kernel
def _least(least: np.ndarray, distance: int) -> None:
    for i in range(len(least) - distance):
        least[i] = min(least[i], least[i + distance])


@kernel
def _runs(
    offsets: np.ndarray, least: np.ndarray, length: int, text_R: np.ndarray, first_R: np.ndarray, end_R: np.ndarray,
    anchor_R: np.ndarray,
) -> int:  # fmt: skip
    at = 0
    for n in range(len(offsets) - 1):
        first = offsets[n]
        for i in range(first, offsets[n + 1] - length + 1):
            if i == first or least[i] != least[i - 1]:
                text_R[at], first_R[at], anchor_R[at] = n, i, mix64(least[i])  # the least of many are small numbers
                at += 1
            end_R[at - 1] = i + 1
    return at
