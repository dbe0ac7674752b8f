"""Checkpoints a run resumes from exactly: tensors of model and optimiser, random state, step, rows consumed.

Reads/Writes: `{folder}/step-00000020/`: shards and metadata of torch.distributed.checkpoint, and `checkpoint.json`, see
        pretrain.checkpoint_files. It is written beside, as `step-00000020.tmp`, and renamed when whole
Cost:   12 bytes per parameter with AdamW, split over the ranks: copied in memory while training waits, then written
        while it goes on; rank 0 reads all of it once more for the hashes
Source: torch.distributed.checkpoint (DCP)

All saved values are tensors, so no object is unpickled from the shards; DCP's own `.metadata` is a pickle, read only
after its hash was found right. The folder is scratch of the run that wrote it, on a file system all ranks see. Any
number of ranks reads what any other wrote: DCP finds the pieces a rank's shards need.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException

from pipeline.errors import RunError
from pretrain import checkpoint_files
from pretrain.checkpoint_files import UNFINISHED, Ranks, Record, Run

State = Mapping[str, Mapping[str, Tensor]]  # tensors of the model, of the optimiser, ..., by name


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come: optimiser steps done, and rows consumed by all ranks together (the data's position)."""

    step: int = 0
    rows_consumed: int = 0


class Checkpoints:
    """A run's checkpoints. All ranks call the same methods in the same order."""

    def __init__(self, folder: Path, run: Run, keep_last: int, keep_best: int = 0) -> None:
        self.folder, self.run, self.keep_last, self.keep_best = folder, run, keep_last, keep_best
        self.ranks: list[Ranks] = [run.ranks]  # what the tensors were computed with
        # its own, on the CPU: what is written in the background must not mix with what a step sends
        self._group = dist.new_group(backend="gloo")
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def restore(self, state: State, last_step: int | None = None) -> Progress:
        """Load the newest whole checkpoint (none after `last_step`) into the tensors and the random state.

        A damaged one is passed over for the one before, see `checkpoint_files.newest_whole`. Progress() where none is
        left. The random state stays as it is where the number of ranks was another.
        """
        self.wait()
        found: list[Record | RunError | None] = [None]
        if dist.get_rank() == 0:
            checkpoint_files.clear_unfinished(self.folder)
            try:
                found = [checkpoint_files.newest_whole(self.folder, self.run, last_step)]
            except RunError as error:
                found = [error]  # every rank raises it; one alone would leave the others waiting
        dist.broadcast_object_list(found)
        record = found[0]
        if isinstance(record, RunError):
            raise record
        if record is None:
            return Progress()
        same_ranks = record.ranks[-1] == self.run.ranks
        loaded = _with_random_state(state) if same_ranks else dict(state)
        dcp.load(loaded, checkpoint_id=self.folder / record.name)
        if same_ranks:
            torch.set_rng_state(loaded["random"][str(dist.get_rank())])
        self.ranks = [*record.ranks, *([] if same_ranks else [self.run.ranks])]
        return Progress(step=record.step, rows_consumed=record.rows_consumed)

    def save(self, state: State, progress: Progress, validation_loss: float | None = None) -> None:
        """Copy the tensors, and write the copy while training goes on. Waits for the checkpoint before."""
        self.wait()
        record = Record(
            run_id=self.run.run_id, ranks=self.ranks, validation_loss=validation_loss, **asdict(progress)
        )  # fmt: skip
        temporary = self.folder / (record.name + UNFINISHED)
        written = dcp.async_save(_with_random_state(state), checkpoint_id=temporary, process_group=self._group)
        assert isinstance(written, Future)
        self._writing = self._thread.submit(self._finish, written, record)

    def _finish(self, written: Future[Any], record: Record) -> None:
        written.result()  # on rank 0: every rank has written its part
        if dist.get_rank() == 0:
            checkpoint_files.finish(self.folder, record)
            checkpoint_files.prune(self.folder, self.keep_last, self.keep_best)

    def wait(self) -> None:
        """Until what is being written is in its place. RunError where it could not be written."""
        if self._writing is None:
            return
        writing, self._writing = self._writing, None
        try:
            writing.result()
        except (CheckpointException, OSError) as error:
            raise RunError(
                f"a checkpoint could not be written: {error}", where=str(self.folder),
                mend="Free space there, and run it again: it continues at the last whole checkpoint.",
            ) from error  # fmt: skip

    def close(self) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown()


def _with_random_state(state: State) -> dict[str, Mapping[str, Tensor]]:
    return {**state, "random": {str(dist.get_rank()): torch.get_rng_state()}}
