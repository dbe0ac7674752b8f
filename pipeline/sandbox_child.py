"""The child's side of `pipeline/sandbox.py`: open the function once, then work through the pieces it is given.

Reads:  from its request pipe the order (a pickle), then sizes of pieces; the pieces from the shared memory
Writes: to the shared memory which row it is at; to its reply pipe one Arrow stream per piece
Cost:   see `pipeline/sandbox.py`
Source: ours

Nothing is caught here: an exception ends the process, and its last line becomes the row's failure.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import pickle
import resource
import select
import struct
import sys
import time
from typing import Any

import pyarrow as pa

from pipeline.sandbox import FRAME, HEADER_BYTES, PROGRESS, RowFunction


def main() -> None:
    memory, life, requests, replies = map(int, sys.argv[1:5])
    _die_with_parent(life)
    pa.set_cpu_count(1)
    logging.disable()  # libraries' warnings about pages would pile up in the error file
    order = _read(requests, FRAME.unpack(_read(requests, FRAME.size))[0])
    open_rows, argument, schema_bytes, memory_bytes = pickle.loads(order)
    schema = pa.ipc.read_schema(pa.py_buffer(schema_bytes))
    function = open_rows(argument)
    _stream([], schema)  # loads what Arrow loads at its first array, so that no row's time is charged with it
    _limit_memory(memory_bytes)
    _send(replies, b"ready")
    shared = mmap.mmap(memory, HEADER_BYTES)
    while True:
        (num_bytes,) = FRAME.unpack(_read(requests, FRAME.size))
        if len(shared) < HEADER_BYTES + num_bytes:
            shared = mmap.mmap(memory, HEADER_BYTES + num_bytes)
        piece = pa.ipc.open_stream(pa.py_buffer(memoryview(shared)[HEADER_BYTES:])).read_next_batch()
        _send(replies, _work(piece, function, schema, shared))
        del piece


def _work(piece: pa.RecordBatch, function: RowFunction, schema: pa.Schema, shared: mmap.mmap) -> pa.Buffer:
    """The results of a piece as an Arrow stream."""
    results: list[tuple[Any, ...]] = []
    for row in range(piece.num_rows):
        struct.pack_into(PROGRESS, shared, 0, row, time.monotonic(), time.process_time())
        results.append(function(*(column[row].as_py() for column in piece.columns)))
    return _stream(results, schema)


def _stream(results: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Buffer:
    columns = [pa.array([r[i] for r in results], field.type) for i, field in enumerate(schema)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    return sink.getvalue()


def _die_with_parent(life: int) -> None:
    """SIGIO, whose default is to end the process, when the other end of the pipe `life` closes."""
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(life, 0)
    if poll.poll(0):
        sys.exit(0)  # the parent ended before the pipe was watched


def _limit_memory(memory_bytes: int) -> None:
    """Bound the address space to what it is now and `memory_bytes` more. Cores of crashed children help nobody."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes, now + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read(fd: int, size: int) -> bytes:
    """`size` bytes of a pipe; ends the process where the other end closed."""
    data = bytearray()
    while len(data) < size:
        part = os.read(fd, size - len(data))
        if not part:
            sys.exit(0)
        data += part
    return bytes(data)


def _send(fd: int, data: bytes | pa.Buffer) -> None:
    left = memoryview(FRAME.pack(len(data)) + bytes(data))
    while left:
        left = left[os.write(fd, left) :]
