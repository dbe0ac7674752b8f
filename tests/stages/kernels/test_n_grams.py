"""N-grams against datatrove's definitions, written again over Python strings."""

from __future__ import annotations

import mmap
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import n_grams
from stages.kernels.utf8 import PADDING, Utf8, padded
from stages.kernels.words import Words
from tests.stages.kernels.text_spans import between_closed_pages, with_words

# Words whose joined letters can be parted in several ways, and words around the sizes that are loaded at once.
WORDS = ["a", "b", "ab", "ba", "é", "中文", "abababa", "babababa", "abababababababab", "babababababababab", "é" * 13]


def top(words: list[str], n: int) -> int:
    grams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not grams:
        return 0
    gram, count = Counter(grams).most_common(1)[0]
    return len(gram) * count


def duplicate(words: list[str], n: int) -> int:
    seen, chars, i = set(), 0, 0
    while i <= len(words) - n:
        joined = "".join(words[i : i + n])
        chars += len(joined) if joined in seen else 0
        i += n if joined in seen else 1
        seen.add(joined)
    return chars


def expected(words: list[str], times: int = 1) -> list[int]:
    return [top(words, n * times) for n in n_grams.TOP] + [duplicate(words, n * times) for n in n_grams.DUPLICATE]


def found(texts: list[list[str]], times: int = 1, separator: str = " ") -> list[list[int]]:
    text, words = with_words(texts, separator)
    return n_grams.n_gram_chars(text, words, np.full(len(texts), times)).tolist()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=80), st.sampled_from([1, 2, 3]), st.sampled_from(["", " "]))
def test_n_gram_chars_any_words_agree_with_definition(words: list[str], times: int, separator: str) -> None:
    assert found([words], times, separator) == [expected(words, times)]


def parted(letters: str, rng: np.random.Generator, longest: int) -> list[str]:
    """The letters in words of random lengths."""
    words, at = [], 0
    while at < len(letters):
        size = int(rng.integers(1, longest + 1))
        words.append(letters[at : at + size])
        at += size
    return words


@pytest.mark.parametrize("alphabet", ["ab", "abcdefgh", "aé中", "x"])
@pytest.mark.parametrize("longest", [1, 3, 9, 20])
def test_n_gram_chars_same_letters_parted_otherwise_agree_with_definition(alphabet: str, longest: int) -> None:
    rng = np.random.default_rng(longest)
    texts = []
    for _ in range(40):
        pieces = ["".join(rng.choice(list(alphabet), rng.integers(1, 120))) for _ in range(3)]
        order = [pieces[i] for i in rng.integers(0, 3, 5)]
        same = [parted(piece, rng, longest) for piece in pieces]
        texts.append([w for piece in order for w in (parted(piece, rng, longest) if rng.random() < 0.5 else same[0])])
    for times in (1, 2):
        assert found(texts, times) == [expected(words, times) for words in texts]


@pytest.mark.parametrize("vocabulary", [2, 30, 300, 5000])
def test_n_gram_chars_long_random_text_agrees_with_definition(vocabulary: int) -> None:
    """Few words repeat n-grams often; many fill the tallies by chance."""
    rng = np.random.default_rng(vocabulary)
    texts = [[f"w{i}" for i in rng.integers(0, vocabulary, size)] for size in (50, 400, 3000, 6000)]
    assert found(texts) == [expected(words) for words in texts]


def test_top_n_gram_more_often_than_the_tally_counts_is_found() -> None:
    words = ["a", "b"] * 300 + ["c", "d"] * 400 + ["e", "f"] * 300
    assert found([words]) == [expected(words)]
    assert found([words])[0][0] == 3 * 400


def test_top_n_gram_of_equals_the_first_one_counts() -> None:
    assert found([["aaa", "aaa", "b", "b"]])[0][0] == len("aaa aaa")


def test_top_n_gram_other_words_of_the_same_letters_are_another() -> None:
    assert found([["ab", "c", "x", "a", "bc"]])[0][0] == len("ab c")


def test_duplicate_n_gram_other_split_of_the_same_letters_counts() -> None:
    assert found([["ab", "c", "d", "e", "f", "x", "a", "bc", "d", "e", "f"]])[0][len(n_grams.TOP)] == 6


def test_duplicate_n_gram_first_seen_in_one_skipped_does_not_count() -> None:
    """Behind a duplicate the search goes on: what begins inside it was never seen."""
    words = [*"abcde", *"abcde", "f", *"bcdef"]
    assert found([words])[0][len(n_grams.TOP)] == 5


def test_n_gram_chars_batch_gives_same_as_alone() -> None:
    texts = [["a", "b"] * 6, [], ["one", "two"], ["x"] * 500, ["a", "b"] * 3]
    assert found(texts) == [found([words])[0] for words in texts]


def test_n_gram_chars_empty_batch_gives_no_rows() -> None:
    assert found([]) == []


def test_n_gram_chars_text_between_closed_pages_is_read_no_further() -> None:
    words = ["abc"] * ((mmap.PAGESIZE - PADDING) // 4 - 1) + ["abcd"]
    text, spans = with_words([words])
    with between_closed_pages(text.data.tobytes()) as data:
        view = Utf8(offsets=text.offsets, data=data, null_N=text.null_N)
        assert n_grams.n_gram_chars(view, spans, np.ones(1, np.int64)).tolist() == [expected(words)]


def spans_of(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[Utf8, Words]:
    offsets = np.array([0, len(text)])
    words = Words(
        begin=np.zeros(1, np.int64), end=np.array([len(starts)]), starts=starts.astype(np.int32),
        ends=ends.astype(np.int32), kinds=np.zeros(len(starts), np.uint8),
    )  # fmt: skip
    return padded(Utf8(offsets=offsets, data=text, null_N=np.zeros(1, np.bool_))), words


def hostile(name: str) -> tuple[Utf8, Words]:
    """A few megabytes on which a careless table or comparison takes hours."""
    rng, count = np.random.default_rng(1), 1_000_000
    letters = np.full(4 * count, 97, np.uint8)
    every = np.arange(count)
    if name == "one letter":
        return spans_of(letters, every, every + 1)
    if name == "random letters":
        return spans_of(rng.integers(97, 99, count).astype(np.uint8), every, every + 1)
    if name == "one word":
        return spans_of(letters, np.array([0]), np.array([4 * count]))
    if name == "few long words":
        bounds = np.linspace(0, 4 * count, 13).astype(np.int64)
        return spans_of(letters, bounds[:-1], bounds[1:])
    if name == "words of growing length":
        bounds = np.cumsum(np.arange(2800))
        return spans_of(letters, bounds[:-1], bounds[1:])
    edges = np.full((40_000, 5, 16), 97, np.uint8)  # equal first and last words, three between that differ
    edges[:, 1:4] = rng.integers(97, 123, (40_000, 3, 16))
    bounds = 16 * np.arange(200_001)
    return spans_of(edges.reshape(-1), bounds[:-1], bounds[1:])


@pytest.mark.parametrize(
    "name",
    ["one letter", "random letters", "one word", "few long words", "words of growing length", "equal edges"],
)
def test_n_gram_chars_hostile_text_takes_linear_time(name: str) -> None:
    text, words = hostile(name)
    n_grams.n_gram_chars(*with_words([["a"]]), np.ones(1, np.int64))  # compiles
    start = time.process_time()
    n_grams.n_gram_chars(text, words, np.ones(1, np.int64))
    assert time.process_time() - start < 4  # takes 0.1 s; quadratic time would be minutes at least
