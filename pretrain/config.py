"""What a training run is set to: model, objective, optimiser, schedule, ranks, checkpoints, evaluation.

Reads:  the `with:` of a `uses: pretrain.train` step
Writes: nothing
Source: see each group's module
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.errors import FieldError
from pretrain.guard_config import EvaluationConfig, GuardConfig
from pretrain.model_config import ModelConfig
from pretrain.objective_config import ObjectiveConfig, check_architecture
from pretrain.optim_config import AverageConfig, OptimizerConfig, ScheduleConfig, check_schedule
from pretrain.ranges import at_least_zero, positive
from pretrain.run_config import (
    CheckpointConfig,
    DataConfig,
    ExportConfig,
    ParallelConfig,
    check_pieces,
    check_tensor,
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults are sized for the demo: 1.8 million parameters with a vocabulary of 8,192, a minute on two CPU cores.
    All of it is in the fingerprint, also what leaves the model's bytes as they are (tensorboard, prefetch_steps,
    keep_last): set these before a long run begins."""

    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    average: AverageConfig = field(default_factory=AverageConfig)
    data: DataConfig = field(default_factory=DataConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    guard: GuardConfig = field(default_factory=GuardConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    num_steps: int = 60
    """Optimiser steps."""
    batch_rows: int = 8
    """Rows per step over all ranks; a multiple of world_size / tensor * microbatch_rows."""
    seed: int = 1
    """Of the initial weights, the order of the rows and the sampled text."""

    def __post_init__(self) -> None:
        positive(self, "num_steps", "batch_rows")
        at_least_zero(self, "seed")
        rows_at_once = self.parallel.data_ranks * self.parallel.microbatch_rows
        if self.batch_rows % rows_at_once:
            raise FieldError(
                "batch_rows", self.batch_rows, f"a multiple of world_size / tensor * microbatch_rows = {rows_at_once}"
            )
        check_architecture(self.objective, self.model.architecture)
        check_pieces(self.data, self.objective.kind)
        check_tensor(self.parallel, self.model.shape(vocab_size=1))
        check_schedule(self.schedule, self.num_steps)
