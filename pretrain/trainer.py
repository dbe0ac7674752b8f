"""The moving parts of a run on one rank, made from its job.

Reads:  token shards (mapped)
Writes: -
Cost:   the whole model on every rank while it is made; its share of it afterwards
Source: -
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from torch import Tensor

from pretrain import ema, metrics, model, optim, parallelize, presets
from pretrain.batches import Microbatch, Reader, open_reader
from pretrain.checkpoint import Checkpoints, Progress
from pretrain.config import Config
from pretrain.job import Job
from pretrain.objective_config import widths
from pretrain.peak_flops import peak_flops
from pretrain.prefetch import Prefetch
from pretrain.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """`batches` are the training steps' microbatches, read ahead. `average` is None where the config wants none."""

    job: Job
    place: parallelize.Place
    model: model.Model
    optimizer: optim.Optimizer
    average: ema.Average | None
    reader: Reader
    batches: Prefetch[Progress, list[Microbatch]]
    checkpoints: Checkpoints
    watch: Watch

    @property
    def share(self) -> tuple[int, int]:
        """Of each batch: which part of how many is this rank's."""
        return self.place.data_rank, self.place.data_ranks

    @property
    def state(self) -> Mapping[str, Mapping[str, Tensor]]:
        """All a run goes on from, as tensors that share memory with what trains."""
        weights = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        average = {"average": self.average.state_tensors()} if self.average else {}
        return {"model": weights, "optimizer": self.optimizer.state_tensors(), **average}

    @contextmanager
    def averaged(self, wanted: bool) -> Iterator[None]:
        """Inside the `with` the model has its averaged weights, where there are any and they are wanted."""
        if self.average is None or not wanted:
            yield
            return
        with self.average.in_place():
            yield

    def close(self) -> None:
        self.batches.close()
        self.checkpoints.close()


def prepare(job: Job) -> Trainer:
    """Everything in place for the first step, before any checkpoint is read."""
    cfg = job.config
    place = parallelize.place(cfg.parallel)
    reader = open_reader(job)
    network = model.build(cfg.model, job.vocab_size)
    model.initialise(network, cfg.seed)
    parallelize.divide(network, place, cfg.parallel)

    def read(progress: Progress) -> list[Microbatch]:
        return reader.step(progress.step, progress.rows_consumed, (place.data_rank, place.data_ranks))

    def after(progress: Progress) -> Progress | None:
        later = following(progress, cfg)
        return later if later.step < cfg.num_steps else None

    return Trainer(
        job=job, place=place, model=network, optimizer=optim.make_optimizer(network, cfg),
        average=ema.make_average(network, cfg.average), reader=reader,
        batches=Prefetch(read, after, cfg.data.prefetch_steps),
        checkpoints=Checkpoints(
            job.checkpoints, job.run(dist.get_world_size()), cfg.checkpoint.keep_last, cfg.checkpoint.keep_best
        ),
        watch=Watch(job),
    )  # fmt: skip


def following(progress: Progress, cfg: Config) -> Progress:
    return Progress(step=progress.step + 1, rows_consumed=progress.rows_consumed + cfg.batch_rows)


def open_meter(job: Job, place: parallelize.Place, step: int) -> metrics.Meter | None:
    """On rank 0 of a run that keeps figures of time."""
    if not job.metrics or dist.get_rank() != 0:
        return None
    cfg = job.config
    peak = peak_flops(cfg.parallel.dtype, place.device.type)
    size = widths(cfg.objective, job.tokens["length"], cfg.model.architecture)
    flops = presets.flops_per_token(cfg.model, job.vocab_size, size.ids, size.decoder)
    return metrics.Meter(Path(job.metrics), cfg.guard, flops, peak and peak * dist.get_world_size(), step)
