from __future__ import annotations

import itertools
import math

import pytest
import torch

from pretrain import optim
from pretrain.config import Config
from pretrain.model import Shape, Transformer
from tests.pretrain.configs import changed

SHAPE = Shape(
    vocab_size=20, dim=8, num_layers=1, num_heads=2, num_kv_heads=1, ffn_dim=16, rope_theta=1e4, norm_eps=1e-5
)


def test_learning_rate_over_a_run_rises_in_a_line_and_falls_along_a_cosine_to_its_least() -> None:
    cfg = changed(
        Config(), num_steps=101, schedule__warmup_steps=20, optimizer__learning_rate=2.0, schedule__min_ratio=0.1
    )
    rates = [optim.learning_rate(cfg, step) for step in range(cfg.num_steps)]
    rises = [b - a for a, b in itertools.pairwise(rates[:21])]
    assert rises == pytest.approx([rises[0]] * 20)
    assert rates[0] > 0
    assert max(rates) == rates[20] == 2.0
    assert rates[60] == pytest.approx(1.1)  # halfway down
    assert rates[-1] == pytest.approx(0.2)
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_learning_rate_of_the_shortest_run_is_the_peak() -> None:
    single = changed(Config(), num_steps=1, schedule__warmup_steps=0)
    assert optim.learning_rate(single, 0) == single.optimizer.learning_rate


def test_adamw_step_without_gradient_decays_matrices_only() -> None:
    model = Transformer(SHAPE)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer = optim.adamw(model, changed(Config(), optimizer__learning_rate=0.1, optimizer__weight_decay=0.5))
    optimizer.step()
    for name, p in model.named_parameters():
        factor = 1.0 if name.endswith(("layernorm.weight", "norm.weight")) else 0.95
        torch.testing.assert_close(p.detach(), before[name] * factor)


def test_clip_over_the_limit_scales_all_gradients_alike_and_returns_their_norm() -> None:
    model = Transformer(SHAPE)
    for i, p in enumerate(model.parameters()):
        p.grad = torch.full_like(p, float(i + 1))
    expected = math.sqrt(sum(p.numel() * (i + 1) ** 2 for i, p in enumerate(model.parameters())))
    assert optim.clip(model, 1.0) == pytest.approx(expected)
    for i, p in enumerate(model.parameters()):
        torch.testing.assert_close(p.grad, torch.full_like(p, (i + 1) / expected), rtol=1e-5, atol=0)
    assert optim.clip(model, 5.0) == pytest.approx(1.0)
    assert next(iter(model.parameters())).grad.max().item() == pytest.approx(1 / expected)  # under the limit: untouched
