"""Tasks that Ray workers import by name."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pyarrow as pa

from pipeline.errors import DataError
from pipeline.preparations import Preparation, tell


def describe(item: int) -> dict[str, Any]:
    return {"square": item * item, "arrow_threads": pa.cpu_count(), "omp": os.environ.get("OMP_NUM_THREADS")}


def refuse(item: str) -> None:
    raise DataError("a broken shard", where=item, expected="a whole one")


def die(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def prepare(item: int) -> None:
    tell(Preparation(what="compiling kernels for a stage", kept_in="/cache"))
    time.sleep(item)  # long enough for the driver to hear of it before the end
    tell(Preparation(what="compiling kernels for a stage", kept_in="/cache", seconds=float(item)))
