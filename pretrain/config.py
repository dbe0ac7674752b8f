"""What a training run is set to: model, schedule, batch, precision, ranks.

Reads:  the `with:` of a `uses: pretrain.train` step
Writes: nothing
Source: architecture as Llama's (Touvron et al. 2023); optimiser settings as GPT-3's (Brown et al. 2020, appendix B):
        betas 0.9 and 0.95, weight decay 0.1, clipping at 1.0, cosine to a tenth of the peak learning rate
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import FieldError


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults are sized for the demo: 1.8 million parameters with a vocabulary of 8,192, a minute on two CPU cores.

    Everything here decides the model's bytes, `world_size` too: with another number of ranks the gradients are summed
    in another order, and the last bits differ.
    """

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
    num_steps: int = 60
    """Optimiser steps."""
    batch_rows: int = 8
    """Rows per step over all ranks; a multiple of world_size * microbatch_rows."""
    microbatch_rows: int = 4
    """Rows a rank runs forward and backward at once; memory grows with it, the gradients are summed up."""
    learning_rate: float = 3e-3
    """The peak, reached after warmup_steps."""
    min_learning_rate_ratio: float = 0.1
    """The learning rate of the last step, as a share of the peak."""
    warmup_steps: int = 6
    """Steps over which the learning rate rises in a line from nearly nothing to its peak."""
    weight_decay: float = 0.1
    """Of matrices; the norms' gains have none."""
    beta1: float = 0.9
    beta2: float = 0.95
    """AdamW's decay of the gradients' first and second moment."""
    grad_clip: float = 1.0
    """The gradients are scaled down to this norm where they exceed it."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """What blocks compute in. With bf16, weights, optimiser state and the sum over ranks stay fp32."""
    seed: int = 1
    """Of the initial weights, the order of the rows and the sampled text."""
    world_size: int = 2
    """Ranks the model is sharded over."""
    checkpoint_every: int = 20
    """Steps between checkpoints; a killed run repeats fewer than this."""
    keep_checkpoints: int = 2
    """Older checkpoints are deleted; with two, one may be damaged and the run still resumes."""
    validate_every: int = 20
    """Steps between measurements on the validation rows; the first and the last step are always measured."""
    validation_rows: int = 32
    """How many validation rows are measured (all, where there are fewer)."""
    num_samples: int = 4
    """Continuations of validation documents shown in the report."""
    sample_tokens: int = 48
    """Tokens in a prompt of these, and in its continuation."""

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_shapes()

    def _check_ranges(self) -> None:
        positive = (
            "dim", "num_layers", "num_heads", "num_kv_heads", "ffn_dim", "rope_theta", "norm_eps", "num_steps",
            "batch_rows", "microbatch_rows", "learning_rate", "grad_clip", "world_size", "checkpoint_every",
            "keep_checkpoints", "validate_every", "sample_tokens",
        )  # fmt: skip
        for name in positive:
            if not 0 < getattr(self, name) < math.inf:  # not a number is neither
                raise FieldError(name, getattr(self, name), "more than 0")
        for name in ("warmup_steps", "weight_decay", "validation_rows", "num_samples", "seed"):
            if not 0 <= getattr(self, name) < math.inf:
                raise FieldError(name, getattr(self, name), "0 or more")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "at least 0 and less than 1")
        if not 0 <= self.min_learning_rate_ratio <= 1:
            raise FieldError("min_learning_rate_ratio", self.min_learning_rate_ratio, "from 0 to 1")

    def _check_shapes(self) -> None:
        if self.dim % (2 * self.num_heads):
            raise FieldError("dim", self.dim, f"a multiple of 2 * num_heads = {2 * self.num_heads}")
        if self.num_heads % self.num_kv_heads:
            raise FieldError("num_kv_heads", self.num_kv_heads, f"a divisor of num_heads = {self.num_heads}")
        rows_at_once = self.world_size * self.microbatch_rows
        if self.batch_rows % rows_at_once:
            raise FieldError(
                "batch_rows", self.batch_rows, f"a multiple of world_size * microbatch_rows = {rows_at_once}"
            )
        if self.warmup_steps >= self.num_steps:
            raise FieldError("warmup_steps", self.warmup_steps, f"fewer than num_steps = {self.num_steps}")
