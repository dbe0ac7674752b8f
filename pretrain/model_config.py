"""The model's architecture and size.

Reads:  `model:` of a `uses: pretrain.train` step
Writes: nothing
Cost:   -
Source: Touvron et al. 2023
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import FieldError
from pretrain.ranges import positive


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder as Llama's."""

    dim: int = 128
    """Width of the residual stream; a multiple of 2 * num_heads."""
    num_layers: int = 4
    """Blocks of attention and feed-forward."""
    num_heads: int = 4
    """Query heads; each is dim / num_heads wide."""
    num_kv_heads: int = 2
    """Key and value heads, shared by groups of query heads; divides num_heads."""
    ffn_dim: int = 352
    """Inner width of the feed-forward; 8/3 of dim, rounded up to a multiple of 32, keeps SwiGLU at the usual size."""
    rope_theta: float = 10_000.0
    """Base of the rotary wavelengths."""
    norm_eps: float = 1e-5
    """Added to the mean square in RMSNorm."""

    def __post_init__(self) -> None:
        positive(self, "dim", "num_layers", "num_heads", "num_kv_heads", "ffn_dim", "rope_theta", "norm_eps")
        if self.dim % (2 * self.num_heads):
            raise FieldError("dim", self.dim, f"a multiple of 2 * num_heads = {2 * self.num_heads}")
        if self.num_heads % self.num_kv_heads:
            raise FieldError("num_kv_heads", self.num_kv_heads, f"a divisor of num_heads = {self.num_heads}")
