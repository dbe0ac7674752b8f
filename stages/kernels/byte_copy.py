"""A run of bytes copied from one array into another.

Reads:  bytes
Writes: bytes
Cost:   that of memory
Source: our choice
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel


@kernel
def copy_bytes(data: np.ndarray, start: int, end: int, out: np.ndarray, at: int) -> int:
    """Copy data[start:end] to `out` from `at` on; returns where it ends there."""
    for i in range(start, end):
        out[at + i - start] = data[i]
    return at + end - start
