from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest

from pipeline.artifact import Artifact
from pipeline.errors import DataError, FieldError, StoreError
from stages import classify
from tests.shared_data import SHARED, needs_shared
from tests.stages.classifier_runs import blame_rows, judge, train, write_rows

NICE, NASTY = "What a lovely bridge about the garden.", "What a vile bridge about the garden."


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("trained")
    return train(folder, data=str(write_rows(folder / "a.jsonl", blame_rows())))[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of an HTTP server over `tmp_path`/www."""
    (tmp_path / "www").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "www"))  # type: ignore[arg-type]

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_classify_side_input_scores_and_drops_by_threshold(trained: Artifact) -> None:
    verdict = judge([NICE, NASTY, "", None], trained, drop_above=0.6)
    column = verdict.columns["toxicity"]
    assert column.type == pa.float32() and column.null_count == 2
    nice, nasty = column.to_pylist()[:2]
    assert 0 <= nice < 0.3 and 0.7 < nasty <= 1
    drops = verdict.drops
    assert drops is not None
    assert [drops.reasons[c] if c >= 0 else "" for c in drops.code_N] == ["", "toxicity_too_high", "", ""]
    assert drops.value_N[1] == pytest.approx(nasty) and drops.threshold_N[1] == 0.6
    assert verdict.counters == {"without_score": 2}


def test_classify_drop_below_names_the_low_reason(trained: Artifact) -> None:
    drops = judge([NICE, NASTY], trained, drop_below=0.5).drops
    assert drops is not None
    assert [drops.reasons[c] if c >= 0 else "" for c in drops.code_N] == ["toxicity_too_low", ""]


def test_classify_without_thresholds_drops_nothing(trained: Artifact) -> None:
    verdict = judge([NICE, NASTY], trained)
    assert verdict.drops is None
    assert (verdict.measures["toxicity"].low, verdict.measures["toxicity"].high) == (0.0, 1.0)


def test_classify_scores_do_not_depend_on_the_batch(trained: Artifact) -> None:
    texts = [row["text"] for row in blame_rows()]
    whole = judge(texts, trained).columns["toxicity"].to_pylist()
    assert whole == [judge([t], trained).columns["toxicity"][0].as_py() for t in texts]


def test_classify_same_model_by_location_gives_the_same_scores(trained: Artifact) -> None:
    by_input = judge([NICE, NASTY], trained).columns["toxicity"]
    path = str(trained.folder.local_path("model.bin"))
    assert judge([NICE, NASTY], model=path, prepare="words").columns["toxicity"] == by_input
    flipped = judge([NICE, NASTY], model=path, prepare="words", label="negative").columns["toxicity"]
    assert np.allclose(np.array(flipped) + np.array(by_input), 1, atol=1e-4)


def test_classify_model_over_http_is_fetched_once_and_checked(
    trained: Artifact, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = trained.folder.local_path("model.bin").read_bytes()
    (tmp_path / "www" / "m.bin").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    expected = judge([NASTY], trained).columns["toxicity"]
    for _ in range(2):
        assert judge([NASTY], model=f"{server}/m.bin", prepare="words", sha256=digest).columns["toxicity"] == expected
    assert len(list((tmp_path / "cache" / "crawlmill" / "models").iterdir())) == 1
    with pytest.raises(DataError, match=digest):
        judge([NASTY], model=f"{server}/m.bin", sha256="0" * 64)
    with pytest.raises(StoreError, match="404"):
        judge([NASTY], model=f"{server}/missing.bin")


def test_classify_no_model_or_two_is_a_data_error(trained: Artifact) -> None:
    with pytest.raises(DataError, match="no model"):
        judge([NICE])
    with pytest.raises(DataError, match="two models"):
        judge([NICE], trained, model="x.bin")


def test_classify_file_that_is_no_model_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "m.bin").write_bytes(b"not a model at all")
    with pytest.raises(DataError, match=r"m\.bin.*fastText"):
        judge([NICE], model=str(tmp_path / "m.bin"))
    with pytest.raises(StoreError, match="no such file"):
        judge([NICE], model=str(tmp_path / "gone.bin"))


@needs_shared
def test_classify_foreign_model_without_a_label_lists_its_labels() -> None:
    model = str(SHARED / "data" / "text" / "lid.176.ftz")
    with pytest.raises(DataError, match=r"label.*to be one of .*\baf\b"):
        judge([NICE], model=model)
    with pytest.raises(DataError, match="no label 'xyzzy'"):
        judge([NICE], model=model, label="xyzzy")


@needs_shared
def test_classify_foreign_ftz_gives_fasttexts_own_probability() -> None:
    model = str(SHARED / "data" / "text" / "lid.176.ftz")
    texts = ["This is an English sentence.\nIt has two lines.", "这是一个中文句子。", "Das ist ein deutscher Satz."]
    scores = judge(texts, model=model, label="en").columns["toxicity"].to_pylist()
    oracle = fasttext.load_model(model)
    for text, score in zip(texts, scores, strict=True):
        # asked as fastText's command line would: one line, all labels
        own = {name: p for p, name in oracle.f.predict(text.replace("\n", " ") + "\n", 200, 0.0, "strict")}
        assert score == pytest.approx(min(own.get("__label__en", 0.0), 1.0), abs=1e-6)
    assert scores[0] > 0.8 > 0.2 > max(scores[1:])


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("drop_below", {"drop_below": 1.5}),
        ("drop_above", {"drop_above": -0.1}),
        ("drop_below", {"drop_below": 0.8, "drop_above": 0.2}),
        ("max_chars", {"max_chars": 0}),
        ("column", {"column": "Not a name"}),
    ],
)
def test_config_value_that_cannot_work_is_a_field_error(field: str, settings: dict[str, object]) -> None:
    with pytest.raises(FieldError) as caught:
        classify.Config(**{"column": "quality", **settings})  # type: ignore[arg-type]
    assert caught.value.field == field
