from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pretrain import optim
from pretrain.config import Config
from tests.pretrain.configs import changed
from tests.pretrain.sharded_steps import KINDS, Model, gradients, set_gradients


def train(model: nn.Module, optimizer: optim.Optimizer, steps: range) -> list[torch.Tensor]:
    for step in steps:
        set_gradients(model, gradients(model, step))
        optimizer.step()
        optimizer.zero_grad()
    return [p.detach().clone() for p in model.parameters()]


def names_in(part: torch.optim.Optimizer, model: nn.Module, decay: float | None = None) -> set[str]:
    """Of the parameters of one part, or of its groups with this weight decay."""
    names = {p: n for n, p in model.named_parameters()}
    groups = [g for g in part.param_groups if decay is None or g["weight_decay"] == decay]
    return {names[p] for g in groups for p in g["params"]}


@pytest.mark.parametrize(("kind", "rule"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam)])
def test_make_optimizer_of_a_rule_of_torch_takes_the_same_steps_bit_for_bit(
    kind: str, rule: type[torch.optim.Adam]
) -> None:
    ours, theirs = Model(), Model()
    optimizer = optim.make_optimizer(ours, changed(Config(), optimizer__kind=kind))
    matrices = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    reference = rule(groups, lr=3e-3, betas=(0.9, 0.95), foreach=False)
    for step in range(4):
        optimizer.set_learning_rate(1e-3 * (step + 1))
        for group in reference.param_groups:
            group["lr"] = 1e-3 * (step + 1)
        set_gradients(theirs, gradients(theirs, step))
        train(ours, optimizer, range(step, step + 1))
        reference.step()
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_adamw_alone_takes_the_steps_of_the_default_rule() -> None:
    ours, alone = Model(), Model()
    expected = train(ours, optim.make_optimizer(ours, Config()), range(3))
    rule = optim.adamw(alone, Config())
    for step in range(3):
        set_gradients(alone, gradients(alone, step))
        rule.step()
    assert all(torch.equal(a, b) for a, b in zip(expected, alone.parameters(), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_state_tensors_put_into_another_optimizer_go_on_bit_for_bit(kind: str) -> None:
    cfg = changed(Config(), optimizer__kind=kind)
    model, other = Model(), Model()
    optimizer, resumed = optim.make_optimizer(model, cfg), optim.make_optimizer(other, cfg)
    train(model, optimizer, range(3))
    other.load_state_dict(model.state_dict())
    saved, empty = optimizer.state_tensors(), resumed.state_tensors()
    assert saved.keys() == empty.keys()
    for name, tensor in empty.items():
        assert not tensor.any()
        tensor.copy_(saved[name])
    expected = train(model, optimizer, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(expected, train(other, resumed, range(3, 6)), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_state_tensors_made_before_the_first_step_change_nothing(kind: str) -> None:
    cfg = changed(Config(), optimizer__kind=kind)
    model, other = Model(), Model()
    optimizer, asked = optim.make_optimizer(model, cfg), optim.make_optimizer(other, cfg)
    asked.state_tensors()
    expected = train(model, optimizer, range(2))
    assert all(torch.equal(a, b) for a, b in zip(expected, train(other, asked, range(2)), strict=True))


def test_state_of_a_fused_rule_made_before_the_first_step_changes_nothing() -> None:
    results = []
    for asks in (False, True):
        model = Model()
        names = {parameter: name for name, parameter in model.named_parameters()}
        rule = torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)  # as on a GPU
        optimizer = optim.Optimizer(parts=(rule,), names=names)
        if asks:
            optimizer.state_tensors()
        results.append(train(model, optimizer, range(2)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_default_groups_decay_matrices_and_not_gains_and_biases() -> None:
    model = Model()
    (part,) = optim.make_optimizer(model, Config()).parts
    matrices = {"embed_tokens.weight", "lm_head.weight", "layer.up.weight", "layer.down.weight", "layer.experts"}
    assert names_in(part, model, 0.1) == matrices
    assert names_in(part, model, 0.0) == {"layer.up.bias", "layer.norm.weight", "layer.norm.bias"}


def test_groups_without_decay_of_embeddings_leave_out_the_output_matrix_too() -> None:
    model = Model()
    (part,) = optim.make_optimizer(model, changed(Config(), optimizer__decay_embeddings=False)).parts
    assert names_in(part, model, 0.1) == {"layer.up.weight", "layer.down.weight", "layer.experts"}


def test_gains_and_biases_stacked_into_matrices_are_vectors_all_the_same() -> None:
    stacked = torch.empty(4, 6)
    assert optim.is_vector("layers.0.q_norm.weight", stacked)
    assert optim.is_vector("layers.0.experts.up_bias", stacked)
    assert not optim.is_vector("layers.0.experts.up", stacked)


def test_muon_takes_hidden_matrices_and_adamw_the_rest_each_at_its_rate() -> None:
    model = Model()
    cfg = changed(Config(), optimizer__kind="muon", optimizer__muon_rate_ratio=10.0)
    optimizer = optim.make_optimizer(model, cfg)
    muon, adamw = optimizer.parts
    assert names_in(muon, model) == {"layer.up.weight", "layer.down.weight", "layer.experts"}
    assert names_in(muon, model) | names_in(adamw, model) == {n for n, _ in model.named_parameters()}
    optimizer.set_learning_rate(0.01)
    assert [g["lr"] for g in muon.param_groups] == [0.1]
    assert {g["lr"] for g in adamw.param_groups} == {0.01}


@pytest.mark.parametrize("kind", KINDS)
def test_optimizers_bring_a_least_squares_loss_down(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8))
    x = torch.randn(64, 8)
    y = torch.tanh(x @ torch.randn(8, 8))
    cfg = changed(Config(), optimizer__kind=kind, optimizer__learning_rate=0.02, optimizer__weight_decay=0.0)
    optimizer = optim.make_optimizer(model, cfg)
    losses = []
    for _ in range(40):
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_clip_over_the_limit_scales_all_gradients_alike_and_returns_their_norm() -> None:
    model = Model()
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, float(i + 1))
    expected = math.sqrt(sum(p.numel() * (i + 1) ** 2 for i, p in enumerate(model.parameters())))
    assert optim.clip(model, 1.0) == pytest.approx(expected)
    for i, p in enumerate(model.parameters()):
        torch.testing.assert_close(p.grad, torch.full_like(p, (i + 1) / expected), rtol=1e-5, atol=0)
    assert optim.clip(model, 5.0) == pytest.approx(1.0)
    grad = next(iter(model.parameters())).grad
    assert grad is not None
    assert grad.max().item() == pytest.approx(1 / expected)  # under the limit: untouched
