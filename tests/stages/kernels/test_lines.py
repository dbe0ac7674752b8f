"""Lines, paragraphs and marks against Python's string methods."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import lines, utf8
from tests.stages.kernels.text_spans import english

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
    analysed = english(utf8.view(pa.array([text], pa.large_string())))
    assert lines.marks(analysed.text, analysed.lines)[0].tolist() == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_find_any_texts_agrees_with_splitlines(texts: list[str]) -> None:
    found = english(utf8.view(pa.array(["x\n", *texts], pa.large_string()).slice(1))).lines
    for n, text in enumerate(texts):
        data, start, kept, whole = text.encode(), 0, [], []
        for k in range(found.begin[n], found.end[n]):
            kept.append(data[start : found.stops[k]].decode())
            whole.append(data[start : found.nexts[k]].decode())
            start = found.nexts[k]
        assert kept == text.splitlines()
        assert whole == text.splitlines(keepends=True)


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_strip_any_text_agrees_with_str_strip(text: str) -> None:
    data = np.frombuffer(b"x" + text.encode() + b"x", np.uint8)
    low, high = lines.strip(data, 1, len(data) - 1)
    assert data[low:high].tobytes().decode() == text.strip()


def test_is_terminal_closing_mark_counts_only_where_it_may() -> None:
    data = np.frombuffer("好。」".encode(), np.uint8)
    assert lines.is_terminal(data, 0, len(data), True)
    assert not lines.is_terminal(data, 0, len(data), False)
    assert lines.is_terminal(data, 0, len(data) - 3, False)
    assert not lines.is_terminal(data, 6, len(data), True)
