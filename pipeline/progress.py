"""What a run shows while it runs: a live display on a terminal, a line per event elsewhere, or nothing.

Reads:  what the runner tells: steps, shards done, documents in and out. Crawled text never comes here
Writes: to one stream; step names are printed as they are, never read as rich's markup
Costs:  a redraw four times a second on a terminal; at most PLAIN_LINES lines per step elsewhere
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TextIO

from pipeline.wording import count, duration, plural, visible

PLAIN_LINES = 5


class Progress(Protocol):
    """Used as a context manager; a step may be a phase of one (`unique: sign`)."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def step_started(self, step: str, num_shards: int) -> None: ...

    def shard_done(self, step: str, docs_in: int, docs_out: int) -> None: ...

    def step_done(self, step: str, docs_in: int, docs_out: int, seconds: float) -> None: ...

    def step_reused(self, steps: Sequence[str]) -> None: ...

    def note(self, message: str) -> None: ...


ProgressKind = Literal["auto", "live", "plain", "silent"]


def open_progress(kind: ProgressKind, stream: TextIO) -> Progress:
    """`auto` is live where `stream` is a terminal that can move its cursor, plain where it is not."""
    if kind == "auto":
        kind = "live" if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb" else "plain"
    match kind:
        case "live":
            return LiveProgress(stream)
        case "plain":
            return PlainProgress(stream)
        case "silent":
            return PlainProgress(None)


@dataclass
class Tally:
    """A step under way."""

    num_shards: int
    started: float = field(default_factory=time.perf_counter)
    shards: int = 0
    docs_in: int = 0
    docs_out: int = 0

    def add(self, docs_in: int, docs_out: int) -> None:
        self.shards, self.docs_in, self.docs_out = self.shards + 1, self.docs_in + docs_in, self.docs_out + docs_out

    def documents(self) -> str:
        return f"{count(self.docs_in)} in, {count(self.docs_out)} out" if self.docs_in else ""

    def rate(self) -> str:
        """Documents per second since the step started."""
        elapsed = time.perf_counter() - self.started
        return f"{count(self.docs_in / elapsed)}/s" if self.docs_in and elapsed > 0 else ""


class PlainProgress:
    """One line per event; of a step with many shards only every so many of them, so that a log stays readable."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream  # None: nothing is shown
        self._tallies: dict[str, Tally] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.flush()

    def step_started(self, step: str, num_shards: int) -> None:
        self._tallies[step] = Tally(num_shards)
        self._say(f"{step}: started, {plural(num_shards, 'shard')}")

    def shard_done(self, step: str, docs_in: int, docs_out: int) -> None:
        tally = self._tallies.setdefault(step, Tally(0))
        tally.add(docs_in, docs_out)
        every = -(-tally.num_shards // PLAIN_LINES) or 1
        if tally.shards % every == 0 or tally.shards == tally.num_shards:
            documents = f", {tally.documents()}" if tally.documents() else ""
            self._say(f"{step}: {count(tally.shards)} of {plural(tally.num_shards, 'shard')} done{documents}")

    def step_done(self, step: str, docs_in: int, docs_out: int, seconds: float) -> None:
        self._tallies.pop(step, None)
        self._say(done_line(step, docs_in, docs_out, seconds))

    def step_reused(self, steps: Sequence[str]) -> None:
        self._say(f"reused: {', '.join(steps)}")

    def note(self, message: str) -> None:
        self._say(message)

    def _say(self, line: str) -> None:
        if self._stream is not None:
            print(printable(line, self._stream), file=self._stream, flush=True)


class LiveProgress:
    """A row for each step or phase under way; finished ones become lines above them."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Display

        self._stream = stream
        self._console = Console(file=stream, force_terminal=True, highlight=False)
        self._display = Display(
            SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
            MofNCompleteColumn(), TextColumn("{task.fields[documents]}", markup=False),
            TextColumn("{task.fields[rate]}", markup=False, style="dim"), TimeElapsedColumn(),
            console=self._console, transient=True, refresh_per_second=4,
        )  # fmt: skip
        self._rows: dict[str, tuple[Any, Tally]] = {}

    def __enter__(self) -> Self:
        self._display.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.stop()

    def step_started(self, step: str, num_shards: int) -> None:
        name = printable(step, self._stream)
        row = self._display.add_task(name, total=num_shards or None, documents="", rate="")
        self._rows[step] = (row, Tally(num_shards))

    def shard_done(self, step: str, docs_in: int, docs_out: int) -> None:
        if step not in self._rows:
            self.step_started(step, 0)
        row, tally = self._rows[step]
        tally.add(docs_in, docs_out)
        self._display.update(row, advance=1, documents=tally.documents(), rate=tally.rate())
        if ": " in step and tally.shards == tally.num_shards:
            self._remove(step)  # a phase ends with its last task; nobody says so

    def step_done(self, step: str, docs_in: int, docs_out: int, seconds: float) -> None:
        for name in [name for name in self._rows if name == step or name.startswith(f"{step}: ")]:
            self._remove(name)
        self._print(done_line(step, docs_in, docs_out, seconds), "")

    def step_reused(self, steps: Sequence[str]) -> None:
        self._print(f"reused: {', '.join(steps)}", "dim")

    def note(self, message: str) -> None:
        self._print(message, "dim")

    def _remove(self, name: str) -> None:
        row, _ = self._rows.pop(name)
        self._display.remove_task(row)

    def _print(self, line: str, style: str) -> None:
        self._console.print(printable(line, self._stream), style=style, markup=False, soft_wrap=True)


def done_line(step: str, docs_in: int, docs_out: int, seconds: float) -> str:
    documents = f", {count(docs_in)} documents in, {count(docs_out)} out" if docs_in or docs_out else ""
    return f"{step}: done in {duration(seconds)}{documents}"


def printable(line: str, stream: TextIO) -> str:
    """`line` without control characters, in what the stream's encoding can hold."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return visible(line.replace("\n", " ")).encode(encoding, "backslashreplace").decode(encoding)
