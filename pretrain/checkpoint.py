"""Checkpoints a run resumes from exactly: weights, optimiser moments, random state, step, rows consumed.

Reads/Writes: `{folder}/step-00000020/`: shards and metadata of torch.distributed.checkpoint, and `checkpoint.json` with
        the xxh3 of each of these files. It is written beside, as `step-00000020.tmp`, and renamed when whole
Cost:   12 bytes per parameter, split over the ranks; rank 0 reads all of it once more for the hashes
Source: torch.distributed.checkpoint (DCP)

All saved values are tensors, so no object is unpickled from the shards; DCP's own `.metadata` is a pickle, read only
after its hash was found right. The folder is scratch of the run that wrote it, on a file system all ranks see.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import xxhash
from torch import Tensor

from pretrain.model import Transformer

logger = logging.getLogger(__name__)
RECORD = "checkpoint.json"
HASH_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come: optimiser steps done, and rows consumed by all ranks together (the data's position)."""

    step: int = 0
    rows_consumed: int = 0


def save(
    folder: Path, model: Transformer, optimizer: torch.optim.AdamW, progress: Progress, run_id: str, keep: int
) -> None:
    """Write a checkpoint; all ranks call it together. Only the last `keep` stay. `run_id` names the run's settings."""
    final = folder / f"step-{progress.step:08d}"
    temporary = final.with_suffix(".tmp")
    if dist.get_rank() == 0:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(final, ignore_errors=True)
        temporary.mkdir(parents=True)
    dist.barrier()
    dcp.save(_state(model, optimizer), checkpoint_id=temporary)
    dist.barrier()
    if dist.get_rank() == 0:
        record = {
            "format": 1, "run_id": run_id, "step": progress.step, "rows_consumed": progress.rows_consumed,
            "files": {p.name: _hash(p) for p in sorted(temporary.iterdir())},
        }  # fmt: skip
        (temporary / RECORD).write_text(json.dumps(record))
        os.replace(temporary, final)
        for old in _finished(folder)[:-keep]:
            shutil.rmtree(old)
    dist.barrier()


def restore(folder: Path, model: Transformer, optimizer: torch.optim.AdamW, run_id: str) -> Progress:
    """Load the newest whole checkpoint of `run_id` into model, optimiser and random state; all ranks call it together.

    A damaged one is passed over for the one before, see `newest_whole`. Progress() where none is left.
    """
    chosen: list[tuple[str, int, int] | None] = [None]
    if dist.get_rank() == 0:
        chosen = [newest_whole(folder, run_id)]
    dist.broadcast_object_list(chosen)
    if chosen[0] is None:
        return Progress()
    name, step, rows_consumed = chosen[0]
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.zeros(()),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    state = _state(model, optimizer)
    dcp.load(state, checkpoint_id=folder / name)
    torch.set_rng_state(state["random"][str(dist.get_rank())])
    return Progress(step=step, rows_consumed=rows_consumed)


def _state(model: Transformer, optimizer: torch.optim.AdamW) -> dict[str, dict[str, Any]]:
    """Tensors by name, sharing memory with model and optimiser, so that loading into them restores both."""
    weights: dict[str, Tensor] = {}
    moments: dict[str, Tensor] = {}
    for name, parameter in model.named_parameters():
        weights[name] = parameter.detach()
        for key, value in optimizer.state[parameter].items():
            moments[f"{name}.{key}"] = value
    return {"model": weights, "optimizer": moments, "random": {str(dist.get_rank()): torch.get_rng_state()}}


def newest_whole(folder: Path, run_id: str) -> tuple[str, int, int] | None:
    """Name, step and rows consumed of the newest usable checkpoint; damaged ones after it are logged and deleted."""
    damaged = False
    for path in reversed(_finished(folder)):
        fault, record = _examine(path, run_id)
        if not fault:
            if damaged:
                logger.warning("resuming from the checkpoint before: %s", path)
            return path.name, record["step"], record["rows_consumed"]
        damaged = True
        logger.warning("CHECKPOINT NOT USABLE, deleted: %s: %s", path, fault)
        shutil.rmtree(path)
    if damaged:
        logger.warning("no usable checkpoint is left in %s: training starts again from step 0", folder)
    return None


def _examine(path: Path, run_id: str) -> tuple[str, dict[str, Any]]:
    """What is wrong with a checkpoint (empty where nothing is), and its record."""
    try:
        record = json.loads((path / RECORD).read_text())
        files = record["files"].items()
        found = {name: _hash(path / name) for name, _ in files}
        same_run = record["run_id"] == run_id
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}", {}
    if not same_run:
        return f"it is of run {record['run_id']}, this is run {run_id}", {}
    for name, expected in files:
        if found[name] != expected:
            return f"{name} has xxh3 {found[name]}, expected {expected}", {}
    return "", record


def _finished(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.suffix != ".tmp")


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
