"""Sharding the model over ranks, kept apart from the model.

Reads:  a Transformer on every rank, with the same weights
Writes: the same module, its parameters now DTensors of which each rank holds a share
Cost:   per step and rank, each block is gathered twice (forward, backward) and its gradients scattered once
Source: FSDP2 (`fully_shard`, Zhao et al. 2023); one group per block, and one for embedding and last norm
"""

from __future__ import annotations

from typing import Literal

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from pretrain.model import Transformer


def shard(model: Transformer, mesh: DeviceMesh, dtype: Literal["fp32", "bf16"]) -> None:
    """Shard in place. With bf16 blocks compute in bf16; weights and the sum of gradients over ranks stay float32."""
    compute = torch.bfloat16 if dtype == "bf16" else torch.float32
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    for layer in model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def reduce_gradients(model: Transformer, wanted: bool) -> None:
    """Whether the next backward pass sums the gradients over the ranks, or leaves them for a later one to add to."""
    assert isinstance(model, FSDPModule), "the model is not sharded"
    model.set_requires_gradient_sync(wanted)


def release(model: Transformer) -> None:
    """Drop the gathered weights which a forward pass without a backward one leaves: parameters are shares again."""
    assert isinstance(model, FSDPModule), "the model is not sharded"
    model.reshard()
