from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh

from pipeline.errors import RunError
from pretrain.checkpoint import Checkpoints, Progress, State
from pretrain.checkpoint_files import Run
from pretrain.config import Config
from pretrain.model import Shape, Transformer, initialise
from pretrain.optim import Optimizer, make_optimizer
from pretrain.parallelize import shard

SHAPE = Shape(
    vocab_size=20, dim=8, num_layers=1, num_heads=2, num_kv_heads=1, ffn_dim=16, rope_theta=1e4, norm_eps=1e-5
)
RUN = Run(run_id="run", ranks={"world_size": 1})
pytestmark = pytest.mark.usefixtures("one_rank")
Training = tuple[Transformer, Optimizer]


def training(seed: int, sharded: bool = True) -> Training:
    model = Transformer(SHAPE)
    initialise(model, seed)
    if sharded:
        shard(model, init_device_mesh("cpu", (1,)), "fp32")
    return model, make_optimizer(model, Config())


def state(model: Transformer, optimizer: Optimizer) -> State:
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return {"model": weights, "optimizer": optimizer.state_tensors()}


def step(model: Transformer, optimizer: Optimizer) -> list[torch.Tensor]:
    """One optimiser step on random tokens; the weights after it."""
    ids = torch.randint(0, 20, (2, 9))
    model(ids, torch.zeros_like(ids), torch.arange(9).expand_as(ids)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return weights_of(model)


def weights_of(model: Transformer) -> list[torch.Tensor]:
    return [(p.full_tensor() if hasattr(p, "full_tensor") else p).detach().clone() for p in model.parameters()]


def train_and_save(
    folder: Path, num_steps: int, keep_last: int, keep_best: int = 0, losses: dict[int, float] | None = None
) -> Training:
    model, optimizer = training(1)
    checkpoints = Checkpoints(folder, RUN, keep_last, keep_best)
    for done in range(1, num_steps + 1):
        step(model, optimizer)
        progress = Progress(step=done, rows_consumed=8 * done)
        checkpoints.save(state(model, optimizer), progress, (losses or {}).get(done))
    checkpoints.close()
    return model, optimizer


def restore(folder: Path, trained: Training, run: Run = RUN, last_step: int | None = None) -> Progress:
    checkpoints = Checkpoints(folder, run, 2)
    progress = checkpoints.restore(state(*trained), last_step)
    checkpoints.close()
    return progress


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("step-*"))


@pytest.mark.parametrize("sharded", [True, False])
def test_restore_into_another_model_goes_on_bit_for_bit(tmp_path: Path, sharded: bool) -> None:
    trained = train_and_save(tmp_path, 3, keep_last=2)
    expected = [step(*trained) for _ in range(2)]
    torch.rand(100)  # the random state has to come from the checkpoint
    other = training(2, sharded)
    assert restore(tmp_path, other) == Progress(step=3, rows_consumed=24)
    for weights in expected:
        assert all(torch.equal(a, b) for a, b in zip(weights, step(*other), strict=True))


def test_save_while_training_goes_on_writes_what_was_there_when_it_was_called(tmp_path: Path) -> None:
    model, optimizer = training(1)
    saved = step(model, optimizer)
    checkpoints = Checkpoints(tmp_path, RUN, 2)
    checkpoints.save(state(model, optimizer), Progress(step=1, rows_consumed=8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    checkpoints.close()
    other = training(2)
    restore(tmp_path, other)
    assert all(torch.equal(a, b) for a, b in zip(saved, weights_of(other[0]), strict=True))


def test_save_that_cannot_write_is_told_at_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    checkpoints = Checkpoints(tmp_path / "file", RUN, 2)
    checkpoints.save(state(*training(1)), Progress(step=1, rows_consumed=8))
    with pytest.raises(RunError, match="could not be written"):
        checkpoints.save(state(*training(1)), Progress(step=2, rows_consumed=16))
    checkpoints.close()


def test_save_keeps_the_last_ones_only(tmp_path: Path) -> None:
    train_and_save(tmp_path, 4, keep_last=2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def test_save_keeps_the_best_of_the_older_ones_as_well(tmp_path: Path) -> None:
    train_and_save(tmp_path, 6, keep_last=1, keep_best=2, losses={1: 3.0, 2: 1.0, 4: 2.0, 5: 2.5})
    assert names(tmp_path) == ["step-00000002", "step-00000004", "step-00000006"]


def test_restore_no_later_than_a_step_takes_that_one_and_deletes_the_later_ones(tmp_path: Path) -> None:
    train_and_save(tmp_path, 3, keep_last=3)
    assert restore(tmp_path, training(2), last_step=2).step == 2
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_restore_with_other_ranks_is_refused_for_an_exact_run_and_remembered_by_another(tmp_path: Path) -> None:
    train_and_save(tmp_path, 2, keep_last=2)
    two, four = ({"world_size": n} for n in (2, 4))
    with pytest.raises(RunError, match=r"computed with world_size 1; expected one of world_size 2"):
        restore(tmp_path, training(2), Run(run_id="run", ranks=two))
    other = training(2)
    checkpoints = Checkpoints(tmp_path, Run(run_id="run", ranks=four, exact=False), 2)
    progress = checkpoints.restore(state(*other))
    assert progress.step == 2
    checkpoints.save(state(*other), Progress(step=3, rows_consumed=24))
    checkpoints.close()
    with pytest.raises(RunError, match=r"computed with world_size 1, then world_size 4; expected"):
        restore(tmp_path, training(2))


def cut(path: Path) -> None:
    file = max((p for p in path.iterdir() if p.suffix == ".distcp"), key=lambda p: p.stat().st_size)
    file.write_bytes(file.read_bytes()[:-10])


def flip(path: Path) -> None:
    file = max((p for p in path.iterdir() if p.suffix == ".distcp"), key=lambda p: p.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def lose(path: Path) -> None:
    (path / ".metadata").unlink()


def garble(path: Path) -> None:
    (path / "checkpoint.json").write_text("{")


def unrecord(path: Path) -> None:
    (path / "checkpoint.json").unlink()


@pytest.mark.parametrize("damage", [cut, flip, lose, garble, unrecord])
def test_restore_with_the_newest_damaged_uses_the_one_before_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    train_and_save(tmp_path, 3, keep_last=2)
    damage(tmp_path / "step-00000003")
    other = training(2)
    with caplog.at_level(logging.WARNING):
        assert restore(tmp_path, other).step == 2
    assert "step-00000003" in caplog.text
    assert "NOT USABLE" in caplog.text
    assert names(tmp_path) == ["step-00000002"]


def test_restore_with_all_damaged_starts_again_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train_and_save(tmp_path, 2, keep_last=2)
    for path in tmp_path.glob("step-*"):
        cut(path)
    assert restore(tmp_path, training(2)) == Progress()
    assert "starts again from step 0" in caplog.text


def test_restore_of_a_half_written_or_foreign_one_passes_it_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_and_save(tmp_path, 2, keep_last=2)
    (tmp_path / "step-00000002").rename(tmp_path / "step-00000002.tmp")
    assert restore(tmp_path, training(2)).step == 1
    said = [record for record in caplog.records if record.name.startswith("pretrain")]
    assert not said  # a kill in the middle of writing is nothing to worry about
    assert restore(tmp_path, training(2), Run(run_id="other", ranks=RUN.ranks)) == Progress()
    assert "it is of run run" in caplog.text


def test_restore_from_an_empty_folder_leaves_all_as_it_was(tmp_path: Path) -> None:
    model, optimizer = training(2)
    before = weights_of(model)
    assert restore(tmp_path / "none", (model, optimizer)) == Progress()
    assert all(torch.equal(a, b) for a, b in zip(before, weights_of(model), strict=True))
    assert not any(tensor.any() for tensor in optimizer.state_tensors().values())


def test_save_record_names_every_file_but_itself(tmp_path: Path) -> None:
    train_and_save(tmp_path, 1, keep_last=1)
    path = tmp_path / "step-00000001"
    record = json.loads((path / "checkpoint.json").read_text())
    assert sorted(record["files"]) == sorted(p.name for p in path.iterdir() if p.name != "checkpoint.json")
