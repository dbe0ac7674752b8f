"""Keeps the memory of large tensors in the process from one step to the next.

Reads:  -
Writes: the C library's settings, for the whole process
Cost:   freed memory stays with the process: its peak is higher by a few large tensors
Source: mallopt(3) of glibc

glibc gives every large block back to the kernel when it is freed, and the kernel clears each of its pages anew: for the
demo 70,000 page faults and a quarter of the time of each step.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
LARGEST_BYTES = 1 << 30
TRIM_BYTES = (1 << 31) - 1  # an int's largest: never
GROWTH_BYTES = 1 << 28


def keep_freed_memory() -> None:
    """Nothing happens where the C library has no such settings (musl, macOS)."""
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return
    for setting, value in (
        (M_MMAP_THRESHOLD, LARGEST_BYTES), (M_TRIM_THRESHOLD, TRIM_BYTES), (M_TOP_PAD, GROWTH_BYTES)
    ):  # fmt: skip
        library.mallopt(setting, value)
