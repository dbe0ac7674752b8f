"""Feed-forward layers: one for all tokens, or a mixture of experts.

Reads:  the residual stream, normed
Writes: what is added to it
Cost:   2 * matrices * dim * ffn_dim operations per token, of experts as many times as the router picks
Source: SwiGLU: Shazeer 2020; ReLU squared: So et al. 2021; experts and their balance: Fedus et al. 2022, equations 4 to
        6, with weights of the picked ones scaled to a sum of 1 as by Mixtral (Jiang et al. 2024)

Shapes: N tokens, C width of the residual stream, E experts, K experts of a token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.shape import FeedForwardKind, Shape


def _relu2(x: Tensor) -> Tensor:
    return F.relu(x).square()


ACTIVATIONS: dict[FeedForwardKind, Callable[[Tensor], Tensor]] = {
    "swiglu": F.silu, "gelu": F.gelu, "relu2": _relu2, "silu": F.silu,
}  # fmt: skip


class FeedForward(nn.Module):
    """The same matrices for every token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[shape.feed_forward]
        self.is_gated = shape.feed_forward == "swiglu"
        if self.is_gated:
            self.gate_proj = nn.Linear(shape.dim, shape.ffn_dim, bias=False)
        self.up_proj = nn.Linear(shape.dim, shape.ffn_dim, bias=False)
        self.down_proj = nn.Linear(shape.ffn_dim, shape.dim, bias=False)

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, None]:
        """The output, and None: there is nothing to balance."""
        if self.is_gated:
            inner = self.activation(self.gate_proj(x_BTC)) * self.up_proj(x_BTC)
        else:
            inner = self.activation(self.up_proj(x_BTC))
        return self.down_proj(inner), None


class Stack(nn.Module):
    """One matrix per expert, in one tensor [E, out, in]: sharded evenly, whichever experts a batch uses."""

    def __init__(self, num_experts: int, num_in: int, num_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_experts, num_out, num_in))
        for matrix in self.weight.unbind():
            nn.init.kaiming_uniform_(matrix, a=5**0.5)  # as nn.Linear

    def forward(self, x_NC: Tensor, expert: int) -> Tensor:
        return F.linear(x_NC, self.weight[expert])


class Experts(nn.Module):
    """Every token is computed by the K experts the router finds likeliest. None has a capacity, so none is dropped."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[shape.feed_forward]
        self.is_gated = shape.feed_forward == "swiglu"
        self.num_experts, self.num_picked = shape.num_experts, shape.experts_per_token
        self.router = nn.Linear(shape.dim, shape.num_experts, bias=False)
        if self.is_gated:
            self.gate_proj = Stack(shape.num_experts, shape.dim, shape.ffn_dim)
        self.up_proj = Stack(shape.num_experts, shape.dim, shape.ffn_dim)
        self.down_proj = Stack(shape.num_experts, shape.ffn_dim, shape.dim)

    def forward(self, x_BTC: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and how unequally the experts were used: 1 where all are used alike, E where only one is."""
        x_NC = x_BTC.flatten(0, 1)
        share_NE = self.router(x_NC).float().softmax(-1)
        weight_NK, expert_NK = share_NE.topk(self.num_picked)
        weight_NK = (weight_NK / weight_NK.sum(-1, keepdim=True)).to(x_NC.dtype)
        # tokens in the order of their experts, one run per expert
        order = expert_NK.flatten().argsort(stable=True)
        count_E = expert_NK.flatten().bincount(minlength=self.num_experts)
        runs = x_NC[order // self.num_picked].split(count_E.tolist())
        found = torch.cat([self._expert(run, expert) for expert, run in enumerate(runs)])
        picked_NKC = found[order.argsort()].unflatten(0, (len(x_NC), self.num_picked))
        out_NC = (picked_NKC * weight_NK[:, :, None]).sum(1)
        used_E = count_E / (len(x_NC) * self.num_picked)
        return out_NC.view_as(x_BTC), self.num_experts * (used_E * share_NE.mean(0)).sum()

    def _expert(self, x_NC: Tensor, expert: int) -> Tensor:
        inner = self.activation((self.gate_proj if self.is_gated else self.up_proj)(x_NC, expert))
        if self.is_gated:
            inner = inner * self.up_proj(x_NC, expert)
        found: Tensor = self.down_proj(inner, expert)
        return found
