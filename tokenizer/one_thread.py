"""Keep `tokenizers` on the calling thread: a task has one core, and Rayon would take all of the machine's."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_VARIABLE = "TOKENIZERS_PARALLELISM"  # read by `tokenizers` at every call, so it works after the import as well


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside the block `tokenizers` runs on one thread; the environment is as before afterwards."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before
