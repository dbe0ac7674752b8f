"""Sets of shingles and their similarity against Python sets of tuples of words, and of runs of characters."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from stages.kernels import hashing
from stages.kernels.shingle_sets import ShingleSets, jaccard, shingle_sets, shingles_of
from stages.kernels.shingling import Shingling

WORDS = Shingling(ngram=5, normalisation="datatrove", shingles="words")
PLAIN = Shingling(ngram=5, normalisation="plain", shingles="words")
CHARACTERS = Shingling(ngram=5, normalisation="plain", shingles="characters")

CHINESE = (
    "今天天气很好我们一起去公园散步吧", "今天天气很好我们一起去学校上课吧", "我们一起去公园散步吧今天天气很好", "天气",
    "今天天气很好我们一起去公园散步吧" * 20, "",
)  # fmt: skip


def _texts(seed: int, vocabulary: int, number: int = 40) -> list[str]:
    """Texts of small letters with one space between words: no normalisation changes them. Few words, many repeats."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghij", k=rng.randint(1, 20))) for _ in range(vocabulary)]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 60))) for _ in range(number - 5)]
    return [*texts, texts[0], "", "one two three four", "one two three four five", "again " * 300 + "again"]


def _word_sets(texts: list[str], ngram: int) -> list[set[tuple[str, ...]]]:
    return [
        {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)}
        for words in (text.split() for text in texts)
    ]


def _character_hash(run: str) -> int:
    """hashing.character_shingle_hash before all but its highest 32 bits are cut off."""
    total = 0
    for character in run:
        total = (total * hashing.SHINGLE_FACTOR + hashing.mix64(ord(character))) & hashing.MASK64
    return hashing.mix64(total)


def _similarity(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def _hashes(sets: ShingleSets, text: int) -> list[int]:
    found: list[int] = sets.hashes[sets.offsets[text] : sets.offsets[text + 1]].tolist()
    return found


@pytest.mark.parametrize("vocabulary, ngram", [(2, 5), (5, 3), (300, 1), (8, 2), (3, 64)])
def test_shingle_sets_have_the_sizes_and_the_overlaps_of_python_sets(vocabulary: int, ngram: int) -> None:
    texts = _texts(vocabulary, vocabulary)
    sets = shingle_sets(pa.array(texts), Shingling(ngram=ngram, normalisation="plain", shingles="words"))
    expected = _word_sets(texts, ngram)
    for i, own in enumerate(expected):
        hashes = _hashes(sets, i)
        assert hashes == sorted(set(hashes)) and len(hashes) == len(own)
    for a, b in combinations(range(len(texts)), 2):
        assert len(set(_hashes(sets, a)) & set(_hashes(sets, b))) == len(expected[a] & expected[b])


@pytest.mark.parametrize("vocabulary", [2, 4, 30])
def test_jaccard_of_all_pairs_equals_python_sets_to_the_last_bit(vocabulary: int) -> None:
    left, right = _texts(vocabulary, vocabulary), [*_texts(vocabulary, vocabulary)[::-1], "one two three four five six"]
    left_sets, right_sets = (_word_sets(texts, 5) for texts in (left, right))
    left_P, right_P = (at.ravel() for at in np.indices((len(left), len(right))))
    found = jaccard(shingle_sets(pa.array(left), PLAIN), left_P, shingle_sets(pa.array(right), PLAIN), right_P)
    expected = [_similarity(left_sets[a], right_sets[b]) for a, b in zip(left_P, right_P, strict=True)]
    assert found.tolist() == expected
    assert 0.0 in expected and 1.0 in expected and any(0 < s < 1 for s in expected)


def test_jaccard_of_planted_edits_is_the_fraction_worked_out_by_hand() -> None:
    """100 different words have 96 shingles; a word changed in the middle takes five: 91 of 101. Half a text: 46 of 96,
    and against the other half nothing."""
    words = [f"{a}{b}" for a in "abcdefghij" for b in "klmnopqrst"]
    edited = [*words[:50], "changed", *words[51:]]
    texts = [" ".join(w) for w in (words, edited, words[:50], words[50:], words[::-1])]
    sets, first = shingle_sets(pa.array(texts), WORDS), np.zeros(5, np.int64)
    assert jaccard(sets, first, sets, np.arange(5)).tolist() == [1.0, 91 / 101, 46 / 96, 46 / 96, 0.0]
    assert jaccard(sets, np.array([2]), sets, np.array([3])).tolist() == [0.0]


def test_jaccard_of_texts_that_are_empty_or_too_short_is_zero() -> None:
    sets = shingle_sets(pa.array(["", "one two three four", None, "one two three four five"], pa.large_string()), PLAIN)
    assert np.diff(sets.offsets).tolist() == [0, 0, 0, 1]
    left, right = np.array([0, 0, 1, 0, 2, 3]), np.array([0, 1, 1, 3, 3, 3])
    assert jaccard(sets, left, sets, right).tolist() == [0.0, 0.0, 0.0, 0.0, 0.0, 1.0]


def test_shingle_sets_of_no_texts_are_none() -> None:
    sets = shingle_sets(pa.array([], pa.large_string()), WORDS)
    assert sets.offsets.tolist() == [0] and len(sets.hashes) == 0
    none = np.empty(0, np.int64)
    assert len(jaccard(sets, none, sets, none)) == 0


def test_shingle_sets_normalise_as_signatures_do() -> None:
    """`datatrove` drops case, punctuation, accents and the digits' values; `plain` keeps all but case and spaces."""
    texts = pa.array(["The  Café, on 12 Main Street\nopens!", "the cafe on 00 main street opens", "a b c d e f g"])
    one, other = np.array([0]), np.array([1])
    loose, strict = shingle_sets(texts, WORDS), shingle_sets(texts, PLAIN)
    assert np.diff(loose.offsets).tolist() == [3, 3, 3]
    assert jaccard(loose, one, loose, other).tolist() == [1.0]
    assert jaccard(strict, one, strict, other)[0] == 0.0


@pytest.mark.parametrize("ngram", [1, 2, 5])
def test_shingle_sets_of_chinese_characters_equal_runs_of_characters(ngram: int) -> None:
    sets = shingle_sets(pa.array(CHINESE), Shingling(ngram=ngram, normalisation="plain", shingles="characters"))
    runs = [{text[i : i + ngram] for i in range(len(text) - ngram + 1)} for text in CHINESE]
    for i, own in enumerate(runs):
        assert _hashes(sets, i) == sorted(map(_character_hash, own))
    left_P, right_P = (at.ravel() for at in np.indices((len(CHINESE), len(CHINESE))))
    expected = [
        len(runs[a] & runs[b]) / len(runs[a] | runs[b]) if runs[a] | runs[b] else 0.0
        for a, b in zip(left_P, right_P, strict=True)
    ]
    assert jaccard(sets, left_P, sets, right_P).tolist() == expected


def test_shingle_sets_of_chinese_words_take_each_character_for_one() -> None:
    sets = shingle_sets(pa.array(CHINESE), PLAIN)
    runs = [{text[i : i + 5] for i in range(len(text) - 4)} for text in CHINESE]
    assert np.diff(sets.offsets).tolist() == [len(own) for own in runs]
    expected = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
    assert jaccard(sets, np.array([0]), sets, np.array([1])).tolist() == [expected]


@pytest.mark.parametrize("shingling", [WORDS, PLAIN, CHARACTERS])
def test_shingles_of_64_bits_have_the_32_bits_that_are_signed_on_top(shingling: Shingling) -> None:
    texts = pa.array([*_texts(1, 50), *CHINESE, "Ein Café, 12 Straße"])
    wide, narrow = shingles_of(texts, shingling, hash_bits=64), shingles_of(texts, shingling)
    assert (wide.hashes.dtype.name, narrow.hashes.dtype.name) == ("uint64", "uint32")
    assert wide.offsets.tolist() == narrow.offsets.tolist() and len(wide.hashes) > 100
    assert ((wide.hashes >> np.uint64(32)) == narrow.hashes).all()
    low_bits = np.unpackbits(np.unique(wide.hashes).astype("<u8").view(np.uint8)).reshape(-1, 64).mean(axis=0)
    assert np.abs(low_bits - 0.5).max() < 0.2, "the low bits vary as well"


def test_shingle_sets_of_a_slice_are_those_of_its_texts() -> None:
    texts = _texts(7, 9)
    whole, part = shingle_sets(pa.array(texts), PLAIN), shingle_sets(pa.array(texts).slice(10, 12), PLAIN)
    assert [_hashes(part, i) for i in range(12)] == [_hashes(whole, i + 10) for i in range(12)]
