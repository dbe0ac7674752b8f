"""Dividing the model over ranks, kept apart from the model.

Reads:  a model on every rank, with the same weights
Writes: the same module, its parameters now DTensors of which each rank holds a share
Cost:   per step and rank, each block is gathered twice (forward, backward) and its gradients scattered once
Source: FSDP2 (`fully_shard`, Zhao et al. 2023); one group per block, and one for embedding and last norm. Selective
        activation checkpointing: Korthikanti et al. 2022

The ranks form a mesh of replicas x shards x tensor. Ranks of one tensor group read the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from pipeline.errors import RunError
from pretrain.model import Model
from pretrain.run_config import ParallelConfig
from pretrain.tensor_parallel import split_matrices, sum_head_norm_gradients

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
KEPT = [  # by selective checkpointing: what costs more to compute again than to keep
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_efficient_attention.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
    torch.ops.aten._scaled_dot_product_attention_math.default,
]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where this rank stands among all. `data_rank` of `data_ranks` decides which rows it reads."""

    device: torch.device
    data_rank: int
    data_ranks: int
    data_mesh: DeviceMesh
    tensor_mesh: DeviceMesh | None

    @property
    def speaks(self) -> bool:
        """Of the ranks that read the same rows, one counts them."""
        return self.tensor_mesh is None or self.tensor_mesh.get_local_rank() == 0


def device() -> torch.device:
    """The rank's own: a GPU of its machine where there is one."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def backend() -> str:
    """Of the process group. Checkpoints and single numbers go over the CPU in any case."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


def place(cfg: ParallelConfig) -> Place:
    """RunError where the ranks there are do not make up the mesh."""
    world_size, fixed = dist.get_world_size(), cfg.replicas * cfg.tensor
    if world_size % fixed:
        raise RunError(f"{world_size} ranks", expected=f"a multiple of replicas * tensor = {fixed}")
    where = device()
    sizes = {"replica": cfg.replicas, "shard": world_size // fixed, "tensor": cfg.tensor}
    named = {name: size for name, size in sizes.items() if name == "shard" or size > 1}
    mesh = init_device_mesh(where.type, tuple(named.values()), mesh_dim_names=tuple(named))
    data_names = tuple(name for name in named if name != "tensor")
    return Place(
        device=where, data_rank=dist.get_rank() // cfg.tensor, data_ranks=world_size // cfg.tensor,
        data_mesh=mesh[data_names] if len(data_names) > 1 else mesh[data_names[0]],
        tensor_mesh=mesh["tensor"] if cfg.tensor > 1 else None,
    )  # fmt: skip


def divide(model: Model, where: Place, cfg: ParallelConfig) -> None:
    """Divide the model in place as `cfg` says. A rank alone keeps it whole, unless it computes in bf16."""
    model.to(where.device)
    if where.tensor_mesh is not None:
        split_matrices(model, where.tensor_mesh)
    for block in model.blocks():
        _set_forward(block, cfg)
    if dist.get_world_size() > 1 or cfg.dtype != "fp32":
        shard(model, where.data_mesh, cfg.dtype)


def _set_forward(block: nn.Module, cfg: ParallelConfig) -> None:
    """On the instance and not by a wrapper: the parameters keep their names."""
    forward: Callable[..., Any] = block.forward
    if cfg.activation_checkpointing == "full":
        forward = partial(checkpoint, forward, use_reentrant=False)
    elif cfg.activation_checkpointing == "selective":
        kept = partial(create_selective_checkpoint_contexts, KEPT)
        forward = partial(checkpoint, forward, use_reentrant=False, context_fn=kept)
    if cfg.compile:
        forward = torch.compile(forward)
    block.forward = forward


def shard(model: Model, mesh: DeviceMesh, dtype: Literal["fp32", "bf16"]) -> None:
    """Shard in place. With bf16 blocks compute in bf16; weights and the sum of gradients over ranks stay float32."""
    policy = MixedPrecisionPolicy(param_dtype=DTYPES[dtype], reduce_dtype=torch.float32)
    for block in model.blocks():
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def sum_over_replicas(model: nn.Module, wanted: bool) -> None:
    """Whether the next backward pass ends with the sum over replicas; one pass of a step does, the last one. Gradients
    are scattered inside a replica in each, so that no rank ever holds them whole."""
    if isinstance(model, FSDPModule):
        model.set_requires_all_reduce(wanted)


def finish_gradients(model: nn.Module, where: Place) -> None:
    """What backward passes leave to be done once all of a step have run."""
    if where.tensor_mesh is not None:
        sum_head_norm_gradients(model, where.tensor_mesh)


def release(model: nn.Module) -> None:
    """Drop the gathered weights which a forward pass without a backward one leaves: parameters are shares again."""
    if isinstance(model, FSDPModule):
        model.reshard()
