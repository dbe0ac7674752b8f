"""How fast a run goes and how it stands, step by step, while it runs.

Reads:  a step's record, the clock, the memory in use
Writes: `metrics.jsonl`, a line at each step; TensorBoard's event files where the config asks for them; at most every
        PAGE_EVERY_S seconds `index.html`, the same as a page (pretrain.metrics_page)
Cost:   per step some 50 microseconds; per page some 20 milliseconds, whatever the run's length
Source: MFU: the arithmetic the model needs over what the devices could do (PaLM, Chowdhery et al. 2022, appendix B)

Times differ between two runs of the same thing, and an artifact must not: the files lie beside the artifacts, in
`{output}/training/{step}/{fingerprint}/`, and stay there.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import torch

from pipeline.store import Folder
from pretrain import metrics_page
from pretrain.event_files import EventFiles, open_event_files
from pretrain.guard_config import GuardConfig
from pretrain.scratch import read_log

LOG = "metrics.jsonl"
PAGE = "index.html"
PAGE_EVERY_S = 10.0
RSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024  # of getrusage's ru_maxrss


def folder(output: Folder) -> Path:
    """Where the metrics of the run that writes the artifact `output` ({root}/{step}/{fingerprint}) are kept."""
    path = output.local_path().absolute()
    return path.parent.parent / "training" / path.parent.name / path.name


class Meter:
    """Measures from its making on. For one writer: rank 0.

    `flops_per_token`: what forward and backward pass take; `peak_flops`: of all ranks' devices together, None where
    they are not known. A resumed run goes on after `step`: later lines, left by one that was killed, are cut.
    """

    def __init__(
        self, path: Path, cfg: GuardConfig, flops_per_token: float, peak_flops: float | None, step: int = 0
    ) -> None:
        self._path, self._flops_per_token, self._peak_flops = path, flops_per_token, peak_flops
        path.mkdir(parents=True, exist_ok=True)
        self._last_step = step
        self._file: IO[str] = _cut(path / LOG, step)
        self._events: EventFiles | None = open_event_files(path, step) if cfg.tensorboard else None
        self._page = metrics_page.Page(path / PAGE, read_log(path / LOG))
        self._page_due = 0.0
        self._since = time.perf_counter()

    def pause(self) -> None:
        """What happened since the last step is not part of the next one: validation, a checkpoint."""
        self._since = time.perf_counter()

    def step(self, record: Mapping[str, Any], num_tokens: int, waited_s: float = 0.0) -> dict[str, Any]:
        """Note a step that has just ended: its record for loss.jsonl, the tokens of all ranks (padding as well), and
        how long it waited for its batch. Returns the line written."""
        now = time.perf_counter()
        line = {**_scalars(record), **self._speed(now - self._since, num_tokens), "waited_s": round(waited_s, 6)}
        line["memory_bytes"] = memory_bytes()
        self._since = now
        if record["step"] <= self._last_step:
            self._rewind(record["step"] - 1)
        self._last_step = record["step"]
        self._write(line)
        if now >= self._page_due:
            self._page.write()
            self._page_due = now + PAGE_EVERY_S
            self._since = time.perf_counter()
        return line

    def note(self, record: Mapping[str, Any]) -> None:
        """What was measured after the step of that number: its validation loss. Not part of the next step's time."""
        self._write({name: record[name] for name in ("step", "validation_loss") if name in record})
        self.pause()

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._events is not None:
            self._events.write(line)
        self._page.add(line)

    def _rewind(self, step: int) -> None:
        """The run has gone back to `step`. What TensorBoard has been told stays there."""
        self._file.close()
        self._file = _cut(self._path / LOG, step)
        self._page.cut(step)

    def _speed(self, seconds: float, num_tokens: int) -> dict[str, Any]:
        rate = num_tokens / max(seconds, 1e-9)
        mfu = rate * self._flops_per_token / self._peak_flops if self._peak_flops else None
        return {"seconds": round(seconds, 6), "tokens_per_s": round(rate, 1), "mfu": mfu and round(mfu, 6)}

    def close(self) -> None:
        """Write the page as it stands at the end, and close the files."""
        self._page.write(is_running=False)
        self._file.close()
        if self._events is not None:
            self._events.close()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def memory_bytes() -> int:
    """The most this process has held: on its GPU where it has one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT_BYTES


def _scalars(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if isinstance(value, (int, float, str))}


def _cut(path: Path, step: int) -> IO[str]:
    kept = [line for line in read_log(path) if step > 0 and line["step"] <= step]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
    os.replace(temporary, path)
    return path.open("a")
