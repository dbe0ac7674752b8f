"""How the weights are changed: optimiser, learning rate over the steps, averaged weights.

Reads:  `optimizer:`, `schedule:` and `average:` of a `uses: pretrain.train` step
Writes: nothing
Cost:   -
Source: AdamW's settings as GPT-3's (Brown et al. 2020, appendix B): betas 0.9 and 0.95, weight decay 0.1, clipping at
        1.0, cosine to a tenth of the peak learning rate. Muon's: Jordan et al. 2024, Liu et al. 2025. AdamP's: Heo et
        al. 2021
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import FieldError
from pretrain.ranges import at_least_zero, positive, share


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How gradients change the weights."""

    kind: Literal["adamw", "adam", "adamp", "muon"] = "adamw"
    """adam adds the weight decay to the gradient, the others shrink the weights by it. adamp leaves out the part of a
    step that only makes a matrix's rows longer. muon makes the step of hidden matrices orthogonal; embedding, output
    matrix and vectors are adamw's there."""
    learning_rate: float = 3e-3
    """The peak, reached after the schedule's warmup_steps."""
    weight_decay: float = 0.1
    """Of matrices; biases and the norms' gains have none."""
    decay_embeddings: bool = True
    """Whether embeddings and the output matrix decay too."""
    beta1: float = 0.9
    beta2: float = 0.95
    """Adam's, AdamW's and AdamP's decay of the gradients' first and second moment."""
    eps: float = 1e-8
    """Keeps them from dividing by zero."""
    muon_momentum: float = 0.95
    """Decay of the gradients' average that Muon makes orthogonal."""
    muon_iterations: int = 5
    """Newton-Schulz iterations per step."""
    muon_scale: Literal["adamw", "original"] = "adamw"
    """Size of Muon's step on a matrix of m rows and n columns, in learning rates: adamw: 0.2 * sqrt(max(m, n)), with
    entries about as large as AdamW's, so that both take the same learning rate and weight decay (Liu et al. 2025);
    original: sqrt(max(1, m / n)) (Jordan et al. 2024)."""
    muon_rate_ratio: float = 1.0
    """Muon's learning rate in multiples of learning_rate, for muon_scale original mostly."""
    adamp_threshold: float = 0.1
    """A gradient at a right angle to its row shows that the row's length has no effect: their cosine is below
    adamp_threshold / sqrt(columns) in all rows. Only then is the step cut (Heo et al. 2021: delta)."""
    adamp_decay_ratio: float = 0.1
    """Weight decay of matrices whose step was cut, as a share of weight_decay (Heo et al. 2021: wd_ratio)."""
    grad_clip: float = 1.0
    """The gradients are scaled down to this norm where they exceed it."""

    def __post_init__(self) -> None:
        positive(self, "learning_rate", "grad_clip", "eps", "muon_iterations", "muon_rate_ratio")
        at_least_zero(self, "weight_decay", "adamp_threshold")
        share(self, "adamp_decay_ratio")
        for name in ("beta1", "beta2", "muon_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise FieldError(name, getattr(self, name), "at least 0 and less than 1")


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning rate over the steps: a line up to its peak, then down or along as `kind` says."""

    kind: Literal["cosine", "linear", "wsd", "constant"] = "cosine"
    """After the warm-up, to min_ratio on the last step: half a cosine; a line; the peak for long, then the decay of
    decay_share (warm-up, stable, decay: a run can be prolonged from before its decay). constant stays at the peak."""
    warmup_steps: int = 6
    """Steps over which the learning rate rises in a line from nearly nothing to its peak."""
    min_ratio: float = 0.1
    """The learning rate of the last step, as a share of the peak; not used by constant."""
    decay_share: float = 0.2
    """Of wsd: the share of all steps that the decay takes."""
    decay_shape: Literal["linear", "sqrt"] = "linear"
    """Of wsd: a line, or one minus the square root of the decay's progress, which falls fast and then slowly."""

    def __post_init__(self) -> None:
        at_least_zero(self, "warmup_steps")
        share(self, "min_ratio", "decay_share")

    def decay_steps(self, num_steps: int) -> int:
        """Steps of wsd's decay, the last one included."""
        return max(1, round(self.decay_share * num_steps))


def check_schedule(schedule: ScheduleConfig, num_steps: int) -> None:
    """FieldError where a run of num_steps has no room for what the schedule asks for."""
    if schedule.warmup_steps >= num_steps:
        raise FieldError("schedule", f"warmup_steps {schedule.warmup_steps}", f"fewer than num_steps = {num_steps}")
    decay_steps = schedule.decay_steps(num_steps)
    if schedule.kind == "wsd" and schedule.warmup_steps + decay_steps >= num_steps:
        raise FieldError(
            "schedule", f"warmup_steps {schedule.warmup_steps} and a decay of {decay_steps} steps",
            f"fewer in all than num_steps = {num_steps}",
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AverageConfig:
    """An exponential moving average of the weights, beside them. It takes part in nothing; it can be what is used."""

    decay: float = 0.0
    """After step t (from 0) the average moves towards the weights by 1 - min(decay, (1 + t) / (10 + t)). 0: none."""
    evaluate: bool = True
    """Measure the validation loss of the averaged weights."""
    export: bool = True
    """Export the averaged weights as the model."""

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1:
            raise FieldError("decay", self.decay, "at least 0 and less than 1")
