"""Two loops over the same model and rows: the trainer's step, and one that has nothing but PyTorch in it.

The bare loop has its batches in memory, with their targets; it asks neither for the loss nor for the norm of the
gradients as numbers. Both run on one thread, with fused AdamW and clipping, in one process whose allocator keeps what
is freed (pretrain.allocator).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain import allocator, data, loop, objectives, optim
from pretrain.checkpoint import Progress
from pretrain.job import Job
from pretrain.model import build, initialise
from pretrain.trainer import following, prepare


@dataclass(frozen=True)
class Seconds:
    """Of some steps."""

    wall: float
    cpu: float


class Ours:
    """`loop.train_step`, step after step, as run_rank calls it on one rank."""

    def __init__(self, job: Job) -> None:
        allocator.keep_freed_memory()
        self.trainer = prepare(job)
        self.progress = Progress()

    def run(self, num_steps: int) -> Seconds:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(num_steps):
            loop.train_step(self.trainer, self.progress)
            self.progress = following(self.progress, self.trainer.job.config)
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


class Bare:
    """The same model, rows, microbatches and hyperparameters."""

    def __init__(self, job: Job, num_batches: int) -> None:
        cfg = job.config
        self.cfg = cfg
        self.model = build(cfg.model, job.vocab_size)
        initialise(self.model, cfg.seed)
        adam = cfg.optimizer
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=adam.learning_rate, betas=(adam.beta1, adam.beta2),
            weight_decay=adam.weight_decay, fused=True,
        )  # fmt: skip
        self.batches = microbatches(job, num_batches)
        self.step = 0

    def run(self, num_steps: int) -> Seconds:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(num_steps):
            for batch, target_BT in self.batches[self.step % len(self.batches)]:
                logits_BTV = self.model(batch.ids_BT, batch.segment_BT, batch.position_BT)
                loss = F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), ignore_index=objectives.IGNORED)
                (loss * (len(batch.ids_BT) / self.cfg.batch_rows)).backward()
                del logits_BTV, loss
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.cfg.optimizer.grad_clip)
            for group in self.optimizer.param_groups:
                group["lr"] = optim.learning_rate(self.cfg, self.step)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.step += 1
        return Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def microbatches(job: Job, num_batches: int) -> list[list[tuple[Any, Tensor]]]:
    """The first steps' rows and targets, as one rank takes them."""
    cfg = job.config
    rows = data.open_rows(job.train_shards, job.tokens)
    found = []
    for step in range(num_batches):
        row_N = data.rows_at(step * cfg.batch_rows, cfg.batch_rows, rows.num_rows, cfg.seed)
        size = cfg.parallel.microbatch_rows
        batches = [data.read_batch(rows, row_N[i : i + size]) for i in range(0, len(row_N), size)]
        targets = [objectives.next_token_targets(b.ids_BT, b.segment_BT, b.loss_start_BT) for b in batches]
        found.append(list(zip(batches, targets, strict=True)))
    return found
