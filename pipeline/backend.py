"""Where tasks run: the interface the engine uses, and its in-process twin.

Ray's side of it is `pipeline/ray_backend.py`, the only importer of ray in the engine.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from pipeline.dag import Resources

# One thread per task for every native library; otherwise a task per core times a thread per core thrash.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class Backend(Protocol):
    """Runs independent tasks."""

    num_workers: int

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], resources: Resources
    ) -> Iterator[tuple[int, Any]]:
        """(index, function(items[index])) as they finish. Results are small; a lost worker's task is run again."""
        ...

    def close(self) -> None: ...


class LocalBackend:
    """Runs tasks one after another in this process, each through pickle as Ray would send it."""

    num_workers = 1

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], resources: Resources
    ) -> Iterator[tuple[int, Any]]:
        for index, item in enumerate(items):
            carried, argument = pickle.loads(pickle.dumps((function, item)))
            yield index, carried(argument)

    def close(self) -> None:
        """Nothing is held."""


def use_one_thread() -> None:
    """Set the limits for this process and its children, where the user has not set them."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
