"""Which pages can be taken as they are: valid UTF-8 without a byte order mark, NULs and escapes.

Reads:  the bytes of a batch of pages
Writes: `plain_N` bool[N]
Cost:   0.06 ns a byte of ASCII, 0.3 ns a byte elsewhere, 1 ns more for a character of Thai or of an Indian script
Source: RFC 3629, section 4: no overlong forms, no surrogates, nothing above U+10FFFF. 64 bytes at a time
        (stages/kernels/byte_masks.py): the continuation bytes that first bytes ask for are those that are there
"""

from __future__ import annotations

import numpy as np

from stages.kernels.byte_masks import ALL, WIDTH, first_bit, lowest, mask_of
from stages.kernels.compiled import kernel
from stages.kernels.inlined import inlined

NUL, ESCAPE = 0, 27  # an escape may begin ISO 2022
_special_at = mask_of((NUL, NUL), (ESCAPE, ESCAPE), (0x80, 0xFF))
_refused_at = mask_of((NUL, NUL), (ESCAPE, ESCAPE), (0xC0, 0xC1), (0xF5, 0xFF))
_continuations_at = mask_of((0x80, 0xBF))
_first_bytes_at = mask_of((0xC2, 0xF4))
_of_three_at = mask_of((0xE0, 0xF4))  # first bytes of three bytes and more
_of_four_at = mask_of((0xF0, 0xF4))
_strict_at = mask_of((0xE0, 0xE0), (0xED, 0xED), (0xF0, 0xF0), (0xF4, 0xF4))  # not every second byte may follow


@inlined
def _may_follow(first: int, second: int) -> bool:
    """Whether the continuation byte `second` may follow `first`, one of the strict ones."""
    if first == 0xE0:
        return second >= 0xA0  # else overlong
    if first == 0xED:
        return second < 0xA0  # else a surrogate
    if first == 0xF0:
        return second >= 0x90  # else overlong
    return second < 0x90  # else above U+10FFFF


@inlined
def _pairs_are_allowed(data: np.ndarray, start: int, end: int, strict: np.uint64) -> bool:
    """Whether what follows the strict first bytes of the group at `start` may; beyond `end` nothing follows."""
    while strict:
        i = start + first_bit(strict)
        if i + 1 < end and not _may_follow(data[i], data[i + 1]):
            return False
        strict &= strict - np.uint64(1)
    return True


@inlined
def _next_asked(group: np.ndarray, at: int, inside: np.uint64, asked: np.uint64) -> tuple[bool, np.uint64]:
    """(whether the 64 bytes at group[at] have continuation bytes just where they are asked for, what is asked for
    behind them). `inside`: the bits that are of the page; `asked`: what the bytes before ask for."""
    first, three = _first_bytes_at(group, at) & inside, _of_three_at(group, at) & inside
    four, continuations = _of_four_at(group, at) & inside, _continuations_at(group, at) & inside
    asked |= first << np.uint64(1) | three << np.uint64(2) | four << np.uint64(3)
    is_right = asked == continuations and not _refused_at(group, at) & inside
    return is_right, first >> np.uint64(63) | three >> np.uint64(62) | four >> np.uint64(61)


@inlined
def _is_plain(data: np.ndarray, start: int, end: int, tail: np.ndarray) -> bool:
    """`tail` uint8[WIDTH], scratch: what is left of `data` where that is less than WIDTH bytes."""
    if end - start >= 3 and data[start] == 0xEF and data[start + 1] == 0xBB and data[start + 2] == 0xBF:
        return False
    asked = np.uint64(0)
    for i in range(start, end, WIDTH):
        inside = lowest(end - i) if end - i < WIDTH else ALL
        if i + WIDTH <= len(data):
            if not asked and not _special_at(data, i) & inside:
                continue
            strict = _strict_at(data, i) & inside
            is_right, asked = _next_asked(data, i, inside, asked)
        else:
            for k in range(end - i):
                tail[k] = data[i + k]
            strict = _strict_at(tail, 0) & inside
            is_right, asked = _next_asked(tail, 0, inside, asked)
        if not is_right or not _pairs_are_allowed(data, i, end, strict):
            return False
    return not asked


@kernel
def find_plain(data: np.ndarray, offsets: np.ndarray, plain_N: np.ndarray) -> None:
    """Fill `plain_N`. `data` uint8; `offsets` int64[N + 1]: page n is data[offsets[n]:offsets[n + 1]]."""
    tail = np.zeros(WIDTH, np.uint8)
    for n in range(len(offsets) - 1):
        plain_N[n] = _is_plain(data, offsets[n], offsets[n + 1], tail)
