"""Gopher repetition against its definition over Python strings, by hand, and against the conformance cases."""

from __future__ import annotations

import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FieldError
from stages.gopher_repetition import Config, gopher_repetition
from tests.shared_data import SHARED, needs_shared
from tests.stages.batches import judge, reasons

UNIQUE = ["".join(chr(97 + (7919 * i + 104_729 * k) % 26) for k in range(3 + i % 5)) + f"{i}" for i in range(220)]
PROSE = "\n\n".join(" ".join(UNIQUE[i : i + 20]) for i in range(0, 220, 20))  # eleven paragraphs, no word twice
LINE_SHARES = ("duplicate_paragraphs", "duplicate_paragraph_chars", "duplicate_lines", "duplicate_line_chars")


def line_shares(text: str) -> list[float]:
    """The four shares of paragraphs and lines."""
    shares = []
    for elements in (re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)):
        repeats = [e for i, e in enumerate(elements) if e in elements[:i]]
        shares += [len(repeats) / len(elements), sum(map(len, repeats)) / len(text)]
    return shares


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab\n 中", min_size=1, max_size=40))
def test_gopher_repetition_any_text_has_the_defined_line_shares(text: str) -> None:
    measures = judge(gopher_repetition, [text]).measures
    found = [measures[name].value_N[0] for name in LINE_SHARES]
    np.testing.assert_allclose(found, line_shares(text), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, None),
        ("", "empty"),
        (None, "empty"),
        (PROSE + "\n\nsame" * 8, "too_many_duplicate_paragraphs"),
        (PROSE + "\n\n" + PROSE.split("\n\n")[0] + PROSE[-120:].replace("\n", " "), None),
        (PROSE + ("\n\n" + " ".join(UNIQUE[:80])) * 2, "too_many_duplicate_paragraph_chars"),
        (PROSE + "\n\nx" + "\nsame" * 8, "too_many_duplicate_lines"),
        (PROSE + "\n\nx" + ("\n" + " ".join(UNIQUE[:80])) * 2, "too_many_duplicate_line_chars"),
        (PROSE + " word word" * 60, "too_frequent_2_gram"),
        (PROSE + " one two three" * 35, "too_frequent_3_gram"),
        (PROSE + " one two three four" * 22, "too_frequent_4_gram"),
        (PROSE + " " + PROSE.replace("\n\n", " "), "too_many_duplicate_5_gram_chars"),
        ("\n\n", "too_many_duplicate_lines"),
    ],
)
def test_gopher_repetition_hand_made_text_is_judged(text: str | None, reason: str | None) -> None:
    assert reasons(judge(gopher_repetition, [text])) == [reason]


def test_gopher_repetition_limits_off_keep_everything_but_empty() -> None:
    off = Config(**dict.fromkeys(name for name in Config.__dataclass_fields__ if name != "word_rules"))
    assert reasons(judge(gopher_repetition, ["same\n" * 50, ""], off)) == [None, "empty"]


def test_gopher_repetition_chinese_n_grams_have_twice_the_characters() -> None:
    text = "今天天气很好我们一起去公园" + "甲乙丙丁戊己庚辛壬癸" + "春夏秋冬" + "甲乙丙丁戊己庚辛壬癸" + "山"
    measures = judge(gopher_repetition, [text]).measures
    assert measures["duplicate_5_gram_chars"].value_N[0] == 10 / len(text)
    assert measures["duplicate_6_gram_chars"].value_N[0] == 0


def test_gopher_repetition_wrong_share_names_the_field() -> None:
    with pytest.raises(FieldError, match="top_2_gram_chars"):
        Config(top_2_gram_chars=20)


@needs_shared
def test_gopher_repetition_conformance_line_shares_are_equal() -> None:
    folder = SHARED / "conformance" / "gopher_repetition_annotator"
    texts = pq.read_table(folder / "input.parquet")["text"].combine_chunks()
    expected = pq.read_table(folder / "expected.parquet")
    measures = judge(gopher_repetition, texts).measures
    theirs = ("dup_para_frac", "dup_para_char_frac", "dup_line_frac", "dup_line_char_frac")
    for name, column in zip(LINE_SHARES, theirs, strict=True):
        np.testing.assert_allclose(measures[name].value_N, expected[column].to_numpy(), rtol=0, atol=1e-9)
