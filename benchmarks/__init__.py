"""Measurements: each prints a ratio against a peer run in the same session. `python -m benchmarks.NAME [--json]`."""
