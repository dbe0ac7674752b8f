"""tokenizer/unigram.py: against `tokenizers`' trainer where nothing is pruned, and every step against plain Python."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.tokenizer.corpus import texts
from tests.tokenizer.test_characters import counts_of
from tokenizer import unigram
from tokenizer.characters import Characters, characters
from tokenizer.count import WordCounts
from tokenizer.encode import string_buffers
from tokenizer.normalise import counted_texts
from tokenizer.one_thread import one_thread
from tokenizer.pretokenize import Pretokenizer
from tokenizer.unigram_kernels import Pieces, Words, best_counts, digamma, expected_counts, losses, trie_of


def of_texts(corpus: list[str]) -> Characters:
    words = WordCounts(Pretokenizer("llama3"))
    words.add(*string_buffers(counted_texts("unigram", "none")(pa.array(corpus, pa.large_string()))))
    return characters(words.arrays(), 500)


def by_tokenizers(found: Characters, num_pieces: int, max_characters: int = 16) -> dict[str, float]:
    learner = Tokenizer(models.Unigram())
    learner.pre_tokenizer = pre_tokenizers.Split("\U0010ffff", "removed")
    trainer = trainers.UnigramTrainer(
        vocab_size=num_pieces + 1, unk_token="<unk>", show_progress=False, max_piece_length=max_characters,
        initial_alphabet=[chr(c) for c in found.alphabet.tolist()],
    )  # fmt: skip
    with one_thread():
        learner.train_from_iterator(
            ((w + "\U0010ffff") * n for w, n in zip(found.words(), found.count_W.tolist(), strict=True)), trainer
        )
    return dict(map(tuple, json.loads(learner.to_str())["model"]["vocab"][1:]))


def likelihood(found: Characters, pieces: dict[str, float]) -> float:
    model = models.Unigram([("<unk>", -100.0), *pieces.items()], 0, False)
    counted = zip(found.words(), found.count_W.tolist(), strict=True)
    return sum(n * sum(pieces[t.value] for t in model.tokenize(word)) for word, n in counted)


@pytest.mark.parametrize("max_characters", [3, 16])
def test_learn_without_pruning_is_what_tokenizers_learns(max_characters: int) -> None:
    found = of_texts(texts(150))
    ours = unigram.learn(found, 5000, max_characters)
    theirs = by_tokenizers(found, 5000, max_characters)
    assert set(ours.pieces) == set(theirs) and len(theirs) > 200
    assert max(map(len, ours.pieces)) == min(max_characters, max(map(len, theirs)))
    close = [abs(score - theirs[piece]) < 1e-9 for piece, score in zip(ours.pieces, ours.scores, strict=True)]
    # characters that are dropped come back in a random order there, each a little above the one before
    assert all(close[i] for i, piece in enumerate(ours.pieces) if len(piece) > 1)
    assert sum(close) > 0.8 * len(close)


@pytest.mark.parametrize("num_pieces", [400, 250])
def test_learn_pruned_is_as_likely_as_what_tokenizers_learns(num_pieces: int) -> None:
    found = of_texts(texts(300))
    ours = unigram.learn(found, num_pieces, 16)
    theirs = by_tokenizers(found, num_pieces)
    assert len(ours.pieces) == len(theirs) == num_pieces
    assert {chr(c) for c in found.alphabet.tolist()} <= set(ours.pieces)
    assert len(set(ours.pieces) & set(theirs)) > 0.9 * num_pieces
    mine = dict(zip(ours.pieces, ours.scores, strict=True))
    assert likelihood(found, mine) == pytest.approx(likelihood(found, theirs), rel=0.005)


def test_learn_counts_beyond_32_bits_give_the_pieces_of_the_text() -> None:
    found = characters(counts_of({" the": 9 << 40, " then": 1 << 40, " hen": 1 << 33}), 10)
    learned = unigram.learn(found, 200, 16)
    assert all(map(math.isfinite, learned.scores))
    assert "▁the" in learned.pieces and len(learned.pieces) > 96


def test_learn_best_piece_first_and_characters_always() -> None:
    found = characters(counts_of({" the": 900, " then": 90, "é": 50}), 10)
    learned = unigram.learn(found, 200, 16)
    assert learned.scores == sorted(learned.scores, reverse=True)
    assert {"▁the", "é", "~", "▁"} <= set(learned.pieces)


def test_learn_of_no_words_is_the_alphabet() -> None:
    learned = unigram.learn(characters(counts_of({}), 10), 200, 16)
    assert sorted(learned.pieces) == sorted(["▁", *map(chr, range(0x21, 0x7F))])


def small(seed: int) -> tuple[Words, Pieces, list[str]]:
    """Words of three symbols, and pieces of them, where symbol 2 is none by itself."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abc", k=rng.randrange(1, 7))) for _ in range(30)]
    names = ["", *sorted({"a", "b", *("".join(rng.choices("abc", k=rng.randrange(2, 4))) for _ in range(6))})]
    symbols = np.array([ord(c) - 97 for c in "".join(words)], np.int32)
    starts = np.cumsum([0, *map(len, words)]).astype(np.int64)
    pieces = Pieces(
        np.array([ord(c) - 97 for c in "".join(names)], np.int32), np.cumsum([0, *map(len, names[:-1])]),
        np.array(list(map(len, names)), np.int32), np.array([-9.0, *(-rng.random() * 4 for _ in names[1:])]),
    )  # fmt: skip
    return Words(symbols, starts, np.array([rng.randrange(1, 9) for _ in words], np.int64)), pieces, names


def ways(word: str, names: list[str]) -> list[list[int]]:
    """All ways to cut a word, as numbers of pieces; a symbol that is no piece is piece 0."""
    if not word:
        return [[]]
    heads = [p for p, name in enumerate(names) if name and word.startswith(name)]
    found = [[p, *rest] for p in heads for rest in ways(word[len(names[p]) :], names)]
    return found if word[0] in names else found + [[0, *rest] for rest in ways(word[1:], names)]


def spelled(words: Words) -> list[tuple[str, int]]:
    text = "".join(chr(97 + s) for s in words.symbol_N.tolist())
    spans = itertools.pairwise(words.start_W.tolist())
    return [(text[a:b], n) for (a, b), n in zip(spans, words.count_W.tolist(), strict=True)]


@pytest.mark.parametrize("seed", range(5))
def test_kernels_counts_and_losses_equal_those_over_all_ways(seed: int) -> None:
    words, pieces, names = small(seed)
    score = pieces.score_P.tolist()
    expected, best = np.zeros(len(names)), np.zeros(len(names))
    for word, count in spelled(words):
        all_ways = [(math.exp(sum(score[p] for p in way)), way) for way in ways(word, names)]
        whole = sum(share for share, _ in all_ways)
        for share, way in all_ways:
            for p in way:
                expected[p] += count * share / whole
        for p in max(all_ways)[1]:
            best[p] += count
    trie = trie_of(pieces)
    assert expected_counts(words, trie, pieces.score_P) == pytest.approx(expected)
    found = best_counts(words, trie, pieces.score_P)
    assert found.tolist() == best.tolist()
    num_words = float(words.count_W.sum())
    loss = losses(pieces, trie, found, num_words)
    for p in range(1, len(names)):
        assert loss[p] == pytest.approx(plain_loss(p, names, score, best, num_words), nan_ok=True)


def plain_loss(p: int, names: list[str], score: list[float], count: np.ndarray, num_words: float) -> float:
    others = [way for way in ways(names[p], names) if way != [p]]
    if count[p] == 0 and len(names[p]) > 1:
        return math.nan
    if not others or len(names[p]) == 1:
        return math.inf
    second = max(others, key=lambda way: sum(score[q] for q in way))
    if sum(score[q] for q in second) > score[p]:
        return math.inf
    total = count.sum() + count[p] * (len(second) - 1)
    of_second = sum(math.log((count[q] + count[p]) / total) for q in second)
    return count[p] / num_words * (math.log(count[p] / count.sum()) - of_second)


def test_substrings_are_the_repeated_ones_that_go_on_in_two_ways() -> None:
    rng = random.Random(3)
    words = sorted({"".join(rng.choices("ab", k=rng.randrange(1, 9))) for _ in range(60)})
    symbols = np.array([ord(c) - 97 for c in "".join(words)], np.int32)
    starts = np.cumsum([0, *map(len, words)]).astype(np.int64)
    number: Counter[str] = Counter()
    follows: dict[str, set[str]] = {}
    for word in words:
        for i, j in itertools.combinations(range(len(word) + 1), 2):
            number[word[i:j]] += 1
            follows.setdefault(word[i:j], set()).add(word[j : j + 1])
    wanted = {s: number[s] * len(s) for s in number if 2 <= len(s) <= 5 and len(follows[s]) > 1}
    text, start, length, cover = unigram._substrings(Words(symbols, starts, np.ones(len(words), np.int64)), 5, 10_000)
    names = ["".join(" ab"[s] for s in text[a : a + n]) for a, n in zip(start.tolist(), length.tolist(), strict=True)]
    assert dict(zip(names, cover.tolist(), strict=True)) == wanted
    assert names == sorted(wanted, key=lambda s: (wanted[s], s), reverse=True)
    assert (
        unigram._substrings(Words(symbols, starts, np.ones(len(words), np.int64)), 5, 7)[3].tolist()
        == sorted(wanted.values(), reverse=True)[:7]
    )


def test_digamma_is_the_slope_of_the_logarithm_of_gamma() -> None:
    for x in (0.5, 1.0, 3.3, 1e3, 1e9):
        step = x * 1e-5
        slope = (math.lgamma(x + step) - math.lgamma(x - step)) / (2 * step)
        assert digamma(np.array([x]))[0] == pytest.approx(slope, rel=1e-5)
