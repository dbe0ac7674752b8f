"""Learned merges against counting everything anew for each, and against `tokenizers`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest

from tests.tokenizer.oracle import train_with_tokenizers
from tokenizer.merge import Learned, Limits, learn
from tokenizer.symbols import BYTE_OF_SYMBOL, token_bytes
from tokenizer.train import Options, untrained

ID_OF_BYTE = np.zeros(256, np.int32)
for _id, _symbol in enumerate(sorted(BYTE_OF_SYMBOL)):
    ID_OF_BYTE[BYTE_OF_SYMBOL[_symbol]] = _id

Merge = tuple[bytes, bytes]


def _learn(counts: Mapping[bytes, int], num_tokens: int, min_frequency: int = 1, max_bytes: int = 64) -> Learned:
    words = list(counts)
    offsets = np.append(0, np.cumsum([len(word) for word in words]))
    data = np.frombuffer(b"".join(words), np.uint8)
    limits = Limits(num_tokens=num_tokens, min_frequency=min_frequency, max_token_bytes=max_bytes)
    return learn(data, offsets, np.array([counts[word] for word in words], np.int64), ID_OF_BYTE, limits)


def _tokens(learned: Learned) -> tuple[list[Merge], dict[bytes, int]]:
    """The merges, and the ids of all tokens, by their bytes."""
    of_id = {int(id_): bytes([byte]) for byte, id_ in enumerate(ID_OF_BYTE)}
    merges = []
    for left, right, token in zip(
        *(a.tolist() for a in (learned.left_M, learned.right_M, learned.token_M)), strict=True
    ):
        merges.append((of_id[left], of_id[right]))
        assert of_id.setdefault(token, b"".join(merges[-1])) == b"".join(merges[-1])
    return merges, {token: id_ for id_, token in of_id.items()}


def _pair_counts(words: Sequence[list[bytes]], counts: Sequence[int], max_bytes: int) -> Counter[Merge]:
    found: Counter[Merge] = Counter()
    for word, count in zip(words, counts, strict=True):
        for pair in pairwise(word):
            if len(pair[0] + pair[1]) <= max_bytes:
                found[pair] += count
    return found


def _merged(word: list[bytes], pair: Merge) -> list[bytes]:
    out: list[bytes] = []
    i = 0
    while i < len(word):
        if tuple(word[i : i + 2]) == pair:
            out.append(word[i] + word[i + 1])
            i += 2
        else:
            out.append(word[i])
            i += 1
    return out


def _check_each_is_the_argmax(counts: Mapping[bytes, int], learned: Learned, max_bytes: int, stopped: bool) -> None:
    """Replay: before every merge all pairs are counted anew; it must be the first by (count, ids)."""
    merges, ids = _tokens(learned)
    words = [[bytes([byte]) for byte in word] for word in counts]
    for pair, count in zip(merges, learned.count_M.tolist(), strict=True):
        found = _pair_counts(words, list(counts.values()), max_bytes)
        best = min(found, key=lambda p: (-found[p], ids[p[0]], ids[p[1]]))
        assert (pair, count) == (best, found[best])
        words = [_merged(word, pair) for word in words]
    if stopped:
        assert not _pair_counts(words, list(counts.values()), max_bytes)


def _random_words(seed: int, letters: bytes, num: int, most: int) -> dict[bytes, int]:
    rng = np.random.default_rng(seed)
    words = [bytes(rng.choice(list(letters), int(rng.integers(1, 12))).tolist()) for _ in range(num)]
    return {word: int(rng.integers(1, most)) for word in words}


@pytest.mark.parametrize("letters", [b"ab", b"abc", b"abcdefgh \xe4\xb8\xad"])
@pytest.mark.parametrize("max_bytes", [2, 5, 64])
@pytest.mark.parametrize("seed", range(4))
def test_learn_every_merge_is_the_most_frequent_pair(letters: bytes, max_bytes: int, seed: int) -> None:
    counts = _random_words(seed, letters, 60, 5)  # small counts: many ties
    learned = _learn(counts, 500, max_bytes=max_bytes)
    assert len(learned.left_M) > 5 or max_bytes == 2
    _check_each_is_the_argmax(counts, learned, max_bytes, stopped=len(_tokens(learned)[1]) < 500)


def test_learn_words_of_one_repeated_letter() -> None:
    counts = {b"a" * n: n for n in range(1, 40)}
    _check_each_is_the_argmax(counts, _learn(counts, 300), 64, stopped=True)


def test_learn_order_of_the_words_does_not_matter() -> None:
    counts = _random_words(9, b"abcdef", 3000, 50)
    whole = _learn(counts, 600)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(counts))
        items = list(counts.items())
        other = _learn(dict(items[i] for i in order), 600)
        for name in ("left_M", "right_M", "token_M", "count_M"):
            assert np.array_equal(getattr(whole, name), getattr(other, name))


@pytest.mark.parametrize("shift", [0, 31, 33, 40])
def test_learn_counts_beyond_32_bits_give_the_same_merges(shift: int) -> None:
    """The same words a billion times as often: `tokenizers` never merges a pair seen 2^31 times."""
    counts = _random_words(2, b"abcdef", 500, 100)
    large = _learn({word: count << shift for word, count in counts.items()}, 400)
    small = _learn(counts, 400)
    assert _tokens(large) == _tokens(small)
    assert np.array_equal(large.count_M, small.count_M << shift)


def test_learn_token_made_in_two_ways_is_one_entry() -> None:
    counts = {b"xab": 50, b"xa": 60, b"yab": 40, b"ab": 30, b"abc": 9, b"bc": 70, b"zabc": 20}
    learned = _learn(counts, 300)
    merges, _ = _tokens(learned)
    assert len({left + right for left, right in merges}) <= len(merges)
    _check_each_is_the_argmax(counts, learned, 64, stopped=True)


@pytest.mark.parametrize("num_tokens, min_frequency", [(256, 1), (300, 1), (2000, 3)])
def test_learn_equals_tokenizers(num_tokens: int, min_frequency: int) -> None:
    rng = np.random.default_rng(0)
    stems = ["".join(rng.choice(list("aeiounrstlmdé中文"), int(rng.integers(2, 9)))) for _ in range(400)]
    texts = [" ".join(rng.choice(stems, 50)) for _ in range(60)]
    options = Options(
        vocab_size=num_tokens, min_frequency=min_frequency, max_token_length=12, pattern="llama3",
        normalization="none", special_tokens=(),
    )  # fmt: skip
    theirs = json.loads(train_with_tokenizers(texts, options))["model"]
    splitter = untrained(options).pre_tokenizer
    counts = Counter(token_bytes(word) for text in texts for word, _ in splitter.pre_tokenize_str(text))
    merges, ids = _tokens(_learn(counts, num_tokens, min_frequency, 12))
    assert merges == [(token_bytes(left), token_bytes(right)) for left, right in theirs["merges"]]
    assert ids == {token_bytes(token): id_ for token, id_ in theirs["vocab"].items()}


def test_learn_no_words_and_words_of_one_byte_give_no_merges() -> None:
    assert len(_learn({}, 300).left_M) == 0
    assert len(_learn({b"a": 5, b"b": 3}, 300).left_M) == 0


def test_learn_word_of_a_million_bytes() -> None:
    word = bytes(np.random.default_rng(0).integers(97, 101, 1_000_000, dtype=np.uint8))
    learned = _learn({word: 2}, 400)
    assert len(learned.left_M) == 144
    assert learned.count_M[0] >= learned.count_M[-1] > 500
