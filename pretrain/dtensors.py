"""A sharded tensor's own part and its whole, and the same of a tensor that is not sharded.

Reads:  tensors, DTensors of fully_shard and of tensor parallelism among them
Writes: -
Cost:   `own` and `part_like` nothing, `whole` one all-gather
Source: torch.distributed.tensor
"""

from __future__ import annotations

from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def own(tensor: Tensor) -> Tensor:
    """This rank's part, sharing memory; called without gradients."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: Tensor) -> Tensor:
    """All of it, on every rank."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def sharded_like(part: Tensor, like: Tensor) -> Tensor:
    """The tensor of which each rank holds `part`, cut as `like` is."""
    if not isinstance(like, DTensor):
        return part
    return DTensor.from_local(
        part, like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def part_like(full: Tensor, like: Tensor) -> Tensor:
    """This rank's part of a tensor that every rank has in full, cut as `like` is."""
    if not isinstance(like, DTensor):
        return full
    return own(distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None))
