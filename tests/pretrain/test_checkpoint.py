from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh

from pretrain import checkpoint, optim
from pretrain.checkpoint import Progress
from pretrain.config import Config
from pretrain.model import Shape, Transformer, initialise
from pretrain.parallelize import shard

SHAPE = Shape(
    vocab_size=20, dim=8, num_layers=1, num_heads=2, num_kv_heads=1, ffn_dim=16, rope_theta=1e4, norm_eps=1e-5
)
pytestmark = pytest.mark.usefixtures("one_rank")


def sharded(seed: int) -> tuple[Transformer, torch.optim.AdamW]:
    model = Transformer(SHAPE)
    initialise(model, seed)
    shard(model, init_device_mesh("cpu", (1,)), "fp32")
    return model, optim.adamw(model, Config())


def step(model: Transformer, optimizer: torch.optim.AdamW) -> list[torch.Tensor]:
    """One optimiser step on random tokens; the weights after it."""
    ids = torch.randint(0, 20, (2, 9))
    model(ids, torch.zeros_like(ids), torch.arange(9).expand_as(ids)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return [p.full_tensor().detach().clone() for p in model.parameters()]


def train_and_save(folder: Path, num_steps: int, keep: int) -> tuple[Transformer, torch.optim.AdamW]:
    model, optimizer = sharded(1)
    for done in range(1, num_steps + 1):
        step(model, optimizer)
        checkpoint.save(folder, model, optimizer, Progress(step=done, rows_consumed=8 * done), "run", keep)
    return model, optimizer


def test_restore_into_another_model_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = train_and_save(tmp_path, 3, keep=2)
    expected = [step(model, optimizer) for _ in range(2)]
    torch.rand(100)  # the random state has to come from the checkpoint
    other, its_optimizer = sharded(2)
    assert checkpoint.restore(tmp_path, other, its_optimizer, "run") == Progress(step=3, rows_consumed=24)
    for weights in expected:
        assert all(torch.equal(a, b) for a, b in zip(weights, step(other, its_optimizer), strict=True))


def test_save_keeps_the_last_ones_only(tmp_path: Path) -> None:
    train_and_save(tmp_path, 4, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rendezvous", "step-00000003", "step-00000004"]


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
    train_and_save(tmp_path, 3, keep=2)
    damage(tmp_path / "step-00000003")
    model, optimizer = sharded(2)
    with caplog.at_level(logging.WARNING):
        assert checkpoint.restore(tmp_path, model, optimizer, "run").step == 2
    assert "step-00000003" in caplog.text
    assert "NOT USABLE" in caplog.text
    checkpoint.save(tmp_path, model, optimizer, Progress(step=3, rows_consumed=24), "run", keep=2)  # in its place again


def test_restore_with_all_damaged_starts_again_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train_and_save(tmp_path, 2, keep=2)
    for path in tmp_path.glob("step-*"):
        cut(path)
    assert checkpoint.restore(tmp_path, *sharded(2), "run") == Progress()
    assert "starts again from step 0" in caplog.text


def test_restore_of_a_half_written_or_foreign_one_passes_it_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train_and_save(tmp_path, 2, keep=2)
    (tmp_path / "step-00000002").rename(tmp_path / "step-00000002.tmp")
    assert checkpoint.restore(tmp_path, *sharded(2), "run").step == 1
    said = [record for record in caplog.records if record.name.startswith("pretrain")]
    assert not said  # a kill in the middle of writing is nothing to worry about
    assert checkpoint.restore(tmp_path, *sharded(2), "other") == Progress()
    assert "it is of run run" in caplog.text


def test_restore_from_an_empty_folder_leaves_all_as_it_was(tmp_path: Path) -> None:
    model, optimizer = sharded(2)
    before = [p.full_tensor().clone() for p in model.parameters()]
    assert checkpoint.restore(tmp_path / "none", model, optimizer, "run") == Progress()
    assert all(torch.equal(a, p.full_tensor()) for a, p in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def test_save_record_names_every_file_but_itself(tmp_path: Path) -> None:
    train_and_save(tmp_path, 1, keep=1)
    path = tmp_path / "step-00000001"
    record = json.loads((path / "checkpoint.json").read_text())
    assert sorted(record["files"]) == sorted(p.name for p in path.iterdir() if p.name != "checkpoint.json")
