"""Phrases: brute force over Python strings, hand-made cases, broken UTF-8, linear time."""

from __future__ import annotations

import re
import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import phrases, utf8
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts

TEXT = phrases.text_alphabet()
PIECES = ["a", "b", "A", "aba", " ", ".", "-", "_", "é", "É", "İ", "i", "ı", "\u0307", "Σ", "ς", "中", "文", "\u0080",
          "K", "ß", "Ⓐ", "ⓐ", "\n", "1", "ab", "ǅ", "🙂"]  # fmt: skip
STRINGS = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


def lower(text: str) -> str:
    return text.lower().replace("ς", "σ")


def ends(text: str, wanted: list[str], whole_words: bool) -> dict[int, str]:
    """Where a phrase ends in the lower-cased text, and the longest that does: phrase by phrase, place by place."""
    found: dict[int, str] = {}
    for phrase in wanted:
        for start in range(len(text) - len(phrase) + 1):
            stop = start + len(phrase)
            around = (text[start - 1 : start] if start else "") + text[stop : stop + 1]
            is_whole = not re.search(r"\w", around)
            if text[start:stop] == phrase and (is_whole or not whole_words) and len(found.get(stop, "")) < len(phrase):
                found[stop] = phrase
    return found


def scan(texts: list[str] | pa.Array, wanted: phrases.PhraseSet, alphabet: phrases.Alphabet = TEXT) -> phrases.Found:
    text = utf8.view(texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string()))
    return phrases.scan(text, np.arange(len(text)), alphabet, wanted)


@settings(max_examples=1500, deadline=None)
@given(st.lists(STRINGS, max_size=4), st.lists(STRINGS.filter(bool), max_size=6), st.booleans(), st.booleans())
def test_scan_any_text_finds_what_brute_force_finds(
    texts: list[str], listed: list[str], whole_words: bool, dense: bool
) -> None:
    wanted = phrases.phrase_set(listed, TEXT, whole_words)
    if not dense:
        automaton = wanted.automaton._replace(dense=np.zeros((0, phrases.NUM_DENSE), np.int32))
        wanted = phrases.PhraseSet(phrases=wanted.phrases, automaton=automaton, whole_words=whole_words)
    found = scan(texts, wanted)
    for n, text in enumerate(map(lower, texts)):
        expected = ends(text, [lower(p) for p in listed], whole_words)
        first = expected[min(expected)] if expected else None
        words = re.findall(r"\w+" if whole_words else r"\w", text)
        assert found.num_matches_N[n] == len(expected)
        assert found.num_distinct_N[n] == len(set(expected.values()))
        assert (wanted.phrases[found.first_N[n]] if found.first_N[n] >= 0 else None) == first
        assert found.num_words_N[n] == len(words)


@pytest.mark.skipif(unicodedata.unidata_version != "14.0.0", reason="the table is of Unicode 14, this Python is not")
def test_text_alphabet_every_character_has_pythons_lower_case_and_class() -> None:
    different = []
    for code in range(0x110000):
        character = chr(code)
        if 0xD800 <= code < 0xE000 or code in (0x80, 0x3C2):
            continue
        entry = int(TEXT[code])
        symbol, is_word = entry & (1 << phrases.SYMBOL_BITS) - 1, bool(entry & phrases.WORD)
        if symbol != ord(character.lower()[0]) or is_word != bool(re.match(r"\w", character)):
            different.append(hex(code))
    assert different == []


def test_scan_only_rows_asked_for_are_read() -> None:
    wanted = phrases.phrase_set(["cat"], TEXT, True)
    text = utf8.view(pa.array(["cat", "cat", "cat"]))
    assert phrases.scan(text, np.array([1]), TEXT, wanted).num_matches_N.tolist() == [0, 1, 0]


def test_scan_without_phrases_finds_nothing_and_counts_words() -> None:
    found = scan(["two words", ""], phrases.phrase_set(["", ""], TEXT, True))
    assert found.num_matches_N.tolist() == [0, 0] and found.num_words_N.tolist() == [2, 0]


@pytest.mark.parametrize("whole_words", [True, False])
def test_scan_broken_utf8_gives_the_same_whatever_lies_around_it(whole_words: bool) -> None:
    wanted = phrases.phrase_set(["a", "5km", "don't", "\ufffd", "中", "k", "x"], TEXT, whole_words)
    rows = hostile_rows(1, 500)
    plain = scan(raw_texts(rows), wanted)
    for before, after in ((b"\xe2\x80", b"\xa6\xa6"), (b"don", b"'t 5km"), (b"\xe4", b"\xb8\xad\x80\x80")):
        found = scan(raw_texts(rows, before, after), wanted)
        np.testing.assert_array_equal(found.num_matches_N, plain.num_matches_N)
        np.testing.assert_array_equal(found.num_words_N, plain.num_words_N)
    assert plain.num_matches_N.sum() > 100


def test_scan_url_letters_skip_everything_else() -> None:
    letters = phrases.ascii_alphabet(phrases.SKIPPED)
    wanted = phrases.phrase_set(["bigbad"], letters, False)
    assert scan(["B-i/g..é中b%A_d", "big bag"], wanted, letters).num_matches_N.tolist() == [1, 0]
    gaps = phrases.ascii_alphabet(0)
    assert scan(["x_Wolf-1", "éwolfé", "wolfs", "\u0080wolf"], phrases.phrase_set(["wolf"], gaps, True),
                gaps).num_matches_N.tolist() == [1, 1, 0, 1]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("whole_words", [True, False])
@pytest.mark.parametrize("listed", [["a" * k for k in range(1, 400)], ["a" * 5000 + "b"], ["a " * 300 + "b"]])
def test_scan_list_of_nested_phrases_takes_linear_time(listed: list[str], whole_words: bool) -> None:
    wanted = phrases.phrase_set(listed, TEXT, whole_words)
    scan(["compile"], wanted)
    for unit in ("a", "a ", "İ", "中"):
        text = unit * (10_000_000 // len(unit.encode()))
        start = time.process_time()
        scan([text], wanted)
        assert time.process_time() - start < 10


@pytest.mark.slow
def test_phrase_set_of_a_long_list_has_no_dense_table_and_finds_the_same() -> None:
    listed = [f"word{k} of {k * 7919 % 100_003}" for k in range(20_000)]
    wanted = phrases.phrase_set(listed, TEXT, True)
    assert len(wanted.automaton.dense) == 0
    assert scan([" ".join(listed), "word1 of 7918"], wanted).num_distinct_N.tolist() == [20_000, 0]
