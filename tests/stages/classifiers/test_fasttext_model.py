"""Scoring: the kernel against fastText's own answers, on models of every kind it has code for."""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DataError
from stages.classifiers import fasttext_file, fasttext_model
from stages.classifiers.fasttext_text import prepare
from stages.kernels import utf8
from stages.kernels.utf8 import Utf8
from tests.shared_data import SHARED, needs_shared
from tests.stages.classifier_runs import blame_rows
from tests.stages.real_texts import needs_real_texts, real_texts

AWKWARD = (
    "", "a", "</s>", "the </s> end", "</s> </s>", "x" * 5000, "你 好 世 界", "😀" * 700, "кто это", "<", ">", "< >",
    "what a kind reply number", "What a vile letter.", "w " * 3000, "ab " * 500 + "lovely",
)  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "default": {},
    "words": {"minn": 0, "maxn": 0, "wordNgrams": 1, "bucket": 1},
    "trigrams": {"minn": 1, "maxn": 2, "wordNgrams": 3},
    "wide": {"dim": 37, "minn": 2, "maxn": 6},
    "narrow": {"dim": 1},
    "tree": {"loss": "hs", "labels": 40},
    "many": {"labels": 40},
    "quantized": {"quantize": {"qnorm": True}},
    "pruned": {"quantize": {"qnorm": True, "cutoff": 300, "retrain": False}, "labels": 7},
    "pruned_tree": {"quantize": {"dsub": 5, "cutoff": 400}, "loss": "hs", "labels": 9},
}


def train(folder: Path, *, labels: int = 2, quantize: dict[str, Any] | None = None, **settings: Any) -> Path:
    texts = [str(row["text"]).lower() for row in blame_rows()]
    names = [len(text) * 7 % (i % labels + 1) if labels > 2 else i % 2 for i, text in enumerate(texts)]
    lines = [f"__label__{name} {text} 中 文" for name, text in zip(names, texts, strict=True)]
    data = folder / "train.txt"
    data.write_text("\n".join(lines) + "\n", encoding="utf-8")
    defaults = {"dim": 16, "epoch": 5, "lr": 0.5, "wordNgrams": 2, "minn": 3, "maxn": 5, "bucket": 997, "minCount": 2}
    path = folder / "model.bin"
    fasttext_model.train(data, path, {**defaults, **settings}, quantize=False)
    if quantize is not None:
        model = fasttext.load_model(str(path))
        model.quantize(**{"input": str(data), "thread": 1, **quantize})
        model.save_model(str(path))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("trained"))


def lines_of(texts: list[str]) -> Utf8:
    return utf8.view(pa.array(texts, pa.large_string()))


def assert_equal(path: Path, texts: list[str]) -> None:
    """All labels' probabilities, and the best label, as fastText itself has them."""
    model, oracle = fasttext_model.load(path), fasttext.load_model(str(path))
    assert model.table is not None, model.why
    lines = lines_of(texts)
    names, best_N = fasttext_model.best(model, lines)
    scores = {label: fasttext_model.score(model, lines, label) for label in model.labels}
    for i, text in enumerate(texts):
        answer = oracle.f.predict(text + "\n", -1, 0.0, "replace") if text else []
        expected = {label: min(p, 1.0) for p, label in answer}
        for label in model.labels:
            assert np.isnan(scores[label][i]) if not text else abs(scores[label][i] - expected.get(label, 0)) <= 1e-6
        if answer:
            assert abs(best_N[i] - min(answer[0][0], 1.0)) <= 1e-6
            ties = [label for p, label in answer if p == answer[0][0]]
            assert names[i] in ties
        else:
            assert (names[i], best_N[i]) == ("", 0)


@pytest.mark.parametrize("name", MODELS)
def test_score_every_kind_of_model_is_as_fasttext_has_it(tmp_path: Path, name: str) -> None:
    texts = [str(row["text"]) for row in blame_rows()[:40]] + ["a __label__x b"]
    prepared = utf8.array(prepare(pa.array(texts), "words", 10_000)).to_pylist()
    assert_equal(train(tmp_path, **MODELS[name]), [*AWKWARD, *prepared])


def test_score_random_words_are_as_fasttext_has_them(trained: Path) -> None:
    rng = np.random.default_rng(3)
    alphabet = np.array([*"abc</s>中é😀 "])
    texts = ["".join(rng.choice(alphabet, 60)) for _ in range(500)]
    prepared = utf8.array(prepare(pa.array(texts), "plain", 10_000)).to_pylist()
    assert_equal(trained, prepared)


@needs_real_texts
def test_score_real_texts_are_as_fasttext_has_them() -> None:
    texts = utf8.array(prepare(real_texts().slice(0, 3000), "plain", 2_000)).to_pylist()
    assert_equal(SHARED / "data/text/lid.176.ftz", texts[::100])
    model, oracle = fasttext_model.load(SHARED / "data/text/lid.176.ftz"), fasttext.load_model(
        str(SHARED / "data/text/lid.176.ftz")
    )  # fmt: skip
    names, score_N = fasttext_model.best(model, lines_of(texts))
    for text, name, score in zip(texts, names, score_N, strict=True):
        if text:
            [(p, label)] = oracle.f.predict(text + "\n", 1, 0.0, "replace")
            assert (name, score) == (label, pytest.approx(min(p, 1.0), abs=1e-6))


@pytest.mark.parametrize("loss", ["ova", "ns"])
def test_load_model_the_kernel_has_no_code_for_is_left_to_fasttext(tmp_path: Path, loss: str) -> None:
    path = train(tmp_path, loss=loss)
    model, oracle = fasttext_model.load(path), fasttext.load_model(str(path))
    assert model.table is None
    [(name, count)] = model.counters(3).items()
    assert name.startswith("left to fastText, ") and count == 3
    lines = lines_of(["what a vile reply", "", "kind"])
    expected = {label: p for p, label in oracle.f.predict("what a vile reply\n", -1, 0.0, "replace")}
    assert fasttext_model.score(model, lines, "__label__1")[0] == pytest.approx(min(expected["__label__1"], 1.0))
    names, score_N = fasttext_model.best(model, lines)
    assert names[0] == max(expected, key=lambda label: expected[label]) and (names[1], score_N[1]) == ("", 0)


def test_load_kernel_that_disagrees_is_not_used(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fasttext_file.read

    def altered(path: Path) -> fasttext_file.ModelFile:
        tables = real(path)
        tables.input_RD[: len(tables.input_RD) // 2] += 0.01
        return tables

    monkeypatch.setattr(fasttext_model, "read", altered)
    model = fasttext_model.load(trained)
    assert model.table is None and "check batch" in model.why
    assert fasttext_model.score(model, lines_of(["what a vile reply"]), "__label__1")[0] > 0


def test_load_damaged_file_is_refused_or_left_to_fasttext(tmp_path: Path, trained: Path) -> None:
    """Cut anywhere, the reader of the tables raises its own signal only."""
    data = trained.read_bytes()
    path = tmp_path / "cut.bin"
    for size in (0, 3, 8, 50, 70, 100, 500, 3000, len(data) - 100):
        path.write_bytes(data[:size])
        with pytest.raises(fasttext_file.Unsupported):
            fasttext_file.read(path)
    path.write_bytes(struct.pack("<ii", 1, 2) + data[8:])
    with pytest.raises(DataError, match="fastText"):
        fasttext_model.load(path)


def test_score_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    model = fasttext_model.load(train(tmp_path, labels=40))
    texts = [*AWKWARD, *(str(row["text"]) for row in blame_rows())]
    whole = fasttext_model.score(model, lines_of(texts), "__label__1")
    single = [fasttext_model.score(model, lines_of([text]), "__label__1")[0] for text in texts]
    np.testing.assert_array_equal(whole, np.array(single))


def test_score_one_long_word_and_many_words_take_linear_time(trained: Path) -> None:
    model = fasttext_model.load(trained)
    for text in ("x" * 20_000_000, "y " * 10_000_000 + "z", "中 " * 5_000_000 + "文"):
        lines = lines_of([text])
        start = time.process_time()
        fasttext_model.score(model, lines, "__label__1")
        assert time.process_time() - start < 20


@needs_shared
def test_counters_of_a_model_the_kernel_scores_are_none() -> None:
    assert fasttext_model.load(SHARED / "data/text/lid.176.ftz").counters(5) == {}
