"""FineWeb quality against its definition over Python strings, and by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FieldError
from stages.fineweb_quality import Config, fineweb_quality
from tests.stages.batches import judge, reasons

LONG = "This line is longer than thirty characters, number {}."


def expected_reason(text: str) -> str | None:
    """The rules in datatrove's order; words are right for texts of letters, dots and white space."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return "empty"
    if sum(line.endswith((".", "。")) for line in lines) / len(lines) < 0.12:
        return "too_few_punctuated_lines"
    if sum(len(line) <= 30 for line in lines) / len(lines) > 0.67:
        return "too_many_short_lines"
    repeats = sum(len(line) for i, line in enumerate(lines) if line in lines[:i])
    if repeats / len(text.replace("\n", "")) > 0.01:
        return "too_many_duplicate_chars"
    num_words = len(text.replace(".", " . ").split())
    return "too_many_newlines" if text.count("\n") / num_words > 0.3 else None


LINES = st.sampled_from(
    ["", " ", "short.", "no end", "w" * 29 + ".", "w" * 30 + ".", "y" * 40 + ".", "a b c d e f " * 5, "é" * 31]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_fineweb_quality_any_lines_agree_with_definition(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert reasons(judge(fineweb_quality, [text])) == [expected_reason(text)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("\n".join(LONG.format(i) for i in range(9)), None),
        ("\n".join(LONG.format(i)[:-1] for i in range(9)), "too_few_punctuated_lines"),
        ("\n".join(f"Short {i}." for i in range(9)), "too_many_short_lines"),
        ("\n".join(LONG for _ in range(9)), "too_many_duplicate_chars"),
        ("\n\n\n\n".join(LONG.format(i) for i in range(30)), "too_many_newlines"),
        (None, "empty"),
        ("", "empty"),
        (" \n\t\n", "empty"),
    ],
)
def test_fineweb_quality_hand_made_text_is_judged(text: str | None, reason: str | None) -> None:
    assert reasons(judge(fineweb_quality, [text])) == [reason]


def test_fineweb_quality_no_punctuation_at_all_can_be_kept() -> None:
    text = "\n".join(LONG.format(i)[:-1] for i in range(9))
    assert reasons(judge(fineweb_quality, [text], Config(keep_without_punctuated_lines=True))) == [None]


def test_fineweb_quality_chinese_lines_are_short_by_their_own_measure() -> None:
    lines = ["他说：“今天的天气真好。”", "我们一起去公园散步吧，好吗？", "路上的人很多，车也很多。"]
    menu = ["首页", "新闻。", "体育", "财经", "关于我们"]
    assert reasons(judge(fineweb_quality, ["\n".join(lines), "\n".join(menu)])) == [None, "too_many_short_lines"]


def test_fineweb_quality_negative_length_names_the_field() -> None:
    with pytest.raises(FieldError, match="short_line_chars"):
        Config(short_line_chars=-1)
