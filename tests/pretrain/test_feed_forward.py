from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.feed_forward import Experts, FeedForward
from pretrain.model import build
from tests.pretrain.architectures import DECODERS, SMALL, VOCAB_SIZE

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = DECODERS["experts"].shape(VOCAB_SIZE)
X_BTC = torch.randn((2, 9, 48), generator=torch.Generator().manual_seed(0))


def experts() -> Experts:
    torch.manual_seed(4)
    layer = Experts(SHAPE)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def by_hand(layer: Experts, x_C: Tensor) -> Tensor:
    """One token through the two experts of the largest shares, their weights scaled to a sum of 1."""
    share = layer.router(x_C).softmax(-1)
    picked = sorted(range(4), key=lambda e: -share[e].item())[:2]
    out = torch.zeros_like(x_C)
    for e in picked:
        inner = F.silu(layer.gate_proj.weight[e] @ x_C) * (layer.up_proj.weight[e] @ x_C)
        out += share[e] / sum(share[p] for p in picked) * (layer.down_proj.weight[e] @ inner)
    return out


@torch.no_grad()
@pytest.mark.parametrize("crowded", [False, True])
def test_experts_compute_every_token_however_crowded_one_is(crowded: bool) -> None:
    layer = experts()
    if crowded:  # all tokens want experts 0 and 1
        layer.router.weight.zero_()
        layer.router.weight[:2, 0] = torch.tensor([9.0, 8.0])
    x_BTC = X_BTC.abs() if crowded else X_BTC
    found, balance = layer(x_BTC)
    expected = torch.stack([by_hand(layer, x_C) for x_C in x_BTC.flatten(0, 1)]).view_as(x_BTC)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    share_NE = layer.router(x_BTC).flatten(0, 1).softmax(-1)
    used = [sum(e in row.topk(2).indices.tolist() for row in share_NE) / len(share_NE) / 2 for e in range(4)]
    by_loop = 4 * sum(used[e] * share_NE[:, e].mean().item() for e in range(4))
    assert balance.item() == pytest.approx(by_loop, rel=1e-5)
    assert (balance.item() > 1.5) == crowded


def test_balance_loss_followed_alone_spreads_the_tokens_evenly() -> None:
    layer = experts()
    optimizer = torch.optim.Adam(layer.router.parameters(), lr=0.03)
    before = layer(X_BTC.abs())[1].item()
    for _ in range(60):
        balance = layer(X_BTC.abs())[1]
        balance.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert before > 1.5
    assert balance.item() < 1.1


def test_auxiliary_loss_is_the_weighted_mean_over_blocks_and_none_without_experts() -> None:
    cfg = replace(DECODERS["experts"], balance_weight=0.5)
    model = build(cfg, VOCAB_SIZE)
    ids = torch.arange(20)[None]
    model(ids, torch.zeros_like(ids), ids)
    assert len(model.balances) == 2
    expected = 0.5 * (model.balances[0] + model.balances[1]) / 2
    assert model.auxiliary_loss().item() == pytest.approx(expected.item())
    dense = build(SMALL, VOCAB_SIZE)
    dense(ids, torch.zeros_like(ids), ids)
    assert dense.auxiliary_loss().item() == 0


@pytest.mark.parametrize(
    ("kind", "by_formula"),
    [
        ("relu2", lambda x: torch.where(x > 0, x * x, 0.0)),
        ("gelu", lambda x: x * 0.5 * (1 + torch.erf(x / 2**0.5))),
        ("silu", lambda x: x / (1 + torch.exp(-x))),
    ],
)
@torch.no_grad()
def test_feed_forward_without_a_gate_is_two_matrices_around_its_nonlinearity(kind: str, by_formula) -> None:
    layer = FeedForward(replace(SMALL, feed_forward=kind).shape(VOCAB_SIZE))
    expected = by_formula(X_BTC @ layer.up_proj.weight.T) @ layer.down_proj.weight.T
    torch.testing.assert_close(layer(X_BTC)[0], expected, atol=1e-5, rtol=1e-5)
    assert len(list(layer.parameters())) == 2
