"""One process at a time in a local folder: a lock that goes with the process that holds it.

Writes: `.lock` in the folder
Cost:   one system call; on an object store there is no lock, and nobody is kept out
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator

from pipeline.errors import RunError
from pipeline.store import Folder, is_remote


@contextlib.contextmanager
def locked(folder: Folder, found: str, *, expected: str, mend: str) -> Iterator[None]:
    """Hold the folder, which is made where it is not there. RunError with `found` where another process holds it."""
    if is_remote(folder.location):
        yield
        return
    path = folder.local_path()
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunError(found, where=folder.shown(), expected=expected, mend=mend) from error
        yield
