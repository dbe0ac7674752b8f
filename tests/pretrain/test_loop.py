"""The loop against a plain one without shards, ranks or microbatches, and against itself when it is killed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import RunError
from pretrain import batches, checkpoint, data, loop, objectives, optim, scratch, train
from pretrain.config import Config
from pretrain.job import TOKENIZER, Job
from pretrain.model import build, initialise
from pretrain.provenance import Source
from pretrain.trainer import Trainer
from tests.pretrain.configs import changed
from tests.pretrain.packed import byte_tokenizer, contract, pack, random_documents, write_shard

LENGTH = 32
SMALL = changed(
    Config(),
    model__dim=16,
    model__num_layers=2,
    model__num_heads=2,
    model__num_kv_heads=1,
    model__ffn_dim=32,
    num_steps=7,
    batch_rows=8,
    parallel__microbatch_rows=2,
    schedule__warmup_steps=2,
    parallel__world_size=1,
    checkpoint__every_steps=3,
    evaluation__every_steps=3,
    evaluation__rows=5,
    optimizer__learning_rate=0.02,
)


def job_of(folder: Path, cfg: Config = SMALL, run: str = "run") -> Job:
    train_path, validation_path = folder / "train.arrow", folder / "validation.arrow"
    if not train_path.exists():
        write_shard(train_path, pack(random_documents(60, 70, 1), LENGTH, 8), LENGTH)
        write_shard(validation_path, pack(random_documents(9, 50, 2), LENGTH, 8), LENGTH)
    (folder / run).mkdir(exist_ok=True)
    (folder / run / TOKENIZER).write_bytes(byte_tokenizer())
    train, held_out = (Source(name="chunks", shards=(str(path),)) for path in (train_path, validation_path))
    return Job(
        config=cfg, tokens=contract(LENGTH), sources=(train,), validation_sources=(held_out,), work=str(folder / run)
    )


def plain_losses(job: Job) -> list[float]:
    """The run's losses by an unsharded loop: one rank, one batch, the mean taken by cross_entropy itself."""
    cfg = job.config
    rows = data.open_rows(job.train_shards, job.tokens)
    model = build(cfg.model, job.vocab_size)
    initialise(model, cfg.seed)
    optimizer = optim.make_optimizer(model, cfg)
    losses = []
    for step in range(cfg.num_steps):
        batch = data.read_batch(rows, data.rows_at(step * cfg.batch_rows, cfg.batch_rows, rows.num_rows, cfg.seed))
        target_BT = objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
        loss = F.cross_entropy(model(batch.ids_BT, batch.segment_BT, batch.position_BT).mT, target_BT)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.optimizer.grad_clip)
        optimizer.set_learning_rate(optim.learning_rate(cfg, step))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def files(job: Job) -> tuple[bytes, bytes]:
    work = Path(job.work)
    return (work / "loss.jsonl").read_bytes(), (work / "weights.safetensors").read_bytes()


@pytest.mark.usefixtures("one_rank")
def test_run_rank_losses_equal_those_of_a_plain_loop(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    loop.run_rank(job)
    records = scratch.read_log(Path(job.work) / "loss.jsonl")
    losses = [r["loss"] for r in records if "loss" in r]
    assert losses == pytest.approx(plain_losses(job), rel=2e-5)
    assert losses[-1] < losses[0] - 0.01  # the weights moved: later losses test the optimiser too
    assert [r["step"] for r in records if "validation_loss" in r] == [0, 3, 6, 7]


@pytest.mark.usefixtures("one_rank")
def test_validation_loss_equals_one_forward_pass_over_its_rows(tmp_path: Path) -> None:
    trainer = loop.prepare(job_of(tmp_path))
    rows = trainer.reader.validation
    batch = data.read_batch(rows, batches.validation_rows(rows, SMALL))
    target_BT = objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
    assert batch.ids_BT.shape == (min(5, rows.num_rows), LENGTH)
    logits_BTV = trainer.model(batch.ids_BT, batch.segment_BT, batch.position_BT)
    expected = F.cross_entropy(logits_BTV.mT, target_BT).item()
    assert loop.validate(trainer)["validation_loss"] == pytest.approx(expected, rel=1e-5)
    trainer.close()


@pytest.mark.usefixtures("one_rank")
@pytest.mark.parametrize("stop_after", [0, 2, 3, 5])
def test_run_rank_stopped_and_started_again_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int
) -> None:
    unbroken, broken = job_of(tmp_path), job_of(tmp_path, run="broken")
    loop.run_rank(unbroken)
    step = loop.train_step

    def stopping(trainer: Trainer, progress: checkpoint.Progress) -> dict:
        if progress.step == stop_after:
            raise KeyboardInterrupt
        return step(trainer, progress)

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        loop.run_rank(broken)
    monkeypatch.setattr(loop, "train_step", step)
    loop.run_rank(broken)
    assert files(broken) == files(unbroken)
    loop.run_rank(broken)  # and again, with nothing left to do
    assert files(broken) == files(unbroken)


@pytest.mark.usefixtures("one_rank")
def test_run_rank_with_a_damaged_last_checkpoint_ends_with_the_same_bytes(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    loop.run_rank(job)
    before = files(job)
    (Path(job.work) / "checkpoints" / "step-00000007" / "__0_0.distcp").write_bytes(b"")
    loop.run_rank(job)
    assert files(job) == before


@pytest.mark.usefixtures("one_rank")
def test_run_rank_with_a_diverging_rate_is_refused_with_the_step(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(loss|gradient norm) is (nan|inf) at step"):
        loop.run_rank(job_of(tmp_path, changed(SMALL, optimizer__learning_rate=1e30, optimizer__grad_clip=1e30)))


@pytest.mark.usefixtures("one_rank")
def test_run_rank_in_bf16_keeps_float32_weights_and_follows_the_float32_run(tmp_path: Path) -> None:
    job = job_of(tmp_path, changed(SMALL, parallel__dtype="bf16"))
    loop.run_rank(job)
    losses = [r["loss"] for r in scratch.read_log(Path(job.work) / "loss.jsonl") if "loss" in r]
    expected = plain_losses(job)
    assert losses == pytest.approx(expected, rel=5e-3)
    assert losses != pytest.approx(expected, rel=1e-6)  # it did compute in bf16
    import safetensors.torch

    weights = safetensors.torch.load_file(Path(job.work) / "weights.safetensors")
    assert {t.dtype for t in weights.values()} == {torch.float32}


def test_loss_log_goes_on_after_a_step_and_cuts_what_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "loss.jsonl"
    path.write_text("".join(json.dumps({"step": s}) + "\n" for s in range(6)) + '{"step": 6, "lo')
    assert [r["step"] for r in scratch.read_log(path)] == [0, 1, 2, 3, 4, 5]
    scratch.LossLog(path, 3).write({"step": 4, "loss": 0.5})
    assert scratch.read_log(path)[-2:] == [{"step": 3}, {"step": 4, "loss": 0.5}]
    scratch.LossLog(path, 0)
    assert scratch.read_log(path) == []


def test_only_run_while_another_holds_the_folder_waits_and_then_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "LOCK_WAIT_S", 0.6)
    with scratch.only_run(tmp_path), pytest.raises(RunError, match="another run"), scratch.only_run(tmp_path):
        pass
    with scratch.only_run(tmp_path):
        pass


def test_validation_rows_of_a_small_set_are_all_of_them(tmp_path: Path) -> None:
    rows = data.open_rows(job_of(tmp_path).validation_shards, contract(LENGTH))
    numbers = batches.validation_rows(rows, changed(SMALL, evaluation__rows=10_000))
    assert np.sort(numbers).tolist() == list(range(rows.num_rows))


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU to train on with NCCL")
def test_run_on_gpus_with_nccl_loses_as_a_plain_loop_on_the_cpu_does(tmp_path: Path) -> None:
    job = job_of(tmp_path, changed(SMALL, parallel__world_size=min(2, torch.cuda.device_count())))
    train.launch(job)
    records = scratch.read_log(Path(job.work) / "loss.jsonl")
    assert [r["loss"] for r in records if "loss" in r] == pytest.approx(plain_losses(job), rel=1e-3)
