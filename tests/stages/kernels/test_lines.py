"""Lines, paragraphs and marks against Python's string methods."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import lines, utf8

TEXTS = st.text(alphabet="ab.-•…#\n\r\v\x1c\x85\u2028 \t\u3000中", max_size=40)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_marks_any_text_agrees_with_string_methods(text: str) -> None:
    split = text.splitlines()
    expected = [
        len(split),
        sum(line.lstrip().startswith(("•", "-")) for line in split),
        sum(line.rstrip().endswith(("...", "…")) for line in split),
        text.count("#"),
        text.count("...") + text.count("…"),
    ]
    assert lines.marks(utf8.view(pa.array([text], pa.large_string())))[0].tolist() == expected


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_strip_any_text_agrees_with_str_strip(text: str) -> None:
    data = np.frombuffer(b"x" + text.encode() + b"x", np.uint8)
    low, high = lines.strip(data, 1, len(data) - 1)
    assert data[low:high].tobytes().decode() == text.strip()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab\n", max_size=30), st.integers(1, 3))
def test_split_at_newlines_any_text_agrees_with_re_split(text: str, at_least: int) -> None:
    data = np.frombuffer(b"\n" + text.encode() + b"\n", np.uint8)
    starts, ends = np.zeros(len(data), np.int64), np.zeros(len(data), np.int64)
    count = lines.split_at_newlines(data, 1, len(data) - 1, at_least, starts, ends)
    found = [data[a:b].tobytes().decode() for a, b in zip(starts[:count], ends[:count], strict=True)]
    assert found == re.split(rf"\n{{{at_least},}}", text)


def test_is_terminal_closing_mark_counts_only_where_it_may() -> None:
    data = np.frombuffer("好。」".encode(), np.uint8)
    assert lines.is_terminal(data, 0, len(data), True)
    assert not lines.is_terminal(data, 0, len(data), False)
    assert lines.is_terminal(data, 0, len(data) - 3, False)
    assert not lines.is_terminal(data, 6, len(data), True)
