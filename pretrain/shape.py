"""All that decides a model's tensors, with every size filled in.

Reads:  nothing
Writes: nothing
Cost:   -
Source: -
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Architecture = Literal["decoder", "encoder", "encoder_decoder"]
Norm = Literal["rmsnorm", "layernorm"]
Positions = Literal["rope", "learned", "sinusoidal"]
FeedForwardKind = Literal["swiglu", "gelu", "relu2", "silu"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Fields as in pretrain.model_config. It names a model of an export, so no field of it may change its meaning."""

    vocab_size: int
    dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_dim: int
    rope_theta: float
    norm_eps: float
    architecture: Architecture = "decoder"
    num_encoder_layers: int = 0
    """Of an encoder_decoder; `num_layers` are its decoder's."""
    norm: Norm = "rmsnorm"
    positions: Positions = "rope"
    max_positions: int = 2048
    feed_forward: FeedForwardKind = "swiglu"
    qk_norm: bool = False
    num_experts: int = 0
    experts_per_token: int = 2
    balance_weight: float = 0.01
    tie_embeddings: bool = True
    dropout: float = 0.0

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @property
    def kv_dim(self) -> int:
        return self.num_kv_heads * self.head_dim
