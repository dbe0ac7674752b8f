"""Mojibake: UTF-8 that was read as windows-1252 or Latin-1, such as `Ã©` for é and `â€™` for ’.

Reads:  bytes of one text
Writes: nothing; `sequence_at` finds one character that reads as two to four
Cost:   constant per call
Source: the WHATWG encoding standard's windows-1252 (bytes without a character are the C1 controls); the conditions are
        ours. ftfy (Robyn Speer) is the tool that repairs more kinds than this

Characters of such a sequence stand in honest text too: `É”` ends a French headline in quotation marks, `Ü“` a German
one. So one counts only if it is (1) next to another one, (2) three or four characters with a sign in it that follows no
letter (€ ¿ ¼ œ, C1), (3) led by Â or Ã with such a sign, or without a capital before it, (4) led by another sign of the
scripts whose mojibake is common (Ä Å Î Ï Ð Ñ × Ø Ù) with such a sign and no capital before it, or by a small letter.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import character_properties
from stages.kernels.character_properties import BLOCK_BITS, LOWER, UPPER
from stages.kernels.compiled import kernel
from stages.kernels.utf8 import decode

_INDEX, _BLOCKS = character_properties.load().index, character_properties.load().blocks
_BLOCK_MASK = (1 << BLOCK_BITS) - 1
_HIGH = 0x2200  # all windows-1252 characters are below
_BYTE_OF = np.zeros(_HIGH, np.uint8)  # 0: no character of the upper half of windows-1252
CHARACTERS = np.arange(256)  # code point of each byte
for _byte in range(0x80, 0x100):
    _BYTE_OF[_byte] = _byte  # as Latin-1; below as windows-1252
    _character = bytes([_byte]).decode("cp1252", "ignore")
    if _character:
        CHARACTERS[_byte] = ord(_character)
        _BYTE_OF[ord(_character)] = _byte
# bytes whose characters follow no letter in honest text
_ODD = np.zeros(256, np.bool_)
for _character in "€ƒ†‡ˆ‰ŠŒŽ˜šœžŸ¡¢£¤¥¦§¨¬¯±´µ¶¸¼½¾¿\x81\x8d\x8f\x90\x9d":
    _ODD[_BYTE_OF[ord(_character)]] = True
_COMMON_CAPITALS = np.zeros(256, np.bool_)
_COMMON_CAPITALS[[0xC4, 0xC5, 0xCE, 0xCF, 0xD0, 0xD1, 0xD7, 0xD8, 0xD9]] = True


@kernel
def byte_of(data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(byte that windows-1252 has for the character at data[i], 0 where that is ASCII or none; its length in UTF-8)."""
    code, size = decode(data, i, end)
    if code < 0x80 or code >= _HIGH or size == 1:
        return 0, size
    byte: Any = np.int64(_BYTE_OF[code])
    if byte and code >= 0x80 and code < 0xA0:
        byte = code  # a C1 control stands for itself
    return byte, size


@kernel
def _read(data: np.ndarray, i: int, end: int) -> tuple[int, int, int, bool]:
    """(code point, length in UTF-8, leading byte, whether a sign follows that follows no letter) of the characters at
    data[i] read as bytes; code point 0 where they are no character in UTF-8."""
    lead, size = byte_of(data, i, end)
    num_following = 1 if 0xC2 <= lead < 0xE0 else 2 if 0xE0 <= lead < 0xF0 else 3 if 0xF0 <= lead < 0xF5 else 0
    if num_following == 0:
        return 0, 0, 0, False
    code, at, odd = lead & (0x3F >> num_following), i + size, False
    for _ in range(num_following):
        if at >= end:
            return 0, 0, 0, False
        byte, size = byte_of(data, at, end)
        if byte & 0xC0 != 0x80:
            return 0, 0, 0, False
        code = code << 6 | byte & 0x3F
        odd = odd or _ODD[byte]
        at += size
    least = 0x80 if num_following == 1 else 0x800 if num_following == 2 else 0x10000
    if code < least or code > 0x10FFFF or 0xD800 <= code < 0xE000:
        return 0, 0, 0, False
    return code, at - i, lead, odd


@kernel
def case_bits(code: int) -> int:
    """UPPER, LOWER or 0."""
    block: Any = np.int64(_INDEX[code >> BLOCK_BITS])
    bits: Any = np.int64(_BLOCKS[block << BLOCK_BITS | code & _BLOCK_MASK])
    return bits & (UPPER | LOWER)


@kernel
def sequence_at(data: np.ndarray, i: int, end: int, before: int, after_sequence: bool) -> tuple[int, int]:
    """(code point meant, length in bytes) of the mojibake at data[i], (0, 0) where there is none.

    `before` is the code point before it, 0 at the beginning; `after_sequence`: whether it directly follows mojibake.
    """
    code, size, lead, odd = _read(data, i, end)
    if code == 0:
        return 0, 0
    sure = after_sequence or (lead >= 0xE0 and odd)
    case = case_bits(before)
    if not sure and lead <= 0xC3:
        sure = odd or case != UPPER
    if not sure and _COMMON_CAPITALS[lead]:
        following = 0
        if i + size < end:
            following, _ = decode(data, i + size, end)
        small_after = case_bits(following) == LOWER
        sure = (odd and case != UPPER) or case == LOWER or (small_after and case != UPPER)
    if not sure and i + size < end:
        next_code, _, _, _ = _read(data, i + size, end)
        sure = next_code != 0
    return (code, size) if sure else (0, 0)
