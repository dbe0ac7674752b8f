"""Run a function over the rows of a batch in a child process that may hang, crash or run out of memory.

Reads:  record batches; a module-level function, sent by name
Writes: record batches of the function's results, and which rows failed
Cost:   about 5% of CPU time beside work of a millisecond a row: a copy into shared memory, results through a pipe.
        Starting a child takes half a second; one is kept until it fails. 8 MiB of shared memory, or the largest row
Source: ours. Native parsers cannot be interrupted by Python's signal handlers: only a process of its own bounds them

A row fails only if it fails alone, in a fresh child, too: neither what came before it nor a stall of the machine can
drop it, and every batch layout gives the same failures. The child dies with its parent, even inside native code that
holds the interpreter's lock: the kernel sends it SIGIO when the parent's end of a pipe closes (PR_SET_PDEATHSIG would
also fire when the thread that started it ends). Linux.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from pipeline.errors import RunError

RowFunction = Callable[..., tuple[Any, ...]]  # one row's values, in column order -> one value per result column
OpenFunction = Callable[[Any], RowFunction]

PIECE_BYTES = 8 << 20  # what the child is given at a time: about 0.1 s of extraction
PIECE_ROWS = 256
HEADER_BYTES = 4096
START_TIMEOUT_S = 120.0  # imports on a cold, loaded machine
FRAME = struct.Struct("q")
PROGRESS = "qdd"  # row being worked on, its start in seconds of CLOCK_MONOTONIC and of the child's CPU time
WALL_FACTOR = 10  # a row that waits instead of working is given this many times its limit
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS")
CHILD = "from pipeline.sandbox_child import main; main()"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Per row: seconds of the child's CPU time, so that a busy machine drops no page an idle one would keep; ten times
    as many by the clock on the wall. Per child: bytes of address space beyond what it has once it is ready."""

    row_timeout_s: float = 10.0
    memory_bytes: int = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a row has no result. `detail`: the signal (`SIGSEGV`), or the last line of the child's error output."""

    kind: Literal["timeout", "crash"]
    detail: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`results` has the sandbox's schema and one row per input row, null where `failures` (by row) has an entry."""

    results: pa.RecordBatch
    failures: dict[int, Failure]


class Sandbox:
    """One child process, started at the first batch and again after every failure. Not for use by two threads at once.

    `open_rows(argument)` is called once in the child and returns the function for rows; both must be picklable by
    reference. `schema` is what that function's tuples hold. Raises RunError where the child does not start.
    """

    def __init__(self, open_rows: OpenFunction, argument: Any, schema: pa.Schema, limits: Limits) -> None:
        assert open_rows.__module__ != "__main__", "the child imports the function by its module's name"
        self._order = pickle.dumps((open_rows, argument, schema.serialize().to_pybytes(), limits.memory_bytes))
        self._schema = schema.remove_metadata()
        self._timeout_s = limits.row_timeout_s
        self._child: _Child | None = None

    def run(self, batch: pa.RecordBatch) -> Outcome:
        """The function's results for every row, in row order."""
        parts: list[pa.RecordBatch] = []
        failures: dict[int, Failure] = {}
        for start, stop in _pieces(batch):
            for row, part in self._piece(batch.slice(start, stop - start), start):
                if isinstance(part, Failure):
                    failures[row] = part
                    part = _nulls(self._schema)
                parts.append(part)
        table = pa.Table.from_batches(parts, self._schema).combine_chunks()
        columns = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in table.columns]
        return Outcome(results=pa.RecordBatch.from_arrays(columns, schema=self._schema), failures=failures)

    def close(self) -> None:
        """End the child; the next batch starts another."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _piece(self, piece: pa.RecordBatch, start: int) -> Iterator[tuple[int, pa.RecordBatch | Failure]]:
        """Results of the piece in order, around the rows that fail; every good row is worked on at most twice."""
        while piece.num_rows:
            answer = self._attempt(piece)
            if isinstance(answer, pa.RecordBatch):
                yield start, answer
                return
            row, _ = answer  # its child is gone, so the next attempt has a fresh one
            alone = self._attempt(piece.slice(row, 1))
            yield from self._piece(piece.slice(0, row), start)
            yield start + row, alone if isinstance(alone, pa.RecordBatch) else alone[1]
            piece, start = piece.slice(row + 1), start + row + 1

    def _attempt(self, piece: pa.RecordBatch) -> pa.RecordBatch | tuple[int, Failure]:
        """The piece's results, or the row that failed; the child is gone then."""
        if self._child is None:
            self._child = _Child(self._order)
        answer = self._child.work(piece, self._timeout_s)
        if not isinstance(answer, pa.RecordBatch):
            self.close()
        return answer


class _Child:
    """A running child process and the memory and pipes shared with it."""

    def __init__(self, order: bytes) -> None:
        self._memory = _shared_file()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        life_read, self._life = os.pipe()
        request_read, self._requests = os.pipe()
        self._replies, reply_write = os.pipe()
        theirs = (self._memory, life_read, request_read, reply_write)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", CHILD, *map(str, theirs)],
                pass_fds=theirs, env=_environment(), stdin=subprocess.DEVNULL, stdout=self._errors, stderr=self._errors,
            )  # fmt: skip
        finally:
            for fd in theirs[1:]:
                os.close(fd)
        ours = (self._memory, self._life, self._requests, self._replies)
        self.kill = weakref.finalize(self, _end, self._process, ours)
        self._poll = select.poll()
        self._poll.register(self._replies, select.POLLIN)
        self._map = mmap.mmap(-1, HEADER_BYTES)
        self._resize(HEADER_BYTES)
        self._start(order)

    def work(self, piece: pa.RecordBatch, timeout_s: float) -> pa.RecordBatch | tuple[int, Failure]:
        """Give the piece to the child and wait, watching which row it is at."""
        num_bytes = self._share(piece)
        struct.pack_into(PROGRESS, self._map, 0, 0, time.monotonic(), self._cpu_s())
        try:
            os.write(self._requests, FRAME.pack(num_bytes))
        except BrokenPipeError:
            return 0, self._crash()
        wait_s = timeout_s
        while not self._poll.poll(wait_s * 1000 + 1):
            row, left_s = self._progress(timeout_s)
            if left_s <= 0:
                return min(row, piece.num_rows - 1), Failure(kind="timeout", detail=f"{timeout_s:g} s")
            wait_s = left_s
        reply = self._reply()
        if reply is None:
            row, _ = self._progress(timeout_s)
            return min(row, piece.num_rows - 1), self._crash()
        return pa.ipc.open_stream(reply).read_next_batch()

    def _progress(self, timeout_s: float) -> tuple[int, float]:
        """The row the child is at, and the seconds that are left to it at the least."""
        while True:
            header = self._map[: struct.calcsize(PROGRESS)]
            row, wall_start_s, cpu_start_s = struct.unpack(PROGRESS, header)
            cpu_s, wall_s = self._cpu_s() - cpu_start_s, time.monotonic() - wall_start_s
            if self._map[: len(header)] == header:  # else the child went on to another row meanwhile
                return row, min(timeout_s - cpu_s, WALL_FACTOR * timeout_s - wall_s)

    def _cpu_s(self) -> float:
        """CPU time of the child so far; 0 once it has ended."""
        try:
            return time.clock_gettime(~self._process.pid << 3 | 2)  # what clock_getcpuclockid(3) computes on Linux
        except OSError:
            return 0.0

    def _share(self, piece: pa.RecordBatch) -> int:
        """Write the piece as an IPC stream behind the header; returns its bytes."""
        counter = pa.MockOutputStream()
        with pa.ipc.new_stream(counter, piece.schema) as writer:
            writer.write_batch(piece)
        self._resize(HEADER_BYTES + counter.size())
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(memoryview(self._map)[HEADER_BYTES:]))
        with pa.ipc.new_stream(sink, piece.schema) as writer:
            writer.write_batch(piece)
        sink.close()
        return int(counter.size())

    def _resize(self, num_bytes: int) -> None:
        if len(self._map) < num_bytes or num_bytes == HEADER_BYTES:
            os.ftruncate(self._memory, num_bytes)
            self._map = mmap.mmap(self._memory, num_bytes)

    def _start(self, order: bytes) -> None:
        with contextlib.suppress(BrokenPipeError), io.FileIO(self._requests, "wb", closefd=False) as pipe:
            data = FRAME.pack(len(order)) + order
            while data:
                data = data[pipe.write(data) :]
        ready = self._poll.poll(START_TIMEOUT_S * 1000) and self._reply()
        if ready is None or not ready:
            failure = self._crash()
            self.kill()
            raise RunError(
                f"the child process did not start: {failure.detail}", where="sandbox",
                expected=f"readiness within {START_TIMEOUT_S:g} s",
            )  # fmt: skip

    def _reply(self) -> bytes | None:
        """One framed reply; None where the child died first."""
        frame = self._read(FRAME.size)
        return None if frame is None else self._read(FRAME.unpack(frame)[0])

    def _read(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            part = os.read(self._replies, size - len(data))
            if not part:
                return None
            data += part
        return bytes(data)

    def _crash(self) -> Failure:
        """How the child ended: its pipe is closed, so it is ending if it has not ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        if code is not None and code < 0:
            return Failure(kind="crash", detail=signal.Signals(-code).name)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        return Failure(kind="crash", detail=lines[-1][:200] if lines else f"exit code {code}")


def _pieces(batch: pa.RecordBatch) -> Iterator[tuple[int, int]]:
    """Row ranges of about PIECE_BYTES; a larger row stands alone."""
    num_rows, start = batch.num_rows, 0
    while start < num_rows:
        stop, size = start, 0
        while stop < num_rows and stop - start < PIECE_ROWS:
            size += batch.slice(stop, 1).nbytes
            if size > PIECE_BYTES and stop > start:
                break
            stop += 1
        yield start, stop
        start = stop


def _nulls(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(1, f.type) for f in schema], schema=schema)


def _shared_file() -> int:
    """A nameless file in memory."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("crawlmill-sandbox")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _environment() -> dict[str, str]:
    paths = [p or os.getcwd() for p in sys.path]
    one = dict.fromkeys(ONE_THREAD, "1")
    return {**os.environ, **one, "PYTHONPATH": os.pathsep.join(paths), "ARROW_DEFAULT_MEMORY_POOL": "system"}


def _end(process: subprocess.Popen[bytes], fds: tuple[int, ...]) -> None:
    process.kill()
    process.wait()
    for fd in fds:
        os.close(fd)
