"""The other trainers' libraries, which live in an environment of their own, and what they read in our exports."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import REPOSITORY

_PYTHON = REPOSITORY / ".readers" / "bin" / "python"
needs_readers = pytest.mark.skipif(not _PYTHON.exists(), reason="no .readers, which `make readers` makes")


def read_with(library: str, *arguments: str | Path) -> Any:
    """What read_with_LIBRARY.py prints last, as JSON."""
    script = Path(__file__).with_name(f"read_with_{library}.py")
    done = subprocess.run(
        [str(_PYTHON), "-W", "ignore", str(script), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
