"""What the loop does about a spike: report, skip, go back; and that a kill in between changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pretrain import loop
from pretrain.checkpoint import Progress
from pretrain.guard_config import GuardConfig
from pretrain.job import Job
from pretrain.scratch import read_log
from pretrain.trainer import Trainer
from tests.pretrain.configs import changed
from tests.pretrain.test_loop import SMALL, files, job_of

pytestmark = pytest.mark.usefixtures("one_rank")
SPIKED_ROWS = 8 * 13  # consumed before the batch whose loss is made to jump: step 14's


def guarded(folder: Path, action: str, name: str) -> Job:
    cfg = changed(SMALL, num_steps=24, checkpoint__every_steps=5, evaluation__rows=0, optimizer__learning_rate=0.003)
    return job_of(folder, changed(cfg, guard=GuardConfig(action=action, min_history=8, sigma=6.0)), name)  # type: ignore[arg-type]


@pytest.fixture
def spiking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets of one batch are turned into one token: whatever the run does, that batch is a surprise."""
    prepare = loop.prepare

    def spoiled(job: Job) -> Trainer:
        trainer = prepare(job)
        take = trainer.batches.take

        def spoil(progress: Progress) -> list:
            micro = take(progress)
            if progress.rows_consumed == SPIKED_ROWS:
                for m in micro:
                    m.example.target_BT.masked_fill_(m.example.target_BT >= 0, 255)
            return micro

        trainer.batches.take = spoil  # type: ignore[method-assign]
        return trainer

    monkeypatch.setattr(loop, "prepare", spoiled)


def records_of(job: Job) -> dict[int, dict]:
    records = read_log(Path(job.work) / "loss.jsonl")
    assert [r["step"] for r in records] == list(range(1, 25))
    return {r["step"]: r for r in records}


@pytest.mark.usefixtures("spiking")
@pytest.mark.parametrize("action", ["report", "skip", "rewind"])
def test_run_with_a_spike_reports_its_documents_and_goes_on(tmp_path: Path, action: str) -> None:
    job = guarded(tmp_path, action, action)
    loop.run_rank(job)
    records = records_of(job)
    report = json.loads((Path(job.work) / "spikes" / "step-000014.json").read_text())
    assert report["action"] == action
    assert len(report["documents"]) > 1
    spiked = [step for step, r in records.items() if "spike" in r]
    assert spiked == ([] if action == "rewind" else [14])  # of a rewind the steps since the checkpoint are run again


@pytest.mark.usefixtures("spiking")
def test_run_that_goes_back_passes_over_the_rows_since_its_checkpoint(tmp_path: Path) -> None:
    job = guarded(tmp_path, "rewind", "back")
    loop.run_rank(job)
    progress = json.loads((job.checkpoints / "step-00000024" / "checkpoint.json").read_text())
    assert progress["rows_consumed"] == 8 * (24 + 4)  # steps 11 to 14 were run on other rows


@pytest.mark.usefixtures("spiking")
@pytest.mark.parametrize("stop_at", [12, 17])
def test_run_that_goes_back_and_is_stopped_ends_with_the_bytes_of_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    unbroken, broken = guarded(tmp_path, "rewind", "unbroken"), guarded(tmp_path, "rewind", "broken")
    loop.run_rank(unbroken)
    train_step = loop.train_step

    def stopping(trainer: Trainer, progress: Progress) -> dict:
        if progress.step == stop_at:
            raise KeyboardInterrupt
        return train_step(trainer, progress)

    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        loop.run_rank(broken)
    monkeypatch.setattr(loop, "train_step", train_step)
    loop.run_rank(broken)
    assert files(broken) == files(unbroken)
    reports = [{p.name: p.read_bytes() for p in Path(job.work, "spikes").iterdir()} for job in (unbroken, broken)]
    assert reports[0] == reports[1]


@pytest.mark.usefixtures("spiking")
def test_run_that_skips_a_step_leaves_the_weights_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before: dict[int, list[torch.Tensor]] = {}
    train_step = loop.train_step

    def noting(trainer: Trainer, progress: Progress) -> dict:
        before[progress.step] = [p.detach().clone() for p in trainer.model.parameters()]
        return train_step(trainer, progress)

    monkeypatch.setattr(loop, "train_step", noting)
    loop.run_rank(guarded(tmp_path, "skip", "skip"))
    assert all(torch.equal(a, b) for a, b in zip(before[13], before[14], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(before[14], before[15], strict=True))
