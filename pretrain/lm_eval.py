"""EleutherAI's evaluation harness on the export, in a process of its own.

Reads:  a model folder; the tasks' data, which the harness loads over the network from the Hugging Face hub
Writes: nothing that stays
Cost:   the tasks'
Source: https://github.com/EleutherAI/lm-evaluation-harness, through its command line
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import DagError, RunError
from pipeline.store import Folder

MAX_ERROR_LINES = 12


def run(folder: Folder, tasks: Sequence[str], command: Sequence[str] = ()) -> dict[str, Any]:
    """The tasks' results by name. DagError where the harness is not installed, RunError where it fails.

    `command` starts the harness; without one it is this Python's `lm_eval`.
    """
    if not command and importlib.util.find_spec("lm_eval") is None:
        raise DagError(
            "the package lm_eval is not installed", where="--lm-eval", expected="EleutherAI's evaluation harness",
            mend="pip install 'lm-eval[hf]'. It loads its tasks' data over the network, at first use.",
        )  # fmt: skip
    start = list(command) or [sys.executable, "-m", "lm_eval"]
    with tempfile.TemporaryDirectory(prefix="crawlmill-") as results:
        arguments = [
            "--model", "hf", "--model_args", f"pretrained={folder.local_path().absolute()},dtype=float32",
            "--tasks", ",".join(tasks), "--output_path", results,
        ]  # fmt: skip
        ended = subprocess.run([*start, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if ended.returncode:
            last = "\n".join(ended.stdout.strip().splitlines()[-MAX_ERROR_LINES:])
            raise RunError(
                f"lm_eval ended with {ended.returncode}: {last}", where=folder.shown(), expected="results",
                mend="It loads its tasks' data over the network: without one, fill its cache beforehand.",
            )  # fmt: skip
        written = sorted(Path(results).rglob("results*.json"))
        if not written:
            raise RunError("lm_eval wrote no results", where=folder.shown(), expected="a file results_*.json")
        found: dict[str, Any] = json.loads(written[-1].read_bytes())["results"]
        return found
