"""Lines for fastText from every text of a batch: white space collapsed; in lower case, words apart, where asked for.

Reads:  a string array's offsets and bytes
Writes: Utf8, the lines; no line holds `__label__` (which fastText would read as a label wherever it stands), a line
        break, or two spaces in a row
Cost:   about 4 ns per byte within the limit; 4 bytes of address space per byte, touched as lines are written
Source: stages/classifiers/fasttext_text.py says why; stages/kernels/fasttext_text_table.py, by what classes

Where a byte is not part of valid UTF-8, U+FFFD stands.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from stages.kernels import fasttext_text_table, utf8
from stages.kernels.compiled import kernel
from stages.kernels.fasttext_text_table import APART, BLOCK_BITS, LABEL_PREFIX, LOWER_SHIFT, SPACE
from stages.kernels.utf8 import REPLACEMENT, Utf8, decode

_PREFIX = np.frombuffer(LABEL_PREFIX.encode(), np.uint8)
_UNDERSCORE = _PREFIX[0]
_INDEX, _BLOCKS = fasttext_text_table.load()  # compiled in as constants
_BLOCK_MASK = (1 << BLOCK_BITS) - 1
MAX_CHAR_BYTES = 5  # a character and the space before it
MAX_GROWTH = 4  # of one byte: U+FFFD and the space before it


def lines(texts: pa.Array, words: bool, max_chars: int) -> Utf8:
    """A line from the first `max_chars` characters of each text; `words` sets words apart and in lower case."""
    text = utf8.view(texts)
    sizes = np.diff(text.offsets)
    room = int(np.minimum(sizes * MAX_GROWTH, np.minimum(max_chars, sizes) * MAX_CHAR_BYTES).sum())
    data, offsets = np.empty(room, np.uint8), np.zeros(len(text) + 1, np.int64)
    _prepare(text.data, text.offsets, words, max_chars, data, offsets)
    return Utf8(offsets=offsets, data=data[: offsets[-1]], null_N=np.zeros(len(text), np.bool_))


@kernel
def _prepare(
    data: np.ndarray, offsets: np.ndarray, words: bool, max_chars: int, out: np.ndarray, out_offsets: np.ndarray
) -> None:
    at = 0
    for n in range(len(offsets) - 1):
        if words:
            at = _words_line(data, offsets[n], offsets[n + 1], max_chars, out, at)
        else:
            at = _plain_line(data, offsets[n], offsets[n + 1], max_chars, out, at)
        out_offsets[n + 1] = at


@kernel
def _words_line(data: np.ndarray, i: int, end: int, max_chars: int, out: np.ndarray, at: int) -> int:
    """The `words` line of data[i:end] to out[at:]. Returns the position after it."""
    first, apart = at, False  # apart: a space goes before whatever comes next
    while i < end and max_chars > 0:
        code, size = decode(data, i, end)
        entry = _entry(code)
        i += size
        max_chars -= 1
        if entry & SPACE:
            apart = True
            continue
        if (apart or entry & APART) and at > first:
            out[at] = 32
            at += 1
        apart = entry & APART != 0
        at = _write(entry >> LOWER_SHIFT if entry >> LOWER_SHIFT else code, out, at)
    return at


@kernel
def _plain_line(data: np.ndarray, i: int, end: int, max_chars: int, out: np.ndarray, at: int) -> int:
    """The `plain` line of data[i:end] to out[at:]. Returns the position after it."""
    first, apart = at, False
    while i < end and max_chars > 0:
        code, size = decode(data, i, end)
        if _entry(code) & SPACE:
            apart = True
            i += size
            max_chars -= 1
            continue
        if apart and at > first:
            out[at] = 32
            at += 1
        apart = code == _UNDERSCORE and _is_label_prefix(data, i, min(end, i + max_chars))
        if apart:  # `__label__` becomes `label `
            size = len(_PREFIX)
            for k in range(2, size - 2):
                out[at] = _PREFIX[k]
                at += 1
        else:
            at = _write(code, out, at)
        i += size
        max_chars -= size if apart else 1
    return at


@kernel
def _entry(code: int) -> int:
    if code < 0x80:
        return np.int64(_BLOCKS[code])  # type: ignore[return-value]
    block = np.int64(_INDEX[code >> BLOCK_BITS])
    return np.int64(_BLOCKS[block << BLOCK_BITS | code & _BLOCK_MASK])  # type: ignore[return-value]


@kernel
def _is_label_prefix(data: np.ndarray, i: int, end: int) -> bool:
    if end - i < len(_PREFIX):
        return False
    for k in range(len(_PREFIX)):  # noqa: SIM110 - Numba
        if data[i + k] != _PREFIX[k]:
            return False
    return True


@kernel
def _write(code: int, out: np.ndarray, at: int) -> int:
    """A character's UTF-8 to out[at:]; the position after it."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at], out[at + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return at + 2
    if 0xD800 <= code < 0xE000:  # of a surrogate written as three bytes
        code = REPLACEMENT
    if code < 0x10000:
        out[at], out[at + 1], out[at + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
        return at + 3
    out[at], out[at + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
    out[at + 2], out[at + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return at + 4
