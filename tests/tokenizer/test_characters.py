"""tokenizer/characters.py: alphabets and words against plain Python."""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
import pytest

from tokenizer import characters as module
from tokenizer.characters import characters
from tokenizer.errors import TokenizerError
from tokenizer.sorted_counts import Counts

ASCII = {chr(c) for c in range(0x21, 0x7F)}


def counts_of(words: dict[str, int]) -> Counts:
    encoded = sorted((word.encode(), count) for word, count in words.items())
    offsets = np.cumsum([0, *(len(word) for word, _ in encoded)]).astype(np.int64)
    data = np.frombuffer(b"".join(word for word, _ in encoded), np.uint8)
    return Counts(data, offsets, np.array([count for _, count in encoded], np.int64))


def as_dict(found: module.Characters) -> dict[str, int]:
    return dict(zip(found.words(), found.count_W.tolist(), strict=True))


def random_words(seed: int) -> dict[str, int]:
    rng = random.Random(seed)
    letters = [*"aab bcß", "中", "文", "中", "👍", "▁", "\n", "\0"]
    return {"".join(rng.choices(letters, k=rng.randrange(1, 9))): rng.randrange(1, 50) for _ in range(200)}


@pytest.mark.parametrize("max_alphabet", [0, 1, 3, 6, 100])
@pytest.mark.parametrize("seed", range(4))
def test_characters_words_are_cut_where_a_rare_character_stands(seed: int, max_alphabet: int) -> None:
    words = random_words(seed)
    number: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            number["▁" if character == " " else character] += count * (character != "▁")
    ordered = sorted(number, key=lambda c: (-number[c], c))
    covering = [c for k, c in enumerate(ordered) if sum(number[x] for x in ordered[:k]) < 0.9995 * number.total()]
    alphabet = {*covering[:max_alphabet], "▁"} | ASCII
    expected: Counter[str] = Counter()
    for word, count in words.items():
        spaced = word.replace("▁", "\U0010fffe").replace(" ", "▁")
        for part in re.split("[^" + re.escape("".join(alphabet)) + "]", spaced):
            expected[part] += count
    del expected[""]
    found = characters(counts_of(words), max_alphabet)
    assert {chr(c) for c in found.alphabet.tolist()} == alphabet
    assert as_dict(found) == expected
    assert found.words() == sorted(expected, key=str.encode)


def test_characters_rarest_are_left_out_by_coverage() -> None:
    words = {"é" * 9: 1000, "ü" * 9: 10, "õ": 1, "ø": 2}
    found = {chr(c) for c in characters(counts_of(words), 1000).alphabet.tolist()} - ASCII - {"▁"}
    assert found == {"é", "ü"}


def test_characters_very_long_words_are_left_out() -> None:
    words = {"x" * module.MAX_WORD_CHARACTERS: 2, "é" * (module.MAX_WORD_CHARACTERS + 1): 9}
    found = characters(counts_of(words), 100)
    assert as_dict(found) == {"x" * module.MAX_WORD_CHARACTERS: 2}
    assert ord("é") not in found.alphabet.tolist()


def test_characters_of_nothing_is_ascii_without_words() -> None:
    found = characters(counts_of({}), 100)
    assert found.words() == [] and {chr(c) for c in found.alphabet.tolist()} == ASCII | {"▁"}


def test_characters_counts_beyond_32_bits_are_kept() -> None:
    assert as_dict(characters(counts_of({" a": 2**40, " aé": 3}), 0)) == {"▁a": 2**40 + 3}


def test_characters_of_bytes_that_are_no_text_is_an_error() -> None:
    broken = Counts(np.array([0x61, 0xFF], np.uint8), np.array([0, 2]), np.array([1]))
    with pytest.raises(TokenizerError, match="not UTF-8"):
        characters(broken, 100)
