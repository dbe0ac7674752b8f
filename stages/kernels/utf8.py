"""A string array as offsets and bytes, and single characters out of the bytes.

Reads:  a pyarrow string array, sliced or not, nulls allowed
Writes: Utf8 (views, no copy for large_string); code points, class bits, lengths
Cost:   0.6 ns per byte to count characters; 1 ns per ASCII character and 3 ns per other one to decode
Source: RFC 3629. A byte that does not begin a character, or whose character is cut off, stands for U+FFFD, alone
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stages.kernels import unicode_tables
from stages.kernels.byte_masks import WIDTH, Masks, count_between
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import BLOCK_BITS, HAN_KANA, HANGUL, LETTER

REPLACEMENT = 0xFFFD
PADDING = WIDTH + 8  # groups of 64 bytes are read from any byte of a text on, and from the two after it
_INDEX, _BLOCKS = unicode_tables.load().index, unicode_tables.load().blocks  # compiled in as constants
_BLOCK_MASK = (1 << BLOCK_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class Utf8:
    """N texts: text n is `data[offsets[n]:offsets[n + 1]]`; a null is an empty text, `null_N` (bool) says which are.

    `offsets` int64[N + 1], `data` uint8: the array's own buffers.
    """

    offsets: np.ndarray
    data: np.ndarray
    null_N: np.ndarray

    def __post_init__(self) -> None:
        """Arrow's buffers can not be written to; kernels are compiled for such arrays, and once."""
        self.offsets.flags.writeable = False
        self.data.flags.writeable = False

    def __len__(self) -> int:
        return len(self.null_N)


def view(texts: pa.Array) -> Utf8:
    """The texts of a `string` or `large_string` array."""
    large = texts.cast(pa.large_string())
    null_N = large.is_null().to_numpy(zero_copy_only=False)
    _, offsets_buffer, data_buffer = large.buffers()
    if len(large) == 0 or data_buffer is None:
        return Utf8(offsets=np.zeros(len(large) + 1, np.int64), data=np.empty(0, np.uint8), null_N=null_N)
    offsets = np.frombuffer(offsets_buffer, np.int64, len(large) + 1, large.offset * 8)
    data = np.frombuffer(data_buffer, np.uint8)
    if null_N.any() and np.diff(offsets)[null_N].any():  # Arrow allows bytes behind a null
        filled = view(large.fill_null(""))
        return Utf8(offsets=filled.offsets, data=filled.data, null_N=null_N)
    return Utf8(offsets=offsets, data=data, null_N=null_N)


def is_padded(text: Utf8) -> bool:
    """Whether kernels may read PADDING bytes past the last text."""
    return len(text.data) >= int(text.offsets[-1]) + PADDING


def padded(text: Utf8) -> Utf8:
    """The same texts, copied where too few bytes follow the last one."""
    if is_padded(text):
        return text
    start, end = int(text.offsets[0]), int(text.offsets[-1])
    data = np.zeros(end - start + PADDING, np.uint8)
    data[: end - start] = text.data[start:end]
    return Utf8(offsets=text.offsets - start if start else text.offsets, data=data, null_N=text.null_N)


def array(text: Utf8) -> pa.Array:
    """The texts as large_string, without copying; nulls are null again."""
    validity = pa.array(~text.null_N).buffers()[1] if text.null_N.any() else None
    offsets, data = pa.py_buffer(text.offsets), pa.py_buffer(text.data)
    return pa.LargeStringArray.from_buffers(len(text), offsets, data, validity)


@kernel
def decode(data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(code point, its length in bytes) at data[i], i < end; (0xFFFD, 1) where no whole character begins."""
    lead: Any = np.int64(data[i])
    if lead < 0x80:
        return lead, 1
    size = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 0
    if size == 0 or i + size > end:
        return REPLACEMENT, 1
    code = lead & (0x7F >> size)
    for k in range(1, size):
        follow = np.int64(data[i + k])
        if follow & 0xC0 != 0x80:
            return REPLACEMENT, 1
        code = code << 6 | follow & 0x3F
    if code > 0x10FFFF:
        return REPLACEMENT, 1
    return code, size


@kernel
def class_at(data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(class bits, length in bytes) of the character at data[i], i < end."""
    byte = data[i]
    if byte < 0x80:
        bits: Any = np.int64(_BLOCKS[byte])
        return bits, 1
    code, size = decode(data, i, end)
    block: Any = np.int64(_INDEX[code >> BLOCK_BITS])
    bits = np.int64(_BLOCKS[block << BLOCK_BITS | code & _BLOCK_MASK])
    return bits, size


@kernel
def class_before(data: np.ndarray, start: int, i: int) -> tuple[int, int]:
    """(class bits, length in bytes) of the character that ends before data[i], start < i."""
    first = i - 1
    while first > start and i - first < 4 and data[first] & 0xC0 == 0x80:
        first -= 1
    bits, size = class_at(data, first, i)
    if first + size != i:
        return class_at(data, i - 1, i)
    return bits, size


@kernel
def count_chars(data: np.ndarray, start: int, end: int) -> int:
    """Characters in data[start:end]: bytes that do not continue one."""
    count = 0
    for i in range(start, end):
        count += (data[i] & 0xC0) != 0x80
    return count


@kernel
def _majority(
    data: np.ndarray, offsets: np.ndarray, letters: np.ndarray, wide: np.ndarray, mask: int, majority_N: np.ndarray
) -> None:
    for n in range(len(offsets) - 1):
        i, end = offsets[n], offsets[n + 1]
        first, last = i - offsets[0], end - offsets[0]
        if 2 * count_between(wide, first, last) <= count_between(letters, first, last):
            continue  # every such character has a wide byte, and these are letters of ASCII alone
        num_letters = of_mask = 0
        while i < end:
            bits, size = class_at(data, i, end)
            num_letters += bits & LETTER != 0
            of_mask += bits & mask != 0
            i += size
        majority_N[n] = 2 * of_mask > num_letters


def east_asian(text: Utf8, masks: Masks) -> np.ndarray:
    """bool[N]: more than half of the text's letters are Han, kana or Hangul."""
    majority_N = np.zeros(len(text), np.bool_)
    _majority(text.data, text.offsets, masks.letters, masks.wide, HAN_KANA | HANGUL, majority_N)
    return majority_N


def han_kana(text: Utf8, masks: Masks) -> np.ndarray:
    """bool[N]: more than half of the text's letters are Han or kana."""
    majority_N = np.zeros(len(text), np.bool_)
    _majority(text.data, text.offsets, masks.letters, masks.wide, HAN_KANA, majority_N)
    return majority_N


def num_chars(text: Utf8, masks: Masks) -> np.ndarray:
    """int64[N]: characters (code points) of every text."""
    counts = np.zeros(len(text), np.int64)
    _num_chars(text.offsets, masks.continuations, counts)
    return counts


@kernel
def _num_chars(offsets: np.ndarray, continuations: np.ndarray, counts: np.ndarray) -> None:
    for n in range(len(offsets) - 1):
        first, last = offsets[n] - offsets[0], offsets[n + 1] - offsets[0]
        counts[n] = last - first - count_between(continuations, first, last)
