"""The files of checkpoints: which of them are whole, which a run may go on from, which are kept.

Reads/Writes: `{folder}/step-00000020/checkpoint.json`: what `Record` holds, and the xxh3 of each file beside it
Cost:   every file of a checkpoint is read once for its hash
Source: -

A folder named `step-00000020.tmp` was being written when its run was killed. Nothing here talks to other ranks.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import xxhash

from pipeline.errors import RunError

logger = logging.getLogger(__name__)
RECORD = "checkpoint.json"
UNFINISHED = ".tmp"
HASH_CHUNK_BYTES = 1 << 22
Ranks = Mapping[str, Any]  # how a run was divided over ranks: all that decides the last bits of its sums


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a checkpoint has to be of. `run_id` names the settings but for how they were divided over ranks, `ranks`.

    An `exact` run promises bytes, so it does not go on from what other ranks computed.
    """

    run_id: str
    ranks: Ranks
    exact: bool = True


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a checkpoint says of itself. `ranks` are all that it was computed with, one after the other."""

    run_id: str
    ranks: Sequence[Ranks]
    step: int
    rows_consumed: int
    validation_loss: float | None

    @property
    def name(self) -> str:
        return f"step-{self.step:08d}"


def finish(folder: Path, record: Record) -> None:
    """Hash what was written beside, and put it in its place."""
    temporary, final = folder / (record.name + UNFINISHED), folder / record.name
    files = {p.name: _hash(p) for p in sorted(temporary.iterdir())}
    (temporary / RECORD).write_text(json.dumps({"format": 2, **asdict(record), "files": files}))
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)


def prune(folder: Path, keep_last: int, keep_best: int) -> None:
    """Delete all but the last `keep_last`, and the `keep_best` of the others with the least validation loss."""
    older = _finished(folder)[:-keep_last]
    measured = [(loss, path) for path in older if (loss := _validation_loss(path)) is not None]
    best = {path for _, path in sorted(measured)[:keep_best]}
    for path in older:
        if path not in best:
            shutil.rmtree(path)


def clear_unfinished(folder: Path) -> None:
    """Delete what a killed run was writing. A kill in the middle of writing is nothing to worry about."""
    for path in folder.glob(f"step-*{UNFINISHED}"):
        shutil.rmtree(path)


def newest_whole(folder: Path, run: Run, last_step: int | None = None) -> Record | None:
    """The newest usable checkpoint, none later than `last_step`; those after it are deleted, damaged ones loudly.

    RunError where it was computed with other ranks than those of an exact `run`.
    """
    damaged = False
    for path in reversed(_finished(folder)):
        fault, record = _examine(path, run.run_id)
        if record is None:
            damaged = True
            logger.warning("CHECKPOINT NOT USABLE, deleted: %s: %s", path, fault)
        elif last_step is None or record.step <= last_step:
            if damaged:
                logger.warning("resuming from the checkpoint before: %s", path)
            _check_ranks(path, record, run)
            return record
        shutil.rmtree(path)
    if damaged:
        logger.warning("no usable checkpoint is left in %s: training starts again from step 0", folder)
    return None


def _check_ranks(path: Path, record: Record, run: Run) -> None:
    if run.exact and list(record.ranks) != [run.ranks]:
        raise RunError(
            f"a checkpoint that was computed with {_listed(record.ranks)}", where=str(path),
            expected=f"one of {_listed([run.ranks])}, for the same config gives the same bytes",
            mend="Go on with those, or with torchrun -m pretrain.torchrun, or delete the checkpoints.",
        )  # fmt: skip


def _listed(ranks: Sequence[Ranks]) -> str:
    return ", then ".join(" ".join(f"{name} {value}" for name, value in each.items()) for each in ranks)


def _examine(path: Path, run_id: str) -> tuple[str, Record | None]:
    """What is wrong with a checkpoint (empty where nothing is), and its record."""
    try:
        fields = json.loads((path / RECORD).read_text())
        record = Record(**{name: fields[name] for name in Record.__dataclass_fields__})
        found = {name: _hash(path / name) for name in fields["files"]}
        expected = dict(fields["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}", None
    if record.run_id != run_id:
        return f"it is of run {record.run_id}, this is run {run_id}", None
    for name, digest in expected.items():
        if found[name] != digest:
            return f"{name} has xxh3 {found[name]}, expected {digest}", None
    return "", record


def _validation_loss(path: Path) -> float | None:
    try:
        loss: float | None = json.loads((path / RECORD).read_text())["validation_loss"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # damaged: no candidate
    return loss


def _finished(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if p.suffix != UNFINISHED)


def _hash(path: Path) -> str:
    digest = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
