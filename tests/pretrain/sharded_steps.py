"""What each rank of the tests of sharded optimisers runs, against the same steps on a model that is not sharded."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from pretrain import divided, ema, optim
from pretrain.config import Config
from pretrain.dtensors import own, sharded_like
from pretrain.optim_config import AverageConfig
from tests.pretrain.configs import changed

KINDS = ("adamw", "adam", "adamp", "muon")


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6, bias=False)
        self.norm = nn.LayerNorm(6)
        self.experts = nn.Parameter(torch.empty(3, 6, 5))


class Model(nn.Module):
    """Widths that neither 2 nor 4 ranks divide, fewer experts than ranks; one matrix with gradients at right angles."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(13, 6)
        self.layer = Layer()
        self.lm_head = nn.Linear(6, 13, bias=False)
        generator = torch.Generator().manual_seed(1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)


def gradients(model: nn.Module, step: int) -> dict[str, Tensor]:
    """Of every parameter of a model that is not sharded. Those of `up` are at right angles to its rows, those of
    `down` to the matrix."""
    generator = torch.Generator().manual_seed(100 + step)
    grads = {name: torch.randn(p.shape, generator=generator) for name, p in model.named_parameters()}
    for name, dims in (("layer.up.weight", (1,)), ("layer.down.weight", (0, 1))):
        weight, grad = model.get_parameter(name).detach(), grads[name]
        grads[name] = grad - weight * (grad * weight).sum(dims, keepdim=True) / weight.square().sum(dims, keepdim=True)
    return grads


def set_gradients(model: nn.Module, grads: dict[str, Tensor]) -> None:
    for name, parameter in model.named_parameters():
        grad = grads[name].clone()
        if isinstance(parameter, DTensor):
            parameter.grad = distribute_tensor(grad, parameter.device_mesh, parameter.placements, src_data_rank=None)
        else:
            parameter.grad = grad


def full(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Over a mesh of one axis; or in copies over its first and sharded over its second; or sharded over its first, with
    matrices shared by columns and rows over its second."""
    if "tensor" in (mesh.mesh_dim_names or ()):
        plan = {"layer.up": ColwiseParallel(), "layer.down": RowwiseParallel()}
        parallelize_module(model, mesh["tensor"], plan)
        mesh = mesh["data"]
    fully_shard(model.layer, mesh=mesh)
    fully_shard(model, mesh=mesh)


def meshes(world_size: int) -> Iterator[DeviceMesh]:
    yield init_device_mesh("cpu", (world_size,), mesh_dim_names=("data",))
    if world_size == 4:
        yield init_device_mesh("cpu", (2, 2), mesh_dim_names=("copy", "data"))
        yield init_device_mesh("cpu", (2, 2), mesh_dim_names=("data", "tensor"))


def check(rank: int, world_size: int, rendezvous: str, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world_size)
    for mesh in meshes(world_size):
        for kind in KINDS if world_size == 2 else KINDS[2:]:
            _same_steps(mesh, kind)
        _same_average(mesh)
        if mesh.ndim == 1:
            _divides_work(mesh)
    dist.barrier()
    dist.destroy_process_group()


def _same_steps(mesh: DeviceMesh, kind: str) -> None:
    """Three steps, and two more of another sharded optimiser that took over the state of the first."""
    cfg = changed(Config(), optimizer__kind=kind, optimizer__learning_rate=0.05, optimizer__weight_decay=0.5)
    # rows that are cut are summed up in parts
    tolerance = 1e-6 if kind == "adamp" and "tensor" in (mesh.mesh_dim_names or ()) else 0.0
    plain, sharded = Model(), Model()
    shard(sharded, mesh)
    optimizers = [optim.make_optimizer(model, cfg) for model in (plain, sharded)]
    for step in range(5):
        if step == 3:
            other = optim.make_optimizer(sharded, cfg)
            saved = optimizers[1].state_tensors()
            for name, tensor in other.state_tensors().items():
                tensor.copy_(saved[name])
            optimizers[1] = other
        grads = gradients(plain, step)
        for model in (plain, sharded):
            set_gradients(model, grads)
        norms = [optim.clip(model, 2.0) for model in (plain, sharded)]
        assert abs(norms[0] - norms[1]) < 1e-5 * norms[0], norms
        set_gradients(sharded, {name: p.grad.clone() for name, p in plain.named_parameters()})
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        for (name, expected), found in zip(plain.named_parameters(), sharded.parameters(), strict=True):
            different = (full(found) - expected.detach()).abs().max().item()
            assert different <= tolerance, f"{kind}: {name} differs by {different} after step {step}"


def _same_average(mesh: DeviceMesh) -> None:
    plain, sharded = Model(), Model()
    shard(sharded, mesh)
    averages = [ema.make_average(model, AverageConfig(decay=0.9)) for model in (plain, sharded)]
    for step in range(3):
        for model, average in zip((plain, sharded), averages, strict=True):
            assert average is not None
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.5)
            average.update(step)
    before = copy.deepcopy(plain.state_dict())
    assert averages[1] is not None
    with averages[1].in_place():
        for name, parameter in sharded.named_parameters():
            assert torch.equal(full(parameter), averages[0].values[name])  # type: ignore[union-attr]
    for name, parameter in sharded.named_parameters():
        assert torch.equal(full(parameter), before[name])


def _divides_work(mesh: DeviceMesh) -> None:
    """Each matrix is computed on one rank, its own, and every rank gets its part of all."""
    rank, whole = dist.get_rank(), [torch.arange(rows * 3.0).reshape(rows, 3) for rows in (7, 2, 1, 8)[: mesh.size()]]
    sharded = [distribute_tensor(matrix, mesh, [Shard(0)], src_data_rank=None) for matrix in whole]
    seen: list[Tensor] = []

    def sums_above(matrix: Tensor) -> Tensor:
        seen.append(matrix)
        return matrix.cumsum(0)

    group = divided.row_group(sharded[0])
    assert group is not None
    parts = divided.on_owners([own(s) for s in sharded], [len(m) for m in whole], group, sums_above)
    assert len(seen) == 1
    assert torch.equal(seen[0], whole[rank])
    for part, matrix, like in zip(parts, whole, sharded, strict=True):
        assert torch.equal(full(sharded_like(part, like)), matrix.cumsum(0))
    for otherwise in (Shard(1), Replicate()):
        assert divided.row_group(distribute_tensor(whole[0], mesh, [otherwise], src_data_rank=None)) is None
