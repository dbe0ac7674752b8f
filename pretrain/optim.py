"""The optimiser: AdamW, its learning rate over the steps, and clipping.

Reads:  a sharded Transformer and its gradients
Writes: its weights
Cost:   two float32 moments per parameter, sharded as the parameter is
Source: Loshchilov and Hutter 2019 (AdamW, cosine); Brown et al. 2020, appendix B (which settings)
"""

from __future__ import annotations

import math

import torch
from torch.distributed.tensor import DTensor

from pretrain.config import Config
from pretrain.model import Transformer


def adamw(model: Transformer, cfg: Config) -> torch.optim.AdamW:
    """Matrices decay, vectors (the norms' gains) do not."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": cfg.optimizer.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups, lr=cfg.optimizer.learning_rate, betas=(cfg.optimizer.beta1, cfg.optimizer.beta2), foreach=False
    )


def learning_rate(cfg: Config, step: int) -> float:
    """Of step 0, 1, ...: a line up to the peak at warmup_steps, then half a cosine down to its least, on the last."""
    if step < cfg.schedule.warmup_steps:
        return cfg.optimizer.learning_rate * (step + 1) / (cfg.schedule.warmup_steps + 1)
    progress = (step - cfg.schedule.warmup_steps) / max(1, cfg.num_steps - 1 - cfg.schedule.warmup_steps)
    ratio = cfg.schedule.min_ratio
    return cfg.optimizer.learning_rate * (ratio + (1 - ratio) * 0.5 * (1 + math.cos(math.pi * progress)))


def set_learning_rate(optimizer: torch.optim.AdamW, value: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = value


def clip(model: Transformer, max_norm: float) -> float:
    """Scale all gradients so that their common norm is at most `max_norm`; returns the norm they had."""
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)
