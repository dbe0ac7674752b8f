"""Whether a step's loss is a spike, from the losses before it alone.

Reads:  the losses of the steps so far (loss.jsonl), a step's loss and gradient norm
Writes: a verdict
Cost:   a tenth of a millisecond per step: the slopes of 8,128 pairs of losses
Source: a loss six standard deviations above the last 128: OLMo-core's SkipStepOptimizer, which takes their mean. Made
        robust here: slope by Theil (1950) and Sen (1968), deviations from medians (Hampel 1974)

The mean of a falling loss lies far above it and its deviation is mostly the fall, so a spike in the first hundreds of
steps would go unseen. Instead:

- The forecast is what the trend of the window gives for this step: a line whose slope is the median of the slopes of
  all pairs. Where that is lower than the median of the last RECENT losses, it is that median: a fall that has ended is
  no reason to expect a further one.
- The deviation is that of the changes from step to step, divided by sqrt(2), by their median absolute deviation: a slow
  fall adds nothing to it, and past spikes hardly anything.

Every loss counts as history, spikes as well. A loss that rose for good thus becomes the new level once half of the
RECENT losses are of it, and with `skip` no run stands still. All of it is a pure function of the log: ranks agree
without talking, and a run that was killed and resumed judges as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.errors import RunError
from pretrain.guard_config import GuardConfig

RECENT = 8  # steps whose median the forecast is at least
DEVIATION_OF_MAD = 1.4826  # a normal distribution's standard deviation over its median absolute deviation

Kind = Literal["fine", "spike", "not_finite"]
Action = Literal["none", "report", "skip", "rewind", "stop"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a step's loss is, and what is to be done. `forecast` and `deviation` are None where there is no history."""

    kind: Kind
    action: Action
    loss: float
    grad_norm: float
    forecast: float | None = None
    deviation: float | None = None

    @property
    def sigmas(self) -> float | None:
        """How many deviations the loss lies above its forecast."""
        if self.forecast is None or self.deviation is None or not self.deviation > 0:
            return None
        return (self.loss - self.forecast) / self.deviation

    def fields(self) -> dict[str, Any]:
        """What the step's record in loss.jsonl says of it: nothing where it is fine."""
        if self.kind == "fine":
            return {}
        return {"spike": {"action": self.action, "forecast": self.forecast, "sigmas": self.sigmas}}


def losses_of(records: Sequence[Mapping[str, Any]], step: int) -> list[float]:
    """The training losses in loss.jsonl's records, up to `step`."""
    return [r["loss"] for r in records if "loss" in r and r["step"] <= step]


def judge(
    cfg: GuardConfig, history: Sequence[float], loss: float, grad_norm: float,
    num_rewinds: int = 0, has_checkpoint: bool = True,
) -> Verdict:  # fmt: skip
    """A step's verdict, before its gradients are applied. `history` holds the losses of all steps before it.

    `num_rewinds` were made from the last checkpoint so far; without one there is nothing to go back to.
    """
    if not (math.isfinite(loss) and math.isfinite(grad_norm)):
        return Verdict(kind="not_finite", action="stop", loss=loss, grad_norm=grad_norm)
    window = np.asarray(history[-cfg.window :], np.float64)
    if cfg.action == "off" or len(window) < cfg.min_history:
        return Verdict(kind="fine", action="none", loss=loss, grad_norm=grad_norm)
    forecast, deviation = expected(window)
    is_spike = loss > forecast + max(cfg.sigma * deviation, cfg.min_rise)
    return Verdict(
        kind="spike" if is_spike else "fine",
        action=_action(cfg, num_rewinds, has_checkpoint) if is_spike else "none",
        loss=loss, grad_norm=grad_norm, forecast=forecast, deviation=deviation,
    )  # fmt: skip


def expected(window: np.ndarray) -> tuple[float, float]:
    """(forecast of the next loss, standard deviation of a loss) from the losses before it."""
    place = np.arange(len(window))
    earlier, later = np.triu_indices(len(window), 1)
    slope = float(np.median((window[later] - window[earlier]) / (later - earlier)))
    trend = float(np.median(window - slope * place)) + slope * len(window)
    change = np.diff(window)
    deviation = DEVIATION_OF_MAD * float(np.median(np.abs(change - np.median(change)))) / math.sqrt(2)
    return max(trend, float(np.median(window[-RECENT:]))), deviation


def _action(cfg: GuardConfig, num_rewinds: int, has_checkpoint: bool) -> Action:
    if cfg.action != "rewind":
        return "skip" if cfg.action == "skip" else "report"
    if not has_checkpoint:
        return "skip"
    return "rewind" if num_rewinds < cfg.max_rewinds else "report"


def stopped(verdict: Verdict, step: int, report: Path) -> RunError:
    """The error that ends a run whose loss or gradient norm is not finite."""
    what = "loss" if not math.isfinite(verdict.loss) else "gradient norm"
    value = verdict.loss if what == "loss" else verdict.grad_norm
    return RunError(
        f"the {what} is {value} at step {step}", where=str(report), expected=f"a finite {what}",
        mend="The report names the documents of the batch. Lower learning_rate, or raise warmup_steps.",
    )  # fmt: skip
