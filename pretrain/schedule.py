"""The learning rate over the steps of a run, in closed form.

Reads:  a Config
Writes: numbers
Cost:   -
Source: cosine: Loshchilov and Hutter 2017; warm-up, stable, decay: Hu et al. 2024 (MiniCPM), its decay by one minus a
        square root: Haegele et al. 2024
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pretrain.config import Config


def learning_rate(cfg: Config, step: int) -> float:
    """Of step 0, 1, ...: a line up to the peak at warmup_steps, then as `schedule.kind` says."""
    schedule, peak = cfg.schedule, cfg.optimizer.learning_rate
    if step < schedule.warmup_steps:
        return peak * (step + 1) / (schedule.warmup_steps + 1)
    ratio = schedule.min_ratio
    last = cfg.num_steps - 1
    progress = (step - schedule.warmup_steps) / max(1, last - schedule.warmup_steps)
    if schedule.kind == "constant":
        return peak
    if schedule.kind == "linear":
        return peak * (ratio + (1 - ratio) * (1 - progress))
    if schedule.kind == "cosine":
        return peak * (ratio + (1 - ratio) * 0.5 * (1 + math.cos(math.pi * progress)))
    decay_steps = schedule.decay_steps(cfg.num_steps)
    decayed = max(0, step - (last - decay_steps)) / decay_steps  # 0 on the last step at the peak, 1 on the last of all
    return peak * (ratio + (1 - ratio) * (1 - (math.sqrt(decayed) if schedule.decay_shape == "sqrt" else decayed)))
