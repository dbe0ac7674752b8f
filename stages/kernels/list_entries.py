"""The entries of a list: its lines without white space around them, empty lines and comments left out.

Reads:  bytes of whole lines
Writes: where each entry begins and ends
Cost:   1 ns per byte
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel

_LINE_END, _NUMBER_SIGN = b"\n#"


def entry_spans(data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(starts, stops), int64 each, of the entries in `data` (uint8); a line that begins with # is a comment."""
    num_lines = int(np.count_nonzero(data == _LINE_END)) + 1
    starts, stops = np.empty(num_lines, np.int64), np.empty(num_lines, np.int64)
    num = _entry_spans(data, starts, stops)
    return starts[:num], stops[:num]


@kernel
def _entry_spans(data: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> int:
    num = line = 0
    for i in range(len(data) + 1):
        if i < len(data) and data[i] != _LINE_END:
            continue
        start, stop = line, i
        while start < stop and data[start] <= 32:
            start += 1
        while stop > start and data[stop - 1] <= 32:
            stop -= 1
        if start < stop and data[start] != _NUMBER_SIGN:
            starts[num], stops[num] = start, stop
            num += 1
        line = i + 1
    return num
