"""What a training run is set to: model, objective, optimiser, schedule, ranks, checkpoints, evaluation.

Reads:  the `with:` of a `uses: pretrain.train` step
Writes: nothing
Source: architecture as Llama's (Touvron et al. 2023); optimiser settings as GPT-3's (Brown et al. 2020, appendix B):
        betas 0.9 and 0.95, weight decay 0.1, clipping at 1.0, cosine to a tenth of the peak learning rate
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pipeline.errors import FieldError
from pretrain.model_config import ModelConfig
from pretrain.ranges import at_least_zero, positive, share


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How gradients change the weights."""

    learning_rate: float = 3e-3
    """The peak, reached after the schedule's warmup_steps."""
    weight_decay: float = 0.1
    """Of matrices; the norms' gains have none."""
    beta1: float = 0.9
    beta2: float = 0.95
    """AdamW's decay of the gradients' first and second moment."""
    grad_clip: float = 1.0
    """The gradients are scaled down to this norm where they exceed it."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate", "grad_clip")
        at_least_zero(self, "weight_decay")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "at least 0 and less than 1")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over the steps: a line up to its peak, then half a cosine."""

    warmup_steps: int = 6
    """Steps over which the learning rate rises in a line from nearly nothing to its peak."""
    min_ratio: float = 0.1
    """The learning rate of the last step, as a share of the peak."""

    def __post_init__(self) -> None:
        at_least_zero(self, "warmup_steps")
        share(self, "min_ratio")


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How the work is divided over ranks. It decides the model's bytes too: with another number of ranks the gradients
    are summed in another order, and the last bits differ."""

    world_size: int = 2
    """Ranks the model is sharded over."""
    microbatch_rows: int = 4
    """Rows a rank runs forward and backward at once; memory grows with it, the gradients are summed up."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """What blocks compute in. With bf16, weights, optimiser state and the sum over ranks stay fp32."""

    def __post_init__(self) -> None:
        positive(self, "world_size", "microbatch_rows")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written, and which are kept."""

    every_steps: int = 20
    """Steps between checkpoints; a killed run repeats fewer than this."""
    keep_last: int = 2
    """Older checkpoints are deleted; with two, one may be damaged and the run still resumes."""

    def __post_init__(self) -> None:
        positive(self, "every_steps", "keep_last")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What is measured on the validation rows, and which text is shown."""

    every_steps: int = 20
    """Steps between measurements on the validation rows; the first and the last step are always measured."""
    rows: int = 32
    """How many validation rows are measured (all, where there are fewer)."""
    num_samples: int = 4
    """Continuations of validation documents shown in the report."""
    sample_tokens: int = 48
    """Tokens in a prompt of these, and in its continuation."""

    def __post_init__(self) -> None:
        positive(self, "every_steps", "sample_tokens")
        at_least_zero(self, "rows", "num_samples")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults are sized for the demo: 1.8 million parameters with a vocabulary of 8,192, a minute on two CPU cores.
    Everything here decides the model's bytes."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    num_steps: int = 60
    """Optimiser steps."""
    batch_rows: int = 8
    """Rows per step over all ranks; a multiple of world_size * microbatch_rows."""
    seed: int = 1
    """Of the initial weights, the order of the rows and the sampled text."""

    def __post_init__(self) -> None:
        positive(self, "num_steps", "batch_rows")
        at_least_zero(self, "seed")
        rows_at_once = self.parallel.world_size * self.parallel.microbatch_rows
        if self.batch_rows % rows_at_once:
            raise FieldError(
                "batch_rows", self.batch_rows, f"a multiple of world_size * microbatch_rows = {rows_at_once}"
            )
        if self.schedule.warmup_steps >= self.num_steps:
            raise FieldError(
                "schedule", f"warmup_steps {self.schedule.warmup_steps}", f"fewer than num_steps = {self.num_steps}"
            )
