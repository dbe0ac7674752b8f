"""tokenizer/card.py: sums per language against plain Python, bytes of tokens against `tokenizers`' decoder."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from tests.tokenizer.corpus import texts
from tests.tokenizer.test_encode import encoder, trained
from tokenizer import card
from tokenizer.symbols import token_bytes


def test_token_bytes_of_every_byte_symbol_decodes_as_tokenizers_does() -> None:
    tokenizer = Tokenizer.from_str(trained().decode())
    for symbols, id_ in json.loads(trained())["model"]["vocab"].items():
        assert token_bytes(symbols).decode("utf-8", "replace") == tokenizer.decode([id_])


def test_add_two_batches_sums_per_language_as_counted_by_hand() -> None:
    corpus, languages = texts(20, seed=5), ["en", "zh", "unknown", "en"] * 5
    totals: card.Totals = {}
    for part in (slice(0, 7), slice(7, 20)):
        array = pa.array(corpus[part], pa.large_string())
        _, offsets = encoder(True).encode(array)
        card.add(totals, languages[part], card.sizes(array), np.diff(offsets))
    tokenizer = Tokenizer.from_str(trained().decode())
    english = [t for t, language in zip(corpus, languages, strict=True) if language == "en"]
    assert totals["en"] == {
        "documents": 10, "bytes": sum(len(t.encode()) for t in english), "characters": sum(map(len, english)),
        "words": sum(len(t.split()) for t in english), "tokens": sum(len(tokenizer.encode(t).ids) for t in english),
    }  # fmt: skip
    assert set(totals) == {"en", "zh", "unknown"}
    assert card.whole(totals)["bytes"] == sum(len(t.encode()) for t in corpus)


def test_merge_parts_adds_up_whatever_the_order() -> None:
    one = {"en": dict.fromkeys(card.MEASURES, 1), "zh": dict.fromkeys(card.MEASURES, 2)}
    two = {"en": dict.fromkeys(card.MEASURES, 5)}
    assert card.merge([one, two]) == card.merge([two, one])
    assert list(card.merge([two, one])) == ["en", "zh"]
    assert card.merge([one, two])["en"]["tokens"] == 6
    assert card.merge([]) == {}


def test_card_of_nothing_held_out_has_no_rates() -> None:
    described = card.card(trained(), {}, np.zeros(600, np.int64), encoder(True))
    assert described["held_out"]["bytes_per_token"] is None
    assert described["unused_in_held_out"]["number"] == described["unused_in_held_out"]["of"] == 600 - 3 - 256
    assert described["efficiency"]["renyi_efficiency"] is None


def test_card_lists_longest_tokens_first_and_merges_by_rank() -> None:
    count_V = np.ones(600, np.int64)
    count_V[300] = 0
    described = card.card(trained(), {}, count_V, encoder(True))
    lengths = [t["bytes"] for t in described["longest_tokens"]]
    assert lengths == sorted(lengths, reverse=True)
    assert [m["rank"] for m in described["first_merges"]] == list(range(30))
    tokenizer = Tokenizer.from_str(trained().decode())
    first = described["first_merges"][0]
    assert tokenizer.decode([256]) == first["left"] + first["right"]
    assert described["unused_in_held_out"]["first"] == [tokenizer.decode([300])]


def test_compared_rates_follow_from_the_totals() -> None:
    totals = {
        "en": {"documents": 1, "bytes": 12, "characters": 12, "words": 2, "tokens": 3},
        "zh": {"documents": 2, "bytes": 9, "characters": 3, "words": 1, "tokens": 4},
    }
    found = card.compared("gpt2", "GPT-2", "a package 1", totals, np.array([1, 6], np.int64))
    assert found["held_out"]["bytes_per_token"] == 3 and found["vocab_size"] == 2
    assert found["languages"]["zh"]["tokens_per_character"] == 1.3333
