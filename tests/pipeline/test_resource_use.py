"""A child's CPU time and memory are counted while it lives and after it ended."""

from __future__ import annotations

import subprocess
import sys

from pipeline.resource_use import cpu_s, peak_memory_bytes

CHILD = """
import sys, time
block = b"x" * 200_000_000
while time.process_time() < 0.5: pass
print("ready", flush=True)
sys.stdin.read()
"""


def test_resource_use_counts_a_child_living_and_ended() -> None:
    cpu_before, memory_before = cpu_s(), peak_memory_bytes()
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        assert cpu_s() - cpu_before >= 0.45
        assert peak_memory_bytes() - memory_before >= 200_000_000
    assert cpu_s() - cpu_before >= 0.45
