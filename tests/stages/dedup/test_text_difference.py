"""Where two texts first differ and what several share, against a search over all passages, and on hostile texts."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import pytest

from stages.dedup.text_difference import CONTEXT_WORDS, SHINGLE_WORDS, SHOWN_WORDS, first_difference, shared_passage

MOST_CHARS = 400  # what a cell of the report's tables shows
HOSTILE = (
    "<script>alert('x')</script> <b onclick=\"y\">",
    "\x00\x07\x1b[31m \u202e\u2066 \ufeff",
    "word " * 100_000,
    "w" * 5_000_000,
    "a " * 50 + "w" * 5_000_000,
    " ".join("w" * 9_000 for _ in range(40)),
    "",
    " \n\t\u00a0\u3000 ",
    "日本語の長い文章です" * 20_000,
    "e" + "\u0301" * 100_000,
    "🙂" * 100_000,
)


def _numbered(first: int, last: int) -> list[str]:
    return [f"w{n}" for n in range(first, last)]


def test_first_difference_shows_the_words_before_and_from_it_on() -> None:
    one = [*_numbered(0, 30), "left", *_numbered(30, 60)]
    other = [*_numbered(0, 30), "right", *_numbered(30, 60)]
    left, right = first_difference(" ".join(one), " ".join(other))
    before, after = " ".join(_numbered(30 - CONTEXT_WORDS, 30)), " ".join(_numbered(30, 29 + SHOWN_WORDS))
    assert left == f"… {before} ▸ left {after} …"
    assert right == f"… {before} ▸ right {after} …"


@pytest.mark.parametrize(
    "one, other, left, right",
    [
        ("a b", "c b", "▸ a b", "▸ c b"),
        ("a b c", "a b", "a b ▸ c", "a b (ends here)"),
        ("", "a", "(ends here)", "▸ a"),
        ("a b c d e f", "a b c d e", "… b c d e ▸ f", "… b c d e (ends here)"),
        ("Word", "word", "▸ Word", "▸ word"),
        ("a  b\n c", "a b c", "", ""),
        ("", "", "", ""),
        (" ", "\n", "", ""),
    ],
)
def test_first_difference_of_short_texts_is_as_worked_out(one: str, other: str, left: str, right: str) -> None:
    assert first_difference(one, other) == (left, right)
    assert first_difference(other, one) == (right, left)


def _word_at(passage: str) -> str | None:
    """The first word that differs, None where the text ends there."""
    return None if passage.endswith("(ends here)") else passage.split("▸ ")[1].split()[0]


def test_first_difference_of_random_texts_is_at_the_first_unequal_word() -> None:
    rng = random.Random(0)
    for _ in range(500):
        one = rng.choices("abc", k=rng.randint(0, 40))
        other = one[: rng.randint(0, 40)] + rng.choices("abc", k=rng.randint(0, 3))
        left, right = first_difference(" ".join(one), " ".join(other))
        if one == other:
            assert (left, right) == ("", "")
            continue
        at = 0
        while at < min(len(one), len(other)) and one[at] == other[at]:
            at += 1
        assert _word_at(left) == (one[at] if at < len(one) else None)
        assert _word_at(right) == (other[at] if at < len(other) else None)


@pytest.mark.parametrize("hostile", range(len(HOSTILE)))
def test_first_difference_of_hostile_texts_is_short_and_quick(hostile: int) -> None:
    start = time.process_time()
    for other in ("", "a few plain words", HOSTILE[hostile] + "x", "x" + HOSTILE[hostile], HOSTILE[hostile]):
        for passage in (*first_difference(HOSTILE[hostile], other), *first_difference(other, HOSTILE[hostile])):
            assert len(passage) <= MOST_CHARS
    assert time.process_time() - start < 2


def test_first_difference_late_in_a_long_word_is_shown() -> None:
    """A text without spaces is one word: what differs must not be cut off."""
    one, other = "日本語の文章" * 200 + "甲" + "終" * 200, "日本語の文章" * 200 + "乙" + "終" * 200
    left, right = first_difference(one, other)
    assert "甲" in left and "乙" in right


def _oracle(texts: Sequence[str]) -> list[str]:
    """The first of the longest runs of words of the first text whose every part of five stands in all texts."""
    first, padded = texts[0].split(), [f" {' '.join(text.split())} " for text in texts]
    for length in range(len(first), SHINGLE_WORDS - 1, -1):
        for start in range(len(first) - length + 1):
            parts = (first[i : i + SHINGLE_WORDS] for i in range(start, start + length - SHINGLE_WORDS + 1))
            if all(f" {' '.join(part)} " in text for part in parts for text in padded):
                return first[start : start + length]
    return []


def test_shared_passage_of_random_texts_equals_a_search_over_all_passages() -> None:
    rng, found = random.Random(1), 0
    for _ in range(200):
        words = rng.choices("abcdefgh", k=rng.randint(0, 30))
        texts = [" ".join(words)]
        for _ in range(rng.randint(0, 3)):
            copy = list(words)
            for _ in range(rng.randint(0, 3)):
                copy.insert(rng.randint(0, len(copy)), rng.choice("abcdefghxyz"))
            texts.append(" ".join(copy))
        expected = _oracle(texts)
        assert shared_passage(texts) == " ".join(expected)
        found += bool(expected)
    assert found > 50


def test_shared_passage_of_a_template_is_the_template() -> None:
    template = " ".join(_numbered(0, 20))
    texts = [f"title {n} {template} {n} about {n} and so on {n}" for n in range(6)]
    assert shared_passage(texts) == template


def test_shared_passage_of_texts_alike_in_words_is_their_text() -> None:
    assert shared_passage(["one two  three four five", "one two three\nfour five "]) == "one two three four five"
    assert shared_passage(["one two three four five"]) == "one two three four five"


def test_shared_passage_of_texts_with_nothing_in_common_is_empty() -> None:
    assert shared_passage(["a b c d e f", "f e d c b a"]) == ""
    assert shared_passage(["a b c d", "a b c d"]) == ""
    assert shared_passage(["", ""]) == ""


@pytest.mark.parametrize("hostile", range(len(HOSTILE)))
def test_shared_passage_of_hostile_texts_is_short_and_quick(hostile: int) -> None:
    start = time.process_time()
    for texts in ([HOSTILE[hostile]] * 7, [HOSTILE[hostile], "a few plain words in a row", ""]):
        assert len(shared_passage(texts)) <= MOST_CHARS
    assert time.process_time() - start < 3
