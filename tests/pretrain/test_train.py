"""The stage as the engine calls it, with ranks in processes of their own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.errors import DataError, FieldError
from pipeline.store import Folder
from pretrain.config import Config
from pretrain.generate import continue_text, load
from pretrain.train import train
from tests.pretrain.configs import changed
from tests.pretrain.packed import EOT_ID, Context, context, encode, output_bytes
from tests.shared_data import REPOSITORY

TEXTS = [f"The {animal} sat on the {thing}.\n" for animal in ("cat", "dog", "hen") for thing in ("mat", "log", "sofa")]
SMALL = changed(
    Config(),
    model__dim=32,
    model__num_layers=2,
    model__num_heads=2,
    model__num_kv_heads=1,
    model__ffn_dim=64,
    num_steps=80,
    batch_rows=4,
    parallel__microbatch_rows=2,
    schedule__warmup_steps=5,
    parallel__world_size=1,
    checkpoint__every_steps=40,
    evaluation__every_steps=40,
    optimizer__learning_rate=0.02,
    evaluation__sample_tokens=10,
    evaluation__num_samples=2,
)


def stage_context(folder: Path, name: str = "run") -> Context:
    return context(folder, [[EOT_ID, *encode(text)] for text in TEXTS * 5], 64, name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, dict]:
    ctx = stage_context(tmp_path_factory.mktemp("trained"))
    return ctx, dict(train.function(SMALL, ctx))


def test_train_on_few_sentences_learns_them_by_heart(trained: tuple[Context, dict]) -> None:
    ctx, _ = trained
    # what remains unknown are an animal and a thing, ln 9 nats over some 27 tokens: 0.08 per token
    assert ctx.report.figures["final_validation_loss"] < 0.2
    assert ctx.report.lines["loss"]["lines"]["train"][0] > 5  # ln 258 = 5.55 to begin with
    prompt_ids = [EOT_ID, *encode("The dog sat on")[:-1]]
    text = "".join(continue_text(load(Folder(ctx.output.location + "/model")), prompt_ids, 30, 0.0, 0, 1))
    assert text in {f" the {thing}.\n" for thing in ("mat", "log", "sofa")}


def test_train_output_is_the_export_and_the_loss_and_nothing_else(trained: tuple[Context, dict]) -> None:
    ctx, contract = trained
    assert ctx.output.list() == [
        "loss.jsonl", "model/config.json", "model/generation_config.json", "model/model.safetensors",
        "model/tokenizer.json", "model/tokenizer_config.json",
    ]  # fmt: skip
    records = [json.loads(line) for line in ctx.output.read_bytes("loss.jsonl").splitlines()]
    assert [r["step"] for r in records] == list(range(81))
    assert set(records[1]) == {"step", "loss", "lr", "grad_norm", "num_targets"}
    expected = ctx.inputs["chunks"].manifest["contract"]
    for name in ("tokenizer_sha256", "vocab_size", "length", "eot_id", "bos_id", "pad_id"):
        assert contract[name] == expected[name]


def test_train_report_has_curves_figures_and_samples(trained: tuple[Context, dict]) -> None:
    ctx, contract = trained
    report = ctx.report
    loss = report.lines["loss"]
    assert loss["x"] == [0, 40, 80]
    records = {r["step"]: r for r in map(json.loads, ctx.output.read_bytes("loss.jsonl").splitlines())}
    assert loss["lines"]["validation"] == [records[s]["validation_loss"] for s in loss["x"]]
    assert loss["lines"]["train"][1] == pytest.approx(sum(records[s]["loss"] for s in range(1, 41)) / 40)
    assert report.figures["parameters"] == contract["num_parameters"]
    assert report.figures["tokens_predicted"] == sum(r["num_targets"] for s, r in records.items() if s)
    assert report.figures["largest_logit_difference_to_transformers"] < 1e-4
    assert len(report.samples["generated text"]) == 2
    for row in report.samples["generated text"]:
        assert any(text.startswith(row["prompt"]) for text in TEXTS)
    # a token is a byte here; of a document's targets one, the end token, stands for no byte
    num_bytes, num_targets = (sum(len(t) for t in TEXTS), sum(len(t) + 1 for t in TEXTS))
    per_byte = report.figures["final_validation_loss"] * num_targets / num_bytes / math.log(2)
    assert report.figures["validation_bits_per_byte"] == pytest.approx(per_byte, rel=0.02)


def test_train_again_gives_the_same_bytes_and_report(trained: tuple[Context, dict], tmp_path: Path) -> None:
    ctx, contract = trained
    again = stage_context(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # the driver's threads must not matter
    try:
        assert dict(train.function(SMALL, again)) == contract
    finally:
        torch.set_num_threads(threads)
    assert output_bytes(again) == output_bytes(ctx)
    assert again.report == ctx.report


def test_train_on_another_vocabulary_is_refused_before_anything_runs(tmp_path: Path) -> None:
    ctx = stage_context(tmp_path)
    words = ctx.inputs["vocabulary"]
    words.manifest = {"contract": words.manifest["contract"] | {"tokenizer_sha256": "f" * 64}}
    with pytest.raises(DataError, match="tokenizer_sha256"):
        train.function(SMALL, ctx)
    assert ctx.work.list() == []


def test_train_without_training_rows_is_refused(tmp_path: Path) -> None:
    ctx = stage_context(tmp_path)
    ctx.inputs["chunks"].folder.delete("shards/train-00000.arrow")
    with pytest.raises(DataError, match="no training rows"):
        train.function(SMALL, ctx)


def test_train_imported_brings_neither_torch_nor_ray() -> None:
    code = "import sys, pretrain.train; print(*sorted({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert found.stdout.strip() == ""


@pytest.mark.slow
def test_train_on_two_chunks_takes_rows_by_weight_and_reports_them(tmp_path: Path) -> None:
    ctx = stage_context(tmp_path)
    other = context(tmp_path / "other", [[EOT_ID, *encode("Quite another text. " * 3)]] * 40, 64)
    vocabulary = ctx.inputs["vocabulary"]
    chunks = {"chunks.web": ctx.inputs["chunks"], "chunks.code": other.inputs["chunks"]}
    for port, artifact in chunks.items():
        artifact.step = port.partition(".")[2]
    ctx.inputs = {**chunks, "vocabulary": vocabulary}
    cfg = changed(SMALL, num_steps=20, data__weights={"web": 1.0, "code": 3.0}, export__int8=True)
    train.function(cfg, ctx)
    rows = {row["source"]: row["rows"] for row in ctx.report.samples["sources"]}
    assert rows == {"web": pytest.approx(20, abs=2), "code": pytest.approx(60, abs=2)}
    assert "model-int8/model.safetensors" in ctx.output.list()
    assert ctx.report.figures["int8_bits_per_byte"] == pytest.approx(
        ctx.report.figures["validation_bits_per_byte"], rel=0.02
    )
    last = [json.loads(line) for line in ctx.output.read_bytes("loss.jsonl").splitlines()][-1]
    assert set(last["validation_by"]["corpus"]) == {"web", "code"}


def test_train_with_weights_of_chunks_that_are_not_given_is_refused() -> None:
    cfg = changed(SMALL, data__weights={"web": 1.0, "cold": 3.0})
    train.check_inputs(changed(SMALL), ["chunks", "vocabulary"])
    with pytest.raises(FieldError, match="weights of cold"):
        train.check_inputs(cfg, ["chunks.web", "chunks.code", "vocabulary"])
