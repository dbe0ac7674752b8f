"""Language: known sentences, the score's meaning, the drops, and texts made to break the model."""

from __future__ import annotations

import hashlib
import io
import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from pipeline.errors import DataError, FieldError, StoreError
from pipeline.stage import NarrowContext, Verdict
from stages.language import Config, language
from tests.shared_data import SHARED, needs_shared

CONTEXT = NarrowContext(step="language")
LID = SHARED / "data/text/lid.176.ftz"
ENGLISH = "The committee will meet again in the spring to discuss how the harbour should be rebuilt."
FRENCH = "Le comité se réunira de nouveau au printemps pour discuter de la reconstruction du port."
CHINESE = "委员会将于春季再次开会，讨论港口应如何重建，以及由谁来承担费用。"
TRADITIONAL = "委員會將於春季再次開會，討論港口應如何重建，以及由誰來承擔費用。"
SENTENCES = {
    "en": ENGLISH, "fr": FRENCH, "zh": CHINESE,
    "de": "Der Ausschuss wird im Frühjahr erneut zusammentreten, um über den Wiederaufbau zu beraten.",
    "he": "הוועדה תתכנס שוב באביב כדי לדון כיצד יש לבנות מחדש את הנמל ומי ישלם.",
    "ru": "Комитет снова соберётся весной, чтобы обсудить, как следует восстановить гавань.",
    "no": "Komiteen skal møtes igjen til våren for å drøfte hvordan havnen bør bygges opp igjen, sier hun.",
}  # fmt: skip


def judge(texts: Sequence[str | None], config: Config | None = None) -> Verdict:
    function = language.function(config or Config(), CONTEXT)
    return function(pa.record_batch({"text": pa.array(texts, pa.large_string())}))


def reasons(verdict: Verdict) -> list[str | None]:
    assert verdict.drops is not None
    return [verdict.drops.reasons[c] if c >= 0 else None for c in verdict.drops.code_N]


@pytest.mark.parametrize("model", ["", pytest.param(str(LID), marks=needs_shared)])
def test_language_plain_sentences_are_named_with_high_scores(model: str) -> None:
    verdict = judge([*SENTENCES.values(), TRADITIONAL], Config(model=model))
    assert verdict.columns["language"].to_pylist() == [*SENTENCES, "zh"]
    assert all(0.65 <= s <= 1 for s in verdict.columns["language_score"].to_pylist())


@pytest.mark.parametrize("model", ["", pytest.param(str(LID), marks=needs_shared)])
def test_language_nothing_to_go_by_is_und_with_score_zero(model: str) -> None:
    verdict = judge([None, "", " \n\t "], Config(model=model))
    assert verdict.columns["language"].to_pylist() == ["und"] * 3
    assert verdict.columns["language_score"].to_pylist() == [0.0] * 3
    assert reasons(verdict) == ["language_score_too_low"] * 3


def test_language_mixed_text_score_is_its_share() -> None:
    """Three parts English to two parts Chinese, by UTF-8 bytes."""
    chinese = CHINESE * 4
    english = (ENGLISH + " ") * round(len(chinese.encode()) * 1.5 / len(ENGLISH))
    [score] = judge([english + "\n" + chinese]).columns["language_score"].to_pylist()
    assert 0.5 <= score <= 0.7


def test_language_keep_and_min_score_drop_by_reason_and_value() -> None:
    mixed = ENGLISH + " " + CHINESE * 3
    verdict = judge([ENGLISH, FRENCH, CHINESE, mixed], Config(keep=("en", "zh"), min_score=0.9))
    assert verdict.drops is not None
    assert reasons(verdict) == [None, "language_fr_not_kept", None, "language_score_too_low"]
    score_N = np.array(verdict.columns["language_score"])
    np.testing.assert_array_equal(verdict.drops.value_N, score_N)
    np.testing.assert_array_equal(verdict.drops.threshold_N, [np.nan, np.nan, np.nan, 0.9])
    assert score_N[3] < 0.9


def test_language_only_the_first_characters_count() -> None:
    text = ENGLISH + " " + FRENCH * 20
    assert judge([text], Config(max_chars=len(ENGLISH))).columns["language"].to_pylist() == ["en"]
    assert judge([text]).columns["language"].to_pylist() == ["fr"]


def test_language_every_code_point_is_survived() -> None:
    """CLD2 refuses controls and noncharacters; no text Arrow can hold may raise."""
    points = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    pieces = ["".join(points[i : i + 1000]) for i in range(0, len(points), 1000)]
    verdict = judge(pieces, Config(min_score=0.0))
    scores = verdict.columns["language_score"].to_pylist()
    assert len(scores) == len(pieces)
    assert all(0 <= s <= 1 for s in scores)


def test_language_control_characters_do_not_change_the_answer() -> None:
    noisy = [s.replace(" ", " \x00\x92\ufffe ", 3) for s in SENTENCES.values() if " " in s]
    assert judge(noisy).columns["language"].to_pylist() == [c for c, s in SENTENCES.items() if " " in s]


def test_language_random_text_any_batch_layout_gives_the_same() -> None:
    rng = random.Random(5)
    alphabet = "aeiou nrst \n日本語中文кот\x00\ud7ff<>&é\u0301" + chr(0x1F600)
    texts: list[str | None] = ["".join(rng.choices(alphabet, k=rng.randrange(200))) for _ in range(300)]
    whole = judge(texts).columns["language_score"].to_pylist()
    parts = [s for i in range(0, 300, 37) for s in judge(texts[i : i + 37]).columns["language_score"].to_pylist()]
    assert parts == whole


def test_config_unknown_code_names_the_right_one() -> None:
    with pytest.raises(FieldError, match=r"Write 'zh'"):
        Config(keep=("zh-Hans",))
    with pytest.raises(FieldError, match=r"Did you mean 'en'"):
        Config(keep=("eng",))


@pytest.mark.parametrize("fields", [{"min_score": 1.5}, {"max_chars": 0}, {"sha256": "00"}, {"keep": ("",)}])
def test_config_impossible_value_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(FieldError):
        Config(**fields)  # type: ignore[arg-type]


def test_language_model_file_is_in_the_fingerprint() -> None:
    assert list(language.files(Config(model="models/lid.bin"))) == ["models/lid.bin"]
    assert list(language.files(Config())) == []


@needs_shared
def test_language_model_with_another_sha256_is_refused() -> None:
    right = hashlib.sha256(LID.read_bytes()).hexdigest()
    assert judge([FRENCH], Config(model=str(LID), sha256=right)).columns["language"].to_pylist() == ["fr"]
    with pytest.raises(DataError, match=right):
        judge([FRENCH], Config(model=str(LID), sha256="0" * 64))


def test_language_model_that_is_none_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(DataError, match="fastText"):
        judge([FRENCH], Config(model=str(tmp_path / "model.bin")))
    with pytest.raises(StoreError):
        judge([FRENCH], Config(model=str(tmp_path / "none.bin")))


def sentences() -> Iterator[tuple[str, str]]:
    for name in ("langid-00", "langid-01"):
        with (SHARED / f"data/text/{name}.jsonl.zst").open("rb") as file:
            for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file), encoding="utf-8"):
                row = json.loads(line)
                yield row["text"], row["lang"]


@needs_shared
def test_language_labelled_sentences_accuracy_and_calibration() -> None:
    """Every fifth of 37,089 sentences in 75 languages; the module docstring's figures are for all."""
    rows = list(sentences())[::5]
    verdict = judge([t for t, _ in rows], Config(min_score=0.0))
    right_N = np.array([("no" if want == "nb" else want) for _, want in rows]) == np.array(verdict.columns["language"])
    score_N = np.array(verdict.columns["language_score"])
    assert right_N.mean() > 0.94
    assert right_N[score_N >= 0.65].mean() > 0.94
    assert right_N[score_N < 0.65].mean() < 0.7
