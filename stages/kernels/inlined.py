"""How the pieces of a kernel are compiled: into the kernel that calls them, without counting references to arrays.

Cost:   none at run time; the code of a piece stands in every kernel that calls it
Source: a function that takes arrays and is called for every character spends 10 to 30 ns of a call on reference counts
        (atomic additions that Numba takes out only where the function has a simple shape); measured, Numba 0.68

A piece allocates nothing and returns no array: what it works on is held by the kernel's caller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def inlined(function: F) -> F:
    """A function for kernels to call (`stages/kernels/compiled.py`), inlined into them; not cached by itself."""
    return numba.njit(forceinline=True, _nrt=False)(function)
