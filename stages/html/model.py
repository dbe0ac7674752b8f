"""The learned model of main text: its file, its arrays, what it was learned from.

Reads:  stages/models/main_text.npz (or another file of the same form)
Writes: Model
Cost:   5 ms
Source: stages/html/training writes it; stages/models/main_text.md is its card
"""

from __future__ import annotations

import functools
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stages.kernels.html_second import FEATURE_NAMES, NUM_FIRST
from stages.kernels.html_trees import DEPTH, NUM_LEAVES, Trees

MODEL_FILE = Path(__file__).parents[1] / "models" / "main_text.npz"
TABLES = {"structure": 1 << 17, "vocabulary": 1 << 18, "following": 1 << 15}  # entries


class ModelError(ValueError):
    """A file that is no model of main text, or one for other features."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """`structure`, `vocabulary`, `following` int8: weights by hash, in sixteenths of a logit. `first` and `second`:
    the trees of the two stages. `threshold`: the logit, in 1/SCALE, from which a block is main text. `about`: how it
    was made."""

    structure: np.ndarray
    vocabulary: np.ndarray
    following: np.ndarray
    first: Trees
    second: Trees
    threshold: int
    about: dict[str, Any]


def save_model(model: Model, path: Path) -> None:
    """Write a model; the same model is the same bytes."""
    arrays: dict[str, np.ndarray] = {name: getattr(model, name) for name in TABLES}
    for stage in ("first", "second"):
        trees: Trees = getattr(model, stage)
        arrays |= {f"{stage}_{name}": np.asarray(value) for name, value in trees._asdict().items()}
    about = model.about | {"features": list(FEATURE_NAMES), "threshold": model.threshold}
    arrays["about"] = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in sorted(arrays.items()):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def load_model(path: Path = MODEL_FILE) -> Model:
    """The model, read once while the file stays the same. Raises ModelError."""
    try:
        state = path.stat()
    except OSError as error:
        raise ModelError(f"{path} is no model of main text: {error}") from error
    return _load(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4)
def _load(path: Path, modified_ns: int, num_bytes: int) -> Model:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays["about"].tobytes())
        trees = [_trees(arrays, "first", NUM_FIRST), _trees(arrays, "second", len(FEATURE_NAMES))]
        tables = {name: arrays[name] for name in TABLES}
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path} is no model of main text: {error}") from error
    if about.get("features") != list(FEATURE_NAMES):
        raise ModelError(f"{path} was learned on other features than this version computes; learn it anew")
    for name, size in TABLES.items():
        if tables[name].shape != (size,) or tables[name].dtype != np.int8:
            raise ModelError(f"{path}: {name} is {tables[name].dtype}{list(tables[name].shape)}, not int8[{size}]")
    return Model(**tables, first=trees[0], second=trees[1], threshold=int(about["threshold"]), about=about)


def _trees(arrays: dict[str, np.ndarray], stage: str, num_features: int) -> Trees:
    """Trees whose arrays the kernel can trust."""
    feature, threshold, leaf = (arrays[f"{stage}_{name}"] for name in ("feature", "threshold", "leaf"))
    num_trees = len(leaf)
    if (
        feature.shape != (num_trees, DEPTH)
        or threshold.shape != (num_trees, DEPTH)
        or leaf.shape != (num_trees, NUM_LEAVES)
    ):
        raise ValueError(f"the {stage} stage's trees do not have {DEPTH} levels")
    if feature.min(initial=0) < 0 or feature.max(initial=0) >= num_features:
        raise ValueError(f"the {stage} stage asks for features there are not")
    return Trees(
        feature.astype(np.int16), threshold.astype(np.uint8), leaf.astype(np.int16), int(arrays[f"{stage}_bias"])
    )
