"""An exponential moving average of the weights, beside them.

Reads:  a model's parameters, sharded or not
Writes: the average; on request it and the weights change places
Cost:   4 bytes per parameter, sharded as it is; one pass over the parameters per step
Source: Polyak and Juditsky 1992; the decay that grows as (1 + t) / (10 + t) as in TensorFlow's ExponentialMovingAverage
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from pretrain.dtensors import own
from pretrain.optim_config import AverageConfig


@dataclass(frozen=True, kw_only=True)
class Average:
    """`values` by parameter name; they start as the weights."""

    model: nn.Module
    decay: float
    parameters: dict[str, Tensor]
    values: dict[str, Tensor]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights that step 0, 1, ... left."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, parameter in self.parameters.items():
            own(self.values[name]).lerp_(own(parameter), weight)

    def state_tensors(self) -> dict[str, Tensor]:
        """The average by parameter name, sharing memory: loading into it sets it."""
        return dict(self.values)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights inside the `with`, its own again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for module in self.model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()  # gathered weights would stay what they were
        for name, parameter in self.parameters.items():
            weights, average = own(parameter), own(self.values[name])
            kept = weights.clone()
            weights.copy_(average)
            average.copy_(kept)


def make_average(model: nn.Module, cfg: AverageConfig) -> Average | None:
    """The average of a model that is sharded and has its first weights; None where the config wants none."""
    if not cfg.decay:
        return None
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    values = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    return Average(model=model, decay=cfg.decay, parameters=parameters, values=values)
