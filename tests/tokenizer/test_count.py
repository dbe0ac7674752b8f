"""tokenizer/count.py and sorted_counts.py: counts against collections.Counter, order against sorted()."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenizer.corpus import texts
from tests.tokenizer.test_pretokenize import PIECES, packed
from tokenizer.count import WordCounts
from tokenizer.errors import TokenizerError
from tokenizer.pretokenize import Pretokenizer
from tokenizer.sorted_counts import Counts, chunks, combine, merge_sorted

PRETOKENIZER = Pretokenizer("llama3")


def reference(corpus: Sequence[str | bytes], weight: int = 1, cap: int | None = None) -> Counter[bytes]:
    total: Counter[bytes] = Counter()
    for text in corpus:
        offsets, data = packed([text])
        edges = [0, *PRETOKENIZER.ends(offsets, data).tolist()]
        words = Counter(data[a:b].tobytes() for a, b in itertools.pairwise(edges))
        for word, count in words.items():
            total[word] += weight * min(count, cap or count)
    return total


def counted(corpus: Sequence[str | bytes], weight: int = 1, cap: int | None = None) -> WordCounts:
    counts = WordCounts(PRETOKENIZER, cap)
    counts.add(*packed(corpus), weight)
    return counts


def check(found: Counts, expected: Counter[bytes]) -> None:
    assert found.data.dtype == np.uint8 and found.offsets.dtype == found.counts.dtype == np.int64
    words = [found.word(v) for v in range(len(found.counts))]
    assert words == sorted(expected)
    assert found.counts.tolist() == [expected[word] for word in words]


def counts_of(words: dict[bytes, int]) -> Counts:
    return Counts(*packed(list(words))[::-1], np.array(list(words.values()), np.int64))


def mixed(number: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(PIECES, k=rng.randrange(40))) for _ in range(number)]


def random_words(number: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join("".join(rng.choices("abcdefg", k=rng.randrange(1, 40))) for _ in range(number))


@settings(max_examples=200, deadline=None)
@given(
    corpus=st.lists(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), max_size=8),
    weight=st.integers(1, 2**40),
    cap=st.one_of(st.none(), st.integers(1, 3)),
)
def test_add_any_texts_counts_as_counter_does(corpus: list[str], weight: int, cap: int | None) -> None:
    check(counted(corpus, weight, cap).arrays(), reference(corpus, weight, cap))


@pytest.mark.parametrize("cap", [None, 1, 2])
def test_add_many_words_grows_and_counts_as_counter_does(cap: int | None) -> None:
    corpus = [random_words(30_000, 1), *mixed(500, 2), random_words(30_000, 1) + random_words(30_000, 3)]
    counts = counted(corpus, 1, cap)
    expected = reference(corpus, 1, cap)
    assert counts.num_words == len(expected) > 40_000
    check(counts.arrays(), expected)


def test_add_several_batches_any_order_same_arrays() -> None:
    corpus = texts(200) + mixed(300, 4)
    expected = counted(corpus, cap=3).arrays()
    for seed in range(3):
        random.Random(seed).shuffle(corpus)
        counts = WordCounts(PRETOKENIZER, 3)
        for start in range(0, len(corpus), 70):
            counts.add(*packed(corpus[start : start + 70]))
        for found, array in zip(counts.arrays(), expected, strict=True):
            np.testing.assert_array_equal(found, array)


def test_add_weights_are_added_up_beyond_32_bits() -> None:
    counts = WordCounts(PRETOKENIZER)
    counts.add(*packed(["low low lower"]), 2**33)
    counts.add(*packed(["low"]), 5)
    check(counts.arrays(), Counter({b"low": 2**33 + 5, b" low": 2**33, b" lower": 2**33}))


def test_add_words_of_megabytes_are_compared_whole() -> None:
    corpus = ["a" * 3_000_000, "a" * 2_999_999 + "b", "a" * 2_999_999, "a" * 3_000_000, "!" * 1_500_000]
    check(counted(corpus).arrays(), reference(corpus))


@pytest.mark.parametrize("length", range(1, 34))
def test_add_word_at_the_very_end_of_the_buffer_is_the_same_word(length: int) -> None:
    word = "abcdefghijklmnopqrstuvwxyzabcdefgh"[:length]
    check(counted([word, "." * 40, word]).arrays(), Counter({word.encode(): 2, b"." * 40: 1}))


def test_add_cap_counts_again_in_the_next_text() -> None:
    counts = WordCounts(PRETOKENIZER, 2)
    counts.add(*packed(["", "a\na\na\na", "", "a"]))
    counts.add(*packed(["a\na\na"]))
    check(counts.arrays(), Counter({b"a": 5, b"\n": 4}))


def test_add_nothing_gives_no_words() -> None:
    check(WordCounts(PRETOKENIZER).arrays(), Counter())
    check(counted(["", ""]).arrays(), Counter())


def test_clear_forgets_words_and_memory() -> None:
    counts = counted([random_words(30_000, 5)])
    small = WordCounts(PRETOKENIZER).num_bytes
    assert counts.num_bytes > 10 * small
    counts.clear()
    assert counts.num_bytes == small and counts.num_words == 0
    counts.add(*packed(["once"]))
    check(counts.arrays(), Counter({b"once": 1}))


def test_settings_below_one_are_refused() -> None:
    with pytest.raises(TokenizerError, match="cap 0"):
        WordCounts(PRETOKENIZER, 0)
    with pytest.raises(TokenizerError, match="weight 0"):
        counted(["a"], 0)


def test_combine_words_with_long_common_beginnings_and_zeros_are_in_order() -> None:
    words = [b"x" * n + tail for n in range(1, 40) for tail in (b"", b"\0", b"\0\0", b"\xff", b"y", b"xx\0y")]
    words += [bytes([n]) for n in range(256)] + [b"\0" * n for n in range(2, 20)]
    expected = Counter({word: k + 1 for k, word in enumerate(dict.fromkeys(words))})
    shuffled = list(expected)
    random.Random(6).shuffle(shuffled)
    check(combine([counts_of({word: expected[word] for word in shuffled})]), expected)


def test_combine_parts_adds_up_equal_words() -> None:
    parts = [mixed(100, seed) for seed in range(7, 12)]
    expected = reference([text for part in parts for text in part])
    check(combine([counted(part).arrays() for part in parts]), expected)
    check(combine([]), Counter())


@pytest.mark.parametrize("num_words", [1, 3, 50, 10_000])
def test_merge_sorted_runs_same_as_one_count(num_words: int) -> None:
    parts = [mixed(60, 20), [], mixed(200, 21), texts(30), ["a"], mixed(60, 20)]
    merged = list(merge_sorted(chunks(counted(part).arrays(), num_words) for part in parts))
    check(combine(merged), reference([text for part in parts for text in part]))
    joined = [chunk.word(v) for chunk in merged for v in range(len(chunk.counts))]
    assert joined == sorted(set(joined))
    assert max(len(chunk.counts) for chunk in merged) <= num_words * len(parts)


def test_merge_sorted_reads_a_chunk_of_each_run_at_a_time() -> None:
    taken: Counter[int] = Counter()

    def run(number: int) -> Iterator[Counts]:
        for first in range(100):
            taken[number] += 1
            yield counts_of({first.to_bytes(2, "big"): 1})

    for step, chunk in enumerate(merge_sorted(run(number) for number in range(4))):
        assert chunk.counts.tolist() == [4]
        assert set(taken.values()) == {step + 1}


def test_merge_sorted_of_nothing_is_empty() -> None:
    assert list(merge_sorted([])) == []
    assert list(merge_sorted([[], chunks(WordCounts(PRETOKENIZER).arrays())])) == []
