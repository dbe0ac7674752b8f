"""How a training run is carried out: ranks and meshes, checkpoints, reading of the data.

Reads:  `parallel:`, `checkpoint:` and `data:` of a `uses: pretrain.train` step
Writes: nothing
Cost:   -
Source: -
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pipeline.errors import FieldError
from pretrain.ranges import at_least_zero, positive
from pretrain.shape import Shape


@dataclass(frozen=True, kw_only=True)
class ParallelConfig:
    """How the work is divided over ranks. It decides the model's bytes too: with another number of ranks the gradients
    are summed in another order, and the last bits differ."""

    world_size: int = 2
    """Ranks in all: replicas * shards of the model * tensor."""
    min_workers: int = 0
    """On Ray, go on with as few ranks as this where the cluster has no more, and with up to world_size again once it
    does. The model's bytes then depend on when that happened. 0: always world_size, always the same bytes."""
    replicas: int = 1
    """Copies of the sharded model: gradients are scattered inside a copy and summed over the copies (HSDP)."""
    tensor: int = 1
    """Ranks that share every matrix of attention and feed-forward by heads and columns (tensor parallelism)."""
    microbatch_rows: int = 4
    """Rows a rank runs forward and backward at once; memory grows with it, the gradients are summed up."""
    dtype: Literal["fp32", "bf16"] = "fp32"
    """What blocks compute in. With bf16, weights, optimiser state and the sum over ranks stay fp32."""
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    """What a block computes again in the backward pass instead of keeping it: nothing; all but the results of its
    matrix products and attention; everything but its input."""
    compile: bool = False
    """Compile each block with torch.compile. Sums come out in another order: other last bits."""

    def __post_init__(self) -> None:
        positive(self, "world_size", "replicas", "tensor", "microbatch_rows")
        at_least_zero(self, "min_workers")
        if self.world_size % (self.replicas * self.tensor):
            raise FieldError(
                "world_size", self.world_size, f"a multiple of replicas * tensor = {self.replicas * self.tensor}"
            )
        if self.min_workers > self.world_size:
            raise FieldError("min_workers", self.min_workers, f"at most world_size = {self.world_size}")
        if self.is_elastic and self.replicas * self.tensor > 1:
            raise FieldError("min_workers", self.min_workers, "0 with replicas or tensor: their meshes have one size")

    @property
    def data_ranks(self) -> int:
        """Ranks that read rows of their own; those of one tensor-parallel group read the same."""
        return self.world_size // self.tensor

    @property
    def is_elastic(self) -> bool:
        return 0 < self.min_workers < self.world_size


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When checkpoints are written, and which are kept."""

    every_steps: int = 20
    """Steps between checkpoints; a killed run repeats fewer than this."""
    keep_last: int = 2
    """Older checkpoints are deleted; with two, one may be damaged and the run still resumes."""
    keep_best: int = 0
    """As many of the older ones stay as well, those with the least validation loss. A checkpoint has one where
    evaluation.every_steps measures it at its step."""

    def __post_init__(self) -> None:
        positive(self, "every_steps", "keep_last")
        at_least_zero(self, "keep_best")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which rows reach the model, in which pieces."""

    weights: Mapping[str, float] = field(default_factory=dict)
    """By name of the step they come from, how many rows of several chunks are taken, relative to each other. Without
    it, as many as they have."""
    max_epochs: float | None = None
    """How often a row is read at most. Chunks that are used up leave their share to the others. null: no limit."""
    warmup_length: int = 0
    """In the first steps rows are cut into pieces of this many tokens, which double until they are whole. 0: never."""
    warmup_length_steps: int = 0
    """Steps until rows are whole."""
    prefetch_steps: int = 2
    """Steps whose rows are read ahead while one runs; 0 reads them when they are wanted."""

    def __post_init__(self) -> None:
        at_least_zero(self, "warmup_length", "warmup_length_steps", "prefetch_steps")
        for name, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise FieldError("weights", f"{name}: {weight}", "0 or more for every source")
        if self.max_epochs is not None:
            positive(self, "max_epochs")


def check_pieces(data: DataConfig, kind: str) -> None:
    """FieldError where rows are to be cut whose objective needs them whole."""
    if bool(data.warmup_length) != bool(data.warmup_length_steps):
        raise FieldError(
            "data", f"warmup_length {data.warmup_length}, warmup_length_steps {data.warmup_length_steps}",
            "both or neither",
        )  # fmt: skip
    if data.warmup_length and kind != "causal":
        raise FieldError("data", f"warmup_length {data.warmup_length}", f"0 with the objective {kind}")


def check_tensor(parallel: ParallelConfig, shape: Shape) -> None:
    """FieldError where tensor parallelism cannot split the model evenly."""
    if parallel.tensor == 1:
        return
    for name in ("num_heads", "num_kv_heads", "ffn_dim"):
        if getattr(shape, name) % parallel.tensor:
            raise FieldError("parallel", f"tensor {parallel.tensor}", f"a divisor of {name}, {getattr(shape, name)}")
    if shape.num_experts:
        raise FieldError("parallel", f"tensor {parallel.tensor}", "1 with experts: their matrices are not split")


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """What is written of the trained model beside itself."""

    int8: bool = False
    """Also with 8-bit matrices, into `model-int8/`; the report says what that costs in bits per byte."""
