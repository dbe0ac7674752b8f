"""What is watched during a run, and what is measured on held-out rows.

Reads:  `guard:` and `evaluation:` of a `uses: pretrain.train` step
Writes: nothing
Cost:   -
Source: six standard deviations over 128 steps: OLMo-core's SkipStepOptimizer; going back to a checkpoint and passing
        over the rows since: PaLM (Chowdhery et al. 2022, section 5.1)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import FieldError
from pretrain.ranges import at_least_zero, positive


@dataclass(frozen=True, kw_only=True)
class GuardConfig:
    """What counts as a spike of the loss, what is done about one, and what is told of the documents behind it."""

    action: Literal["off", "report", "skip", "rewind"] = "report"
    """At a spike. report: name the documents and go on; skip: name them, and leave the weights as they are in this
    step; rewind: name them, go back to the last checkpoint and pass over the rows since. A loss or gradient norm that
    is not finite always stops the run, with the same report."""
    sigma: float = 6.0
    """A spike is a loss this many standard deviations above its trend."""
    window: int = 128
    """Steps before it that give trend and deviation."""
    min_history: int = 32
    """Steps before the first judgement: at the start there is no trend yet."""
    min_rise: float = 0.05
    """Nats above the trend that a spike has at least, however quiet the losses before it were."""
    max_rewinds: int = 3
    """From the same checkpoint; spikes after that are reported only."""
    num_documents: int = 20
    """Documents named in a spike's report, those with the highest loss first; all are counted."""
    excerpt_chars: int = 300
    """Of each of these documents."""
    groups: bool = True
    """Whether the validation loss is also given by source, by language and by bucket of each score."""
    num_sources: int = 8
    """Hosts that get a line of their own there, those with the most tokens; the others are added up."""
    num_buckets: int = 4
    """Buckets of a score (its quartiles, with four), each with about as many of the measured documents."""
    train_groups_every_steps: int = 0
    """Steps between training batches whose loss is given by group as well; 0: never. Their documents are looked up."""
    tensorboard: bool = False
    """Whether the metrics also go into TensorBoard's event files; needs the package tensorboardX or tensorboard."""

    def __post_init__(self) -> None:
        positive(self, "sigma", "num_sources", "num_buckets")
        at_least_zero(
            self, "min_rise", "max_rewinds", "num_documents", "excerpt_chars", "train_groups_every_steps"
        )  # fmt: skip
        if self.min_history < 8:
            raise FieldError("min_history", self.min_history, "at least 8: fewer losses have no deviation to speak of")
        if self.window < self.min_history:
            raise FieldError("window", self.window, f"at least min_history, which is {self.min_history}")


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
