"""utf8: decoding against Python's, views of sliced arrays and nulls, scripts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import utf8
from tests.stages.kernels.text_spans import english

Characters = st.text(alphabet=st.characters(codec="utf-8"))


def decoded(data: bytes) -> list[int]:
    buffer, i, codes = np.frombuffer(data, np.uint8), 0, []
    while i < len(data):
        code, size = utf8.decode(buffer, i, len(data))
        codes.append(code)
        i += size
    return codes


@settings(max_examples=200, deadline=None)
@given(Characters)
def test_decode_valid_text_gives_pythons_code_points(text: str) -> None:
    assert decoded(text.encode()) == [ord(c) for c in text]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_decode_any_bytes_stays_inside_and_ends(data: bytes) -> None:
    assert all(0 <= code <= 0x10FFFF for code in decoded(data))
    assert len(decoded(data)) <= len(data)


@pytest.mark.parametrize("cut", [b"\xe4\xbd", b"\xf0\x9f\x98", b"\xc3"])
def test_decode_cut_character_reads_nothing_past_the_end(cut: bytes) -> None:
    buffer = np.frombuffer(cut + b"\xa0\x80\x80", np.uint8)
    assert utf8.decode(buffer, 0, len(cut)) == (utf8.REPLACEMENT, 1)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | Characters, max_size=8), st.data())
def test_view_sliced_array_with_nulls_gives_its_rows(texts: list[str | None], data: st.DataObject) -> None:
    low = data.draw(st.integers(0, len(texts)))
    high = data.draw(st.integers(low, len(texts)))
    for kind in (pa.string(), pa.large_string()):
        view = utf8.view(pa.array(texts, kind).slice(low, high - low))
        rows = [view.data[a:b].tobytes().decode() for a, b in zip(view.offsets, view.offsets[1:], strict=False)]
        assert rows == [t or "" for t in texts[low:high]]
        assert view.null_N.tolist() == [t is None for t in texts[low:high]]
        assert utf8.array(view).to_pylist() == texts[low:high]
        assert english(view).num_chars_N.tolist() == [len(t or "") for t in texts[low:high]]


def test_view_bytes_behind_a_null_are_not_seen() -> None:
    offsets, data = pa.py_buffer(np.array([0, 1, 5, 6], np.int64)), pa.py_buffer(b"ahideb")
    validity = pa.array([True, False, True]).buffers()[1]
    view = utf8.view(pa.LargeStringArray.from_buffers(3, offsets, data, validity))
    assert np.diff(view.offsets).tolist() == [1, 0, 1]
    assert view.null_N.tolist() == [False, True, False]


def test_east_asian_more_than_half_of_the_letters_decides() -> None:
    texts = ["你好ab", "你好abc", "한국어 abc", "ひらカナ abc", "123 。！", "abc", "", "русский 中"]
    text = english(utf8.view(pa.array(texts, pa.large_string())))
    assert text.east_asian_N.tolist() == [False, False, False, True, False, False, False, False]
    assert text.han_kana_N.tolist() == [False, False, False, True, False, False, False, False]
    korean = english(utf8.view(pa.array(["한국어로 쓴 글 abc"], pa.large_string())))
    assert korean.east_asian_N.tolist() == [True]
    assert korean.han_kana_N.tolist() == [False]


def test_padded_copies_only_where_bytes_are_missing() -> None:
    array = pa.array(["some", "text " * 40], pa.large_string())
    first = utf8.view(array.slice(0, 1))
    assert utf8.padded(first) is first
    last = utf8.padded(utf8.view(array.slice(1)))
    assert utf8.is_padded(last)
    assert utf8.array(last).to_pylist() == ["text " * 40]
