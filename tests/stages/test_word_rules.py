"""The text filters with another language's word rules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import FieldError
from pipeline.stage import NarrowContext, Verdict

FILTERS = ("gopher_repetition", "gopher_quality", "c4_quality", "fineweb_quality")
# words that German, French and English rules split in different ways, and a citation
TEXT = "Gestern z.B. war l'eau d'aujourd'hui so hoch, d.h. qu'on n'a rien vu.[1] It's e.g. don't-know, bzw. 5.Juli.\n"
LONG = "".join(TEXT.replace("hoch", f"hoch{i}") for i in range(7))


def config(module: Any, word_rules: str) -> Any:
    off = {"min_stop_words": None} if module.__name__ == "stages.gopher_quality" else {}
    return module.Config(word_rules=word_rules, **off)


def judge(name: str, codes: list[str | None], word_rules: str) -> Verdict:
    module: Any = import_module(f"stages.{name}")
    stage = getattr(module, name)
    batch = pa.record_batch(
        {
            "text": pa.array([LONG, TEXT] * (len(codes) // 2), pa.large_string()),
            "language": pa.array(codes, pa.string()),
        }
    )
    return stage.function(config(module, word_rules), NarrowContext(step="test"))(batch)


def rows(verdict: Verdict) -> list[list[float]]:
    return np.array([m.value_N for m in verdict.measures.values()]).T.tolist()


@pytest.mark.parametrize("name", FILTERS)
def test_filters_by_language_measure_each_text_as_its_language_does(name: str) -> None:
    codes = ["de", "de", "fr", "fr", "en", "en", "xx", None]
    by_language = rows(judge(name, codes, "by_language"))
    for n, code in enumerate(codes):
        alone = rows(judge(name, codes, code if code in ("de", "fr") else "en"))
        assert np.array_equal(by_language[n], alone[n], equal_nan=True)


@pytest.mark.parametrize("name", ["gopher_repetition", "gopher_quality", "fineweb_quality"])
def test_filters_other_rules_measure_something_else(name: str) -> None:
    english, german, french = (rows(judge(name, ["en", "en"], code))[0] for code in ("en", "de", "fr"))
    assert len({str(english), str(german), str(french)}) >= 2


@pytest.mark.parametrize("name", FILTERS)
def test_filters_unknown_language_names_the_field(name: str) -> None:
    with pytest.raises(FieldError, match="word_rules"):
        import_module(f"stages.{name}").Config(word_rules="klingon")


@pytest.mark.parametrize("name", FILTERS)
def test_filters_by_language_read_the_language_column(name: str) -> None:
    module: Any = import_module(f"stages.{name}")
    stage = getattr(module, name)
    assert stage.reads(module.Config()) == ("text",)
    assert stage.reads(config(module, "by_language")) == ("text", "language")


def test_gopher_quality_english_stop_words_with_other_rules_are_refused() -> None:
    config = import_module("stages.gopher_quality").Config
    with pytest.raises(FieldError, match="stop_words"):
        config(word_rules="de")
    assert config(word_rules="de", stop_words=("der", "die", "und"))
