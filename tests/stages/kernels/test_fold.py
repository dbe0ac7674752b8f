"""The folding kernel against datatrove's `simplify_text`, written again from unicodedata and `regex`."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import regex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import fold, fold_table

NUMBERS = regex.compile(r"\p{Nd}+([.,،٫⎖⎗⎘]{1}\p{Nd}+)?")
CONTROL = "".join(map(chr, [*range(9), 11, 12, *range(13, 32), *range(127, 160)]))
SPACES = str.maketrans(dict.fromkeys(fold_table.PUNCTUATION + CONTROL, " "))
CASES = [
    "", " ", "Hello,  World!", "a.b,c", "12,345.67 8", "1.2.3", "x1y22z", "٣٫١٤ and ३", "3⎖4", "3,", "3, 4", "3،4",
    "a،b",
    "Éclair naïve ﬁ ß ẞ İstanbul", "≠ x", "a\u0301\u0344b", "\u0301", " \u0301 x", "tab\tnew\nline\u00a0nbsp\u2003em",
    "control\x00\x01\x85\x9fs", "don't “quote” … —", "Ａｂｃ１２", "𝔘 😀 \U0001d160", "\u1e9b\u0323", "\u0958\u09cb",
]  # fmt: skip


def simplify(text: str) -> str:
    """datatrove 0.10.1, utils/text.py, with all its options on; then one space between words."""
    text = NUMBERS.sub("0", text.lower()).translate(SPACES)
    text = re.sub(r"\s+", " ", text.strip())
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    return " ".join(text.split()).replace("ς", "σ")


def folded(texts: list[str | None] | pa.Array, normalisation: fold_table.Normalisation, split: bool) -> list[bytes]:
    array = texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())
    result = fold.fold(array, fold_table.load(normalisation, split))
    bounds = result.offsets.tolist()
    assert all(result.data[end - 1] == 0x20 for end in bounds[1:])
    return [result.data[a : b - 1].tobytes() for a, b in pairwise(bounds)]


def test_fold_hand_picked_texts_equal_datatroves_rules() -> None:
    assert [f.decode() for f in folded(CASES, "datatrove", split=False)] == [simplify(c) for c in CASES]


def test_fold_every_character_equals_datatroves_rules() -> None:
    """All of them between letters; 14.0.0 is the table's version, so newer interpreters are not an oracle."""
    if unicodedata.unidata_version != "14.0.0":
        pytest.skip(f"this interpreter's unicodedata is {unicodedata.unidata_version}, the table's 14.0.0")
    # `regex` knows more digits than Unicode 14, and a capital sigma after a letter lowers by its context.
    chars = [chr(c) for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cs", "Cn", "Co")]
    texts = [f"x{c}y 1{c}2" for c in chars if c != "Σ"]
    got = folded(texts, "datatrove", split=False)
    assert [t for t, g in zip(texts, got, strict=True) if g.decode() != simplify(t)] == []


@settings(max_examples=300, deadline=None)
@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", categories=("L", "N", "P", "Z", "S")), max_size=60)))
def test_fold_random_texts_equal_datatroves_rules(texts: list[str]) -> None:
    # Unicode's final-sigma rule and the order of marks need the whole string: outside what a table does.
    texts = [t.replace("Σ", "σ") for t in texts if all(unicodedata.category(c) != "Cn" for c in t)]
    assert [f.decode() for f in folded(texts, "datatrove", split=False)] == [simplify(t) for t in texts]


def test_fold_unspaced_scripts_are_split_into_letters() -> None:
    text = "日本語ab テスト3が ﾊﾟ 한국어, 々〆"
    expected = "日 本 語 ab テ ス ト 0 か ﾊﾟ 한 국 어 々 〆"
    [got] = folded([text], "datatrove", split=True)
    assert unicodedata.normalize("NFC", got.decode()) == expected


@pytest.mark.parametrize("normalisation", ["datatrove", "plain"])
def test_fold_composed_and_decomposed_texts_are_one(normalisation: fold_table.Normalisation) -> None:
    text = "Ünïcödé がぎぐ 한국어 텍스트 Ångström Việt Nam"
    both = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    for split in (True, False):
        composed, decomposed = folded(list(both), normalisation, split)
        assert composed == decomposed != b""


def test_fold_plain_keeps_digits_punctuation_and_marks() -> None:
    [got] = folded(["  Éa 12,5\t¿Q?\n"], "plain", split=False)
    assert got.decode() == unicodedata.normalize("NFD", "éa 12,5 ¿q?")


def test_fold_slices_and_nulls_are_read_in_place() -> None:
    array = pa.array(["zero", "One", None, "Two", ""], pa.large_string())
    assert folded(array.slice(1, 3), "plain", True) == [b"one", b"", b"two"]
    assert folded(pa.array(["A", None], pa.string()), "plain", True) == [b"a", b""]
    assert folded(pa.array([], pa.large_string()), "plain", True) == []
    assert folded(pa.nulls(3, pa.large_string()), "plain", True) == [b"", b"", b""]


def test_fold_invalid_bytes_stand_for_replacement_characters() -> None:
    """Random bytes as if they were text: as Python decodes them, up to how many U+FFFD a bad run gives."""
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, 256, int(n), dtype=np.uint8).tobytes() for n in rng.integers(0, 40, 3000)]
    pieces += [b"\xff", b"\xc3", b"\xe4\xb8", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in pieces])]).astype(np.int64)
    array = pa.Array.from_buffers(
        pa.large_string(), len(pieces), [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(pieces))]
    )
    got = folded(array, "plain", split=False)
    many = re.compile(b"(\xef\xbf\xbd)+")
    expected = folded([p.decode("utf-8", "replace") for p in pieces], "plain", split=False)
    pairs = zip(pieces, got, expected, strict=True)
    assert [p for p, g, e in pairs if many.sub(b"?", g) != many.sub(b"?", e)] == []
