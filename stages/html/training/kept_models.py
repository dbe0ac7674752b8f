"""Models of cross-validation kept in a folder, so that measuring again does not learn again.

Reads:  a folder of models
Writes: {split}-{digest}.npz in it, the digest of all a model is made of
Cost:   0.3 s per model for the digest
Source: none

The digest takes in the source files of features and training, so a change of these is never answered with an old model.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import catboost
import numba
import numpy as np
import xxhash

from stages.html.model import Model, load_model, save_model
from stages.html.training.examples import Examples
from stages.html.training.held_out import Split
from stages.html.training.learning import learn
from stages.html.training.settings import Settings

_STAGES = Path(__file__).parents[2]
_SOURCES = ("html/*.py", "html/training/*.py", "kernels/*.py", "decoding/*.py")


def model_of(examples: Examples, split: Split, settings: Settings, folder: Path | None) -> Model:
    """The split's model, learned, or read from `folder` where one was kept."""
    if folder is None:
        return learn(examples, split.fold_P, settings)
    file = folder / f"{split.name}-{_digest(examples, split, settings)}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        save_model(learn(examples, split.fold_P, settings), unfinished)
        unfinished.replace(file)
    return load_model(file)


def _digest(examples: Examples, split: Split, settings: Settings) -> str:
    digest = hashlib.sha256(json.dumps(settings.as_json(), sort_keys=True).encode())
    digest.update(f"{catboost.__version__} {numba.__version__} {np.__version__}".encode())
    digest.update(_sources())
    for page in examples.pages:
        digest.update(f"{page.gold.uri}\n".encode() + xxhash.xxh3_128_digest(page.html.encode("utf-8", "replace")))
    for array in (examples.label_B, examples.weight_B, split.fold_P):
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


@functools.cache
def _sources() -> bytes:
    """A digest of the source files, of the first time that it is asked for: what this process runs does not change."""
    digest = hashlib.sha256()
    for file in sorted(path for pattern in _SOURCES for path in _STAGES.glob(pattern)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.digest()
