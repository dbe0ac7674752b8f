"""The rolling shingle hash against hashing.shingle_hash, one shingle at a time in plain Python."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from stages.kernels import fold, fold_table, hashing, shingles

TEXTS = [
    "", "one", "a b c d", "a b c d e", "a b c d e f g", "same same same same same same same", "日本語の文章です",
    "é" * 9,
    "x" * 7 + " " + "y" * 8 + " " + "z" * 9 + " " + "w" * 16 + " " + "v" * 17 + " u",
]  # fmt: skip


@pytest.mark.parametrize("ngram", [1, 2, 5, 64])
def test_shingles_every_hash_equals_the_plain_one(ngram: int) -> None:
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abcé日"), int(n))) for n in rng.integers(1, 30, 400)]
    texts = [*TEXTS, *(" ".join(words[i : i + 100]) for i in range(0, 400, 40))]
    folded = fold.fold(pa.array(texts), fold_table.load("plain"))
    found = shingles.shingles(folded, ngram)
    for i in range(len(texts)):
        parts = folded.data[folded.offsets[i] : folded.offsets[i + 1]].tobytes().split()
        expected = [hashing.shingle_hash(b" ".join(parts[k : k + ngram])) for k in range(len(parts) - ngram + 1)]
        assert found.hashes[found.offsets[i] : found.offsets[i + 1]].tolist() == expected


@pytest.mark.parametrize("ngram", [1, 2, 5, 64])
def test_character_shingles_every_hash_equals_the_plain_one(ngram: int) -> None:
    rng = np.random.default_rng(0)
    texts = [*TEXTS, *("".join(rng.choice(list("abé日𝔘 "), int(n))) for n in rng.integers(0, 200, 30))]
    folded = fold.fold(pa.array(texts), fold_table.load("plain", split_unspaced=False))
    found = shingles.character_shingles(folded, ngram)
    for i in range(len(texts)):
        text = folded.data[folded.offsets[i] : folded.offsets[i + 1] - 1].tobytes().decode()
        runs = [text[k : k + ngram] for k in range(len(text) - ngram + 1)]
        expected = [hashing.character_shingle_hash(run.encode()) for run in runs]
        assert found.hashes[found.offsets[i] : found.offsets[i + 1]].tolist() == expected


def test_character_shingle_hash_spreads_over_32_bits_without_excess_collisions() -> None:
    hashes = [
        hashing.character_shingle_hash((chr(0x4E00 + a) + chr(0x4E00 + b)).encode())
        for a in range(300)
        for b in range(300)
    ]
    # 90,000 values: about 90,000^2 / 2^33 = 0.94 pairs collide by chance.
    assert len(hashes) - len(set(hashes)) <= 6
    bits = np.unpackbits(np.array(hashes, np.uint32).view(np.uint8)).reshape(len(hashes), 32).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 0.01


def test_shingles_long_word_and_many_words_are_linear_in_time() -> None:
    """20 MB of one letter, and of one-letter words: neither takes more than a fraction of a second."""
    for text in ("x" * 20_000_000, "x " * 10_000_000):
        folded = fold.fold(pa.array([text], pa.large_string()), fold_table.load("datatrove"))
        for find in (shingles.shingles, shingles.character_shingles):
            start = time.process_time()
            find(folded, 5)
            assert time.process_time() - start < 5


def test_shingle_hash_spreads_over_32_bits_without_excess_collisions() -> None:
    hashes = [hashing.shingle_hash(f"{a} {b}".encode()) for a in range(300) for b in range(300)]
    # 90,000 values: about 90,000^2 / 2^33 = 0.94 pairs collide by chance.
    assert len(hashes) - len(set(hashes)) <= 6
    bits = np.unpackbits(np.array(hashes, np.uint32).view(np.uint8)).reshape(len(hashes), 32).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 0.01


def test_shingle_hash_knows_word_order_boundaries_and_length() -> None:
    different = [b"a b", b"b a", b"ab", b"a  b", b"a\0 b", b"a b\0", b"\0", b"\0\0", b"abcdefgh", b"abcdefgh\0"]
    assert len({hashing.shingle_hash(s) for s in different}) == len(different)
