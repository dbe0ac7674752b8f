"""Muon: momentum made orthogonal, for hidden matrices.

Reads:  matrices and their gradients, sharded or not
Writes: the matrices
Cost:   one float32 momentum per entry, sharded as the matrix is. Per step a matrix of m by n, m <= n, is sent to one
        rank and back, and takes num_iterations * (4 * m * m * n + 2 * m ** 3) floating point operations there
Source: Jordan et al. 2024 (Muon, its quintic Newton-Schulz coefficients), Liu et al. 2025 (Moonlight: the step's size
        that goes with AdamW's learning rate, and weight decay). Momentum as in torch.optim.Muon

Only a whole matrix can be made orthogonal. Matrices cut by rows (fully_shard) are divided among the ranks, each of
which gathers one, computes its step and gives the parts back. One that is cut otherwise (tensor parallelism too) is
gathered and computed on every rank, which takes its own part. A tensor of three axes is a stack of matrices (experts);
where it is cut between matrices, nothing has to be gathered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor

from pretrain.divided import on_owners, row_group
from pretrain.dtensors import own, part_like, sharded_like, whole

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steep at 0, singular values end between 0.7 and 1.2: close enough to 1
LEAST_NORM = 1e-7


def orthogonalised(matrix: Tensor, num_iterations: int) -> Tensor:
    """About U V^T of the matrix U S V^T (the last two axes): Newton-Schulz iterations in the matrix's own type."""
    a, b, c = COEFFICIENTS
    is_tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if is_tall else matrix
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=LEAST_NORM)  # singular values are at most 1
    add_product = torch.addmm if x.ndim == 2 else torch.baddbmm
    for _ in range(num_iterations):
        gram = x @ x.mT
        polynomial = add_product(gram, gram, gram, beta=b, alpha=c)
        x = add_product(x, polynomial, x, beta=a)
    return x.mT if is_tall else x


def step_scale(shape: Sequence[int], scale: Literal["adamw", "original"]) -> float:
    """What the learning rate is multiplied by for a matrix of this shape, see OptimizerConfig.muon_scale."""
    m, n = shape[-2:]
    return 0.2 * math.sqrt(max(m, n)) if scale == "adamw" else math.sqrt(max(1.0, m / n))


class Muon(torch.optim.Optimizer):
    """`dtype` is what the iterations compute in: bfloat16 on a GPU and float32 elsewhere, where None."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, momentum: float, num_iterations: int,
        scale: Literal["adamw", "original"], dtype: torch.dtype | None = None,
    ) -> None:  # fmt: skip
        self.momentum, self.num_iterations, self.scale, self.dtype = momentum, num_iterations, scale, dtype
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_ranks: dict[ProcessGroup | None, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    ranks = None if _holds_whole_matrices(parameter) else row_group(parameter)
                    by_ranks.setdefault(ranks, []).append(parameter)
            for ranks, parameters in by_ranks.items():
                if ranks is None:
                    for parameter in parameters:
                        self._change(parameter, self._orthogonal_part(parameter), group)
                else:
                    self._change_together(parameters, ranks, group)

    def _change_together(self, parameters: list[Tensor], ranks: ProcessGroup, group: dict[str, Any]) -> None:
        """As many matrices at a time as there are ranks, each rank computing one; those of a size go together."""
        num_ranks = dist.get_world_size(ranks)
        by_size = sorted(parameters, key=torch.numel, reverse=True)
        for some in (by_size[i : i + num_ranks] for i in range(0, len(by_size), num_ranks)):
            parts = [self._direction(parameter) for parameter in some]
            results = on_owners(parts, [len(p) for p in some], ranks, self._orthogonalised)
            for parameter, result in zip(some, results, strict=True):
                self._change(parameter, result, group)

    def _change(self, parameter: Tensor, orthogonal: Tensor, group: dict[str, Any]) -> None:
        weights, rate = own(parameter), group["lr"]
        weights.mul_(1 - rate * group["weight_decay"])
        weights.add_(orthogonal, alpha=-rate * step_scale(parameter.shape, self.scale))

    def _direction(self, parameter: Tensor) -> Tensor:
        """This rank's part of what is to be made orthogonal, in the type that the iterations compute in."""
        state = self.state[parameter]
        if not state:
            state.update(new_state(parameter))
        gradient, momentum = own(parameter.grad), own(state["momentum_buffer"])  # type: ignore[arg-type]
        momentum.lerp_(gradient, 1 - self.momentum)
        dtype = self.dtype or (torch.bfloat16 if gradient.is_cuda else torch.float32)
        return gradient.lerp(momentum, self.momentum).to(dtype)

    def _orthogonal_part(self, parameter: Tensor) -> Tensor:
        """This rank's part, of a matrix that every rank computes, or of whole matrices that it holds."""
        direction = self._direction(parameter)
        if _holds_whole_matrices(parameter):
            return self._orthogonalised(direction)
        return part_like(self._orthogonalised(whole(sharded_like(direction, parameter))), parameter)

    def _orthogonalised(self, matrix: Tensor) -> Tensor:
        return orthogonalised(matrix, self.num_iterations)


def new_state(parameter: Tensor) -> dict[str, Tensor]:
    return {"momentum_buffer": torch.zeros_like(parameter)}


def _holds_whole_matrices(parameter: Tensor) -> bool:
    if not isinstance(parameter, DTensor):
        return True
    return parameter.ndim > 2 and all(p.is_replicate() or p.is_shard(0) for p in parameter.placements)
