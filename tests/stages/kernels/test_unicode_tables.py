"""unicode_tables.npz against the running Python, where its Unicode is the same."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest

from stages.kernels import unicode_tables as t

TESTS: dict[int, Callable[[str], bool]] = {
    t.SPACE: str.isspace,
    t.LINE_BREAK: lambda c: len(f"a{c}b".splitlines()) == 2,
    t.LETTER: str.isalpha,
    t.DIGIT: lambda c: unicodedata.category(c) == "Nd",
    t.PUNCTUATION: lambda c: unicodedata.category(c)[0] == "P",
}


def bits() -> np.ndarray:
    tables = t.load()
    return tables.blocks.reshape(-1, 1 << t.BLOCK_BITS)[tables.index].ravel()


@pytest.mark.skipif(
    unicodedata.unidata_version != t.unicode_version(), reason="this Python has another Unicode version"
)
def test_classes_every_code_point_agrees_with_python() -> None:
    bits_C = bits()
    for bit, test in TESTS.items():
        expected = np.fromiter((test(chr(c)) for c in range(sys.maxunicode + 1)), np.bool_)
        assert np.array_equal(bits_C & bit != 0, expected), bit


def test_classes_samples_of_scripts_are_where_they_belong() -> None:
    bits_C = bits()
    for characters, bit in (
        ("一龥々あアｱー", t.HAN_KANA),
        ("가힣ㄱ", t.HANGUL),
        (".?!。！", t.TERMINAL),
        ("…★", t.INFIX),
    ):
        assert all(bits_C[ord(c)] & bit for c in characters), characters
    assert not any(bits_C[ord(c)] & (t.HAN_KANA | t.HANGUL) for c in "aж1。「ไ")


def test_specials_every_row_is_in_the_hash_table_and_adds_up() -> None:
    tables = t.load()
    assert sorted(tables.special_row[tables.special_hash != 0]) == list(range(len(tables.special_parts)))
    lengths = np.diff(tables.special_start)
    assert np.array_equal(tables.special_parts.sum(axis=1), lengths)
    pieces = tables.special_pieces.sum(axis=1)
    assert np.array_equal(pieces[pieces > 0], lengths[pieces > 0])
