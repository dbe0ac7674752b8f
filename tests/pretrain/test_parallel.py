"""Every way to divide a run computes the same: one, two and four ranks, replicas, tensor parallelism, checkpointing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.errors import FieldError
from pipeline.resource_use import peak_memory_bytes
from pretrain import loop, parallelize, scratch
from pretrain.checkpoint import Progress
from pretrain.config import Config
from pretrain.dtensors import own
from pretrain.job import Job
from pretrain.model import build
from pretrain.model_config import ModelConfig
from pretrain.optim import Optimizer
from pretrain.run_config import ParallelConfig
from pretrain.trainer import prepare
from tests.pretrain.configs import changed
from tests.pretrain.ranks import on_ranks
from tests.pretrain.test_loop import SMALL, job_of

WIDE = changed(SMALL, model__num_kv_heads=2, num_steps=6, parallel__microbatch_rows=2)
FULL, SELECTIVE = ({"parallel__activation_checkpointing": kind} for kind in ("full", "selective"))
WAYS: dict[int, dict[str, dict[str, Any]]] = {  # by the number of ranks
    1: {"plain": {}, "full": FULL, "selective": SELECTIVE, "one row": {"parallel__microbatch_rows": 1}},
    2: {"plain": {}, "full": FULL, "tensor": {"parallel__tensor": 2}},
    4: {
        "plain": {"parallel__microbatch_rows": 1},
        "replicas": {"parallel__replicas": 2},
        "tensor": {"parallel__tensor": 2, "parallel__activation_checkpointing": "selective"},
        "ranks without rows": {"batch_rows": 8, "parallel__microbatch_rows": 2},
    },
}
MODELS: dict[str, dict[str, Any]] = {  # whose losses are others than those of the plain one
    "heads normed": {"model__qk_norm": True},
    "experts": {"model__num_experts": 4},
    "dropout": {"model__dropout": 0.2},
}


def losses(job: Job) -> list[float]:
    records = scratch.read_log(Path(job.work) / "loss.jsonl")
    return [value for r in records for value in (r.get("loss"), r.get("validation_loss")) if value is not None]


def run_all(jobs: list[Job]) -> None:
    for job in jobs:
        loop.run_rank(job)


def jobs_of(folder: Path, world_size: int, ways: dict[str, dict[str, Any]]) -> list[Job]:
    return [
        job_of(folder, changed(WIDE, parallel__world_size=world_size, **change), f"{world_size} {name}")
        for name, change in ways.items()
    ]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    """The losses of one rank, and the folder with everyone's data."""
    folder = tmp_path_factory.mktemp("parallel")
    jobs = jobs_of(folder, 1, WAYS[1] | MODELS)
    on_ranks(1, folder / "ranks of 1", run_all, jobs)
    return folder, losses(jobs[0])


@pytest.mark.parametrize("name", [name for name in WAYS[1] if name != "plain"])
def test_losses_of_one_rank_with_the_model_run_in_other_pieces_are_equal(
    expected: tuple[Path, list[float]], name: str
) -> None:
    folder, wanted = expected
    assert len(wanted) == 6 + 3
    [job] = jobs_of(folder, 1, {name: WAYS[1][name]})
    tolerance = 0 if name != "one row" else 1e-5
    assert losses(job) == pytest.approx(wanted, rel=tolerance, abs=0)


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 4])
def test_losses_of_more_ranks_in_every_mesh_equal_those_of_one(
    expected: tuple[Path, list[float]], world_size: int
) -> None:
    folder, wanted = expected
    jobs = jobs_of(folder, world_size, WAYS[world_size])
    on_ranks(world_size, folder / f"ranks of {world_size}", run_all, jobs)
    found = {job.work: losses(job) for job in jobs}
    assert found == {job.work: pytest.approx(wanted, rel=1e-5) for job in jobs}


@pytest.mark.slow
def test_losses_of_two_ranks_equal_those_of_one_for_other_models(expected: tuple[Path, list[float]]) -> None:
    folder, _ = expected
    alone = jobs_of(folder, 1, MODELS)
    tensor = {"parallel__tensor": 2, "parallel__activation_checkpointing": "full"}
    full = {"parallel__activation_checkpointing": "full"}
    both = jobs_of(
        folder, 2, {name: change | (tensor if name == "heads normed" else full) for name, change in MODELS.items()}
    )
    on_ranks(2, folder / "other models", run_all, both)
    found = {name: losses(job) for name, job in zip(MODELS, both, strict=True)}
    assert found == {name: pytest.approx(losses(job), rel=1e-5) for name, job in zip(MODELS, alone, strict=True)}


def storage_bytes(tensors: list[Tensor]) -> int:
    """Of all memory that is kept by them, which several may share."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def bytes_after_a_step(job: Job) -> dict[str, int]:
    """What this rank holds once it has its gradients, before they are dropped."""
    drop, Optimizer.zero_grad = Optimizer.zero_grad, lambda self: None  # type: ignore[method-assign]
    trainer = prepare(job)
    loop.train_step(trainer, Progress())
    parameters = list(trainer.model.parameters())
    held = {
        "parameters": [p.detach() for p in parameters],
        "gradients": [p.grad for p in parameters if p.grad is not None],
        "optimizer": list(trainer.optimizer.state_tensors().values()),
    }
    found = {name: storage_bytes([own(t) for t in tensors]) for name, tensors in held.items()}
    found["numbers"] = sum(p.numel() for p in parameters)
    trainer.close()
    Optimizer.zero_grad = drop  # type: ignore[method-assign]
    return found


@pytest.mark.slow
def test_memory_of_four_ranks_is_a_quarter_each_of_parameters_gradients_and_moments(tmp_path: Path) -> None:
    cfg = changed(WIDE, parallel__world_size=4, parallel__microbatch_rows=1, model__dim=64, model__ffn_dim=192)
    for held in on_ranks(4, tmp_path / "ranks", bytes_after_a_step, job_of(tmp_path, cfg)):
        quarter = held["numbers"]  # of four bytes each
        assert held["parameters"] == pytest.approx(quarter, rel=0.1)
        assert held["gradients"] == pytest.approx(quarter, rel=0.1)  # of a step of two microbatches
        assert held["optimizer"] == pytest.approx(2 * quarter, rel=0.1)


def activation_bytes(kind: Any) -> int:
    """By how much a forward and backward pass of more rows raises this process's peak."""
    cfg = ParallelConfig(world_size=1, activation_checkpointing=kind)
    model = build(ModelConfig(dim=128, num_layers=12, num_heads=4, num_kv_heads=4, ffn_dim=512), 64)
    place = parallelize.place(cfg)
    parallelize.divide(model, place, cfg)
    torch.set_num_threads(1)
    peaks = []
    for num_rows in (1, 16):  # the first pass loads what code and gradients take
        plane_BT = torch.zeros((num_rows, 256), dtype=torch.int64)
        model(plane_BT, plane_BT, torch.arange(256).expand(num_rows, 256)).sum().backward()
        peaks.append(peak_memory_bytes())
    return peaks[1] - peaks[0]


@pytest.mark.slow
def test_memory_of_a_pass_falls_with_what_is_computed_again(tmp_path: Path) -> None:
    kinds = ("none", "selective", "full")
    none, selective, full = (on_ranks(1, tmp_path / kind, activation_bytes, kind)[0] for kind in kinds)
    assert full < 0.5 * none
    assert full < selective < 0.9 * none


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_losses_of_compiled_blocks_equal_those_of_blocks_as_they_are(tmp_path: Path) -> None:
    cfg = changed(WIDE, parallel__world_size=1, model__num_layers=1, num_steps=3, evaluation__rows=0)
    jobs = [job_of(tmp_path, changed(cfg, parallel__compile=c), f"compiled {c}") for c in (False, True)]
    on_ranks(1, tmp_path / "rank", run_all, jobs)
    plain, compiled = map(losses, jobs)
    assert compiled == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("world_size", {"parallel__world_size": 4, "parallel__replicas": 3}),
        ("min_workers", {"parallel__world_size": 2, "parallel__min_workers": 3}),
        ("min_workers", {"parallel__world_size": 4, "parallel__min_workers": 2, "parallel__replicas": 2}),
        ("parallel", {"parallel__world_size": 4, "parallel__tensor": 4}),  # two key and value heads
        ("data", {"data__warmup_length": 64, "objective__kind": "fim"}),
        ("weights", {"data__weights": {"web": -1.0}}),
    ],
)
def test_config_of_a_division_that_cannot_be_names_the_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as caught:
        changed(Config(), **change)
    assert caught.value.field == field
