"""The model's architecture and size.

Reads:  `model:` of a `uses: pretrain.train` step
Writes: nothing
Cost:   -
Source: the defaults are a small Llama (Touvron et al. 2023); see pretrain.model for the rest
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import FieldError
from pretrain.presets import DEMO, SIZES
from pretrain.ranges import at_least_zero, positive
from pretrain.shape import Architecture, FeedForwardKind, Norm, Positions, Shape

Preset = Literal["1m", "10m", "25m", "125m", "350m", "760m", "1.3b", "2.7b", "7b", "8b", "13b", "34b", "70b"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A decoder as Llama's, unless told otherwise. Sizes that are null come from the preset; without one they are the
    demo's, of 1.8 million parameters with a vocabulary of 8,192. `shape` has them filled in."""

    preset: Preset | None = None
    """Sizes by name; each of the next five, tie_embeddings and rope_theta may still be set."""
    dim: int | None = None
    """Width of the residual stream; a multiple of 2 * num_heads. The demo's is 128."""
    num_layers: int | None = None
    """Blocks of attention and feed-forward; of an encoder_decoder, the decoder's. The demo's: 4."""
    num_heads: int | None = None
    """Query heads; each is dim / num_heads wide. The demo's: 4."""
    num_kv_heads: int | None = None
    """Key and value heads, shared by groups of query heads; divides num_heads; 1 is multi-query. The demo's: 2."""
    ffn_dim: int | None = None
    """Inner width of the feed-forward; 8/3 of dim, rounded up to a multiple of 32, keeps SwiGLU at the usual size; for
    the others 4 * dim. The demo's: 352."""
    tie_embeddings: bool | None = None
    """Whether the output matrix is the embedding. The demo's is."""
    rope_theta: float | None = None
    """Base of the rotary wavelengths. The demo's: 10,000."""
    architecture: Architecture = "decoder"
    """encoder: every position sees its whole document (masked LM); encoder_decoder: for span corruption."""
    num_encoder_layers: int | None = None
    """Of an encoder_decoder; as many as num_layers, if null."""
    norm: Norm = "rmsnorm"
    """In front of attention and feed-forward, and at the end. layernorm has no bias."""
    norm_eps: float = 1e-5
    """Added to the mean square (rmsnorm) or the variance (layernorm)."""
    positions: Positions = "rope"
    """How a token's place in its document is told."""
    max_positions: int = 2048
    """Rows of the table of learned positions; at least the length of a packed row."""
    feed_forward: FeedForwardKind = "swiglu"
    """The nonlinearity; swiglu has a gate, and so three matrices, the others two."""
    qk_norm: bool = False
    """RMSNorm on each query and key head, as in Qwen3; steadies training at high learning rates."""
    num_experts: int = 0
    """Feed-forwards in each block of which a router picks some for every token; 0: one, for all tokens."""
    experts_per_token: int = 2
    """How many the router picks. Each token is computed by all it was sent to; there is no capacity to run over."""
    balance_weight: float = 0.01
    """Of the loss that keeps the experts equally used."""
    dropout: float = 0.0
    """Share of the embedding's channels, and of what attention and feed-forward add, set to 0 in training."""

    def __post_init__(self) -> None:
        at_least_zero(self, "num_experts", "balance_weight")
        positive(self, "norm_eps", "max_positions", "experts_per_token")
        sizes = ("dim", "num_layers", "num_heads", "num_kv_heads", "ffn_dim", "rope_theta", "num_encoder_layers")
        positive(self, *(name for name in sizes if getattr(self, name) is not None))
        if self.preset is not None and self.preset not in SIZES:
            raise FieldError("preset", self.preset, f"one of {', '.join(SIZES)}")
        if not 0 <= self.dropout < 1:
            raise FieldError("dropout", self.dropout, "at least 0 and less than 1")
        if self.num_encoder_layers is not None and self.architecture != "encoder_decoder":
            raise FieldError(
                "num_encoder_layers", self.num_encoder_layers, f"null where architecture is {self.architecture}"
            )
        if self.num_experts and self.experts_per_token > self.num_experts:
            raise FieldError(
                "experts_per_token", self.experts_per_token, f"at most num_experts = {self.num_experts}"
            )  # fmt: skip
        shape = self.shape(vocab_size=1)
        if shape.dim % (2 * shape.num_heads):
            raise FieldError("dim", shape.dim, f"a multiple of 2 * num_heads = {2 * shape.num_heads}")
        if shape.num_heads % shape.num_kv_heads:
            raise FieldError("num_kv_heads", shape.num_kv_heads, f"a divisor of num_heads = {shape.num_heads}")

    def shape(self, vocab_size: int) -> Shape:
        """Every size filled in: what is set here, else what the preset has."""
        size = DEMO if self.preset is None else SIZES[self.preset]
        num_layers = self.num_layers or size.num_layers
        encoder_layers = (self.num_encoder_layers or num_layers) if self.architecture == "encoder_decoder" else 0
        return Shape(
            vocab_size=vocab_size, dim=self.dim or size.dim, num_layers=num_layers,
            num_heads=self.num_heads or size.num_heads, num_kv_heads=self.num_kv_heads or size.num_kv_heads,
            ffn_dim=self.ffn_dim or size.ffn_dim, rope_theta=self.rope_theta or size.rope_theta, norm_eps=self.norm_eps,
            architecture=self.architecture, num_encoder_layers=encoder_layers, norm=self.norm, positions=self.positions,
            max_positions=self.max_positions, feed_forward=self.feed_forward, qk_norm=self.qk_norm,
            num_experts=self.num_experts, experts_per_token=self.experts_per_token, balance_weight=self.balance_weight,
            tie_embeddings=size.tie_embeddings if self.tie_embeddings is None else self.tie_embeddings,
            dropout=self.dropout,
        )  # fmt: skip

    def check_length(self, length: int) -> None:
        """FieldError where rows of `length` tokens have positions the model has no embedding for."""
        if self.positions == "learned" and self.max_positions < length:
            raise FieldError("max_positions", self.max_positions, f"at least the rows' length, {length}")
