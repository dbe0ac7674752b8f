"""The hash functions of dedup, in plain Python: what the kernels compute, for one value at a time.

`shingle_hash` (words) or `character_shingle_hash` is the `hashfunc` to give to datasketch, so that its MinHash of the
same shingles equals ours. The kernels in stages/kernels/shingles.py compute the same for every shingle of a batch.

Source: xxh3-128 for exact content (Collet); the 64-bit finaliser of MurmurHash3 (Appleby) for mixing; a shingle's hash
        is a polynomial of its parts' hashes modulo 2^64, so that it rolls from one shingle to the next
"""

from __future__ import annotations

import numpy as np
import xxhash

MASK64 = (1 << 64) - 1
# Odd, from the first digits of the golden ratio and of pi: any odd, well-spread multiplier serves.
WORD_FACTOR = 0x9E3779B97F4A7C15
SHINGLE_FACTOR = 0x243F6A8885A308D3


def mix64(value: int) -> int:
    """MurmurHash3's 64-bit finaliser, a bijection of the 64-bit integers."""
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & MASK64
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & MASK64
    return value ^ value >> 33


def word_hash(word: bytes) -> int:
    """64-bit hash of a word: its bytes in little-endian groups of eight, the last one short, multiplied in in turn."""
    state = 0
    for start in range(0, len(word), 8):
        state = (state ^ int.from_bytes(word[start : start + 8], "little")) * WORD_FACTOR & MASK64
        state ^= state >> 32
    return mix64(state ^ len(word))


def shingle_hash(shingle: bytes) -> int:
    """32-bit hash of a shingle: words (UTF-8) with one space between them."""
    total = 0
    for word in shingle.split(b" "):
        total = (total * SHINGLE_FACTOR + word_hash(word)) & MASK64
    return mix64(total) >> 32


def character_shingle_hash(shingle: bytes) -> int:
    """32-bit hash of a shingle of characters (UTF-8)."""
    total = 0
    for character in shingle.decode():
        total = (total * SHINGLE_FACTOR + mix64(ord(character))) & MASK64
    return mix64(total) >> 32


def content_hashes(starts: np.ndarray, ends: np.ndarray, data: np.ndarray) -> np.ndarray:
    """uint64[N, 2], high and low half of xxh3-128 of each `data[start:end]` (uint8)."""
    view = memoryview(data.data)
    digests = b"".join(
        xxhash.xxh3_128_digest(view[start:end]) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    )
    return np.frombuffer(digests, ">u8").reshape(-1, 2).astype(np.uint64)
