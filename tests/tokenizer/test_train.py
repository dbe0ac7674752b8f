"""tokenizer/train.py: order, threads, ids, options; learned merges against a plain count of pairs."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from tests.tokenizer.corpus import texts
from tests.tokenizer.oracle import train_with_tokenizers
from tokenizer.errors import TokenizerError
from tokenizer.symbols import token_bytes
from tokenizer.train import Options, train_on, transformers_config

SPECIAL = ("<|end_of_text|>", "<|pad|>", "<|reserved_0|>")


def options(**changes: object) -> Options:
    settings: dict = {
        "vocab_size": 600, "min_frequency": 2, "max_token_length": None, "pattern": "llama3", "normalization": "none",
        "special_tokens": SPECIAL,
    }  # fmt: skip
    return Options(**(settings | changes))


@pytest.mark.parametrize(
    "pattern, normalization", [("llama3", "none"), ("gpt2", "NFC"), ("gpt4o", "none"), ("llama3", "NFKC")]
)
@pytest.mark.parametrize("min_frequency, max_token_length", [(2, None), (5, 8)])
def test_train_file_is_that_of_tokenizers(
    pattern: str, normalization: str, min_frequency: int, max_token_length: int | None
) -> None:
    settings = options(
        pattern=pattern, normalization=normalization, min_frequency=min_frequency, max_token_length=max_token_length
    )
    corpus = [*texts(300), "e\u0301te\u0301 \ufb01n", "it'\u017f I'LL", "1234567 a1b22c333"]
    assert train_on(corpus, settings) == train_with_tokenizers(corpus, settings)


def test_train_shuffled_texts_same_bytes() -> None:
    corpus = texts(300)
    expected = train_on(corpus, options())
    for seed in range(3):
        random.Random(seed).shuffle(corpus)
        assert train_on(iter(corpus), options()) == expected


@pytest.mark.parametrize("digits, pieces", [("1", ["1", "2", "3", "4"]), ("1-3", ["123", "4"]), (None, ["123", "4"])])
def test_train_digits_are_split_as_named(digits: str | None, pieces: list[str]) -> None:
    pre = Tokenizer.from_str(train_on([], options(digits=digits)).decode()).pre_tokenizer
    assert [piece for piece, _ in pre.pre_tokenize_str("1234")] == pieces
    learned = json.loads(train_on(["1234 5678 1234"] * 9, options(digits=digits)))["model"]["vocab"]
    assert ("12" in learned) is (digits != "1")


def test_train_ids_are_bytes_then_merges_then_special_tokens() -> None:
    tokenizer = Tokenizer.from_str(train_on(texts(300), options()).decode())
    assert tokenizer.get_vocab_size() == 600
    assert [tokenizer.token_to_id(t) for t in SPECIAL] == [597, 598, 599]
    vocab = json.loads(tokenizer.to_str())["model"]["vocab"]
    assert {token_bytes(t) for t, i in vocab.items() if i < 256} == {bytes([b]) for b in range(256)}


def test_train_merges_are_the_most_frequent_pairs() -> None:
    corpus = texts(40)
    model = json.loads(train_on(corpus, options(vocab_size=330)))["model"]
    words = pretokens(corpus)
    for left, right in model["merges"]:
        pairs = pair_counts(words)
        best = max(pairs.values())
        ties = [pair for pair, count in pairs.items() if count == best]
        assert (left, right) == min(ties, key=lambda pair: (model["vocab"][pair[0]], model["vocab"][pair[1]]))
        words = merged(words, (left, right))


def pretokens(corpus: list[str]) -> Counter[tuple[str, ...]]:
    """Pretokens as tuples of byte symbols, cut by the tokenizer's own pretokeniser."""
    pre = Tokenizer.from_str(train_on([], options()).decode()).pre_tokenizer
    return Counter(tuple(piece) for text in corpus for piece, _ in pre.pre_tokenize_str(text))


def pair_counts(words: Counter[tuple[str, ...]]) -> Counter[tuple[str, str]]:
    pairs: Counter[tuple[str, str]] = Counter()
    for word, count in words.items():
        for pair in itertools.pairwise(word):
            pairs[pair] += count
    return pairs


def merged(words: Counter[tuple[str, ...]], pair: tuple[str, str]) -> Counter[tuple[str, ...]]:
    result: Counter[tuple[str, ...]] = Counter()
    for word, count in words.items():
        out: list[str] = []
        for symbol in word:
            # greedy from the left: a symbol made by this merge is longer than `pair[0]` and never merged again
            if out and (out[-1], symbol) == pair:
                out[-1] += symbol
            else:
                out.append(symbol)
        result[tuple(out)] += count
    return result


def test_train_no_text_gives_bytes_and_special_tokens_only() -> None:
    tokenizer = Tokenizer.from_str(train_on([], options()).decode())
    assert tokenizer.get_vocab_size() == 256 + len(SPECIAL)
    assert tokenizer.decode(tokenizer.encode("Grüße, 世界\n").ids) == "Grüße, 世界\n"


@pytest.mark.parametrize("limit, longest", [(2, 2), (3, 3), (8, 8), (15, 15), (None, 40)])
def test_train_max_token_length_is_the_longest_token(limit: int | None, longest: int) -> None:
    rng = random.Random(1)
    corpus = ["".join(rng.choice("ab") for _ in range(40)) for _ in range(100)]
    trained = train_on(corpus, options(vocab_size=4000, min_frequency=1, max_token_length=limit))
    assert max(len(t) for t in json.loads(trained)["model"]["vocab"]) == longest


def test_train_special_token_in_text_is_learned_as_plain_text() -> None:
    learned = json.loads(train_on(["see <|end_of_text|> here"] * 100, options()))["model"]["vocab"]
    assert "<|end_of_text|>" not in learned
    assert "<|" in learned


def test_train_special_token_that_is_a_word_is_refused() -> None:
    with pytest.raises(TokenizerError, match="'here' was learned"):
        train_on(["here"] * 100, options(special_tokens=("<|end|>", "<|pad|>", "here")))


@pytest.mark.parametrize("normalization, same", [("none", False), ("NFC", True), ("NFKC", True)])
def test_train_normalization_joins_composed_forms(normalization: str, same: bool) -> None:
    tokenizer = Tokenizer.from_str(train_on(texts(20), options(normalization=normalization)).decode())
    assert (tokenizer.encode("e\u0301").ids == tokenizer.encode("\u00e9").ids) is same
    assert (tokenizer.encode("ﬁ").ids == tokenizer.encode("fi").ids) is (normalization == "NFKC")


@pytest.mark.parametrize("pattern, pieces", [("llama3", ["123", "4", "Ġ", "56"]), ("gpt2", ["1234", "Ġ56"])])
def test_train_pattern_splits_digits_as_named(pattern: str, pieces: list[str]) -> None:
    pre = Tokenizer.from_str(train_on([], options(pattern=pattern)).decode()).pre_tokenizer
    assert [piece for piece, _ in pre.pre_tokenize_str("1234 56")] == pieces


@pytest.mark.parametrize("pattern", ["llama3", "gpt2"])
def test_transformers_loads_the_folder_and_gives_the_same_ids(tmp_path: Path, pattern: str) -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer_json = train_on(texts(200), options(pattern=pattern))
    (tmp_path / "tokenizer.json").write_bytes(tokenizer_json)
    (tmp_path / "tokenizer_config.json").write_bytes(transformers_config(SPECIAL))
    ours = Tokenizer.from_str(tokenizer_json.decode())
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    alone = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for text in texts(30, seed=9):
        assert loaded(text)["input_ids"] == alone(text)["input_ids"] == ours.encode(text).ids
        assert loaded.decode(loaded(text)["input_ids"]) == text
    assert (loaded.eos_token_id, loaded.bos_token_id, loaded.pad_token_id) == (597, 597, 598)
    assert len(loaded) == 600
