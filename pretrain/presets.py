"""Sizes by name, and how many parameters and floating point operations a model of any size has: by formula, no torch.

Reads:  a ModelConfig
Writes: nothing
Cost:   -
Source: 7b, 13b and 70b are Llama 2's (Touvron et al. 2023), 34b Code Llama's (Roziere et al. 2023), 8b Llama 3's; the
        smaller ones have the same proportions with grouped-query attention. Operations are counted as by PaLM
        (Chowdhery et al. 2022, appendix B): matrix products only, two per multiply-add, attention over the whole
        length (a kernel that leaves out later positions or other documents does less)

A name tells the parameters with the vocabulary it was sized for: 8,192 tokens up to 25m, 32,000 from 125m on, Llama 3's
128,256 for 8b. Another vocabulary gives another count: `num_parameters` has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pretrain.shape import Shape

if TYPE_CHECKING:
    from pretrain.model_config import ModelConfig


@dataclass(frozen=True)
class Size:
    """What a preset sets."""

    dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    ffn_dim: int
    tie_embeddings: bool
    rope_theta: float = 10_000.0


DEMO = Size(dim=128, num_layers=4, num_heads=4, num_kv_heads=2, ffn_dim=352, tie_embeddings=True)  # without a preset
SIZES = {
    "1m": Size(64, 10, 4, 2, 192, True),
    "10m": Size(256, 10, 8, 4, 768, True),
    "25m": Size(384, 14, 6, 2, 1024, True),
    "125m": Size(768, 16, 12, 4, 2048, True),
    "350m": Size(1024, 28, 16, 4, 2816, True),
    "760m": Size(1536, 28, 12, 4, 4096, True),
    "1.3b": Size(2048, 28, 16, 4, 5632, True),
    "2.7b": Size(2560, 36, 20, 4, 7168, False),
    "7b": Size(4096, 32, 32, 32, 11008, False),
    "8b": Size(4096, 32, 32, 8, 14336, False, 500_000.0),
    "13b": Size(5120, 40, 40, 40, 13824, False),
    "34b": Size(8192, 48, 64, 8, 22016, False, 1_000_000.0),
    "70b": Size(8192, 80, 64, 8, 28672, False),
}


def num_parameters(cfg: ModelConfig, vocab_size: int) -> int:
    """Parameters of the built model; a tied output matrix counts once."""
    shape = cfg.shape(vocab_size)
    return _num_parameters(shape, shape.num_experts)


def num_active_parameters(cfg: ModelConfig, vocab_size: int) -> int:
    """Parameters a token is computed with: of the experts only those it is sent to. Without experts, all."""
    shape = cfg.shape(vocab_size)
    return _num_parameters(shape, min(shape.num_experts, shape.experts_per_token))


def flops_per_token(cfg: ModelConfig, vocab_size: int, length: int, target_length: int | None = None) -> float:
    """Floating point operations to train on a token, forward and backward, in rows of `length` tokens.

    Of an encoder-decoder: the mean over the row's `length` positions read and `target_length` written (as many, if not
    given). The backward pass is twice the forward one: a product for the inputs' and one for the weights' gradient.
    """
    return 3 * forward_flops_per_token(cfg, vocab_size, length, target_length)


def forward_flops_per_token(cfg: ModelConfig, vocab_size: int, length: int, target_length: int | None = None) -> float:
    """As `flops_per_token`, of the forward pass alone."""
    shape = cfg.shape(vocab_size)
    attention, feed_forward = _attention_matrices(shape), _feed_forward_matrices(shape, shape.experts_per_token)
    head = shape.dim * vocab_size
    block = 2 * (attention + feed_forward) + 4 * shape.dim * length  # 4: scores and weighted values
    if shape.architecture != "encoder_decoder":
        return float(shape.num_layers * block + 2 * head)
    target = length if target_length is None else target_length
    read = shape.num_encoder_layers * block * length
    own = 2 * (attention + feed_forward) + 4 * shape.dim * target
    # of the cross attention two matrices see the positions read, and two those written
    keys, queries = 2 * 2 * shape.dim * shape.kv_dim, 2 * 2 * shape.dim * shape.dim
    written = shape.num_layers * (target * (own + queries + 4 * shape.dim * length) + length * keys)
    return (read + written + 2 * head * target) / (length + target)


def _num_parameters(shape: Shape, num_experts: int) -> int:
    qk_norms = 2 * shape.head_dim if shape.qk_norm else 0
    attention = _attention_matrices(shape) + qk_norms
    block = attention + _feed_forward_matrices(shape, num_experts) + 2 * shape.dim
    total = shape.vocab_size * shape.dim * (1 if shape.tie_embeddings else 2)
    if shape.positions == "learned":
        total += shape.max_positions * shape.dim
    total += shape.num_layers * block + shape.dim
    if shape.architecture == "encoder_decoder":
        total += shape.num_layers * (attention + shape.dim)  # the cross attention and its norm
        total += shape.num_encoder_layers * block + shape.dim
    return total


def _attention_matrices(shape: Shape) -> int:
    return 2 * shape.dim * shape.dim + 2 * shape.dim * shape.kv_dim


def _feed_forward_matrices(shape: Shape, num_experts: int) -> int:
    one = (3 if shape.feed_forward == "swiglu" else 2) * shape.dim * shape.ffn_dim
    return num_experts * one + shape.num_experts * shape.dim if shape.num_experts else one
