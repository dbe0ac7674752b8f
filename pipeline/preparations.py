"""What code inside a task prepares once for a machine, such as compiling, told to whoever watches the run.

Reads:  Preparations told by stages' support code, in any process that runs tasks
Writes: to the listener of this process; the backends carry those of other processes to the driver's
Cost:   a call, where something is prepared
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """`what` ("compiling kernels for gopher_quality") goes on, for something kept in a folder; with `seconds`, it is
    done and took so long."""

    what: str
    kept_in: str
    seconds: float | None = None


Listener = Callable[[Preparation], None]


def _nobody(preparation: Preparation) -> None:
    """Nobody watches."""


_listener: Listener = _nobody


def tell(preparation: Preparation) -> None:
    """Tell whoever listens in this process."""
    _listener(preparation)


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Have `listener` told of this process's preparations."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before
