"""Open a fastText model and score lines with it; train one in a child process so that its bytes repeat.

Reads:  a `.bin` or `.ftz` file; a text file of labelled lines
Writes: scores; a model file
Cost:   scoring 1 to 5 MB/s of text per core; training is fastText's own, on one thread
Source: fastText 0.9.3 (Joulin et al. 2016, "Bag of Tricks for Efficient Text Classification")

fasttext 0.9.3 fills a tenth of its weights with random numbers per thread and leaves the rest of the memory as it came:
with fewer than 11 threads models can differ from run to run. `MALLOC_PERTURB_=255` makes glibc hand out zeroed memory;
it must be set before the process starts, hence the child. With another C library training works but bytes may differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import DataError, RunError

REPOSITORY = Path(__file__).resolve().parents[1]


def load(path: Path) -> Any:
    """The fastText model at `path`; DataError where the file is none."""
    import fasttext

    try:
        return fasttext.load_model(str(path))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise DataError(str(error), where=str(path), expected="a fastText .bin or .ftz model") from error


def score(model: Any, lines: Sequence[str], label: str) -> np.ndarray:
    """float32[N]: the probability the model gives `label` for each line, 0 to 1; NaN for an empty line.

    Goes through `model.f.predict`, because `model.predict` of 0.9.3 fails on NumPy 2. fastText adds 1e-5 to a
    probability before it takes the logarithm, so values may exceed 1 by that much: they are clipped.
    """
    score_N = np.full(len(lines), np.nan, np.float32)
    for i, line in enumerate(lines):
        if line:
            predictions = model.f.predict(line + "\n", -1, 0.0, "replace")
            score_N[i] = next((p for p, name in predictions if name == label), 0.0)
    return np.clip(score_N, 0.0, 1.0)


def train(labelled: Path, output: Path, settings: Mapping[str, Any], quantize: bool) -> None:
    """Train on `labelled` (`__label__x text`, a line each) and save to `output`; RunError with fastText's own words."""
    order = {"input": str(labelled), "output": str(output), "settings": dict(settings), "quantize": quantize}
    paths = [str(REPOSITORY), *(p for p in sys.path if p)]
    child = subprocess.run(
        [sys.executable, "-m", "stages.classifiers.fasttext_model", json.dumps(order)],
        env={**os.environ, "MALLOC_PERTURB_": "255", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if child.returncode or not output.exists():
        raise RunError(
            f"fastText's training ended with code {child.returncode}: {child.stderr.strip()[-500:]}",
            where=str(labelled), mend="A lower lr helps against NaN; a smaller bucket or dim against lack of memory.",
        )  # fmt: skip


def _train_here(order: Mapping[str, Any]) -> None:
    import fasttext

    model = fasttext.train_supervised(input=order["input"], thread=1, verbose=0, **order["settings"])
    if order["quantize"]:
        model.quantize(qnorm=True)
    model.save_model(order["output"])


if __name__ == "__main__":
    _train_here(json.loads(sys.argv[1]))
