"""The phrases that C4 takes lines or documents out for, in a line.

Reads:  a line of a padded text
Writes: bits of what was found
Cost:   about 0.2 ns per byte where nothing is found
Source: datatrove 0.10.1 c4_filters.py; Raffel et al. 2020 (jmlr.org/papers/v21/20-074.html), section 2.2
"""

from __future__ import annotations

import numpy as np

from stages.kernels.byte_masks import WIDTH, lowest, mask_of
from stages.kernels.compiled import kernel
from stages.kernels.lines import is_at

# What a phrase does to its line (JAVASCRIPT, POLICY) or text; more kinds of lines are in c4_lines.py
JAVASCRIPT, POLICY, LOREM_IPSUM, CURLY_BRACKET = 4, 5, 6, 7
BRACKET = 8  # a square bracket: there may be a citation

# (text in lower case, what it means, a rare letter of it to look for first), by that letter
PHRASES = (
    ("terms of use", POLICY, "f"),
    ("cookie policy", POLICY, "k"),
    ("uses cookies", POLICY, "k"),
    ("use of cookies", POLICY, "k"),
    ("use cookies", POLICY, "k"),
    ("lorem ipsum", LOREM_IPSUM, "p"),
    ("javascript", JAVASCRIPT, "v"),
    ("privacy policy", POLICY, "v"),
)
_PHRASE_BYTES = np.frombuffer("".join(p for p, _, _ in PHRASES).encode(), np.uint8)
_PHRASE_STARTS = np.cumsum([0, *(len(p) for p, _, _ in PHRASES)])
_PHRASE_ANCHORS = np.array([p.index(anchor) for p, _, anchor in PHRASES])
_PHRASE_KINDS = np.array([kind for _, kind, _ in PHRASES])
# by byte: first phrase whose rare letter it is, and the one after the last; the curly bracket has an empty range
_ANCHORS, _FIRST_PHRASE, _LAST_PHRASE = np.zeros(256, np.bool_), np.zeros(256, np.int64), np.zeros(256, np.int64)
for _letter in {anchor for _, _, anchor in PHRASES}:
    _indices = [i for i, (_, _, anchor) in enumerate(PHRASES) if anchor == _letter]
    for _byte in (ord(_letter), ord(_letter.upper())):
        _ANCHORS[_byte], _FIRST_PHRASE[_byte], _LAST_PHRASE[_byte] = True, _indices[0], _indices[-1] + 1
_ANCHORS[ord("{")] = True

_v_at, _a_at, _k_at, _i_at, _e_at = (mask_of((byte, byte), fold_case=True) for byte in b"vakie")
_s_or_c_at = mask_of((99, 99), (115, 115), fold_case=True)
_f_at, _u_at, _p_at, _s_at = (mask_of((byte, byte), fold_case=True) for byte in b"fups")
_blank_at, _curly_at, _square_at = (mask_of((byte, byte)) for byte in b" {[")
_e2_at, _84_at, _aa_at = mask_of((0xE2, 0xE2)), mask_of((0x84, 0x84)), mask_of((0xAA, 0xAA))


@kernel
def signs(data: np.ndarray, start: int, end: int) -> int:
    """Bits of what stands in data[start:end]: 1 << kind of phrases in either case and of brackets."""
    square, found = np.uint64(0), np.uint64(0)
    for i in range(start, end, WIDTH):
        inside = lowest(min(WIDTH, end - i))
        square |= _square_at(data, i) & inside
        # three bytes of each phrase: jaVAScript, priVACy, cooKIEs, oF Use, iPSUm; and the Kelvin sign
        some = _v_at(data, i) & _a_at(data, i + 1) & _s_or_c_at(data, i + 2)
        some |= _k_at(data, i) & _i_at(data, i + 1) & _e_at(data, i + 2)
        some |= _f_at(data, i) & _blank_at(data, i + 1) & _u_at(data, i + 2)
        some |= _p_at(data, i) & _s_at(data, i + 1) & _u_at(data, i + 2)
        some |= _e2_at(data, i) & _84_at(data, i + 1) & _aa_at(data, i + 2)
        found |= (some | _curly_at(data, i)) & inside
    return (phrases_in(data, start, end) if found else 0) | (1 << BRACKET if square else 0)


@kernel
def phrases_in(data: np.ndarray, start: int, end: int) -> int:
    """Bits 1 << kind of the phrases in the line, in any case, and of curly brackets."""
    found = 0
    for i in range(start, end):
        byte = data[i]
        if byte == 0xE2 and is_at(data, i, end, 0xE2, 0x84, 0xAA):
            return found | _phrases_with_kelvin(data, start, end)
        if _ANCHORS[byte]:
            if byte == 123:
                found |= 1 << CURLY_BRACKET
            for p in range(_FIRST_PHRASE[byte], _LAST_PHRASE[byte]):
                low = i - _PHRASE_ANCHORS[p]
                if low >= start and _is_phrase(data, low, end, p):
                    found |= 1 << _PHRASE_KINDS[p]
    return found


@kernel
def _is_phrase(data: np.ndarray, i: int, end: int, p: int) -> bool:
    """Whether phrase p stands at data[i], letters in either case."""
    first, length = _PHRASE_STARTS[p], _PHRASE_STARTS[p + 1] - _PHRASE_STARTS[p]
    if i + length > end:
        return False
    for k in range(length):
        byte = data[i + k]
        if byte != _PHRASE_BYTES[first + k] and (not 65 <= byte <= 90 or byte + 32 != _PHRASE_BYTES[first + k]):
            return False
    return True


@kernel
def _phrases_with_kelvin(data: np.ndarray, start: int, end: int) -> int:
    """As phrases_in, for a line with a Kelvin sign: the one other character whose lower case is an ASCII letter, k."""
    line = np.empty(end - start, np.uint8)
    i, at = start, 0
    while i < end:
        kelvin = is_at(data, i, end, 0xE2, 0x84, 0xAA)
        line[at] = 107 if kelvin else data[i]
        i, at = i + (3 if kelvin else 1), at + 1
    found = 0
    for i in range(at):
        found |= (line[i] == 123) << CURLY_BRACKET
        for p in range(len(_PHRASE_KINDS)):
            if _is_phrase(line, i, at, p):
                found |= 1 << _PHRASE_KINDS[p]
    return found
