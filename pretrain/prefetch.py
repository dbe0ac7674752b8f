"""Reads the next steps' batches in a thread while a step runs.

Reads:  what the given function reads
Writes: nothing
Cost:   `depth` items in memory beside the one in use; one thread
Source: -

An item is a pure function of its position, so what comes out does not depend on how far ahead the thread was. An
error of the function is raised where its item is taken.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Position = TypeVar("Position")
Item = TypeVar("Item")


class Prefetch(Generic[Position, Item]):
    """`take(position)` gives `read(position)`, and has the `depth` positions after it read meanwhile.

    `after(position)` is the one that is taken next, None where there is none. Taking another one instead (after a
    rewind) drops what was read.
    """

    def __init__(
        self, read: Callable[[Position], Item], after: Callable[[Position], Position | None], depth: int
    ) -> None:
        self.read, self.after, self.depth = read, after, depth
        self.waited_s = 0.0  # in take(), all together
        self._ahead: deque[tuple[Position, Future[Item]]] = deque()
        self._thread = ThreadPoolExecutor(1, "prefetch") if depth else None

    def take(self, position: Position) -> Item:
        start = time.perf_counter()
        try:
            if self._thread is None:
                return self.read(position)
            if not self._ahead or self._ahead[0][0] != position:
                self._drop()
                self._ahead.append((position, self._thread.submit(self.read, position)))
            _, future = self._ahead.popleft()
            self._fill(position)
            return future.result()
        finally:
            self.waited_s += time.perf_counter() - start

    def close(self) -> None:
        """End the thread; nothing can be taken after it."""
        self._drop()
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _fill(self, position: Position) -> None:
        assert self._thread is not None
        last = self._ahead[-1][0] if self._ahead else position
        while len(self._ahead) < self.depth and (following := self.after(last)) is not None:
            self._ahead.append((following, self._thread.submit(self.read, following)))
            last = following

    def _drop(self) -> None:
        for _, future in self._ahead:
            future.cancel()
        self._ahead.clear()
