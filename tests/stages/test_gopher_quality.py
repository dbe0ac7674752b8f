"""Gopher quality against the rules written again over Python strings, and by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FieldError
from stages.gopher_quality import Config, gopher_quality
from stages.kernels import utf8
from tests.shared_data import SHARED, needs_shared
from tests.stages.batches import judge, reasons
from tests.stages.kernels.text_spans import english

GOOD = "The cat that sat on the mat went to see the dog, and they have been friends with it ever since. " * 5
SYMBOLS = set(".,#-…")  # of those below; `•` is no symbol for datatrove


def expected_reason(text: str, found: list[str]) -> str | None:
    """datatrove's rules in its order, over words split elsewhere; only for the characters the strategy below uses."""
    real = [w for w in found if not set(w) <= SYMBOLS]
    lines = text.splitlines()
    share = lambda flags, of: sum(flags) / len(of) if of else 0.0  # noqa: E731
    if len(real) < 50:
        return "too_few_words"
    if len(real) > 100_000:
        return "too_many_words"
    mean = sum(map(len, real)) / len(real)
    if not 3 <= mean <= 10:
        return "too_short_words" if mean < 3 else "too_long_words"
    if text.count("#") / len(found) > 0.1:
        return "too_many_hashes"
    if (text.count("...") + text.count("…")) / len(found) > 0.1:
        return "too_many_ellipses"
    if share((x.lstrip().startswith(("•", "-")) for x in lines), lines) > 0.9:
        return "too_many_bullet_lines"
    if share((x.rstrip().endswith(("...", "…")) for x in lines), lines) > 0.3:
        return "too_many_ellipsis_lines"
    if share((any(map(str.isalpha, w)) for w in found), found) < 0.8:
        return "too_few_alphabetic_words"
    stop_words = {"the", "be", "to", "of", "and", "that", "have", "with"}
    return None if len(stop_words & set(found)) >= 2 else "too_few_stop_words"


def found_words(text: str) -> list[str]:
    split = english(utf8.view(pa.array([text], pa.large_string()))).words
    return [text.encode()[a:b].decode() for a, b in zip(split.starts, split.ends, strict=True)]


WORDS = st.sampled_from(
    [
        "the",
        "and",
        "of",
        "house",
        "Überraschung",
        "a",
        "extraordinarily",
        "x",
        "12",
        "#",
        "...",
        "…",
        ",",
        "\n",
        "\n•",
        "\n-",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=6), st.integers(10, 60))
def test_gopher_quality_any_text_agrees_with_definition(pattern: list[str], times: int) -> None:
    text = " ".join(pattern * times)
    assert reasons(judge(gopher_quality, [text])) == [expected_reason(text, found_words(text))]


@pytest.mark.parametrize(
    ("text", "reason", "value", "threshold"),
    [
        (GOOD, None, float("nan"), float("nan")),
        ("The cat and the dog.", "too_few_words", 5, 50),
        (GOOD.replace("the", "die").replace("The", "Die").replace("to", "zu").replace("and", "und")
         .replace("have", "haben").replace("with", "mit"), "too_few_stop_words", 1, 2),
        ("to be of " * 40, "too_short_words", 2, 3),
        ("and the internationalisation " * 5 + "internationalisation " * 60, "too_long_words", 1330 / 75, 10),
        (GOOD + "# " * 40, "too_many_hashes", 40 / 155, 0.1),
        (GOOD + "12345 " * 60, "too_few_alphabetic_words", 105 / 175, 0.8),
        ("\n".join("- " + GOOD for _ in range(3)), "too_many_bullet_lines", 1, 0.9),
    ],
)  # fmt: skip
def test_gopher_quality_hand_made_text_is_judged(text: str, reason: str, value: float, threshold: float) -> None:
    verdict = judge(gopher_quality, [text])
    assert verdict.drops is not None
    assert reasons(verdict) == [reason]
    np.testing.assert_allclose(verdict.drops.value_N, [value])
    np.testing.assert_allclose(verdict.drops.threshold_N, [threshold])


def test_gopher_quality_null_and_empty_text_have_too_few_words() -> None:
    assert reasons(judge(gopher_quality, [None, "", " \n"])) == ["too_few_words"] * 3


def test_gopher_quality_empty_batch_has_an_empty_verdict() -> None:
    verdict = judge(gopher_quality, [])
    assert verdict.drops is not None
    assert len(verdict.drops.code_N) == 0


def test_gopher_quality_limit_off_drops_nothing_by_it() -> None:
    text = "The cat and the dog."
    assert reasons(judge(gopher_quality, [text], Config(min_words=None))) == [None]


def test_gopher_quality_own_stop_words_are_looked_for() -> None:
    german = "Der Hund und die Katze sind mit dem Vogel in den Wald gegangen. " * 6
    assert reasons(judge(gopher_quality, [german])) == ["too_few_stop_words"]
    assert reasons(judge(gopher_quality, [german], Config(stop_words=("und", "die")))) == [None]


def test_gopher_quality_wrong_share_names_the_field() -> None:
    with pytest.raises(FieldError, match="max_bullet_line_share"):
        Config(max_bullet_line_share=90)


def test_gopher_quality_chinese_prose_is_kept_and_chinese_lists_are_not() -> None:
    prose = (
        "我们昨天在公园里看到了很多人，他们有的在跑步，有的在唱歌，还有的坐在树下聊天。天气很好，大家都不想回家。" * 2
    )
    names = "北京上海广州深圳天津重庆成都武汉西安杭州南京苏州长沙郑州沈阳青岛宁波东莞佛山合肥昆明大连福州厦门哈尔滨" * 2
    verdict = judge(gopher_quality, [prose, names, prose[:40]])
    assert reasons(verdict) == [None, "too_few_stop_words", "too_few_words"]
    assert np.isnan(verdict.measures["mean_word_chars"].value_N).all()


@needs_shared
def test_gopher_quality_reference_chinese_paragraphs_are_kept() -> None:
    packed = (SHARED / "data" / "text" / "lm-00.jsonl.zst").read_bytes()
    lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed)), "utf-8")
    rows = [row["text"] for row in map(json.loads, lines) if row["lang"].startswith("zh")]
    kept = [reason is None for reason in reasons(judge(gopher_quality, rows))]
    assert len(rows) > 1000
    assert sum(kept) / len(kept) > 0.98
