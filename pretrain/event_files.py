"""Metrics as TensorBoard's event files, where one of the packages that write them is installed.

Reads:  a step's line of metrics.jsonl
Writes: `events.out.tfevents...` in the folder of the metrics
Cost:   some 100 microseconds per step; the package writes in a thread of its own
Source: tensorboardX (which Ray Tune brings along), or torch.utils.tensorboard where `tensorboard` is installed
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import RunError

GROUPS = {
    "loss": "loss", "validation_loss": "loss", "lr": "optimiser", "grad_norm": "optimiser", "tokens_per_s": "speed",
    "seconds": "speed", "waited_s": "speed", "mfu": "speed", "memory_bytes": "memory",
}  # fmt: skip


class EventFiles:
    """Scalars by step, named `loss/validation_loss`, `speed/mfu`."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def write(self, line: Mapping[str, Any]) -> None:
        for name, group in GROUPS.items():
            if isinstance(line.get(name), (int, float)):
                self._writer.add_scalar(f"{group}/{name}", line[name], line["step"])

    def close(self) -> None:
        self._writer.close()


def open_event_files(folder: Path, step: int) -> EventFiles:
    """Event files that go on after `step`: TensorBoard passes over later points of a run that was killed.

    RunError where neither package is installed.
    """
    if importlib.util.find_spec("tensorboardX") is not None:
        package = "tensorboardX"
    elif importlib.util.find_spec("tensorboard") is not None:
        package = "torch.utils.tensorboard"
    else:
        raise RunError(
            "guard.tensorboard is true, but nothing that writes its files is installed",
            expected="the package tensorboardX or tensorboard", mend="pip install tensorboardX, or set it to false.",
        )  # fmt: skip
    writer = importlib.import_module(package).SummaryWriter
    return EventFiles(writer(str(folder), purge_step=step + 1, flush_secs=10))
