"""How the tokenizer's kernels are compiled: without the GIL, and kept on disk under the content of all of its files.

Reads:  this package's Python files, once a process
Writes: compiled code, where Numba keeps it: in NUMBA_CACHE_DIR, `__pycache__`, or the user's cache folder
Cost:   10 s the first time a kernel is used, some milliseconds from the cache
Source: Numba's caching, which by itself does not notice an edit in another file than the kernel's own
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import entrypoints
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    InTreeCacheLocator,
    UserProvidedCacheLocator,
    UserWideCacheLocator,
)
from numba.extending import intrinsic
from numba.np import arrayobj

F = TypeVar("F", bound=Callable[..., Any])
MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: a multiplication by it spreads keys

# At its first use Numba imports what other packages register with it, such as awkward: 100 MB and 0.2 s. Kernels take
# arrays and numbers only.
entrypoints._already_initialized = True


def kernel(function: F) -> F:
    """`numba.njit(nogil=True)`, cached; may be made of pieces and kernels of this package's other files."""
    dispatcher = numba.njit(nogil=True)(function)
    dispatcher._cache = _Cache(function)
    return dispatcher


def piece(function: F) -> F:
    """A function for kernels to call, inlined into them. It allocates nothing and returns no array, so references to
    arrays are not counted, which would cost more than the piece does."""
    return numba.njit(forceinline=True, _nrt=False)(function)


@functools.cache
def _stamp() -> str:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


class _Provided(UserProvidedCacheLocator):  # by NUMBA_CACHE_DIR
    def get_source_stamp(self) -> str:
        return _stamp()


class _InTree(InTreeCacheLocator):
    def get_source_stamp(self) -> str:
        return _stamp()


class _UserWide(UserWideCacheLocator):
    def get_source_stamp(self) -> str:
        return _stamp()


class _Format(CompileResultCacheImpl):
    _locator_classes = (_Provided, _InTree, _UserWide)


class _Cache(FunctionCache):
    _impl_class = _Format


@kernel
def grown(values: np.ndarray, fill: Any) -> np.ndarray:
    """Twice as long; what is new is `fill`."""
    longer = np.full(2 * len(values), fill, values.dtype)
    longer[: len(values)] = values
    return longer


@intrinsic
def prefetch(typing_context: Any, data: Any, i: Any) -> Any:
    """Tell the processor that data[i], counted through all dimensions, will be read and written soon."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = arrayobj.make_array(signature.args[0])(context, builder, arguments[0])
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        declared = builder.module.declare_intrinsic("llvm.prefetch", [pointer], function_type)
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), pointer)
        builder.call(declared, [address, *(ir.Constant(number, n) for n in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(data, types.int64), codegen
