"""Duplicate lines and line shapes against their definitions over Python strings."""

from __future__ import annotations

import mmap
import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import repetition
from stages.kernels.utf8 import Utf8
from tests.stages.kernels.text_spans import between_closed_pages, with_lines

LINES = [
    "short.",
    "short",
    "a line of some length",
    " ",
    "",
    "long one!" * 5,
    "long one!" * 4 + "long two!",
    "\r",
    "é中。",
]
OTHER_BREAKS = ["\n", "\n\n", "\r\n", "\r", "\x85", "\u2028", "\x0b"]


def seen_before(elements: list[str]) -> tuple[int, int]:
    repeats = [e for i, e in enumerate(elements) if e in elements[:i]]
    return len(repeats), sum(map(len, repeats))


def expected_duplicates(text: str) -> list[int]:
    paragraphs, split = re.split(r"\n{2,}", text.strip()), re.split(r"\n+", text)
    return [len(paragraphs), *seen_before(paragraphs), len(split), *seen_before(split)]


def expected_shapes(text: str, short: int) -> list[int]:
    kept = [line for line in text.split("\n") if line.strip()]
    return [
        len(kept), sum(x.endswith((".", "!", "。")) for x in kept), sum(len(x) <= short for x in kept),
        seen_before(kept)[1], text.count("\n"),
    ]  # fmt: skip


def shapes(texts: list[str], short: int) -> list[list[int]]:
    size = len(texts)
    return repetition.line_shapes(*with_lines(texts), np.full(size, short), np.zeros(size, np.bool_)).tolist()


@st.composite
def texts_of_lines(draw: st.DrawFn) -> str:
    """Lines with any of Python's line breaks between them, some repeated."""
    return "".join(draw(st.lists(st.sampled_from([*LINES, *OTHER_BREAKS, "\n", "\n"]), max_size=25)))


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(alphabet="a中\n\r \u2028", max_size=40), texts_of_lines()))
def test_duplicate_lines_any_text_agrees_with_definition(text: str) -> None:
    assert repetition.duplicate_lines(*with_lines([text])).tolist() == [expected_duplicates(text)]


@settings(max_examples=300, deadline=None)
@given(texts_of_lines(), st.sampled_from([0, 2, 10, 44, 45]))
def test_line_shapes_any_text_agrees_with_definition(text: str, short: int) -> None:
    assert shapes([text], short) == [expected_shapes(text, short)]


def test_lines_long_random_texts_agree_with_definition() -> None:
    """Enough lines that some share a slot by chance, of lengths around the eight bytes that are looked at first."""
    rng = np.random.default_rng(1)
    texts = []
    for size in (0, 1, 2, 30, 1000):
        lines = ["é" * (i % 3) + "x" * (i % 23) + str(i) for i in rng.integers(0, 2 * size + 1, size)]
        texts.append("".join(line + "\n" * rng.integers(1, 4) for line in lines))
    assert repetition.duplicate_lines(*with_lines(texts)).tolist() == [expected_duplicates(t) for t in texts]
    assert shapes(texts, 12) == [expected_shapes(t, 12) for t in texts]


def test_line_shapes_closing_mark_is_looked_behind_only_where_asked() -> None:
    text, lines = with_lines(["好。」", "好。」"])
    assert repetition.line_shapes(text, lines, np.zeros(2, np.int64), np.array([True, False]))[:, 1].tolist() == [1, 0]


def test_lines_sliced_array_is_read_from_its_offset() -> None:
    text, lines = with_lines(["a\na", "b\nb\nb\nc", "d"])
    its = slice(int(lines.begin[1]), int(lines.end[1]))
    part = Utf8(offsets=text.offsets[1:3], data=text.data, null_N=text.null_N[1:2])
    alone = type(lines)(
        begin=np.array([0]), end=np.array([its.stop - its.start]), stops=lines.stops[its], nexts=lines.nexts[its]
    )
    assert repetition.duplicate_lines(part, alone).tolist() == [expected_duplicates("b\nb\nb\nc")]


def test_lines_empty_batch_gives_no_rows() -> None:
    assert repetition.duplicate_lines(*with_lines([])).shape == (0, 6)
    assert shapes([], 1) == []


def test_lines_between_closed_pages_are_read_no_further() -> None:
    content = "ab\nabcdefg\nabcdefgh\nabcdefghi\n" * (mmap.PAGESIZE // 30 + 1)
    content = content[: mmap.PAGESIZE]
    text, lines = with_lines([content])
    with between_closed_pages(content.encode()) as data:
        view = Utf8(offsets=text.offsets, data=data, null_N=text.null_N)
        assert repetition.duplicate_lines(view, lines).tolist() == [expected_duplicates(content)]
        found = repetition.line_shapes(view, lines, np.array([7]), np.zeros(1, np.bool_))
        assert found.tolist() == [expected_shapes(content, 7)]


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 1_000_000,
        "x" * 4_000_000,
        " \n" * 1_000_000,
        "".join(f"{'a' * 9}{i:08}{'z' * 9}\n" for i in range(100_000)),
    ],
    ids=["newlines", "one line", "blank lines", "equal edges"],
)
def test_lines_hostile_text_takes_linear_time(text: str) -> None:
    spans = with_lines([text])
    repetition.duplicate_lines(*with_lines(["a"]))  # compiles
    shapes(["a"], 1)
    start = time.process_time()
    repetition.duplicate_lines(*spans)
    repetition.line_shapes(*spans, np.array([30]), np.zeros(1, np.bool_))
    assert time.process_time() - start < 2  # takes 0.1 s; quadratic time would be minutes at least
