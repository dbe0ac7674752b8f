"""Shingles: a 32-bit (or 64-bit) hash of every run of `ngram` words, or of `ngram` characters, of every text.

Reads:  Folded (words with one space between them)
Writes: Shingles, uint32 hashes of all texts one after another
Cost:   about 1.1 ns a byte for words, 3 ns a character for characters; 4 bytes per word or character
Source: Broder 1997, "On the resemblance and containment of documents"; the hashes are stages/kernels/hashing.py's
        `shingle_hash` and `character_shingle_hash`, rolled: S' = S * F - h(first) * F^n + h(next) modulo 2^64
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from stages.kernels import utf8
from stages.kernels.compiled import kernel
from stages.kernels.fold import Folded
from stages.kernels.inlined import inlined

_WORD_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # hashing.WORD_FACTOR
_SHINGLE_FACTOR = np.uint64(0x243F6A8885A308D3)  # hashing.SHINGLE_FACTOR
MAX_NGRAM = 64  # hashes of a shingle's parts that are held at once; a power of two


@dataclass(frozen=True)
class Shingles:
    """Text i's shingles are `hashes[offsets[i]:offsets[i + 1]]`, repeats included. int64[N + 1] and uint32 or uint64;
    the 32 bits are the highest of the 64."""

    offsets: np.ndarray
    hashes: np.ndarray


def shingles(folded: Folded, ngram: int, hash_bits: int = 32) -> Shingles:
    """All shingles of `ngram` words (1 to MAX_NGRAM); a text of fewer words has none."""
    assert 1 <= ngram <= MAX_NGRAM
    most = len(folded.data) // 2  # a word takes two bytes with its space
    hashes, offsets = np.empty(most + 1, f"u{hash_bits // 8}"), np.zeros_like(folded.offsets)
    shift = np.uint64(64 - hash_bits)
    _word_batch(folded.offsets, folded.data, ngram, _leaving_factor(ngram), shift, hashes, offsets)
    return Shingles(offsets, hashes[: offsets[-1]])


def character_shingles(folded: Folded, ngram: int, hash_bits: int = 32) -> Shingles:
    """All shingles of `ngram` characters (1 to MAX_NGRAM), the space between two words being one; a text of fewer
    characters has none. Fold without `split_unspaced`, which would put a space behind every Chinese character."""
    assert 1 <= ngram <= MAX_NGRAM
    hashes, offsets = np.empty(len(folded.data) + 1, f"u{hash_bits // 8}"), np.zeros_like(folded.offsets)
    shift = np.uint64(64 - hash_bits)
    _character_batch(folded.offsets, folded.data, ngram, _leaving_factor(ngram), shift, hashes, offsets)
    return Shingles(offsets, hashes[: offsets[-1]])


def _leaving_factor(ngram: int) -> np.uint64:
    """What a part's hash has been multiplied by when it leaves the shingle."""
    return np.uint64(pow(int(_SHINGLE_FACTOR), ngram, 1 << 64))


@inlined
def mix64(value: Any) -> Any:
    """hashing.mix64 of a uint64."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@inlined
def _step(state: Any, group: Any) -> Any:
    state = (state ^ group) * _WORD_FACTOR
    return state ^ (state >> np.uint64(32))


@inlined
def _load(data: np.ndarray, i: Any) -> Any:
    """Bytes i to i + 7 as a little-endian number: compiled to one load."""
    group = np.uint64(0)
    for k in range(8):
        group |= np.uint64(data[i + np.uint64(k)]) << np.uint64(8 * k)
    return group


@inlined
def _space_marks(group: Any) -> Any:
    """Zero without a space among the eight bytes; else its lowest bit is the highest of the first one's byte.

    Source: Warren, "Hacker's Delight", 6-1, finding a zero byte.
    """
    other = group ^ np.uint64(0x2020202020202020)
    return (other - np.uint64(0x0101010101010101)) & ~other & np.uint64(0x8080808080808080)


@inlined
def _word(data: np.ndarray, start: Any) -> tuple[Any, Any]:
    """(hash of the word at `start`, position of the space after it), eight bytes at a time."""
    state, i = np.uint64(0), start
    group = _load(data, i)
    marks = _space_marks(group)
    while marks == np.uint64(0):
        state = _step(state, group)
        i += np.uint64(8)
        group = _load(data, i)
        marks = _space_marks(group)
    num_bytes = np.uint64(trailing_zeros(marks)) >> np.uint64(3)
    if num_bytes:
        space_bit = (marks & (~marks + np.uint64(1))) >> np.uint64(7)  # the lowest of the space's byte
        state = _step(state, group & (space_bit - np.uint64(1)))
    i += num_bytes
    return mix64(state ^ (i - start)), i


@inlined
def _roll(total: Any, part: Any, recent: np.ndarray, count: Any, ngram: Any, leaving: Any) -> Any:
    """The sum of the shingle that ends with `part`, the text's part number `count`, from that of the one before.

    `recent` holds the last MAX_NGRAM parts; zeros before the first.
    """
    mask = np.uint64(MAX_NGRAM - 1)
    total = total * _SHINGLE_FACTOR + part - recent[(count - ngram) & mask] * leaving
    recent[count & mask] = part
    return total


@kernel
def _word_batch(
    text_offsets: np.ndarray, data: np.ndarray, ngram: int, leaving: Any, shift: Any, hashes: np.ndarray,
    offsets: np.ndarray,
) -> None:  # fmt: skip
    recent = np.zeros(MAX_NGRAM, np.uint64)
    one, num_parts, at = np.uint64(1), np.uint64(ngram), np.uint64(0)
    for n in range(len(text_offsets) - 1):
        i, end = np.uint64(text_offsets[n]), np.uint64(text_offsets[n + 1])
        if data[i] == 0x20:
            i = end  # an empty text
        recent[:] = 0
        total, count = np.uint64(0), np.uint64(0)
        while i < end:
            part, space = _word(data, i)
            total = _roll(total, part, recent, count, num_parts, leaving)
            count += one
            hashes[at] = mix64(total) >> shift
            at += np.uint64(count >= num_parts)
            i = space + one
        offsets[n + 1] = at


@kernel
def _character_batch(
    text_offsets: np.ndarray, data: np.ndarray, ngram: int, leaving: Any, shift: Any, hashes: np.ndarray,
    offsets: np.ndarray,
) -> None:  # fmt: skip
    recent = np.zeros(MAX_NGRAM, np.uint64)
    one, num_parts, at = np.uint64(1), np.uint64(ngram), np.uint64(0)
    for n in range(len(text_offsets) - 1):
        i, end = text_offsets[n], text_offsets[n + 1] - 1
        recent[:] = 0
        total, count = np.uint64(0), np.uint64(0)
        while i < end:
            code, size = utf8.decode(data, i, end)
            total = _roll(total, mix64(np.uint64(code)), recent, count, num_parts, leaving)
            count += one
            hashes[at] = mix64(total) >> shift
            at += np.uint64(count >= num_parts)
            i += size
        offsets[n + 1] = at
