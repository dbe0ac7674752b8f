"""A run's scratch folder, beside its checkpoints: the loss log, and the lock that keeps a second run out.

Reads/Writes: `loss.jsonl`, one object per step; `lock`
Cost:   one line per step
Source: -
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pipeline.errors import RunError
from pipeline.resource_use import cpu_s, peak_memory_bytes

LOCK_WAIT_S = 120  # ranks whose driver was killed need a while to notice


def write_use(work: Path, rank: int) -> None:
    """Leave what this rank's process used, for the run's summary; nothing else reads it."""
    use = {"cpu_s": cpu_s(), "peak_memory_bytes": peak_memory_bytes()}
    (work / f"use-{rank}.json").write_text(json.dumps(use))


def read_use(work: Path, world_size: int) -> list[dict[str, Any]]:
    """What each rank's process used, where its file is on this machine's file system."""
    paths = [work / f"use-{rank}.json" for rank in range(world_size)]
    return [json.loads(path.read_text()) for path in paths if path.is_file()]


class LossLog:
    """`loss.jsonl`, for one writer. It goes on after `step`: later lines, left by a run that was killed, are cut."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [record for record in read_log(path) if step > 0 and record["step"] <= step]
        temporary = path.with_suffix(".tmp")
        temporary.write_text("".join(_line(record) for record in kept))
        os.replace(temporary, path)

    def write(self, record: dict[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(_line(record))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The records of a log, none where there is no file. A last line without its end was cut by a kill: left out."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"


@contextmanager
def only_run(work: Path) -> Iterator[None]:
    """Hold the folder's lock, so that ranks left over from a killed driver cannot write beside these.

    RunError where it is still taken after LOCK_WAIT_S.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as file:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not _locked(file):
            if time.monotonic() > deadline:
                raise RunError("another run trains here", where=str(work), mend="Wait for it to end, or end it.")
            time.sleep(0.5)
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
