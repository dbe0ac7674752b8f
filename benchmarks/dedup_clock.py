"""CPU time of a process and everything below it, Ray's servers and workers included (Linux, proc(5))."""

from __future__ import annotations

import os
from pathlib import Path


class TreeClock:
    """CPU seconds of this process and all below it (proc(5)), as far as `sample` has seen them since the first call.

    A process that has ended keeps what the last sample saw of it: Ray's node lets idle workers go, uncounted.
    """

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self._seen: dict[tuple[int, str], int] = {}
        self.sample()
        self.cpu_s = 0.0

    def sample(self) -> float:
        ticks = 0
        for process, used in _tree().items():
            ticks += used - self._seen.get(process, 0)
            self._seen[process] = used
        self.cpu_s += ticks / os.sysconf("SC_CLK_TCK")
        return self.cpu_s


def _tree() -> dict[tuple[int, str], int]:
    """Clock ticks used by this process and each below it, by number and time of start."""
    used: dict[int, tuple[str, int]] = {}
    below: dict[int, list[int]] = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # has just ended
        used[int(name)] = fields[19], int(fields[11]) + int(fields[12])
        below.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = {}, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        if pid in used:
            started, ticks = used[pid]
            found[pid, started] = ticks
        waiting.extend(below.get(pid, []))
    return found
