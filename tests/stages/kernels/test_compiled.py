"""Compiling: once for all processes, announced, kept, and given up without harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from stages.kernels import compiled
from tests.shared_data import REPOSITORY

# Counts characters as a stage would, and prints what was told and how many kernels were compiled, not loaded.
USE = """
import json, numpy as np
from numba.core import event
from pipeline.preparations import listening
from stages.kernels import utf8
told = []
with event.install_recorder("numba:compile") as compiled, listening(told.append):
    count = utf8.count_chars(np.frombuffer("häuser".encode(), np.uint8), 0, 7)
assert count == 6, count
num_compiled = sum(e.is_start for _, e in compiled.buffer)
print(json.dumps({"compiled": num_compiled, "told": [[p.what, p.kept_in, p.seconds] for p in told]}))
"""
# A kernel that Numba cannot compile, after which another one has to be no worse off.
FAIL = """
import contextlib, numba
from stages.kernels.compiled import kernel
@kernel
def broken(x: int) -> int:
    return x.no_such_attribute
with contextlib.suppress(numba.errors.TypingError):
    broken(1)
"""


def start(code: str, folder: Path) -> subprocess.Popen[str]:
    file = folder / "use.py"
    file.write_text(code)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, str(file)], env=environment, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def test_kernel_processes_at_the_same_time_compile_once_and_one_tells(tmp_path: Path) -> None:
    results = [end(process) for process in [start(USE, tmp_path) for _ in range(3)]]
    assert sorted(r["compiled"] for r in results) == [0, 0, 1]
    told = [line for r in results for line in r["told"]]
    assert [line[:2] for line in told] == [["compiling kernels for this process", str(tmp_path / "cache")]] * 2
    assert told[0][2] is None and told[1][2] > 0


def test_kernel_compiled_before_is_loaded_and_nothing_is_told(tmp_path: Path) -> None:
    first, second = end(start(USE, tmp_path)), end(start(USE, tmp_path))
    assert first["compiled"] == 1 and len(first["told"]) == 2
    assert second == {"compiled": 0, "told": []}


def test_kernel_whose_cached_index_is_cut_off_is_compiled_anew(tmp_path: Path) -> None:
    end(start(USE, tmp_path))
    indices = list((tmp_path / "cache").rglob("*.nbi"))
    assert indices
    for index in indices:
        index.write_bytes(b"")
    assert end(start(USE, tmp_path))["compiled"] == 1
    assert end(start(USE, tmp_path))["compiled"] == 0


def test_kernel_that_cannot_be_compiled_leaves_no_lock(tmp_path: Path) -> None:
    holder = start(FAIL + "import time; print('{}', flush=True); time.sleep(60)", tmp_path)
    assert holder.stdout is not None and holder.stdout.readline()
    assert end(start(USE, tmp_path))["compiled"] == 1
    holder.kill()
    holder.communicate()


def test_kernel_in_a_folder_that_cannot_be_written_is_compiled_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert end(start(USE, tmp_path))["compiled"] == 1


def test_user_is_the_stage_whose_call_it_happens_in() -> None:
    called_there = {"__name__": "stages.exact", "user": compiled._user}
    assert eval("(lambda: user())()", called_there) == "exact"
    assert compiled._user() == "this process"
