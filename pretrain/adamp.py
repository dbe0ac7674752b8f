"""AdamP: Adam, without the part of a step that only makes a matrix's rows longer.

Reads:  parameters and their gradients, sharded or not
Writes: the parameters
Cost:   two float32 moments per parameter, sharded as it is; per step and matrix three all-gathers of a number per row
Source: Heo et al. 2021 (ICLR), algorithm 1; row by row first, then the matrix as one vector, as in the authors' code

Where a norm follows a matrix, the length of its rows has no effect, so gradients stand at right angles to them and
momentum makes them grow, which slows learning down. A matrix whose gradients are at right angles to its rows takes only
the part of each step at a right angle, and a smaller weight decay.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from pretrain.dtensors import own, part_like, sharded_like, whole


class AdamP(torch.optim.Optimizer):
    """`threshold` and `decay_ratio` are the paper's delta and wd_ratio."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float, threshold: float,
        decay_ratio: float,
    ) -> None:  # fmt: skip
        self.betas, self.eps, self.threshold, self.decay_ratio = betas, eps, threshold, decay_ratio
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._change(parameter, group["lr"], group["weight_decay"])

    def _change(self, parameter: Tensor, rate: float, weight_decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state.update(new_state(parameter))
        step, rest = self._adam_step(parameter, state)
        if parameter.ndim > 1:
            along = self._part_along(parameter, step)
            if along is not None:
                step -= along
                weight_decay *= self.decay_ratio
        weights = own(parameter)
        weights.mul_(1 - rate * weight_decay)
        weights.add_(step, alpha=-rate / rest)

    def _adam_step(self, parameter: Tensor, state: dict[str, Tensor]) -> tuple[Tensor, float]:
        """This rank's part of the mean over the deviation, and by what the mean still has to be divided."""
        state["step"] += 1
        count = float(state["step"])
        beta1, beta2 = self.betas
        gradient, mean, square = (own(t) for t in (parameter.grad, state["exp_avg"], state["exp_avg_sq"]))  # type: ignore[arg-type]
        mean.mul_(beta1).add_(gradient, alpha=1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        deviation = (square.sqrt() / math.sqrt(1 - beta2**count)).add_(self.eps)
        return mean / deviation, 1 - beta1**count

    def _part_along(self, parameter: Tensor, step: Tensor) -> Tensor | None:
        """This rank's part of the part of the step along the rows (the last axis), or along the whole matrix where that
        is no right angle to the gradient; None where neither is."""
        gradient = parameter.grad
        assert gradient is not None
        sums = [_row_sums(a, b) for a, b in ((parameter, gradient), (gradient, gradient), (parameter, parameter))]
        num_columns = parameter.shape[-1]
        for size, inside in ((num_columns, False), (parameter.numel(), True)):
            along, gradient_square, square = (s.sum() if inside else s for s in sums)
            norm = square.sqrt()
            cosine = along.abs() / (gradient_square.sqrt().clamp(min=self.eps) * norm.clamp(min=self.eps))
            if cosine.max() < self.threshold / math.sqrt(size):
                step_along = _row_sums(parameter, sharded_like(step, parameter))
                ratio = (step_along.sum() if inside else step_along) / (norm + self.eps).square()
                return own(parameter) * part_like(ratio.expand(parameter.shape), parameter)
        return None


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """Sums over the last axis of the product, on every rank those of all rows; the axis stays, of length one."""
    return whole((a * b).sum(-1, keepdim=True))


def new_state(parameter: Tensor) -> dict[str, Tensor]:
    return {
        "step": torch.zeros(()),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
