"""Sentences of a text, as spaCy's sentencizer finds them.

Reads:  a text of lines and its words
Writes: their number
Cost:   about 0.5 ns per byte
Source: spaCy 3.8 pipeline/sentencizer.pyx (MIT), run on each line by datatrove 0.10.1's C4QualityFilter
"""

from __future__ import annotations

import numpy as np

from stages.kernels.chunks import ENDS_SENTENCE, IS_PUNCTUATION
from stages.kernels.compiled import kernel


@kernel
def num_sentences(
    text: np.ndarray, end: int, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, first: int, last: int,
    num_lines: int,
) -> int:  # fmt: skip
    """Sentences of text[:end] with words first..last, each of its lines counted by itself; a line has at least one."""
    count, ended = num_lines, False
    for w in range(first, last):
        if ended:
            trailing, new_line = _gap(text, ends[w - 1], starts[w])
            count += trailing
            ended = not trailing and not new_line
        if kinds[w] & ENDS_SENTENCE:
            ended = True
        elif ended and not kinds[w] & IS_PUNCTUATION:
            count += 1
            ended = False
    if ended:
        trailing, _ = _gap(text, ends[last - 1], end)
        count += trailing
    return count


@kernel
def _gap(data: np.ndarray, start: int, end: int) -> tuple[bool, bool]:
    r"""Of the white space data[start:end] after a word: (whether spaCy makes a token of what precedes the first `\n`,
    whether there is a `\n`). It does unless that is nothing or one space."""
    i = start
    while i < end and data[i] != 10:
        i += 1
    return i - start > 1 or (i - start == 1 and data[start] != 32), i < end
