"""How kernels are compiled: once on a machine, without the GIL, kept on disk, and announced.

Reads:  the kernel files that a kernel is made of, and its compiled code where another process has made it
Writes: compiled code (stages/kernels/compiled_folder.py says where); Preparations of pipeline.preparations
Cost:   1 ms a file; 5 to 20 s per stage the first time a kernel is used, 5 ms per kernel from the cache
Source: Numba's caching, with the folder, the stamp and the locking replaced

A process that finds a kernel missing takes a lock, looks again, compiles and writes; others wait for it and read. What
a process cannot write it compiles for itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import inspect
import pickle
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import entrypoints
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.core.compiler_lock import global_compiler_lock

from pipeline.preparations import Preparation, tell
from stages.kernels.compiled_folder import folder_of, remove_stale

F = TypeVar("F", bound=Callable[..., Any])

# At its first use Numba imports what other packages register with it (awkward does): 0.2 s in every process. Kernels
# take arrays and numbers only.
entrypoints._already_initialized = True


def kernel(function: F) -> F:
    """`numba.njit(nogil=True)`, cached, and safe to call from and inline into kernels of other files in this folder."""
    dispatcher = numba.njit(nogil=True)(function)
    dispatcher._cache = _Cache(function)
    dispatcher.compile = functools.partial(_compile, dispatcher.compile)
    return dispatcher


def _compile(compile_or_load: Callable[[Any], Any], signature: Any) -> Any:
    """Numba's `compile`, which asks the cache first; kernels that the kernel calls come here too, within its call."""
    with global_compiler_lock:
        _turn.depth += 1
        try:
            return compile_or_load(signature)
        finally:
            _turn.depth -= 1
            if not _turn.depth:
                _turn.end()


class _Place:
    """Numba's `locator` of a function: the folder's name says what the code was made of, so there is no other stamp."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._line = function.__code__.co_firstlineno
        self._folder = folder_of(Path(file))

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> _Place:
        return cls(function, file)

    def ensure_cache_path(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._folder.name

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Format(CompileResultCacheImpl):
    _locator_classes = (_Place,)


class _Cache(FunctionCache):
    """Numba's cache of one function."""

    _impl_class = _Format

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Compiled code, or None once it is this process's turn to compile it."""
        found = self._load(signature, target)
        if found is not None or _turn.taken:
            return found
        _turn.take(Path(self.cache_path))
        found = self._load(signature, target)  # whoever had the turn before may have made it
        if found is None:
            _turn.announce()
        return found

    def _load(self, signature: Any, target: Any) -> Any:
        try:
            return super().load_overload(signature, target)
        except OSError:  # a folder that cannot be read is as good as an empty one
            return None
        except (EOFError, pickle.UnpicklingError, ValueError):  # cut off by a power failure, say
            self.flush()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk: the next process compiles again
            super().save_overload(signature, compiled)


@dataclasses.dataclass
class _Turn:
    """This process's turn to compile: taken at the first kernel that is missing, over when the call that asked for it
    is. `depth` counts calls within calls; Numba's compiler lock guards all of it."""

    depth: int = 0
    taken: contextlib.ExitStack | None = None
    folder: Path = Path()
    start_s: float = 0.0
    announced: Preparation | None = None

    def take(self, folder: Path) -> None:
        self.taken, self.folder = contextlib.ExitStack(), folder
        with contextlib.suppress(OSError):  # no lock to be had in this folder: compile beside the others
            folder.parent.mkdir(parents=True, exist_ok=True)
            file = self.taken.enter_context((folder.parent / "kernels.lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)

    def announce(self) -> None:
        self.start_s = time.perf_counter()
        self.announced = Preparation(what=f"compiling kernels for {_user()}", kept_in=str(self.folder.parent))
        tell(self.announced)

    def end(self) -> None:
        if self.taken is not None:
            self.taken.close()
        if self.announced is not None:
            tell(dataclasses.replace(self.announced, seconds=time.perf_counter() - self.start_s))
            remove_stale(self.folder)
        self.taken = self.announced = None


_turn = _Turn()


def _user() -> str:
    """The stage in whose call this happens, for the message alone."""
    for frame, _ in traceback.walk_stack(inspect.currentframe()):
        package, _, module = frame.f_globals.get("__name__", "").rpartition(".")
        if package == "stages":
            return str(module)
    return "this process"
