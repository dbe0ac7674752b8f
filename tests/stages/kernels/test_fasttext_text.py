"""Lines for fastText: against Arrow's regular expressions, which were the first implementation."""

from __future__ import annotations

import random
import sys
import time
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stages.classifiers.fasttext_text import Preparation, prepare
from stages.kernels import utf8
from stages.kernels.fasttext_text_table import APART_CLASS, LABEL_PREFIX, SPACE_CLASS
from tests.stages.real_texts import needs_real_texts, real_texts

PREPARATIONS = pytest.mark.parametrize("preparation", ["words", "plain"])


def by_expressions(text: pa.Array, preparation: str, max_chars: int) -> list[str]:
    text = pc.utf8_slice_codeunits(pc.fill_null(text, ""), 0, max_chars)
    if preparation == "words":
        text = pc.replace_substring_regex(pc.utf8_lower(text), f"({APART_CLASS})", r" \1 ")
    text = pc.replace_substring(text, LABEL_PREFIX, "label ")
    lines: list[str] = pc.utf8_trim_whitespace(pc.replace_substring_regex(text, SPACE_CLASS + "+", " ")).to_pylist()
    return lines


def by_kernel(text: pa.Array, preparation: Preparation, max_chars: int = 10_000) -> list[str]:
    lines: list[str] = utf8.array(prepare(text, preparation, max_chars)).to_pylist()
    return lines


def test_prepare_chinese_and_english_sets_every_han_character_apart() -> None:
    text = pa.array(["Hello,  World!\n你好世界", "a\u3000b\x00c", "", None, " \t\n"], pa.large_string())
    assert by_kernel(text, "words") == ["hello , world ! 你 好 世 界", "a b c", "", "", ""]
    assert by_kernel(text, "plain") == ["Hello, World! 你好世界", "a b c", "", "", ""]


def test_prepare_letters_whose_lower_case_is_longer_or_shorter_fit() -> None:
    text = pa.array(["Ⱥ" * 500, "İK" * 500, ",Ⱥ" * 500], pa.string())
    assert by_kernel(text, "words") == ["ⱥ" * 500, "ik" * 500, ", ⱥ " * 499 + ", ⱥ"]


@PREPARATIONS
def test_prepare_text_with_a_label_prefix_cannot_become_a_label(preparation: Preparation) -> None:
    for text in ("see __label__positive here", "____label__label__label__", "__label__", "__label____label__x"):
        [line] = by_kernel(pa.array([text]), preparation)
        assert LABEL_PREFIX not in line
        assert [line] == by_expressions(pa.array([text]), preparation, 10_000)


@PREPARATIONS
def test_prepare_long_text_is_cut_between_characters(preparation: Preparation) -> None:
    text = pa.array(["é你😀a __label__ Ⱥ.b" * 3])
    for limit in range(1, 50):
        assert by_kernel(text, preparation, limit) == by_expressions(text, preparation, limit)


@PREPARATIONS
def test_prepare_every_code_point_is_as_the_expressions_have_it(preparation: Preparation) -> None:
    """Unassigned ones are left out: another pyarrow may know more of them than the table."""
    codes = [c for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) not in ("Cn", "Cs")]
    text = pa.array([f"x{chr(code)}y" for code in codes], pa.large_string())
    assert by_kernel(text, preparation) == by_expressions(text, preparation, 10_000)


@PREPARATIONS
def test_prepare_random_text_is_as_the_expressions_have_it(preparation: Preparation) -> None:
    rng = random.Random(3)
    alphabet = [*"aB \n._éİẞ中カ한\u3000\x85😀", LABEL_PREFIX, "label"]
    texts = ["".join(rng.choices(alphabet, k=rng.randrange(40))) for _ in range(3000)]
    texts += ["".join(chr(rng.choice([rng.randrange(0xD800), rng.randrange(0xE000, 0x30000)])) for _ in range(50))
              for _ in range(300)]  # fmt: skip
    text = pa.array([None, *texts], pa.large_string())
    for limit in (10_000, 17):
        assert by_kernel(text, preparation, limit) == by_expressions(text, preparation, limit)
    assert by_kernel(text[7:99], preparation) == by_kernel(text, preparation)[7:99]


@needs_real_texts
@PREPARATIONS
def test_prepare_real_pages_are_as_the_expressions_have_it(preparation: Preparation) -> None:
    text = real_texts()
    assert by_kernel(text, preparation) == by_expressions(text, preparation, 10_000)


@PREPARATIONS
def test_prepare_bytes_that_are_no_utf8_give_valid_lines(preparation: Preparation) -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        data = rng.integers(0, 256, rng.integers(1, 80), np.uint8)
        cuts = np.sort(rng.integers(0, len(data) + 1, 3))
        offsets = np.array([0, *cuts, len(data)], np.int64)
        text = pa.LargeStringArray.from_buffers(4, pa.py_buffer(offsets), pa.py_buffer(data))
        for line in by_kernel(text, preparation):  # to_pylist refuses what is not UTF-8
            assert "  " not in line
    surrogate = pa.LargeStringArray.from_buffers(1, pa.py_buffer(np.array([0, 3])), pa.py_buffer(b"\xed\xa0\x80"))
    assert by_kernel(surrogate, preparation) == ["\ufffd"]


@PREPARATIONS
def test_prepare_fifty_megabytes_take_linear_time(preparation: Preparation) -> None:
    by_kernel(pa.array(["a"]), preparation)  # compiled
    for piece in ("_", "中", "__label_"):
        text = pa.array([piece * (50_000_000 // len(piece.encode()))], pa.large_string())
        start = time.process_time()
        prepare(text, preparation, 10**9)
        assert time.process_time() - start < 5
        assert len(by_kernel(text, preparation, 100)[0]) <= 200


def test_prepare_empty_batch_gives_no_line() -> None:
    assert by_kernel(pa.array([], pa.large_string()), "words") == []
