"""How many bytes of parameters, gradients and optimiser state each of W ranks holds, after a step of the trainer.

Runs in W processes on gloo, each on one thread.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.distributed.tensor import DTensor

from pretrain import loop
from pretrain.checkpoint import Progress
from pretrain.job import TOKENIZER, Job
from pretrain.train import loopback
from pretrain.trainer import prepare


def bytes_per_rank(job: Job, world_size: int) -> list[int]:
    """One number per rank; a rank's microbatch is one row, and its whole share of the batch."""
    cfg = job.config
    parallel = replace(cfg.parallel, world_size=world_size, microbatch_rows=1)
    work = Path(job.work) / f"ranks-{world_size}"
    work.mkdir()
    shutil.copy(Path(job.work) / TOKENIZER, work)
    changed = replace(job, config=replace(cfg, parallel=parallel, batch_rows=world_size), work=str(work))
    mp.spawn(_measure, args=(changed, world_size), nprocs=world_size)
    return [json.loads((work / f"{rank}.json").read_text()) for rank in range(world_size)]


def _measure(rank: int, job: Job, world_size: int) -> None:
    os.environ.update(loopback())
    torch.set_num_threads(1)
    address = f"file://{Path(job.work) / 'rendezvous'}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world_size)
    trainer = prepare(job)
    optimizer: Any = trainer.optimizer
    gradients: list[int] = []
    zero_grad = optimizer.zero_grad

    def counted() -> None:
        gradients.append(_num_bytes(p.grad for p in trainer.model.parameters() if p.grad is not None))
        zero_grad()

    object.__setattr__(optimizer, "zero_grad", counted)
    loop.train_step(trainer, Progress())
    state = trainer.state
    total = gradients[0] + sum(_num_bytes(state[part].values()) for part in ("model", "optimizer"))
    (Path(job.work) / f"{rank}.json").write_text(json.dumps(total))
    trainer.close()
    dist.barrier()
    dist.destroy_process_group()


def _num_bytes(tensors: Iterable[Tensor]) -> int:
    """Of what this rank holds of them."""
    local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    return sum(tensor.numel() * tensor.element_size() for tensor in local)
