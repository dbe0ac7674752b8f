"""C4 quality: the cleaned text against datatrove's line rules over Python strings, by hand, and conformance cases."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FieldError
from stages.c4_quality import Config, c4_quality
from tests.shared_data import SHARED, needs_shared
from tests.stages.batches import judge, reasons

SENTENCES = "One fish here. Two fish there. Red fish too. Blue fish swims. No more fish."
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
ANY_NUMBER = Config(min_sentences=None)


def cleaned(text: str, terminal: bool = False) -> str | None:
    """The text after datatrove's line rules; None where a phrase drops the document."""
    kept = []
    for raw in text.splitlines():
        line, words = raw.strip(), raw.split()
        if any(len(w) > 1000 for w in words):
            continue
        line = re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line)
        if terminal and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        if len(words) < 3:
            continue
        lower = line.lower()
        if "lorem ipsum" in lower:
            return None
        if "javascript" in lower:
            continue
        if "{" in line:
            return None
        if not any(p in lower for p in POLICY):
            kept.append(line)
    return "\n".join(kept).strip()


PIECES = st.sampled_from(
    ["a b c", " ", "\n", "\u2028", "\r\n", "word", "[1]", "[٣]", "[]", "[12", "[edit]", "[citation needed]",
     "[citation", ".", "...", '"', "JavaScript", "java", "Lorem ipsum", "{", "Use CooKies", "coo\u212aie policy",
     "privacy policy",
     "é", "x" * 1001, "İ", "terms of use", "\u00a0"]
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(st.lists(PIECES, max_size=14), st.booleans())
def test_c4_quality_any_text_is_cleaned_as_defined(pieces: list[str], terminal: bool) -> None:
    text = "".join(pieces)
    config = Config(min_sentences=None, need_terminal_punctuation=terminal)
    verdict = judge(c4_quality, [text], config)
    expected = cleaned(text, terminal)
    assert (reasons(verdict)[0] is None) == (expected is not None)
    assert verdict.columns["text"].to_pylist() == [text if expected is None else expected]


@pytest.mark.parametrize(
    ("text", "reason", "after"),
    [
        (SENTENCES, None, SENTENCES),
        (" " + SENTENCES + " \nMenu\n  Uses cookies a lot, yes.\nEnable Javascript to see it.\n", None, SENTENCES),
        (SENTENCES.replace("too", "too[3]").replace("here", "here[citation needed]"), None, SENTENCES),
        ("One fish here. Two fish there.", "too_few_sentences", None),
        (SENTENCES + "\nLorem Ipsum dolor sit.", "lorem_ipsum", None),
        (SENTENCES + "\nif (a) { b c }", "curly_bracket", None),
        (SENTENCES + "\nhere is javascript { code }", None, SENTENCES),
        ("", "too_few_sentences", None),
    ],
)
def test_c4_quality_hand_made_text_is_judged(text: str, reason: str | None, after: str | None) -> None:
    verdict = judge(c4_quality, [text])
    assert reasons(verdict) == [reason]
    assert verdict.columns["text"].to_pylist() == [text if after is None else after]


def test_c4_quality_null_text_is_dropped_and_stays_null() -> None:
    verdict = judge(c4_quality, [None, SENTENCES])
    assert reasons(verdict) == ["too_few_sentences", None]
    assert verdict.columns["text"].to_pylist() == [None, SENTENCES]
    assert verdict.columns["text"].type == pa.large_string()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Only one sentence here", 1),
        ("Mr. Smith left. He did!? Yes... no.", 3),
        ('He said "Stop it now." Then left.', 2),
        ("First line here\nsecond line here. Done.", 3),
        ("Ends with space. [1]  [2]", 2),
        ("Ends with one. [1]", 1),
    ],
)
def test_c4_quality_sentences_are_counted_as_spacy_does(text: str, number: int) -> None:
    verdict = judge(c4_quality, [text])
    assert verdict.measures["num_sentences"].value_N.tolist() == [number]


def test_c4_quality_removed_lines_are_counted_by_kind() -> None:
    text = "\n".join(
        [SENTENCES, "too short", "x" * 1001 + " a b", "no javascript here", "our privacy policy is", "no end here"]
    )
    counters = judge(c4_quality, [text], Config(min_sentences=None, need_terminal_punctuation=True)).counters
    assert counters == {
        "lines_kept": 1, "lines_long_word": 1, "lines_no_terminal_punctuation": 4, "lines_too_few_words": 0,
        "lines_javascript": 0, "lines_policy": 0,
    }  # fmt: skip
    counters = judge(c4_quality, [text], ANY_NUMBER).counters
    assert list(counters.values()) == [2, 1, 0, 1, 1, 1]


def test_c4_quality_chinese_lines_are_counted_by_characters() -> None:
    text = "首页\n我们昨天去了公园。天气很好！你去了吗？他说：“我没有去。”大家都笑了。"
    verdict = judge(c4_quality, [text])
    assert reasons(verdict) == [None]
    assert verdict.measures["num_sentences"].value_N.tolist() == [5]
    assert verdict.columns["text"].to_pylist() == [text.split("\n")[1]]


def test_c4_quality_negative_limit_names_the_field() -> None:
    with pytest.raises(FieldError, match="min_sentences"):
        Config(min_sentences=-1)


@needs_shared
def test_c4_quality_conformance_lines_and_texts_are_equal() -> None:
    folder = SHARED / "conformance" / "c4_annotator"
    texts = pq.read_table(folder / "input.parquet")["text"].to_pylist()
    expected = pq.read_table(folder / "expected.parquet").to_pylist()
    kinds = {
        "line-filter-too_long_word": "lines_long_word", "line-filter-no_terminal_punc": "lines_no_terminal_punctuation",
        "line-filter-too_few_words": "lines_too_few_words", "line-filter-javascript": "lines_javascript",
        "line-filter-policy": "lines_policy", "line-kept": "lines_kept",
    }  # fmt: skip
    for text, row in zip(texts, expected, strict=True):
        verdict = judge(c4_quality, [text], Config(need_terminal_punctuation=True))
        passes = row["drop_reason"] in ("", "drop_too_few_paragraphs", "drop_too_short_paragraphs")
        assert reasons(verdict) == [None if passes else row["drop_reason"].removeprefix("drop_")]
        stats = json.loads(row["doc_stats"])
        assert dict(verdict.counters) == {ours: stats.get(theirs, 0) for theirs, ours in kinds.items()}
        if not row["drop_reason"]:
            assert verdict.columns["text"].to_pylist() == [row["clean_contents"]]


def test_c4_quality_null_that_is_kept_stays_null() -> None:
    verdict = judge(c4_quality, [None, "", "one two three."], Config(min_sentences=None))
    assert reasons(verdict) == [None, None, None]
    assert verdict.columns["text"].to_pylist() == [None, "", "one two three."]


def test_c4_quality_limits_beyond_64_bits_are_no_limits() -> None:
    verdict = judge(c4_quality, ["one two three."], Config(min_sentences=1, max_word_chars=10**30))
    assert reasons(verdict) == [None]
