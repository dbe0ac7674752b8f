"""The training loop, as each rank runs it.

Reads:  token shards (mapped), checkpoints and tokenizer.json in the scratch folder
Writes: in the scratch folder: `checkpoints/`, `loss.jsonl` (one object per step), `spikes/` (see pretrain.spikes), at
        the end `weights.safetensors` (float32, names as in pretrain.model); figures of time where the job says
Cost:   per step three forward passes' worth of arithmetic on batch_rows rows; the logits of microbatch_rows rows
        (microbatch_rows * T * V * 4 bytes, about three times over) are the largest thing in memory
Source: -

`run_rank(job)` needs an initialised process group and nothing else: Ray Train, torch.multiprocessing and torchrun give
the same bytes. A run that is killed and started again continues at its last checkpoint and ends with the same bytes,
and with another number of ranks with nearly the same.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from pipeline.errors import RunError
from pretrain import allocator, batches, objectives, optim, parallelize, segment_losses, spikes
from pretrain.batches import Microbatch
from pretrain.checkpoint import Progress
from pretrain.job import Job
from pretrain.loss_groups import Groups, open_groups
from pretrain.scratch import LossLog, only_run, read_log, write_use
from pretrain.segment_losses import SegmentLosses
from pretrain.trainer import Trainer, following, open_meter, prepare


def run_rank(job: Job) -> None:
    """Train from the last checkpoint (or the start) to `num_steps`. Raises RunError where the loss is not finite."""
    allocator.keep_freed_memory()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # nothing here reads memory before writing it, and filling it takes a tenth of a step
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(job.config.seed)
    work = Path(job.work)
    with only_run(work) if dist.get_rank() == 0 else nullcontext():
        with closing(prepare(job)) as trainer:
            progress = trainer.checkpoints.restore(trainer.state)
            if dist.get_rank() == 0:
                spikes.cut(work, progress.step)
            _train(trainer, progress)
        with trainer.averaged(job.config.average.export):
            _write_weights(trainer.model, work / "weights.safetensors")
        write_use(work, dist.get_rank())
        dist.barrier()  # gloo aborts now and then where a group is destroyed while a rank still talks


def _train(trainer: Trainer, progress: Progress) -> None:
    """To the last step, or to an error. A step's record is in the log before its checkpoint is written."""
    job, cfg = trainer.job, trainer.job.config
    log = _resume(trainer, progress.step)
    validates = trainer.reader.validation.num_rows > 0 and cfg.evaluation.rows > 0
    groups = _validation_groups(trainer) if validates else None
    with ExitStack() as stack:
        meter = open_meter(job, trainer.place, progress.step)
        if meter:
            stack.callback(meter.close)
        if progress.step == 0 and validates:
            record = {"step": 0, **validate(trainer, groups)}
            _write(log, record)
            if meter:
                meter.note(record)
        while progress.step < cfg.num_steps:
            waited_s = trainer.batches.waited_s
            record = train_step(trainer, progress)
            progress = following(progress, cfg)
            if record.get("spike", {}).get("action") == "rewind":
                progress = replace(progress, step=_rewind(trainer))
                log = _resume(trainer, progress.step)
                continue
            if meter:
                num_tokens = cfg.batch_rows * trainer.reader.train.length
                meter.step(record, num_tokens, trainer.batches.waited_s - waited_s)
            if validates and _due(progress.step, cfg.evaluation.every_steps, cfg.num_steps):
                record |= validate(trainer, groups)
                if meter:
                    meter.note(record)
            _write(log, record)
            if _due(progress.step, cfg.checkpoint.every_steps, cfg.num_steps):
                trainer.checkpoints.save(trainer.state, progress, record.get("validation_loss"))
                trainer.watch.saved()
            if meter:
                meter.pause()


def _resume(trainer: Trainer, step: int) -> LossLog | None:
    """The log, cut after `step`, and the losses before it in mind."""
    path = Path(trainer.job.work) / "loss.jsonl"
    log = LossLog(path, step) if dist.get_rank() == 0 else None
    trainer.watch.resume(read_log(path) if log else (), step)
    return log


def _write(log: LossLog | None, record: dict[str, Any]) -> None:
    if log:
        log.write(record)


def _rewind(trainer: Trainer) -> int:
    """Back to the last checkpoint; its step. The rows since, the spike's among them, are passed over."""
    trainer.watch.num_rewinds += 1
    step = trainer.checkpoints.restore(trainer.state).step
    if step == 0:
        raise RunError(
            "a loss spike asks to go back, and no whole checkpoint is left", where=trainer.job.work,
            expected="one to go back to", mend="Run it again: it starts anew. Or set guard.action to skip.",
        )  # fmt: skip
    return step


def train_step(trainer: Trainer, progress: Progress) -> dict[str, Any]:
    """One step on the next batch. The loss is the mean over the targets of all ranks, in nats per token."""
    cfg, place = trainer.job.config, trainer.place
    micro = trainer.batches.take(progress)
    total = int(_sum_over_ranks(place, sum(m.num_targets for m in micro)))
    loss = torch.zeros((), dtype=torch.float64, device=place.device)
    token_losses = []
    for i, microbatch in enumerate(micro):
        parallelize.sum_over_replicas(trainer.model, i == len(micro) - 1)
        loss_BT = _token_losses(trainer, microbatch)
        loss_sum = loss_BT.sum()
        # FSDP takes the mean of the ranks' gradients: with this factor it is the mean over all targets
        mean_part = loss_sum * (place.data_ranks / max(1, total))
        (mean_part + trainer.model.auxiliary_loss() / len(micro)).backward()
        loss += loss_sum.detach()
        token_losses.append(loss_BT.detach())
    parallelize.finish_gradients(trainer.model, place)
    mean = _sum_over_ranks(place, loss.item()) / max(1, total)
    grad_norm = optim.clip(trainer.model, cfg.optimizer.grad_clip)
    rate = optim.learning_rate(cfg, progress.step)
    verdict = trainer.watch.judge(mean, grad_norm)
    step = progress.step + 1
    record = {"step": step, "loss": mean, "lr": rate, "grad_norm": grad_norm, "num_targets": total, **verdict.fields()}
    every = cfg.guard.train_groups_every_steps
    if verdict.kind != "fine":
        trainer.watch.report(verdict, step, _measured(trainer, micro, token_losses))
    elif every and step % every == 0:
        record |= _train_groups(trainer, _measured(trainer, micro, token_losses))
    if verdict.action not in ("skip", "rewind"):
        trainer.optimizer.set_learning_rate(rate)
        trainer.optimizer.step()
        if trainer.average:
            trainer.average.update(progress.step)
    trainer.optimizer.zero_grad()
    return record


@torch.no_grad()
def validate(trainer: Trainer, groups: Groups | None = None) -> dict[str, Any]:
    """Mean loss over the targets of the validation rows, nats per token; by groups as well where the config says so."""
    cfg, place = trainer.job.config, trainer.place
    loss, count = 0.0, 0
    parts: list[SegmentLosses] = []
    trainer.model.eval()
    with trainer.averaged(cfg.average.evaluate):
        for microbatch in trainer.reader.validation_batches(trainer.share):
            loss_BT = _token_losses(trainer, microbatch)
            loss += loss_BT.sum().item()
            count += microbatch.num_targets
            if cfg.guard.groups:
                parts += _measured(trainer, [microbatch], [loss_BT])
        parallelize.release(trainer.model)
    trainer.model.train()
    found: dict[str, Any] = {
        "validation_loss": _sum_over_ranks(place, loss) / max(1, _sum_over_ranks(place, count))
    }  # fmt: skip
    measured = segment_losses.gather(parts) if cfg.guard.groups else None
    by_group = groups.losses(measured) if groups and measured else {}
    return {**found, "validation_by": by_group} if by_group else found


def _validation_groups(trainer: Trainer) -> Groups | None:
    """On rank 0, where the validation loss is wanted by groups."""
    job, reader = trainer.job, trainer.reader
    if not job.config.guard.groups or dist.get_rank() != 0:
        return None
    row_N = batches.validation_rows(reader.validation, job.config)
    return open_groups(job.config.guard, job.validation_sources, row_N)


def _train_groups(trainer: Trainer, parts: list[SegmentLosses]) -> dict[str, Any]:
    measured = segment_losses.gather(parts)
    if measured is None:
        return {}
    groups = open_groups(trainer.job.config.guard, trainer.job.sources, np.unique(measured.row_N))
    return {"train_by": groups.losses(measured)}


def _measured(trainer: Trainer, micro: list[Microbatch], token_losses: list[Tensor]) -> list[SegmentLosses]:
    """By segment, on one of the ranks that read the same rows."""
    if not trainer.place.speaks:
        return []
    found = []
    for microbatch, loss_BT in zip(micro, token_losses, strict=True):
        rows_BT = batches.by_row(loss_BT, microbatch.to(trainer.place.device))
        found.append(segment_losses.measure(microbatch.row_N, *rows_BT))
    return found


def _token_losses(trainer: Trainer, microbatch: Microbatch) -> Tensor:
    # what dropout draws depends on the rows, not on which rank reads them or what was drawn before
    torch.manual_seed(((trainer.job.config.seed << 40) + microbatch.place) % 2**63)
    example = microbatch.to(trainer.place.device).example
    return segment_losses.token_losses(objectives.logits(trainer.model, example), example.target_BT)


def _due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


def _sum_over_ranks(place: parallelize.Place, value: float) -> float:
    """Of the values of those that speak; ranks that read the same rows have the same value."""
    if dist.get_world_size() == 1:
        return value
    total = torch.tensor(value if place.speaks else 0.0, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item()


def _write_weights(model: nn.Module, path: Path) -> None:
    """Gather the whole model, parameter by parameter, and write it on rank 0."""
    weights = {}
    for name, parameter in model.named_parameters():
        full = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
        if dist.get_rank() == 0:
            weights[name] = full.detach().cpu().contiguous()
    if dist.get_rank() == 0:
        temporary = path.with_suffix(".tmp")
        safetensors.torch.save_file(weights, temporary)
        os.replace(temporary, path)
