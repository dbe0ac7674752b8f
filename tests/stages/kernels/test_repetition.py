"""Duplicates and n-grams against datatrove's definitions, written again over Python strings."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import repetition, utf8, words


def seen_before(elements: list[str]) -> tuple[int, int]:
    repeats = [e for i, e in enumerate(elements) if e in elements[:i]]
    return len(repeats), sum(map(len, repeats))


def top(found: list[str], n: int) -> int:
    n_grams = [" ".join(found[i : i + n]) for i in range(len(found) - n + 1)]
    if not n_grams:
        return 0
    n_gram, count = Counter(n_grams).most_common(1)[0]
    return len(n_gram) * count


def duplicate(found: list[str], n: int) -> int:
    seen, chars, i = set(), 0, 0
    while i <= len(found) - n:
        joined = "".join(found[i : i + n])
        chars += len(joined) if joined in seen else 0
        i += n if joined in seen else 1
        seen.add(joined)
    return chars


def n_grams_of(texts: list[str], times: int = 1) -> np.ndarray:
    text = utf8.view(pa.array(texts, pa.large_string()))
    split = words.split(text, np.zeros(len(texts), np.bool_))
    return repetition.n_gram_chars(text, split, np.full(len(texts), times))


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="a中\n ", max_size=40))
def test_duplicate_lines_any_text_agrees_with_definition(text: str) -> None:
    paragraphs, split = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    found = repetition.duplicate_lines(utf8.view(pa.array([text], pa.large_string())))
    assert found[0].tolist() == [len(paragraphs), *seen_before(paragraphs), len(split), *seen_before(split)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "ab", "ba", "é", "中文"]), max_size=60), st.sampled_from([1, 2]))
def test_n_gram_chars_any_words_agree_with_definition(found: list[str], times: int) -> None:
    expected = [top(found, n * times) for n in repetition.TOP]
    expected += [duplicate(found, n * times) for n in repetition.DUPLICATE]
    assert n_grams_of([" ".join(found)], times)[0].tolist() == expected


def test_duplicate_n_gram_other_split_of_the_same_letters_counts() -> None:
    assert n_grams_of(["ab c d e f x a bc d e f"])[0, len(repetition.TOP)] == 6


def test_top_n_gram_of_equals_the_first_one_counts() -> None:
    assert n_grams_of(["aaa aaa b b"])[0, 0] == len("aaa aaa")


def test_n_gram_chars_batch_gives_same_as_alone() -> None:
    texts = ["a b a b a b a b a b a b", "", "one two", "x " * 500, "a b a b a b"]
    assert np.array_equal(n_grams_of(texts), np.concatenate([n_grams_of([t]) for t in texts]))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["short.", "short", "a line of some length", " ", "", "long one!" * 5]), max_size=12))
def test_line_shapes_any_lines_agree_with_definition(split: list[str]) -> None:
    text = "\n".join(split)
    kept = [line for line in split if line.strip()]
    shapes = repetition.line_shapes(utf8.view(pa.array([text], pa.large_string())), np.array([10]), np.array([False]))
    assert shapes[0].tolist() == [
        len(kept), sum(x.endswith((".", "!")) for x in kept), sum(len(x) <= 10 for x in kept), seen_before(kept)[1],
        text.count("\n"),
    ]  # fmt: skip
