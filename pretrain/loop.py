"""The training loop, as each rank runs it.

Reads:  token shards (mapped), checkpoints in the scratch folder
Writes: in the scratch folder: `checkpoints/`, `loss.jsonl` (one object per step), at the end `weights.safetensors`
        (float32, names as in pretrain.model)
Cost:   per step three forward passes' worth of arithmetic on batch_rows rows; the logits of microbatch_rows rows
        (microbatch_rows * T * V * 4 bytes, about three times over) are the largest thing in memory
Source: -

`run_rank(job)` needs an initialised process group and nothing else: Ray Train, torch.multiprocessing and torchrun give
the same bytes. A run that is killed and started again continues at its last checkpoint and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from pipeline.errors import RunError
from pretrain import checkpoint, data, objectives, optim
from pretrain.config import Config
from pretrain.model import Shape, Transformer, initialise
from pretrain.parallelize import reduce_gradients, release, shard
from pretrain.scratch import LossLog, only_run, write_use


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every rank is given: small and picklable. Paths are local, on a file system all ranks see."""

    config: Config
    tokens: Mapping[str, Any]  # the contract of the shards
    train_shards: tuple[str, ...]
    validation_shards: tuple[str, ...]
    work: str

    @property
    def vocab_size(self) -> int:
        return int(self.tokens["vocab_size"])

    @property
    def run_id(self) -> str:
        """Names the settings; a checkpoint of other settings is not resumed from."""
        settings = json.dumps([asdict(self.config), self.vocab_size, self.tokens["length"]], sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """The moving parts of a run on one rank."""

    job: Job
    model: Transformer
    optimizer: torch.optim.AdamW
    train: data.Rows
    validation: data.Rows


def model_shape(cfg: Config, vocab_size: int) -> Shape:
    return Shape(vocab_size=vocab_size, **asdict(cfg.model))


def run_rank(job: Job) -> None:
    """Train from the last checkpoint (or the start) to `num_steps`. Raises RunError where the loss is not finite."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # nothing here reads memory before writing it, and filling it takes a tenth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(job.config.seed)
    work = Path(job.work)
    with only_run(work) if dist.get_rank() == 0 else nullcontext():
        trainer = _prepare(job)
        progress = checkpoint.restore(work / "checkpoints", trainer.model, trainer.optimizer, job.run_id)
        log = LossLog(work / "loss.jsonl", progress.step) if dist.get_rank() == 0 else None
        for record in _steps(trainer, progress):
            if log:
                log.write(record)
        _write_weights(trainer.model, work / "weights.safetensors")
        write_use(work, dist.get_rank())
        dist.barrier()  # gloo aborts now and then where a group is destroyed while a rank still talks


def _steps(trainer: Trainer, progress: checkpoint.Progress) -> Iterator[dict[str, Any]]:
    """Train on from `progress`; a record per step, taken up by the caller before the step's checkpoint is written."""
    cfg = trainer.job.config
    validates = trainer.validation.num_rows > 0 and cfg.evaluation.rows > 0
    if progress.step == 0 and validates:
        yield {"step": 0, "validation_loss": validation_loss(trainer)}
    while progress.step < cfg.num_steps:
        record = train_step(trainer, progress)
        progress = checkpoint.Progress(step=progress.step + 1, rows_consumed=progress.rows_consumed + cfg.batch_rows)
        if validates and _due(progress.step, cfg.evaluation.every_steps, cfg.num_steps):
            record["validation_loss"] = validation_loss(trainer)
        yield record
        if _due(progress.step, cfg.checkpoint.every_steps, cfg.num_steps):
            _save(trainer, progress)


def _prepare(job: Job) -> Trainer:
    cfg = job.config
    train = data.open_rows(job.train_shards, job.tokens)
    validation = data.open_rows(job.validation_shards, job.tokens)
    model = Transformer(model_shape(cfg, job.vocab_size))
    initialise(model, cfg.seed)
    shard(model, init_device_mesh("cpu", (dist.get_world_size(),)), cfg.parallel.dtype)
    return Trainer(job=job, model=model, optimizer=optim.adamw(model, cfg), train=train, validation=validation)


def train_step(trainer: Trainer, progress: checkpoint.Progress) -> dict[str, Any]:
    """One optimiser step on the next batch. The loss is the mean over the targets of all ranks, in nats per token."""
    cfg, rank, world_size = trainer.job.config, dist.get_rank(), dist.get_world_size()
    row_N = data.rank_rows(
        progress.rows_consumed, cfg.batch_rows, rank, world_size, trainer.train.num_rows, cfg.seed
    )  # fmt: skip
    micro = [read_with_targets(trainer.train, part) for part in _split(row_N, cfg.parallel.microbatch_rows)]
    total = int(_sum_over_ranks(sum(objectives.num_targets(target_BT) for _, target_BT in micro)))
    loss = 0.0
    for i, (batch, target_BT) in enumerate(micro):
        reduce_gradients(trainer.model, i == len(micro) - 1)
        loss_sum = objectives.loss_sum(_logits(trainer.model, batch), target_BT)
        # FSDP takes the mean of the ranks' gradients: with this factor it is the mean over all targets
        (loss_sum * (world_size / max(1, total))).backward()
        loss += loss_sum.item()
    mean = _sum_over_ranks(loss) / max(1, total)
    if not math.isfinite(mean):
        raise RunError(
            f"the loss is {mean} at step {progress.step + 1}", expected="a finite loss",
            mend="Lower learning_rate, or raise warmup_steps.",
        )  # fmt: skip
    grad_norm = optim.clip(trainer.model, cfg.optimizer.grad_clip)
    rate = optim.learning_rate(cfg, progress.step)
    optim.set_learning_rate(trainer.optimizer, rate)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    return {"step": progress.step + 1, "loss": mean, "lr": rate, "grad_norm": grad_norm, "num_targets": total}


def validation_rows(rows: data.Rows, cfg: Config) -> np.ndarray:
    """Int64 numbers of the rows that are measured: the same ones every time."""
    return data.rows_at(0, min(cfg.evaluation.rows, rows.num_rows), rows.num_rows, cfg.seed)


@torch.no_grad()
def validation_loss(trainer: Trainer) -> float:
    """Mean loss over the targets of the validation rows, nats per token."""
    cfg, rank, world_size = trainer.job.config, dist.get_rank(), dist.get_world_size()
    row_N = validation_rows(trainer.validation, cfg)
    stride = world_size * cfg.parallel.microbatch_rows
    loss, count = 0.0, 0
    for start in range(0, len(row_N), stride):
        mine = row_N[start:][:stride][rank::world_size]
        # every rank runs as many forward passes, for they gather the weights together; one without rows takes the first
        batch, target_BT = read_with_targets(trainer.validation, mine if len(mine) else row_N[:1])
        logits_BTV = _logits(trainer.model, batch)
        if len(mine):
            loss += objectives.loss_sum(logits_BTV, target_BT).item()
            count += objectives.num_targets(target_BT)
    release(trainer.model)
    return _sum_over_ranks(loss) / max(1, _sum_over_ranks(count))


def read_with_targets(rows: data.Rows, row_N: np.ndarray) -> tuple[data.Batch, Tensor]:
    """The rows' batch, and the targets [B, T] in it."""
    batch = data.read_batch(rows, row_N)
    return batch, objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)


def _logits(model: Transformer, batch: data.Batch) -> Tensor:
    logits_BTV: Tensor = model(batch.ids_BT, batch.segment_BT, batch.position_BT)
    return logits_BTV


def _split(row_N: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (row_N[i : i + size] for i in range(0, len(row_N), size))


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _sum_over_ranks(value: float) -> float:
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item()


def _save(trainer: Trainer, progress: checkpoint.Progress) -> None:
    job = trainer.job
    folder = Path(job.work) / "checkpoints"
    checkpoint.save(folder, trainer.model, trainer.optimizer, progress, job.run_id, job.config.checkpoint.keep_last)


def _write_weights(model: Transformer, path: Path) -> None:
    """Gather the whole model, parameter by parameter, and write it on rank 0."""
    weights = {}
    for name, parameter in model.named_parameters():
        full = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if dist.get_rank() == 0:
            weights[name] = full.detach().contiguous()
    if dist.get_rank() == 0:
        temporary = path.with_suffix(".tmp")
        safetensors.torch.save_file(weights, temporary)
        os.replace(temporary, path)
