"""What is kept of a batch for the next filter is what would be found anew."""

from __future__ import annotations

import mmap
import random

import numpy as np
import pyarrow as pa
import pytest

from stages.kernels import analysis, c4_lines, lines, utf8
from stages.kernels.analysis import TextAnalysis, analyse
from tests.stages.kernels.text_spans import between_closed_pages

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
    return TextAnalysis(utf8.view(pa.array(texts, pa.large_string())))


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    analysis._recent.clear()


def test_analyse_same_texts_again_gives_the_same_analysis() -> None:
    texts = random_texts(1)
    first = analyse(pa.array(texts, pa.large_string()))
    assert analyse(pa.array(texts, pa.string())) is first


@pytest.mark.parametrize("seed", range(5))
def test_analyse_filtered_texts_says_what_a_fresh_analysis_says(seed: int) -> None:
    texts = random_texts(seed)
    texts += texts[:10]  # equal texts, so that the first match is not always the row it came from
    whole = analyse(pa.array(texts, pa.large_string()))
    expected = found(whole)
    keep = np.random.default_rng(seed).random(len(texts)) < 0.5
    kept = pa.array(texts, pa.large_string()).filter(pa.array(keep))
    part = analyse(kept)
    assert part.words.starts is whole.words.starts  # taken over, not found again
    assert found(part) == [row for row, stays in zip(expected, keep, strict=True) if stays]
    assert found(part) == found(fresh(kept.to_pylist()))


def test_analyse_other_texts_are_not_taken_for_known_ones() -> None:
    texts = random_texts(2)
    for array in (texts[::-1], [*texts, "more"], [t[:-1] + "x" for t in texts if t]):
        analysis._recent.clear()
        analyse(pa.array(texts, pa.large_string())).words  # noqa: B018
        assert found(analyse(pa.array(array, pa.large_string()))) == found(fresh(array))


def test_analyse_nulls_and_empty_batches_are_empty_texts() -> None:
    analyse(pa.array(["a b", ""], pa.large_string()))
    assert found(analyse(pa.array([None, "", "a b"], pa.large_string()))) == found(fresh(["", "", "a b"]))
    assert found(analyse(pa.array([], pa.large_string()))) == []
    assert analyse(pa.array([None, "a b"], pa.large_string())).text.null_N.tolist() == [True, False]


def test_analyse_large_batches_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "MAX_KEPT_BYTES", 10)
    texts = pa.array(["more than ten bytes"], pa.large_string())
    assert analyse(texts) is not analyse(texts)
    assert analysis._recent == []


@pytest.mark.parametrize("seed", range(8))
def test_clean_words_of_kept_lines_are_those_of_a_fresh_split(seed: int) -> None:
    texts = fresh(random_texts(seed, 200))
    rules = c4_lines.Rules(
        max_word_chars=9, min_words=seed % 3, citations=seed % 2 == 0, terminal=False, lorem_ipsum=True,
        javascript=True, curly_bracket=seed % 4 > 1, policy=True,
    )  # fmt: skip
    cleaned = c4_lines.clean(texts.text, texts.words, texts.lines, texts.east_asian_N, rules)
    analysis.remember_rewritten(cleaned.text, cleaned.words, texts.east_asian_N)
    array = utf8.array(cleaned.text)
    assert found(analyse(array)) == found(fresh([t or "" for t in array.to_pylist()]))
    assert any(t for t in array.to_pylist())


def test_analysis_text_between_closed_pages_is_read_no_further_than_its_padding() -> None:
    content = (
        ("don't (x) é中。...\n#12 {" * 200).encode()[: mmap.PAGESIZE - utf8.PADDING].decode(errors="ignore").encode()
    )
    rules = c4_lines.Rules(
        max_word_chars=9, min_words=1, citations=True, terminal=True, lorem_ipsum=True, javascript=True,
        curly_bracket=False, policy=True,
    )  # fmt: skip
    with between_closed_pages(content + bytes(utf8.PADDING)) as data:
        text = TextAnalysis(
            utf8.Utf8(offsets=np.array([0, len(data) - utf8.PADDING]), data=data, null_N=np.zeros(1, np.bool_))
        )
        assert text.text.data is data
        assert len(text.words.starts) > 200
        assert lines.marks(text.text, text.lines)[0, 0] == len(text.lines.stops)
        cleaned = c4_lines.clean(text.text, text.words, text.lines, text.east_asian_N, rules)
        assert cleaned.counts.sum() == len(text.lines.stops)
        assert found(text) == found(fresh([content.decode()]))


def test_remember_rewritten_script_that_changes_is_split_anew() -> None:
    texts = fresh(["中文字中文字中文\nabc def"])
    words = texts.words
    rewritten = utf8.view(pa.array(["abc def"], pa.large_string()))
    analysis.remember_rewritten(rewritten, words, texts.east_asian_N)
    assert found(analyse(pa.array(["abc def"], pa.large_string()))) == found(fresh(["abc def"]))
