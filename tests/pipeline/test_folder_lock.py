"""A folder is held by one process at a time, and free once that has gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.folder_lock import locked
from pipeline.store import Folder
from tests.e2e.dag_file import crawlmill, write_dag

HOLD = """
import sys, time
from pipeline.folder_lock import locked
from pipeline.store import Folder
with locked(Folder(sys.argv[1]), "busy", expected="one", mend="Wait."):
    print("held", flush=True)
    time.sleep(60)
"""


def test_locked_folder_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "made"))
    with subprocess.Popen([sys.executable, "-c", HOLD, folder.location], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=r"made: busy; expected one\. Wait\."), _hold(folder):
            pass
        os.kill(holder.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while True:
        try:
            with _hold(folder):
                return
        except RunError:
            assert time.monotonic() < deadline


def _hold(folder: Folder) -> AbstractContextManager[None]:
    return locked(folder, "busy", expected="one", mend="Wait.")


def test_run_into_a_folder_that_another_run_holds_is_refused(tmp_path: Path) -> None:
    dag = write_dag(tmp_path, tmp_path, "out")
    with _hold(Folder(str(tmp_path / "out"))):
        refused = crawlmill("run", str(dag), "--in-process", code=1)
    assert "another run is writing here" in refused.stderr
