"""Whole runs by objectives other than causal: the loss does not depend on how a step is cut into microbatches."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pretrain import loop
from pretrain.config import Config
from pretrain.job import TOKENIZER, Job
from pretrain.model_config import ModelConfig
from pretrain.objective_config import Kind, ObjectiveConfig
from pretrain.provenance import Source
from pretrain.shape import Architecture
from tests.pretrain.configs import changed
from tests.pretrain.objective_rows import tokenizer_with_reserved, tokens_contract
from tests.pretrain.packed import pack, random_documents, write_shard

LENGTH = 64


def job_of(folder: Path, cfg: Config, name: str) -> Job:
    path = folder / "train.arrow"
    metadata = {b"crawlmill": json.dumps(tokens_contract(LENGTH)).encode()}
    write_shard(path, pack(random_documents(40, 100, 1), LENGTH, 16), LENGTH, metadata=metadata)
    work = folder / name
    work.mkdir()
    (work / TOKENIZER).write_bytes(tokenizer_with_reserved())
    chunks = Source(name="chunks", shards=(str(path),))
    return Job(config=cfg, tokens=tokens_contract(LENGTH), sources=(chunks,), validation_sources=(), work=str(work))


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize(
    "kind, architecture",
    [("masked", "encoder"), ("fim", "decoder"), ("ul2", "decoder"), ("spans", "encoder_decoder")],
)
def test_runs_of_an_objective_lose_the_same_in_other_microbatches(
    tmp_path: Path, kind: Kind, architecture: Architecture
) -> None:
    model = ModelConfig(architecture=architecture, dim=32, num_layers=2, num_heads=2, num_kv_heads=1, ffn_dim=64)
    cfg = changed(
        Config(objective=ObjectiveConfig(kind=kind), model=model),
        num_steps=4, batch_rows=8, schedule__warmup_steps=1, parallel__world_size=1, evaluation__rows=0,
    )  # fmt: skip
    records = []
    for rows in (2, 8):
        job = job_of(tmp_path, changed(cfg, parallel__microbatch_rows=rows), f"by_{rows}")
        loop.run_rank(job)
        lines = (Path(job.work) / "loss.jsonl").read_text().splitlines()
        records.append([json.loads(line) for line in lines])
    for one, other in zip(*records, strict=True):
        assert one["num_targets"] == other["num_targets"] > 0
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    assert records[0][-1]["loss"] < records[0][0]["loss"]
