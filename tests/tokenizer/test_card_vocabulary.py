"""tokenizer/card_vocabulary.py: entries out of reach against `tokenizers`, kinds and lengths against plain counts."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from tests.tokenizer.test_encode import encoder, trained
from tokenizer import card_vocabulary
from tokenizer.card_vocabulary import kinds, learned_ids, lengths, merges_of, parts_of_longer, tokens_of, unreachable
from tokenizer.encode import Encoder
from tokenizer.symbols import token_bytes

TOKENS = {
    0: b"a", 1: b"\xc3", 2: b"\xe4\xb8", 3: b" the", 4: "été".encode(), 5: " 世界".encode(), 6: b"123",
    7: b" ", 8: b"\n\n", 9: b"...", 10: b"a1", 11: "привет".encode(), 12: "हिन्दी".encode(), 13: b" ,",
    14: "ひらがな".encode(), 15: "ไทย".encode(), 16: "한국".encode(),
}  # fmt: skip
KINDS = (
    "letters: Latin", "single bytes", "parts of characters", "letters: Latin", "letters: Latin", "letters: Han",
    "digits", "white space", "white space", "punctuation and signs", "mixed", "letters: Cyrillic",
    "letters: Devanagari", "punctuation and signs", "letters: Kana", "letters: Thai", "letters: Hangul",
)  # fmt: skip


def with_merges(*pairs: tuple[str, str]) -> bytes:
    """The test's tokenizer, with merges of byte-level symbols added to it as they are."""
    parsed = json.loads(trained())
    for left, right in pairs:
        parsed["model"]["vocab"][left + right] = len(parsed["model"]["vocab"])
        parsed["model"]["merges"].append([left, right])
    first = len(parsed["model"]["vocab"])
    parsed["added_tokens"] = [t | {"id": first + n} for n, t in enumerate(parsed["added_tokens"])]
    return json.dumps(parsed).encode()


def test_tokens_of_byte_level_file_is_what_the_decoder_gives() -> None:
    tokenizer = Tokenizer.from_str(trained().decode())
    found = tokens_of(trained())
    assert sorted(found) == list(range(597))  # the three special ones are not among them
    assert {i: t.decode("utf-8", "replace") for i, t in found.items()} == {i: tokenizer.decode([i]) for i in found}


def test_merges_of_gives_the_learned_tokens_in_order() -> None:
    found, tokens = merges_of(trained()), tokens_of(trained())
    assert [left + right for left, right in found] == [tokens[i] for i in range(256, 597)]


def test_tokens_of_sentencepiece_pieces_are_their_bytes() -> None:
    vocab = {"<unk>": 0, "<0x0A>": 1, "\u2581the": 2, "ing": 3, "\u2581": 4}
    special = [{"id": 0, "content": "<unk>", "special": True}]
    parsed = {"model": {"type": "BPE", "vocab": vocab, "merges": [["\u2581", "the"]]}, "added_tokens": special}
    content = json.dumps({**parsed, "pre_tokenizer": None, "decoder": {"type": "ByteFallback"}}).encode()
    assert tokens_of(content) == {1: b"\n", 2: b" the", 3: b"ing", 4: b" "}
    assert merges_of(content) == [(b" ", b"the")]


def test_tokens_of_unigram_scores_are_left_out() -> None:
    model = {"type": "Unigram", "vocab": [["<unk>", 0.0], ["\u2581a", -1.5]]}
    content = json.dumps({"model": model, "added_tokens": [{"id": 0, "special": True}]}).encode()
    assert tokens_of(content) == {1: b" a"} and merges_of(content) == []


@pytest.mark.parametrize(
    "normalizer, pre_tokenizer, asks",
    [
        (None, None, True),
        (normalizers.Prepend("\u2581"), None, False),
        (None, pre_tokenizers.Metaspace(), False),
        (normalizers.NFC(), pre_tokenizers.Metaspace(prepend_scheme="never"), True),
    ],
)
def test_asks_by_text_unless_a_space_is_put_before_it(normalizer: Any, pre_tokenizer: Any, asks: bool) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    assert card_vocabulary.asks_by_text(tokenizer.to_str().encode()) is asks
    assert card_vocabulary.asks_by_text(trained())


def test_unreachable_none_in_what_was_learned() -> None:
    tokens = tokens_of(trained())
    found = unreachable(tokens, np.zeros(600, np.int64), encoder(True), True)
    tokenizer = Tokenizer.from_str(trained().decode())
    text = {i: t.decode() for i, t in tokens.items() if t.decode("utf-8", "ignore").encode() == t}
    assert found["of"] == len(text)
    assert found["number"] == sum(tokenizer.encode(t).ids != [i] for i, t in text.items()) == 0
    assert found["no_text_by_themselves"] == {"number": 597 - len(text), "never_seen": 597 - len(text)}


def test_unreachable_entry_across_pretokens_is_found_with_what_it_gives() -> None:
    """A space begins a pretoken, so that none holds `a b`."""
    content = with_merges(("a", "\u0120"), ("a\u0120", "b"))
    tokens, own = tokens_of(content), Encoder(content)
    count_V = np.zeros(own.vocab_size, np.int64)
    count_V[597] = 3
    found = unreachable(tokens, count_V, own, True)
    tokenizer = Tokenizer.from_str(content.decode())
    assert [row["id"] for row in found["first"]] == [597, 598] and found["number"] == 2
    assert [row["token"] for row in found["first"]] == ["a ", "a b"]
    for row in found["first"]:
        assert row["gives"] == [tokenizer.decode([i]) for i in tokenizer.encode(row["token"]).ids]
    assert found["seen_in_held_out"] == 1 and found["first"][0]["occurrences"] == 3


def test_unreachable_is_not_asked_where_a_space_is_put_before_text() -> None:
    found = unreachable(tokens_of(trained()), np.zeros(600, np.int64), encoder(True), False)
    assert (found["number"], found["of"], found["first"]) == (0, 0, [])


def test_kinds_name_what_entries_are_made_of() -> None:
    for (id_, token), kind in zip(TOKENS.items(), KINDS, strict=True):
        count_V = np.zeros(20, np.int64)
        count_V[id_] = 4
        assert kinds({id_: token}, count_V) == [{"kind": kind, "entries": 1, "occurrences": 4, "never_seen": 0}]
    together = kinds(TOKENS, np.arange(20))
    assert sum(row["entries"] for row in together) == len(TOKENS)
    assert together[0] == {"kind": "letters: Latin", "entries": 3, "occurrences": 0 + 3 + 4, "never_seen": 1}
    assert kinds({}, np.zeros(3, np.int64)) == []


def test_kinds_scripts_agree_with_the_names_of_letters() -> None:
    """Every letter up to U+FFFF whose name says its script is put where it says, but for signs of phoneticians."""
    named = {
        "LATIN": "Latin", "GREEK": "Greek", "CYRILLIC": "Cyrillic", "ARMENIAN": "Armenian", "HEBREW": "Hebrew",
        "ARABIC": "Arabic", "DEVANAGARI": "Devanagari", "THAI": "Thai", "GEORGIAN": "Georgian", "ETHIOPIC": "Ethiopic",
        "HANGUL": "Hangul", "HIRAGANA": "Kana", "KATAKANA": "Kana", "CJK": "Han",
    }  # fmt: skip
    phonetic = {*range(0x1D00, 0x1DC0), *range(0x2090, 0x20A0), 0x2184, *range(0xAB30, 0xAB70)}
    codes = [c for c in (*range(0x80, 0xD800), *range(0xE000, 0x10000)) if c not in phonetic]
    letters = [c for c in map(chr, codes) if unicodedata.category(c)[0] == "L"]
    words = [unicodedata.name(c, "").split(" ")[0] for c in letters]
    asked = [(c, named[word]) for c, word in zip(letters, words, strict=True) if word in named]
    found = card_vocabulary._kinds([c.encode() for c, _ in asked])
    wrong = [f"U+{ord(c):04X}" for (c, script), kind in zip(asked, found, strict=True) if kind != f"letters: {script}"]
    assert len(asked) > 40_000 and wrong == [], wrong[:40]


def test_lengths_count_every_entry_and_token_once() -> None:
    tokens = {0: b"a", 1: b"bc", 2: b"de", 3: b"x" * 16, 4: b"x" * 17, 5: b"x" * 99}
    rows = lengths(tokens, np.array([5, 1, 2, 3, 4, 6, 70], np.int64))
    assert [row["bytes"] for row in rows] == list(range(1, 18))
    assert [(row["bytes"], row["entries"], row["occurrences"]) for row in rows if row["entries"]] == [
        (1, 1, 5), (2, 2, 3), (16, 1, 3), (17, 2, 10),
    ]  # fmt: skip


def test_parts_of_longer_are_halves_of_merges() -> None:
    tokens = {0: b"a", 1: b"ab", 2: b"abc", 3: b"xy"}
    assert parts_of_longer(tokens, [(b"a", b"b"), (b"ab", b"c")], [1, 2, 3]) == 1
    assert learned_ids(tokens).tolist() == [1, 2, 3]


def test_shown_bytes_that_are_no_text_are_escaped() -> None:
    assert card_vocabulary.shown(b"ab") == "ab"
    assert card_vocabulary.shown(b"\xe4\xb8") == "\\xe4\\xb8"
    assert token_bytes("\u0120a") == b" a"
