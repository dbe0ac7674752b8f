"""How kernels are compiled: once, without the GIL, cached on disk under a name that changes with any kernel file.

Reads:  every source and table in this folder (tables are compiled in as constants)
Writes: compiled code under __pycache__/kernels-{hash} beside the sources (or under NUMBA_CACHE_DIR, or in the user's
        cache folder where neither can be written)
Cost:   1 ms; some seconds per stage the first time a kernel is used
Source: Numba's cache looks at the file a function stands in, not at the files of the functions it inlines
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _folder() -> str:
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted([*here.glob("*.py"), *here.glob("*.npz")]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return str(Path(numba.config.CACHE_DIR or here / "__pycache__") / f"kernels-{digest.hexdigest()[:16]}")


FOLDER = _folder()


def kernel(function: F) -> F:
    """`numba.njit(nogil=True, cache=True)`, safe to call from and inline into kernels of other files in this folder."""
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = FOLDER  # read once, while the cache of this function is set up
    try:
        return numba.njit(nogil=True, cache=True)(function)
    finally:
        numba.config.CACHE_DIR = before
