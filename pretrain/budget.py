"""What a training run takes, and which one a budget buys: parameters, tokens, steps, batch, memory, hours.

Reads:  a run's config, what is known of its rows, and a budget; no torch
Writes: plain dicts, for a terminal or as JSON
Cost:   -
Source: pretrain.scaling_law (sizes), pretrain.presets (operations), pretrain.memory_estimate (memory)
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from pipeline.errors import DagError, FieldError
from pretrain import scaling_law
from pretrain.config import Config
from pretrain.memory_estimate import Device, per_rank
from pretrain.model_config import ModelConfig, Preset
from pretrain.objective_config import widths
from pretrain.presets import flops_per_token, num_active_parameters, num_parameters

SECONDS_PER_HOUR = 3600
NEAR = 4.0  # presets so many times smaller or larger than the optimum are shown
CHECKPOINTING: tuple[Literal["none", "selective", "full"], ...] = ("none", "selective", "full")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What is there to be spent; None is not known. Two ways to say one thing are refused."""

    tokens: float | None = None
    flops: float | None = None
    hours: float | None = None
    gpus: int | None = None
    peak_flops: float | None = None
    """Of one GPU, per second, in the type that matrix products are computed in."""
    mfu: float = 0.4
    """The share of it that a run makes use of; 0.3 to 0.5 are usual for dense models."""
    device: Device = "cuda"

    def __post_init__(self) -> None:
        for name in ("tokens", "flops", "hours", "gpus", "peak_flops", "mfu"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise DagError(f"{value}", where=_flag(name), expected="a number above 0")
        if self.mfu > 1:
            raise DagError(f"{self.mfu}", where="--mfu", expected="at most 1, all of the peak")
        if self.flops is not None and self.hours is not None:
            raise DagError("--flops and --hours", expected="one of them: hours are operations, given --peak-flops")
        if self.hours is not None and self.peak_flops is None:
            raise DagError("--hours without --peak-flops", expected="what one GPU computes, as in --peak-flops 989e12")

    def flops_per_s(self, gpus: int) -> float | None:
        return None if self.peak_flops is None else gpus * self.peak_flops * self.mfu

    def total_flops(self, gpus: int) -> float | None:
        """All operations there are, if that is known."""
        if self.flops is not None:
            return self.flops
        speed = self.flops_per_s(gpus)
        return None if self.hours is None or speed is None else self.hours * SECONDS_PER_HOUR * speed


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def tell(
    cfg: Config, vocab_size: int, length: int, rows_per_epoch: int | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The run as it is configured, and what the budget in `options` (fields of Budget) buys, where there is one."""
    budget = Budget(**options)
    cfg = _with_gpus(cfg, budget.gpus)
    found: dict[str, Any] = {"configured": configured(cfg, vocab_size, length, rows_per_epoch, budget)}
    gpus = cfg.parallel.world_size
    if budget.tokens is not None or budget.total_flops(gpus) is not None:
        found["optimal"] = optimal(budget, gpus)
        found["presets"] = presets(cfg, vocab_size, length, budget, found["optimal"])
    return found


def _with_gpus(cfg: Config, gpus: int | None) -> Config:
    """The config with another number of ranks, and the nearest batch that divides by them."""
    if gpus is None or gpus == cfg.parallel.world_size:
        return cfg
    try:
        parallel = replace(cfg.parallel, world_size=gpus)
    except FieldError as error:
        raise DagError(f"{gpus}", where="--gpus", expected=error.expected, mend=error.mend) from error
    return replace(cfg, parallel=parallel, batch_rows=_batch_rows(cfg.batch_rows, parallel.data_ranks, cfg))


def _batch_rows(wanted: float, data_ranks: int, cfg: Config) -> int:
    at_once = data_ranks * cfg.parallel.microbatch_rows
    return max(1, round(wanted / at_once)) * at_once


def configured(cfg: Config, vocab_size: int, length: int, rows_per_epoch: int | None, budget: Budget) -> dict[str, Any]:
    """The step's own run. Tokens are positions of rows, padding and repeated context included."""
    per_token = _flops_per_token(cfg, cfg.model, vocab_size, length)
    tokens = cfg.num_steps * cfg.batch_rows * length
    parameters = num_parameters(cfg.model, vocab_size)
    speed = budget.flops_per_s(cfg.parallel.world_size)
    checkpointing = {
        way: per_rank(_checkpointed(cfg, way), vocab_size, length, budget.device).total for way in CHECKPOINTING
    }
    return {
        "parameters": parameters, "active_parameters": num_active_parameters(cfg.model, vocab_size),
        "vocab_size": vocab_size, "length": length, "ranks": cfg.parallel.world_size,
        "flops_per_token": per_token, "tokens_per_step": cfg.batch_rows * length, "steps": cfg.num_steps,
        "tokens": tokens, "flops": per_token * tokens, "tokens_per_parameter": tokens / parameters,
        "tokens_per_epoch": None if rows_per_epoch is None else rows_per_epoch * length,
        "epochs": None if not rows_per_epoch else cfg.num_steps * cfg.batch_rows / rows_per_epoch,
        "hours": None if speed is None else per_token * tokens / speed / SECONDS_PER_HOUR,
        "memory": asdict(per_rank(cfg, vocab_size, length, budget.device)),
        "activation_checkpointing": cfg.parallel.activation_checkpointing,
        "memory_by_activation_checkpointing": checkpointing,
    }  # fmt: skip


def _flops_per_token(cfg: Config, model: ModelConfig, vocab_size: int, length: int) -> float:
    """Of the packed rows' tokens; the objective may make longer examples of them, and ones with a decoder's row."""
    size = widths(cfg.objective, length, model.architecture)
    of_row = flops_per_token(model, vocab_size, size.ids, size.decoder) * (size.ids + (size.decoder or 0))
    return of_row / length


def _checkpointed(cfg: Config, way: Literal["none", "selective", "full"]) -> Config:
    return replace(cfg, parallel=replace(cfg.parallel, activation_checkpointing=way))


def optimal(budget: Budget, gpus: int) -> list[dict[str, Any]]:
    """By each rule the size to train: for the operations there are, or else for the tokens."""
    flops, tokens = budget.total_flops(gpus), budget.tokens
    found = []
    for fit in scaling_law.FITS:
        size = fit.parameters_for_flops(flops) if flops is not None else fit.parameters_for_tokens(tokens or 0)
        found.append(_choice(fit.source, size, flops, tokens))
    by_rule = scaling_law.rule_for_flops(flops) if flops is not None else scaling_law.rule_for_tokens(tokens or 0)
    found.append(_choice(f"{scaling_law.TOKENS_PER_PARAMETER} tokens per parameter", by_rule, flops, tokens))
    if flops is not None and tokens is not None:
        size = flops / scaling_law.FLOPS_PER_PARAMETER / tokens
        found.append(_choice("all operations, each token once", size, flops, tokens))
    return found


def _choice(rule: str, size: float, flops: float | None, tokens: float | None) -> dict[str, Any]:
    trained_on = flops / scaling_law.FLOPS_PER_PARAMETER / size if flops is not None else tokens or 0
    epochs = None if tokens is None else trained_on / tokens
    return {
        "rule": rule, "parameters": size, "tokens": trained_on, "tokens_per_parameter": trained_on / size,
        "flops": scaling_law.FLOPS_PER_PARAMETER * size * trained_on,
        "epochs": epochs, "repeats_too_often": epochs is not None and epochs > scaling_law.MAX_EPOCHS,
        "loss": {fit.source: fit.loss(size, trained_on) for fit in scaling_law.FITS},
    }  # fmt: skip


def presets(
    cfg: Config, vocab_size: int, length: int, budget: Budget, choices: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The presets about as large as any rule's choice: what each takes and would come to."""
    sizes = [choice["parameters"] for choice in choices]
    found = []
    for preset in get_args(Preset):
        model = replace(
            cfg.model, preset=preset, dim=None, num_layers=None, num_heads=None, num_kv_heads=None, ffn_dim=None,
            tie_embeddings=None, rope_theta=None, num_encoder_layers=None,
        )  # fmt: skip
        parameters = num_parameters(model, vocab_size)
        if min(sizes) / NEAR <= parameters <= max(sizes) * NEAR:
            with contextlib.suppress(FieldError):  # the step's parallelism cannot divide this one
                found.append(
                    {"preset": preset, "parameters": parameters, **_run_of(cfg, model, vocab_size, length, budget)}
                )
    return found


def _run_of(cfg: Config, model: ModelConfig, vocab_size: int, length: int, budget: Budget) -> dict[str, Any]:
    """A model trained for the budget, in batches of a size that has served others at as many operations."""
    parallel = cfg.parallel
    per_token, parameters = _flops_per_token(cfg, model, vocab_size, length), num_parameters(model, vocab_size)
    flops = budget.total_flops(parallel.world_size)
    tokens = flops / per_token if flops is not None else budget.tokens or 0
    spent = per_token * tokens
    batch_rows = _batch_rows(scaling_law.batch_tokens(spent) / length, parallel.data_ranks, cfg)
    speed = budget.flops_per_s(parallel.world_size)
    memory = per_rank(replace(cfg, model=model, batch_rows=batch_rows), vocab_size, length, budget.device)
    return {
        "tokens": tokens, "tokens_per_parameter": tokens / parameters, "flops": spent,
        "epochs": None if budget.tokens is None else tokens / budget.tokens,
        "batch_rows": batch_rows, "batch_tokens": batch_rows * length, "steps": round(tokens / (batch_rows * length)),
        "learning_rate": scaling_law.learning_rate(spent),
        "hours": None if speed is None else spent / speed / SECONDS_PER_HOUR, "memory_bytes": memory.total,
        "loss": {fit.source: fit.loss(parameters, tokens) for fit in scaling_law.FITS},
    }  # fmt: skip
