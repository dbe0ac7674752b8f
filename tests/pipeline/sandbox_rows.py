"""Row functions for tests/pipeline/test_sandbox.py: what a hostile page does to a native parser, for real."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import threading
import time
from typing import Any

import pyarrow as pa

TIMEOUT_S = 0.6
SCHEMA = pa.schema([("length", pa.int64()), ("text", pa.large_string())])


def open_lengths(argument: Any) -> Any:
    """Length and text of each row; a row may also name a way to end the process, or a value to keep."""
    kept: list[bytes] = []

    def length(text: str | None) -> tuple[Any, ...]:
        match text:
            case "abort":
                os.abort()
            case "segfault":
                ctypes.string_at(1)
            case "hang":
                while True:
                    pass
            case "hang holding the lock":
                re.match("(a+)+$", "a" * 64 + "b")
            case "wait":
                time.sleep(1000)
            case "allocate":
                return (len(bytearray(1 << 40)), text)
            case "leak":
                kept.append(bytes(100 << 20))
            case "raise":
                raise ValueError("a page that cannot be")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "slow":
                end = time.process_time() + TIMEOUT_S * 0.6
                while time.process_time() < end:
                    pass
            case "print":
                print("on stdout")
            case "pid":
                return (os.getpid(), text)
            case "threads":
                return (threading.active_count() + int(os.environ["OMP_NUM_THREADS"]) + pa.cpu_count(), text)
        return (None if text is None else len(text) * argument, text)

    return length


def open_failing(argument: Any) -> Any:
    raise LookupError("no model here")


def run_forever(row: str) -> None:
    """For a subprocess: start a sandbox, print its child's process id, then give it a row that never ends."""
    from pipeline.sandbox import Limits, Sandbox

    sandbox = Sandbox(open_lengths, 1, SCHEMA, Limits(row_timeout_s=1000))
    started = sandbox.run(pa.record_batch({"text": pa.array(["pid"], pa.large_string())}))
    print(started.results["length"][0].as_py(), flush=True)
    sandbox.run(pa.record_batch({"text": pa.array([row], pa.large_string())}))
