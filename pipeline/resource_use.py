"""CPU time and peak memory of this process and its children (the sandbox that parses HTML is one).

Source: proc(5) for living children, getrusage(2) for this process and ended children; without /proc, getrusage alone
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s() -> float:
    """User and system time used so far, in seconds."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = resource.getrusage(resource.RUSAGE_SELF)
    living = sum(_ticks(pid) for pid in _children()) / _TICKS_PER_S
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime + living


def peak_memory_bytes() -> int:
    """Largest resident size so far, children added (Linux counts in KiB)."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return own + sum(_high_water_bytes(pid) for pid in _children())


def _children() -> list[str]:
    tasks = Path("/proc/self/task")
    if not tasks.is_dir():
        return []
    return [pid for task in tasks.iterdir() for pid in _read(task / "children").split()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # a task or child that has just ended


def _ticks(pid: str) -> int:
    """utime and stime, the 14th and 15th field; the second, the name in brackets, may hold spaces."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _high_water_bytes(pid: str) -> int:
    for line in _read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
