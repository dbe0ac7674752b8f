"""Numba kernels over the offsets and bytes of Arrow string arrays: plain functions, no I/O."""
