"""What a rank keeps of the losses so far, to judge each step by, and what it does about a spike.

Reads:  loss.jsonl's records
Writes: reports of spikes, see pretrain.spikes
Cost:   see pretrain.guard; a report is written once per spike
Source: -

All ranks hold the same history and come to the same verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

from pretrain import guard, segment_losses, spikes
from pretrain.guard import Verdict
from pretrain.job import Job
from pretrain.segment_losses import SegmentLosses


class Watch:
    """`resume` before the first step, and after a rewind. `has_checkpoint`: there is one to go back to."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.has_checkpoint = False
        self.num_rewinds = 0  # from the last checkpoint
        self._history: list[float] = []

    def resume(self, records: Sequence[Mapping[str, Any]], step: int) -> None:
        """`records` are those of rank 0."""
        given: list[Any] = [guard.losses_of(records, step)]
        if dist.get_world_size() > 1:
            dist.broadcast_object_list(given)
        self._history = given[0]
        self.has_checkpoint = step > 0

    def saved(self) -> None:
        self.has_checkpoint, self.num_rewinds = True, 0

    def judge(self, loss: float, grad_norm: float) -> Verdict:
        """The step's verdict, before its gradients are applied. Its loss is history from here on."""
        verdict = guard.judge(
            self.job.config.guard, self._history, loss, grad_norm, self.num_rewinds, self.has_checkpoint
        )  # fmt: skip
        self._history.append(loss)
        return verdict

    def report(self, verdict: Verdict, step: int, parts: Sequence[SegmentLosses]) -> None:
        """Name the documents of a batch; all ranks call it, each with what it measured. Raises where the run stops."""
        measured = segment_losses.gather(parts)
        work, cfg = Path(self.job.work), self.job.config.guard
        if measured is not None:
            spikes.write_report(work, cfg, self.job.sources, verdict, step, measured, self.num_rewinds)
        if verdict.action == "stop":
            dist.barrier()  # the report is there before a rank ends, and with it the others
            raise guard.stopped(verdict, step, spikes.report_path(work, step, self.num_rewinds))
