"""Runs in which garbage is planted: what the guard does about it, and that a run that was stopped does the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import RunError
from pretrain import checkpoint, data, loop, provenance, scratch, spikes, train
from pretrain.config import Config
from pretrain.job import TOKENIZER, Job
from pretrain.provenance import Source
from pretrain.trainer import prepare
from tests.pretrain.configs import changed
from tests.pretrain.packed import byte_tokenizer, contract
from tests.pretrain.traced import Document, write_run

LENGTH = 32
SPIKE_STEP, CHECKPOINT_STEP = 26, 20
CFG = changed(
    Config(),
    model__dim=16, model__num_layers=1, model__num_heads=2, model__num_kv_heads=1, model__ffn_dim=32,
    num_steps=30, batch_rows=4, parallel__microbatch_rows=2, parallel__world_size=1, schedule__warmup_steps=2,
    checkpoint__every_steps=10, evaluation__every_steps=15, evaluation__rows=6, optimizer__learning_rate=0.02,
    guard__min_history=16,
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_rank")


def job_of(folder: Path, source: Source, run: str, **settings: Any) -> Job:
    (folder / run).mkdir(exist_ok=True)
    (folder / run / TOKENIZER).write_bytes(byte_tokenizer())
    return Job(
        config=changed(CFG, **settings), tokens=contract(LENGTH), sources=(source,), validation_sources=(source,),
        work=str(folder / run),
    )  # fmt: skip


@pytest.fixture
def planted(tmp_path: Path) -> tuple[Source, set[bytes]]:
    """Rows of one document each; those of step SPIKE_STEP that are garbage, by their ids."""
    texts = ["the cat sat on the mat. the dog"[: LENGTH - 2 - n % 3] for n in range(160)]
    plain = [Document(text=text, language=("en", "zh")[n % 2], quality=n / 160) for n, text in enumerate(texts)]
    source = write_run(tmp_path / "first", plain, LENGTH)
    trainer = prepare(job_of(tmp_path, source, "order"))
    row_N = trainer.reader.rows_at((SPIKE_STEP - 1) * CFG.batch_rows, CFG.batch_rows)[:2]
    trainer.close()
    ids = {id for row in row_N for id in provenance.pieces((source,), np.array([row])).ids}
    random = np.random.default_rng(1)
    for id in ids:
        text = bytes(random.integers(33, 127, LENGTH - 2).tolist()).decode()
        plain[int.from_bytes(id)] = Document(text=text, url="https://spam.example/")
    source = write_run(tmp_path / "out", plain, LENGTH)
    assert data.open_rows(source.shards, contract(LENGTH)).num_rows == len(plain)
    return source, ids


def log_of(job: Job) -> list[dict[str, Any]]:
    return scratch.read_log(Path(job.work) / "loss.jsonl")


def files(job: Job) -> dict[str, bytes]:
    work = Path(job.work)
    names = ["loss.jsonl", "weights.safetensors", *(f"spikes/{name}" for name in spikes.read_reports(work))]
    return {name: (work / name).read_bytes() for name in names}


def stop_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """End the run with an error before it has done so many steps."""
    step, done = loop.train_step, []

    def stopping(trainer: loop.Trainer, progress: checkpoint.Progress) -> dict[str, Any]:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(progress)
        return step(trainer, progress)

    monkeypatch.setattr(loop, "train_step", stopping)


@pytest.mark.parametrize("action", ["report", "skip"])
def test_planted_garbage_is_reported_by_name(tmp_path: Path, planted: tuple[Source, set[bytes]], action: str) -> None:
    source, ids = planted
    job = job_of(tmp_path, source, "run", guard__action=action)
    loop.run_rank(job)
    records = log_of(job)
    assert [r["step"] for r in records if "spike" in r] == [SPIKE_STEP]
    assert records[SPIKE_STEP]["spike"]["action"] == action
    assert records[SPIKE_STEP]["spike"]["sigmas"] > 6
    reports = spikes.read_reports(Path(job.work))
    assert list(reports) == [f"step-{SPIKE_STEP:06d}.json"]
    found = next(iter(reports.values()))
    assert found["loss"] == records[SPIKE_STEP]["loss"]
    assert {bytes.fromhex(d["id"]) for d in found["documents"][:2]} == ids
    assert {d["columns"]["url"] for d in found["documents"][:2]} == {"https://spam.example/"}
    assert found["num_documents"] == CFG.batch_rows
    total = sum(p["loss"] * p["targets"] for d in found["documents"] for p in d["pieces"])
    assert total / found["targets"] == pytest.approx(found["loss"], rel=1e-5)


def test_skip_leaves_the_weights_of_the_step_as_they_are(
    tmp_path: Path, planted: tuple[Source, set[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[float]] = {}
    step = loop.train_step

    def watched(trainer: loop.Trainer, progress: checkpoint.Progress) -> dict[str, Any]:
        before = [float(p.detach().abs().sum()) for p in trainer.model.parameters()]
        record = step(trainer, progress)
        after = [float(p.detach().abs().sum()) for p in trainer.model.parameters()]
        if record["step"] in (SPIKE_STEP, SPIKE_STEP + 1):
            seen[f"{trainer.job.config.guard.action} {record['step']}"] = [
                a - b for a, b in zip(after, before, strict=True)
            ]
        return record

    monkeypatch.setattr(loop, "train_step", watched)
    for action in ("report", "skip"):
        loop.run_rank(job_of(tmp_path, planted[0], action, guard__action=action))
    assert not any(seen[f"skip {SPIKE_STEP}"])
    assert any(seen[f"skip {SPIKE_STEP + 1}"])
    assert any(seen[f"report {SPIKE_STEP}"])


def test_rewind_goes_back_and_passes_over_the_rows_since(
    tmp_path: Path, planted: tuple[Source, set[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(tmp_path, planted[0], "run", guard__action="rewind")
    step, met = loop.train_step, []

    def watched(trainer: loop.Trainer, progress: checkpoint.Progress) -> dict[str, Any]:
        met.append((progress.step, progress.rows_consumed))
        return step(trainer, progress)

    monkeypatch.setattr(loop, "train_step", watched)
    loop.run_rank(job)
    size = CFG.batch_rows
    first = [(s, s * size) for s in range(SPIKE_STEP)]
    after = [(s, (s + SPIKE_STEP - CHECKPOINT_STEP) * size) for s in range(CHECKPOINT_STEP, CFG.num_steps)]
    assert met == first + after
    records = log_of(job)
    assert [r["step"] for r in records] == list(range(CFG.num_steps + 1))
    assert not any("spike" in r for r in records)
    assert list(spikes.read_reports(Path(job.work))) == [f"step-{SPIKE_STEP:06d}.json"]


@pytest.mark.parametrize("action", ["skip", "rewind"])
def test_a_run_stopped_around_its_spike_and_started_again_ends_with_the_same_bytes(
    tmp_path: Path, planted: tuple[Source, set[bytes]], monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    unbroken = job_of(tmp_path, planted[0], "unbroken", guard__action=action)
    loop.run_rank(unbroken)
    for stop in (SPIKE_STEP - 1, SPIKE_STEP, SPIKE_STEP + 2):
        broken = job_of(tmp_path, planted[0], f"broken-{stop}", guard__action=action)
        with monkeypatch.context() as patched:
            stop_after(patched, stop)
            with pytest.raises(KeyboardInterrupt):
                loop.run_rank(broken)
        loop.run_rank(broken)
        assert files(broken) == files(unbroken)


def test_a_loss_that_is_not_finite_stops_the_run_with_a_report(
    tmp_path: Path, planted: tuple[Source, set[bytes]]
) -> None:
    rates = {"optimizer__learning_rate": 1e30, "optimizer__grad_clip": 1e30}
    job = job_of(tmp_path, planted[0], "run", guard__action="off", **rates)
    with pytest.raises(RunError, match=r"is (nan|inf) at step (\d+)") as error:
        loop.run_rank(job)
    ((name, found),) = spikes.read_reports(Path(job.work)).items()
    assert error.value.where.endswith(f"spikes/{name}")
    assert found["kind"] == "not_finite"
    assert found["documents"][0]["columns"]["url"]
    assert not any(r["step"] == found["step"] for r in log_of(job))
    json.dumps(found, allow_nan=False)


def test_validation_loss_by_group_adds_up_to_the_validation_loss(
    tmp_path: Path, planted: tuple[Source, set[bytes]]
) -> None:
    job = job_of(tmp_path, planted[0], "run", num_steps=15, guard__train_groups_every_steps=5)
    loop.run_rank(job)
    records = log_of(job)
    measured = [r for r in records if "validation_by" in r]
    assert [r["step"] for r in measured] == [0, 15]
    for record in measured:
        assert set(record["validation_by"]) == {"source", "language", "quality"}
        for groups in record["validation_by"].values():
            count = sum(n for _, n in groups.values())
            assert sum(loss * n for loss, n in groups.values()) / count == pytest.approx(
                record["validation_loss"], rel=1e-5
            )
    trained = [r for r in records if "train_by" in r]
    assert [r["step"] for r in trained] == [5, 10, 15]
    for record in trained:
        groups = record["train_by"]["language"]
        assert sum(n for _, n in groups.values()) == record["num_targets"]
        whole = sum(loss * n for loss, n in groups.values()) / record["num_targets"]
        assert whole == pytest.approx(record["loss"], rel=1e-5)


@pytest.mark.slow
def test_two_ranks_come_to_the_same_verdict_and_name_the_same_documents(
    tmp_path: Path, planted: tuple[Source, set[bytes]]
) -> None:
    source, ids = planted
    found = {}
    for world_size in (1, 2):
        job = job_of(tmp_path, source, f"run-{world_size}", guard__action="rewind", parallel__world_size=world_size)
        train.launch(job)
        ((name, found[world_size]),) = spikes.read_reports(Path(job.work)).items()
        assert name == f"step-{SPIKE_STEP:06d}.json"
        assert [r["step"] for r in log_of(job)] == list(range(CFG.num_steps + 1))
    one, two = found[1], found[2]
    assert {bytes.fromhex(d["id"]) for d in two["documents"][:2]} == ids
    assert two["rows"] == one["rows"]
    assert {d["id"] for d in two["documents"]} == {d["id"] for d in one["documents"]}
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-3)
