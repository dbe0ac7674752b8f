r"""Texts without control and zero-width characters, with one kind of line break and, if asked for, of space.

Reads:  Utf8 (an Arrow string array's offsets and bytes)
Writes: Normalised: the texts, what was changed by kind, and which need NFC (done by stages/normalise_unicode.py)
Cost:   about 4 ns per byte; the output takes at most half as much again as the input
Source: Unicode 14.0.0 (character_properties.py); UAX 15 quick check; str.splitlines for what a line break is

U+200C and U+200D stay beside letters of the scripts they shape (Arabic, Syriac, N'Ko, Mongolian, those of India and
South-East Asia) and U+200D after an emoji, each where it is not doubled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels import character_properties
from stages.kernels.character_properties import (
    BIDI_CONTROL,
    BLOCK_BITS,
    COMBINING_CLASS,
    CONTROL,
    NFC_NOT_YES,
    PRIVATE_USE,
    SPACE_SEPARATOR,
)
from stages.kernels.compiled import kernel
from stages.kernels.mojibake import CHARACTERS, sequence_at
from stages.kernels.utf8 import Utf8, count_chars, decode

# What is counted, per text. The last four are no changes.
(LINE_BREAKS, CONTROLS, ZERO_WIDTH, BIDI_CONTROLS, SPACES, REPAIRED, C1, MOJIBAKE, REPLACEMENT, PRIVATE, NOT_NFC) = (
    range(11)
)
KINDS = (
    "line_breaks", "control_characters", "zero_width_characters", "bidi_controls", "spaces", "mojibake_repaired",
    "c1_as_windows_1252", "mojibake_characters", "replacement_characters", "private_use_characters", "not_nfc",
)  # fmt: skip
NUM_CHANGING = 7
NOTHING, STAYS = -1, -1  # as what a character becomes, as the kind of a change
ZWNJ, ZWJ = 0x200C, 0x200D
LINE_BREAK_CODES = (0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029)
INVISIBLE_CODES = (0xAD, 0x200B, 0x2060, 0xFEFF)

_INDEX, _BLOCKS = character_properties.load().index, character_properties.load().blocks
_BLOCK_MASK = (1 << BLOCK_BITS) - 1
_SPECIAL = CONTROL | SPACE_SEPARATOR | BIDI_CONTROL
_PLAIN = np.zeros(256, np.bool_)  # ASCII that is never changed
_PLAIN[32:127] = True
_PLAIN[[9, 10]] = True
# (first, last) code points of the scripts whose letters are shaped by joiners
_JOINING = np.array(
    [(0x0600, 0x08FF), (0x0900, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x18AF), (0xA840, 0xA87F), (0xA8E0, 0xA8FF),
     (0xFB50, 0xFDFF), (0xFE70, 0xFEFC), (0x11000, 0x11FFF), (0x1E900, 0x1E95F)]
)  # fmt: skip
_EMOJI = np.array([(0x2190, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF), (0xFE0F, 0xFE0F), (0x1F000, 0x1FAFF)])


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which rules that are options hold."""

    bidi_controls: bool
    spaces: bool
    mojibake: bool


@dataclass(frozen=True, kw_only=True)
class Normalised:
    """`text` is None where nothing changed. `counts` int64[N, 11] by kind; `chars_N` int64[N] characters before.

    counts[:, NOT_NFC] is 1 for a text whose NFC may differ from it.
    """

    text: Utf8 | None
    counts: np.ndarray
    chars_N: np.ndarray


def normalise(text: Utf8, rules: Rules) -> Normalised:
    """Apply the rules to every text once."""
    counts, chars_N = np.zeros((len(text), len(KINDS)), np.int64), np.zeros(len(text), np.int64)
    switches = np.array([rules.bidi_controls, rules.spaces, rules.mojibake])
    num_bytes = int(text.offsets[-1] - text.offsets[0])
    # windows-1252 for a C1 control makes three bytes of two
    data, offsets = np.empty(num_bytes + num_bytes // 2, np.uint8), np.zeros(len(text) + 1, np.int64)
    _normalise_batch(text.data, text.offsets, switches, data, offsets, counts, chars_N)
    if not counts[:, :NUM_CHANGING].any():
        return Normalised(text=None, counts=counts, chars_N=chars_N)
    cleaned = Utf8(offsets=offsets, data=data[: offsets[-1]], null_N=text.null_N)
    return Normalised(text=cleaned, counts=counts, chars_N=chars_N)


@kernel
def _normalise_batch(
    data: np.ndarray, offsets: np.ndarray, switches: np.ndarray, out: np.ndarray, out_offsets: np.ndarray,
    counts: np.ndarray, chars_N: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    for n in range(len(offsets) - 1):
        at, chars_N[n] = _normalise_text(data, offsets[n], offsets[n + 1], switches, out, at, counts[n])
        out_offsets[n + 1] = at


@kernel
def _normalise_text(
    data: np.ndarray, start: int, end: int, switches: np.ndarray, out: np.ndarray, at: int, counts: np.ndarray
) -> tuple[int, int]:
    """(end of what was written at out[at:], number of characters). `before` and the order of combining marks are those
    of the text as it becomes, so that a second pass sees the same."""
    before: Any = 0
    last_class, num_chars, sequence_end, i = 0, 0, -1, start
    while i < end:
        if _PLAIN[data[i]]:
            first = i
            while i < end and _PLAIN[data[i]]:
                out[at + i - first] = data[i]
                i += 1
            at += i - first
            before, last_class = np.int64(data[i - 1]), 0
            num_chars += i - first
            continue
        code, size = decode(data, i, end)
        bits = _bits(code)
        num_chars += 1
        becomes, taken, kind = _judge(data, start, i, end, code, size, bits, before, i == sequence_end, switches)
        changed = 0 <= kind < NUM_CHANGING
        if kind in (REPAIRED, MOJIBAKE):
            sequence_end = i + taken
            num_taken = count_chars(data, i, i + taken)
            counts[MOJIBAKE] += num_taken
            num_chars += num_taken - 1
        elif not changed:
            counts[REPLACEMENT] += code == 0xFFFD and size == 3
            counts[PRIVATE] += bits & PRIVATE_USE != 0
        if changed:
            counts[kind] += 1
        if becomes != NOTHING:
            bits = _bits(becomes)
            combining = bits & COMBINING_CLASS
            if bits & NFC_NOT_YES or (combining and combining < last_class):
                counts[NOT_NFC] = 1
            last_class, before = combining, becomes
            at = _write_code(becomes, out, at) if changed else _copy(data, i, taken, out, at)
        i += taken
    return at, num_chars


@kernel
def _bits(code: int) -> int:
    block: Any = np.int64(_INDEX[code >> BLOCK_BITS])
    bits: Any = np.int64(_BLOCKS[block << BLOCK_BITS | code & _BLOCK_MASK])
    return bits


@kernel
def _judge(
    data: np.ndarray, start: int, i: int, end: int, code: int, size: int, bits: int, before: int, after_sequence: bool,
    switches: np.ndarray,
) -> tuple[int, int, int]:  # fmt: skip
    """(what the character at data[i] becomes, bytes it takes up, kind of the change, or STAYS). What stays as
    mojibake is of the kind MOJIBAKE, and the first of its characters stands for them."""
    if size == 1 and code >= 0x80:
        return code, size, STAYS  # a byte that is no UTF-8
    if bits & _SPECIAL == 0 and (0xF5 <= code < 0x2000 or 0x2070 <= code < 0xFE00 or code > 0xFFFF):
        return code, size, STAYS
    if 0xC2 <= code < 0xF5:
        meant, taken = sequence_at(data, i, end, before, after_sequence)
        if meant:
            return (meant, taken, REPAIRED) if switches[2] else (code, taken, MOJIBAKE)
    if switches[2] and 0x80 <= code < 0xA0 and CHARACTERS[code] != code and _is_alone(data, start, i, end):
        return CHARACTERS[code], size, C1
    if code == 0x0D:
        two = i + 1 < end and data[i + 1] == 10
        return 10, 2 if two else 1, LINE_BREAKS
    if code in LINE_BREAK_CODES:
        return 10, size, LINE_BREAKS
    if bits & CONTROL:
        return NOTHING, size, CONTROLS
    if code in INVISIBLE_CODES:
        return NOTHING, size, ZERO_WIDTH
    if code in (ZWNJ, ZWJ):
        return (code, size, STAYS) if _joins(data, i + size, end, code, before) else (NOTHING, size, ZERO_WIDTH)
    if bits & BIDI_CONTROL and switches[0]:
        return NOTHING, size, BIDI_CONTROLS
    if bits & SPACE_SEPARATOR and switches[1]:
        return 32, size, SPACES
    return code, size, STAYS


@kernel
def _is_alone(data: np.ndarray, start: int, i: int, end: int) -> bool:
    """Whether the C1 control at data[i] has no other beside it: two in a row are mojibake of another kind."""
    after = i + 3 < end and data[i + 2] == 0xC2 and 0x80 <= data[i + 3] < 0xA0
    return not after and not (i - 2 >= start and data[i - 2] == 0xC2 and 0x80 <= data[i - 1] < 0xA0)


@kernel
def _joins(data: np.ndarray, i: int, end: int, joiner: int, before: int) -> bool:
    """Whether a joiner after `before` and before data[i] means something."""
    following = 0
    if i < end:
        following, _ = decode(data, i, end)
    if before in (ZWNJ, ZWJ):
        return False
    return _is_in(before, _JOINING) or _is_in(following, _JOINING) or (joiner == ZWJ and _is_in(before, _EMOJI))


@kernel
def _is_in(code: int, ranges: np.ndarray) -> bool:
    found = False
    for r in range(len(ranges)):
        found = found or ranges[r, 0] <= code <= ranges[r, 1]
    return found


@kernel
def _copy(data: np.ndarray, i: int, size: int, out: np.ndarray, at: int) -> int:
    """Write the bytes data[i:i + size]; the position after them."""
    for k in range(size):
        out[at + k] = data[i + k]
    return at + size


@kernel
def _write_code(code: int, out: np.ndarray, at: int) -> int:
    """Write a code point in UTF-8; the position after it."""
    if code < 0x80:
        out[at] = code
        return at + 1
    size = 2 if code < 0x800 else 3 if code < 0x10000 else 4
    out[at] = (0xFF00 >> size) & 0xFF | code >> (6 * (size - 1))
    for k in range(1, size):
        out[at + k] = 0x80 | code >> (6 * (size - 1 - k)) & 0x3F
    return at + size
