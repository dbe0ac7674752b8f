"""What is kept of a batch for the next filter is what would be found anew."""

from __future__ import annotations

import mmap
import random
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from stages.kernels import analysis, c4_lines, lines, utf8
from stages.kernels.analysis import TextAnalysis, analyse
from tests.stages.kernels.text_spans import between_closed_pages, english

PIECES = [
    "word ",
    "don't ",
    "U.S. ",
    "中文。",
    "カナ",
    "[1]",
    "\n",
    "\r\n",
    "\u2028",
    "...",
    "a.b@c.de ",
    "é ",
    " ",
    "{",
    "3 ",
]


def random_texts(seed: int, count: int = 60) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choice(PIECES) for _ in range(rng.randint(0, 30))) for _ in range(count)]


def found(texts: TextAnalysis) -> list[object]:
    """Everything an analysis says, text by text, without regard to where it lies in memory."""
    words, breaks = texts.words, texts.lines
    rows = []
    for n in range(len(texts.text)):
        of_words, of_lines = slice(words.begin[n], words.end[n]), slice(breaks.begin[n], breaks.end[n])
        spans = (words.starts[of_words], words.ends[of_words], words.kinds[of_words])
        rows.append(
            [
                *(int(values[n]) for values in (texts.num_chars_N, texts.east_asian_N, texts.han_kana_N)),
                *(array.tolist() for array in (*spans, breaks.stops[of_lines], breaks.nexts[of_lines])),
            ]
        )
    return rows


def fresh(texts: list[str]) -> TextAnalysis:
    return english(utf8.view(pa.array(texts, pa.large_string())))


def batch_of(texts: Sequence[str | None] | pa.Array) -> pa.RecordBatch:
    return pa.record_batch({"text": texts if isinstance(texts, pa.Array) else pa.array(texts, pa.large_string())})


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    analysis._recent.clear()


def test_analyse_same_texts_again_gives_the_same_analysis() -> None:
    texts = random_texts(1)
    first = analyse(batch_of(texts))
    assert analyse(batch_of(pa.array(texts, pa.string()))) is first


@pytest.mark.parametrize("seed", range(5))
def test_analyse_filtered_texts_says_what_a_fresh_analysis_says(seed: int) -> None:
    texts = random_texts(seed)
    texts += texts[:10]  # equal texts, so that the first match is not always the row it came from
    whole = analyse(batch_of(texts))
    expected = found(whole)
    keep = np.random.default_rng(seed).random(len(texts)) < 0.5
    kept = pa.array(texts, pa.large_string()).filter(pa.array(keep))
    part = analyse(batch_of(kept))
    assert part.words.starts is whole.words.starts  # taken over, not found again
    assert found(part) == [row for row, stays in zip(expected, keep, strict=True) if stays]
    assert found(part) == found(fresh(kept.to_pylist()))


def test_analyse_other_texts_are_not_taken_for_known_ones() -> None:
    texts = random_texts(2)
    for array in (texts[::-1], [*texts, "more"], [t[:-1] + "x" for t in texts if t]):
        analysis._recent.clear()
        analyse(batch_of(texts)).words  # noqa: B018
        assert found(analyse(batch_of(array))) == found(fresh(array))


def test_analyse_nulls_and_empty_batches_are_empty_texts() -> None:
    analyse(batch_of(["a b", ""]))
    assert found(analyse(batch_of([None, "", "a b"]))) == found(fresh(["", "", "a b"]))
    assert found(analyse(batch_of([]))) == []
    assert analyse(batch_of([None, "a b"])).text.null_N.tolist() == [True, False]


def test_analyse_large_batches_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "MAX_KEPT_BYTES", 10)
    texts = batch_of(["more than ten bytes"])
    assert analyse(texts) is not analyse(texts)
    assert analysis._recent == []


@pytest.mark.parametrize("seed", range(8))
def test_clean_words_of_kept_lines_are_those_of_a_fresh_split(seed: int) -> None:
    texts = fresh(random_texts(seed, 200))
    rules = c4_lines.Rules(
        max_word_chars=9, min_words=seed % 3, citations=seed % 2 == 0, terminal=False, lorem_ipsum=True,
        javascript=True, curly_bracket=seed % 4 > 1, policy=True,
    )  # fmt: skip
    cleaned = c4_lines.clean(texts, rules)
    analysis.remember_rewritten(cleaned.text, cleaned.words, texts)
    array = utf8.array(cleaned.text)
    assert found(analyse(batch_of(array))) == found(fresh([t or "" for t in array.to_pylist()]))
    assert any(t for t in array.to_pylist())


def test_analysis_text_between_closed_pages_is_read_no_further_than_its_padding() -> None:
    size = mmap.PAGESIZE - utf8.PADDING
    content = ("don't (x) é中。...\n#12 {" * 200).encode()[:size].decode(errors="ignore").encode().rjust(size)
    rules = c4_lines.Rules(
        max_word_chars=9, min_words=1, citations=True, terminal=True, lorem_ipsum=True, javascript=True,
        curly_bracket=False, policy=True,
    )  # fmt: skip
    with between_closed_pages(content + bytes(utf8.PADDING)) as data:
        text = english(utf8.Utf8(offsets=np.array([0, size]), data=data, null_N=np.zeros(1, np.bool_)))
        assert text.text.data is data
        assert len(text.words.starts) > 200
        assert lines.marks(text.text, text.lines)[0, 0] == len(text.lines.stops)
        cleaned = c4_lines.clean(text, rules)
        assert cleaned.counts.sum() == len(text.lines.stops)
        assert found(text) == found(fresh([content.decode()]))


def test_remember_rewritten_script_that_changes_is_split_anew() -> None:
    texts = fresh(["中文字中文字中文\nabc def"])
    words = texts.words
    rewritten = utf8.view(pa.array(["abc def"], pa.large_string()))
    analysis.remember_rewritten(rewritten, words, texts)
    assert found(analyse(batch_of(["abc def"]))) == found(fresh(["abc def"]))


def test_analyse_other_rules_are_not_taken_for_the_same() -> None:
    texts = ["Das ist z.B. gut.", "l'eau d'abord"] * 3
    batch = batch_of(texts).append_column("language", pa.array(["de", "fr", "xx", None, "de", "fr"]))
    english_rows = found(analyse(batch))
    by_language = found(analyse(batch, "by_language"))
    german, french = found(analyse(batch, "de")), found(analyse(batch, "fr"))
    assert by_language == [german[0], french[1], english_rows[2], english_rows[3], german[4], french[5]]
    assert len({str(rows) for rows in (english_rows, german, french)}) == 3
    kept = batch.slice(1, 4)
    assert found(analyse(kept, "by_language")) == by_language[1:5]


@pytest.mark.parametrize("code", ["de", "es", "fr"])
def test_clean_words_by_other_rules_are_those_of_a_fresh_split(code: str) -> None:
    texts = [f"{t}z.B. EE. UU. l'eau[1] aujourd'hui\n" * 2 + t for t in random_texts(3, 50)]
    rules = c4_lines.Rules(
        max_word_chars=99, min_words=3, citations=True, terminal=False, lorem_ipsum=True, javascript=True,
        curly_bracket=False, policy=True,
    )  # fmt: skip
    before = analyse(batch_of(texts), code)
    cleaned = c4_lines.clean(before, rules)
    analysis.remember_rewritten(cleaned.text, cleaned.words, before)
    batch = batch_of(utf8.array(cleaned.text))
    again = analyse(batch, code)
    assert again.words is cleaned.words
    analysis._recent.clear()
    assert found(again) == found(analyse(batch, code))
