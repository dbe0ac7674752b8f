"""A decoder-only transformer, to the letter Llama's, so that transformers' LlamaForCausalLM loads its weights.

Reads:  token ids with the segment each position belongs to, and its place in that segment
Writes: logits
Cost:   2 * parameters + 4 * num_layers * T * dim floating point operations per token forward, three times that to train
Source: Touvron et al. 2023; RMSNorm: Zhang and Sennrich 2019; RoPE: Su et al. 2021, with halves rotated as in
        transformers; SwiGLU: Shazeer 2020; grouped-query attention: Ainslie et al. 2023; tied embeddings: Press and
        Wolf 2017

Shapes: B rows, T positions, C dim, H query heads, K key/value heads, D width of a head, V vocabulary.
Parameters are named as in transformers, without the prefix `model.`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INIT_STD = 0.02  # GPT-2's


@dataclass(frozen=True, kw_only=True)
class Shape:
    """All that decides the model's tensors; fields as in pretrain.config."""

    vocab_size: int
    dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_dim: int
    rope_theta: float
    norm_eps: float

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads


def segment_mask(segment_BT: Tensor) -> Tensor:
    """Bool [B, 1, T, T], true where the query (third axis) may see the key: same segment, not later."""
    same_BTT = segment_BT[:, :, None] == segment_BT[:, None, :]
    return same_BTT.tril()[:, None]


def rotary_angles(position_BT: Tensor, head_dim: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines, float32 [B, 1, T, D]; the two halves of D hold the same angles."""
    frequency = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32, device=position_BT.device) / head_dim)
    angle = position_BT[:, None, :, None].float() * frequency
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos(), angle.sin()


def rotate(x_BHTD: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x_BHTD.chunk(2, dim=-1)
    return x_BHTD * cos + torch.cat((-second, first), dim=-1) * sin


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps), computed in float32, times a gain per channel."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x_BTC: Tensor) -> Tensor:
        x = x_BTC.float()
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * x.to(x_BTC.dtype)


class Attention(nn.Module):
    """Grouped-query attention over the positions the mask allows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        kv_dim = shape.num_kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.dim, shape.dim, bias=False)
        self.k_proj = nn.Linear(shape.dim, kv_dim, bias=False)
        self.v_proj = nn.Linear(shape.dim, kv_dim, bias=False)
        self.o_proj = nn.Linear(shape.dim, shape.dim, bias=False)

    def forward(self, x_BTC: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        B, T, C = x_BTC.shape
        q_BHTD = self.q_proj(x_BTC).view(B, T, self.shape.num_heads, -1).transpose(1, 2)
        k_BKTD = self.k_proj(x_BTC).view(B, T, self.shape.num_kv_heads, -1).transpose(1, 2)
        v_BKTD = self.v_proj(x_BTC).view(B, T, self.shape.num_kv_heads, -1).transpose(1, 2)
        group = self.shape.num_heads // self.shape.num_kv_heads
        k_BHTD = rotate(k_BKTD, cos, sin).repeat_interleave(group, dim=1)
        v_BHTD = v_BKTD.repeat_interleave(group, dim=1)
        out_BHTD = F.scaled_dot_product_attention(rotate(q_BHTD, cos, sin), k_BHTD, v_BHTD, attn_mask=mask)
        return self.o_proj(out_BHTD.transpose(1, 2).reshape(B, T, C))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.dim, shape.ffn_dim, bias=False)
        self.up_proj = nn.Linear(shape.dim, shape.ffn_dim, bias=False)
        self.down_proj = nn.Linear(shape.ffn_dim, shape.dim, bias=False)

    def forward(self, x_BTC: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x_BTC)) * self.up_proj(x_BTC))


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(shape.dim, shape.norm_eps)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = RMSNorm(shape.dim, shape.norm_eps)
        self.mlp = FeedForward(shape)

    def forward(self, x_BTC: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        x_BTC = x_BTC + self.self_attn(self.input_layernorm(x_BTC), cos, sin, mask)
        return x_BTC + self.mlp(self.post_attention_layernorm(x_BTC))


class Transformer(nn.Module):
    """The whole model; the embedding is the output matrix as well."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.dim)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.num_layers))
        self.norm = RMSNorm(shape.dim, shape.norm_eps)

    def forward(self, ids_BT: Tensor, segment_BT: Tensor, position_BT: Tensor) -> Tensor:
        """Logits [B, T, V] of the token after each position. A position sees its own segment only.

        `position_BT` counts from 0 in every segment. All three are int64.
        """
        cos, sin = rotary_angles(position_BT, self.shape.head_dim, self.shape.rope_theta)
        mask = segment_mask(segment_BT)
        x_BTC = self.embed_tokens(ids_BT)
        cos, sin = cos.to(x_BTC.dtype), sin.to(x_BTC.dtype)
        for layer in self.layers:
            x_BTC = layer(x_BTC, cos, sin, mask)
        return F.linear(self.norm(x_BTC), self.embed_tokens.weight)


def initialise(model: Transformer, seed: int) -> None:
    """Normal weights of deviation 0.02; what writes into the residual stream is scaled by 1 / sqrt(2 * num_layers).

    The same weights whatever the number of ranks. Source: GPT-2 (Radford et al. 2019, section 2.3).
    """
    generator = torch.Generator().manual_seed(seed)
    residual_std = INIT_STD / math.sqrt(2 * model.shape.num_layers)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue  # norm gains stay 1
        into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
        nn.init.normal_(parameter, std=residual_std if into_residual else INIT_STD, generator=generator)


def num_parameters(model: Transformer) -> int:
    return sum(p.numel() for p in model.parameters())
