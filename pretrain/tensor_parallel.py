"""Tensor parallelism: the matrices of attention and feed-forward, split over ranks by heads and by columns.

Reads:  a model with the same weights on every rank
Writes: the same modules, those matrices now DTensors; norms and embeddings stay whole on every rank
Cost:   per block one sum over the ranks behind attention and one behind the feed-forward, forward and backward
Source: Shoeybi et al. 2019 (Megatron-LM): what comes first is split by columns, what follows by rows
"""

from __future__ import annotations

import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

BY_COLUMNS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
BY_ROWS = ("o_proj", "down_proj")
HEAD_NORMS = ("q_norm", "k_norm")  # their gains are shared by heads that lie on several ranks


def split_matrices(model: nn.Module, mesh: DeviceMesh) -> None:
    """Split in place. A module then computes with the heads and columns its rank holds."""
    for module in model.modules():
        plan: dict[str, ParallelStyle] = {}
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and name in BY_COLUMNS:
                plan[name] = ColwiseParallel()
            elif isinstance(child, nn.Linear) and name in BY_ROWS:
                plan[name] = RowwiseParallel()
        if plan:
            parallelize_module(module, mesh, plan)


def sum_head_norm_gradients(model: nn.Module, mesh: DeviceMesh) -> None:
    """Each rank saw its own heads only. Called once all gradients of a step are there."""
    for name, parameter in model.named_parameters():
        if name.split(".")[-2:-1] and name.split(".")[-2] in HEAD_NORMS and parameter.grad is not None:
            gradient = parameter.grad
            dist.all_reduce(gradient.to_local() if isinstance(gradient, DTensor) else gradient, group=mesh.get_group())
