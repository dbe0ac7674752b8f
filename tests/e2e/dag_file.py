"""A whole DAG without training, over a small sample crawl, and ways to run it as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.shared_data import REPOSITORY

DAG = """\
version: 1
output: {output}
steps:
  crawl: {{uses: stages.commoncrawl, with: {{source: {source}}}}}
  text: {{uses: stages.extract, inputs: crawl}}
  gopher: {{uses: stages.gopher_quality, inputs: text, keep: true}}
  signatures: {{uses: stages.signatures, inputs: gopher}}
  exact: {{uses: stages.exact, inputs: signatures}}
  unique: {{uses: stages.minhash, inputs: exact}}
  vocabulary: {{uses: stages.vocabulary, inputs: unique, with: {{vocab_size: 2048}}}}
  chunks: {{uses: stages.pack, inputs: {{documents: unique, vocabulary: vocabulary}}}}
"""


def write_dag(folder: Path, source: Path, name: str) -> Path:
    """The DAG file of a run that writes to `folder/name`."""
    path = folder / f"{name}.yaml"
    path.write_text(DAG.format(output=folder / name, source=source))
    return path


def command(verb: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", verb, *arguments]


def crawlmill(verb: str, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a verb to its end; its exit code must be `code`."""
    done = subprocess.run(
        command(verb, *arguments), cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == code, f"{verb} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def start(verb: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(verb, *arguments), cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def artifacts(output: Path) -> dict[str, bytes]:
    """Every manifest of a run by its path: equal manifests mean equal files, since they hold the files' hashes."""
    return {str(p.relative_to(output)): p.read_bytes() for p in sorted(output.glob("*/*/artifact.json"))}


def summary(output: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((output / "run.json").read_text())
    return result
