"""The optimiser: which rule changes which weights, with which decay; its state, its learning rate, and clipping.

Reads:  a model, sharded or not, and its gradients
Writes: its weights
Cost:   two float32 moments per parameter (one where Muon's rule holds), sharded as the parameter is
Source: Kingma and Ba 2015 (Adam); Loshchilov and Hutter 2019 (AdamW); Brown et al. 2020, appendix B (which settings)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pretrain import adamp, muon
from pretrain.adamp import AdamP
from pretrain.config import Config
from pretrain.dtensors import own, whole
from pretrain.muon import Muon
from pretrain.optim_config import OptimizerConfig
from pretrain.schedule import learning_rate

__all__ = ["Optimizer", "adamw", "clip", "learning_rate", "make_optimizer", "set_learning_rate"]

OUTPUT_MATRICES = ("lm_head",)  # names of the modules that turn a state into logits, where they are no embedding
CLIP_EPS = 1e-6  # as torch.nn.utils.clip_grad_norm_ adds it
RATE_RATIO = "rate_ratio"  # of a group: its learning rate in multiples of the run's


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """One rule per part; together they change every weight once. `names` are the model's parameters and their names."""

    parts: Sequence[torch.optim.Optimizer]
    names: Mapping[nn.Parameter, str]

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad()

    def set_learning_rate(self, rate: float) -> None:
        for part in self.parts:
            set_learning_rate(part, rate)

    def state_tensors(self) -> dict[str, Tensor]:
        """All state by "parameter name.key", sharing memory: loading into it restores the optimiser. What no step has
        made yet is made, of zeros."""
        part_of = {p: part for part in self.parts for group in part.param_groups for p in group["params"]}
        tensors: dict[str, Tensor] = {}
        for parameter, name in self.names.items():
            state = part_of[parameter].state[parameter]
            if not state:
                state.update(_new_state(part_of[parameter], parameter))
            tensors |= {f"{name}.{key}": value for key, value in state.items()}
        return tensors


def make_optimizer(model: nn.Module, cfg: Config) -> Optimizer:
    """The rules of `cfg.optimizer` for a model's parameters, which are already sharded where they will be."""
    settings = cfg.optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    outer = outer_matrices(model)
    if settings.kind != "muon":
        return Optimizer(parts=(_adam_like(settings, names, outer),), names=names)
    hidden = {p: n for p, n in names.items() if p not in outer and not is_vector(n, p)}
    rest = {p: n for p, n in names.items() if p not in hidden}
    groups: list[dict[str, Any]] = [
        {"params": list(hidden), "weight_decay": settings.weight_decay, RATE_RATIO: settings.muon_rate_ratio}
    ]
    parts: list[torch.optim.Optimizer] = []
    if hidden:
        parts.append(
            Muon(
                groups, lr=settings.learning_rate, momentum=settings.muon_momentum,
                num_iterations=settings.muon_iterations, scale=settings.muon_scale,
            )
        )  # fmt: skip
    if rest:
        parts.append(_adam_like(settings, rest, outer))
    return Optimizer(parts=parts, names=names)


def adamw(model: nn.Module, cfg: Config) -> torch.optim.AdamW:
    """AdamW alone, whatever `cfg.optimizer.kind` is."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = decay_groups(names, outer_matrices(model), cfg.optimizer)
    return torch.optim.AdamW(groups, **_adam_settings(cfg.optimizer), **_kernel(names))


def _adam_like(
    settings: OptimizerConfig, names: Mapping[nn.Parameter, str], outer: set[nn.Parameter]
) -> torch.optim.Optimizer:
    groups = decay_groups(names, outer, settings)
    if settings.kind == "adamp":
        return AdamP(
            groups, **_adam_settings(settings), threshold=settings.adamp_threshold,
            decay_ratio=settings.adamp_decay_ratio,
        )  # fmt: skip
    rule = torch.optim.Adam if settings.kind == "adam" else torch.optim.AdamW
    return rule(groups, **_adam_settings(settings), **_kernel(names))


def _adam_settings(settings: OptimizerConfig) -> dict[str, Any]:
    return {"lr": settings.learning_rate, "betas": (settings.beta1, settings.beta2), "eps": settings.eps}


def _kernel(names: Mapping[nn.Parameter, str]) -> dict[str, Any]:
    """One fused kernel for all parameters on a GPU, a parameter at a time elsewhere."""
    on_gpu = all(parameter.device.type == "cuda" for parameter in names)
    return {"fused": True} if on_gpu else {"foreach": False}


def decay_groups(
    names: Mapping[nn.Parameter, str], outer: set[nn.Parameter], settings: OptimizerConfig
) -> list[dict[str, Any]]:
    """Matrices decay, vectors (norms' gains, biases) do not; embeddings and output matrix as the settings say."""
    still = {p for p, n in names.items() if is_vector(n, p) or (p in outer and not settings.decay_embeddings)}
    return [
        {"params": [p for p in names if p not in still], "weight_decay": settings.weight_decay},
        {"params": [p for p in names if p in still], "weight_decay": 0.0},
    ]


def is_vector(name: str, parameter: Tensor) -> bool:
    """A gain or a bias, those too that are stacked into a matrix (of all experts, of all heads)."""
    *owners, leaf = name.split(".")
    return parameter.ndim < 2 or "bias" in leaf or (bool(owners) and "norm" in owners[-1])


def outer_matrices(model: nn.Module) -> set[nn.Parameter]:
    """Embeddings and output matrix: those between tokens and the model's states."""
    modules = (
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) or name.split(".")[-1] in OUTPUT_MATRICES
    )
    return {parameter for module in modules for parameter in module.parameters() if parameter.ndim > 1}


def _new_state(part: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The state of a parameter before the first step, as the part itself would make it."""
    if isinstance(part, Muon):
        return muon.new_state(parameter)
    state = adamp.new_state(parameter)
    if part.defaults.get("fused"):
        state["step"] = torch.zeros((), device=parameter.device)
    return state


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value * group.get(RATE_RATIO, 1.0)


@torch.no_grad()
def clip(model: nn.Module, max_norm: float) -> float:
    """Scale all gradients so that their common norm is at most `max_norm`; returns the norm they had."""
    by_mesh: dict[Any, list[Tensor]] = {}
    for gradient in (p.grad for p in model.parameters() if p.grad is not None):
        by_mesh.setdefault(gradient.device_mesh if isinstance(gradient, DTensor) else None, []).append(gradient)
    if len(by_mesh) <= 1:
        return float(whole(torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)))
    norms = [float(whole(torch.nn.utils.get_total_norm(gradients))) for gradients in by_mesh.values()]
    norm = math.hypot(*norms)
    factor = min(1.0, max_norm / (norm + CLIP_EPS))
    for gradients in by_mesh.values():
        for gradient in gradients:
            own(gradient).mul_(factor)
    return norm
