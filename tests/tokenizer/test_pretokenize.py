"""tokenizer/pretokenize.py: pretokens equal those of `tokenizers`, whatever the text."""

from __future__ import annotations

import functools
import io
import itertools
import json
import random
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from tests.shared_data import SHARED, needs_shared
from tokenizer import generate_character_classes, pretokenize
from tokenizer.errors import TokenizerError
from tokenizer.pretokenize import PATTERNS, Digits, Pattern, Pretokenizer, expression

CASES: list[tuple[Pattern, Digits | None]] = [
    ("llama3", None), ("llama3", "1"), ("gpt2", None), ("gpt4o", None), ("gpt4o", "1")
]  # fmt: skip
each_case = pytest.mark.parametrize("pattern, digits", CASES)
POINTS = [
    c
    for c in (*range(0x32000), *range(0x32000, 0xE0000, 61), *range(0xE0000, 0xE0200), *range(0xE0200, 0x110000, 61))
    if not 0xD800 <= c < 0xE000
]
PIECES = [
    *"aAzZsStTrRmMdDlLeEvV0189/.!-_'\"<\\ \n\r\t\x00\x7f", " ", " ", "\n", "'", "'s", "'LL", "'re", "'ſ", "  ", "\r\n",
    "//", "\v", "\f", "\x1c", "\x85", "\u00a0", "\u1680", "\u180e", "\u2003", "\u200b", "\u200d", "\u2028", "\u3000",
    "ſ", "é", "e\u0301", "\u0301", "\u0303", "\u0903", "\u20dd", "ß", "É", "ǅ", "ʰ", "ª", "ﬁ", "İ", "K", "½", "٣", "Ⅷ",
    "²", "世", "日", "ไ", "\u0e31", "한", "ᄀ", "א", "Ж", "ж", "\U00010400", "👩", "🏽", "\U0001f1e6", "\U00011f04",
    "€", "’", "…", "\ue000", "\ufffd", "\U0010ffff",
]  # fmt: skip


@functools.cache
def oracle(pattern: Pattern, digits: Digits | None) -> Callable[[str], list[int]]:
    """The lengths in bytes of a text's pretokens, by `tokenizers`."""
    if pattern == "gpt2":
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
        return lambda text: [len(symbols) for symbols, _ in byte_level.pre_tokenize_str(text)]
    split = pre_tokenizers.Split(Regex(expression(pattern, digits)), behavior="isolated")
    return lambda text: [len(piece.encode()) for piece, _ in split.pre_tokenize_str(text)]


def packed(texts: Sequence[str | bytes]) -> tuple[np.ndarray, np.ndarray]:
    """(offsets, bytes), with nothing behind the last text."""
    encoded = [text.encode() if isinstance(text, str) else text for text in texts]
    return np.cumsum([0, *map(len, encoded)]).astype(np.int64), np.frombuffer(b"".join(encoded), np.uint8)


def check(pattern: Pattern, digits: Digits | None, texts: Sequence[str]) -> None:
    lengths = [oracle(pattern, digits)(text) for text in texts]
    found = Pretokenizer(pattern, digits).ends(*packed(texts))
    if np.array_equal(found, np.cumsum(list(itertools.chain(*lengths)), dtype=np.int64)):
        return
    for text, expected in zip(texts, lengths, strict=True):  # for a message one can read
        alone = np.diff(Pretokenizer(pattern, digits).ends(*packed([text])), prepend=0).tolist()
        assert alone == expected, repr(text)
    pytest.fail("the texts agree one by one, but not together")


@each_case
@pytest.mark.parametrize("context", ["a{0}b {0}1{0}\n", " {0}{0} 'S{0}!{0}'s", "A{0}A {0}' {0} \n{0}"])
def test_ends_every_code_point_same_as_tokenizers(pattern: Pattern, digits: Digits | None, context: str) -> None:
    groups = [POINTS[i : i + 64] for i in range(0, len(POINTS), 64)]
    check(pattern, digits, ["".join(context.format(chr(c)) for c in group) for group in groups])


@each_case
def test_ends_mixed_pieces_same_as_tokenizers(pattern: Pattern, digits: Digits | None) -> None:
    rng = random.Random(1)
    check(pattern, digits, ["".join(rng.choices(PIECES, k=rng.randrange(1, 30))) for _ in range(20_000)])


@each_case
@settings(max_examples=200, deadline=None)
@given(texts=st.lists(st.one_of(st.text(), st.lists(st.sampled_from(PIECES)).map("".join)), max_size=8))
def test_ends_any_texts_same_as_tokenizers(pattern: Pattern, digits: Digits | None, texts: list[str]) -> None:
    check(pattern, digits, texts)


@needs_shared
@each_case
def test_ends_real_text_same_as_tokenizers(pattern: Pattern, digits: Digits | None) -> None:
    texts: list[str] = []
    for name in ("gold-00.jsonl.zst", "text/langid-00.jsonl.zst", "text/lm-00.jsonl.zst", "text/toxic-01.jsonl.zst"):
        with (SHARED / "data" / name).open("rb") as file:
            reader = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), "utf-8", newline="\n")
            rows = [json.loads(line) for line in itertools.islice(reader, 300)]
        texts += [text for row in rows if isinstance(text := row.get("gold", row.get("text")), str)]
    assert len(texts) > 500
    check(pattern, digits, texts)


RUNS = [
    "a", "A", "aB", "1", "½", " ", "\n", " \n", "\n ", "\t", "!", "/", "'", "'s", "\u0301", "A\u0301", "世", "世A",
    "Aé", "é", "\u3000", "👩", "\u00a0a", "ǅ", "!\n", "\ue000\u0301",
]  # fmt: skip


@each_case
@pytest.mark.parametrize("tail", ["", "x", " x", "!"])
def test_ends_long_runs_same_as_tokenizers(pattern: Pattern, digits: Digits | None, tail: str) -> None:
    check(pattern, digits, [run * n + tail for run in RUNS for n in (31, 32, 33, 64, 5000)])


@each_case
def test_ends_million_characters_of_each_class_in_linear_time(pattern: Pattern, digits: Digits | None) -> None:
    for run in RUNS:  # a scan of the rest per pretoken would take hours
        long = Pretokenizer(pattern, digits).ends(*packed([run * 1_000_000 + "x"]))
        assert long[-1] == len(run.encode()) * 1_000_000 + 1


def test_ends_documents_are_apart_and_empty_ones_have_none() -> None:
    texts = ["", "it", "'s", "", " ", "a", "1", "23", "\n", "\n", "世", "", ""]
    found = Pretokenizer("llama3").ends(*packed(texts))
    assert found.tolist() == [2, 4, 5, 6, 7, 9, 10, 11, 14]
    assert Pretokenizer("llama3").ends(np.zeros(1, np.int64), np.empty(0, np.uint8)).tolist() == []
    assert Pretokenizer("llama3").ends(*packed(["", ""])).tolist() == []


def test_ends_arrow_slice_starts_where_it_starts() -> None:
    array = pa.array(["not this", "one two", "three", "nor this"], pa.large_string())
    _, offsets, data = array.buffers()
    found = Pretokenizer("gpt2").ends(np.frombuffer(offsets, np.int64, 3, 8), np.frombuffer(data, np.uint8))
    assert (found - 8).tolist() == [3, 7, 12]


def test_ends_small_chunks_same_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(2)
    offsets, data = packed(["".join(rng.choices(PIECES, k=rng.randrange(9))) for _ in range(500)])
    expected = Pretokenizer("gpt4o").ends(offsets, data).tolist()
    for size in (1, 2, 7, len(expected)):
        monkeypatch.setattr(pretokenize, "CHUNK", size)
        assert Pretokenizer("gpt4o").ends(offsets, data).tolist() == expected


@each_case
def test_ends_bytes_that_are_not_utf8_still_lie_end_to_end(pattern: Pattern, digits: Digits | None) -> None:
    rng = np.random.default_rng(3)
    texts = [rng.integers(0, 256, rng.integers(0, 40), np.uint8).tobytes() for _ in range(3000)]
    texts += ["世".encode()[:2], b"a\xf4\x90\x80\x80", b"\xff", b"\xc0\x80", b"\xf0\x9f\x91"]
    offsets, data = packed(texts)
    found = Pretokenizer(pattern, digits).ends(offsets, data)
    assert (np.diff(found, prepend=0) > 0).all()
    assert np.isin(offsets[1:], np.append(found, 0)).all()


def test_ends_broken_bytes_are_signs() -> None:
    assert Pretokenizer("llama3").ends(*packed([b"a\xff\xfe b \xe4\xb8"])).tolist() == [1, 3, 5, 8]


@pytest.mark.parametrize("pattern, pieces", [("llama3", 4), ("gpt4o", 4), ("gpt2", 2)])
def test_expression_digits_cut_numbers_as_named(pattern: Pattern, pieces: int) -> None:
    text = packed(["1234567", "89"])
    assert len(Pretokenizer(pattern).ends(*text)) == pieces
    if pattern != "gpt2":
        assert len(Pretokenizer(pattern, "1").ends(*text)) == 9
        assert expression(pattern, "1-3") == expression(pattern) == PATTERNS[pattern]


def test_expression_gpt2_with_digits_is_refused() -> None:
    with pytest.raises(TokenizerError, match="gpt2"):
        Pretokenizer("gpt2", "1")


@pytest.mark.slow
def test_classes_are_those_of_the_installed_tokenizers() -> None:
    index, blocks = pretokenize.load_classes()
    table = blocks.reshape(-1, 1 << pretokenize.BLOCK_BITS)[index].ravel()
    differ = np.flatnonzero(table != generate_character_classes.classes())
    assert not len(differ), (
        f"{len(differ)} code points, U+{differ[0]:04X} first: character_classes.npz is of tokenizers "
        f"{pretokenize.classes_version()}; python -m tokenizer.generate_character_classes writes it anew"
    )
