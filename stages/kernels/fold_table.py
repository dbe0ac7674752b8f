"""How each Unicode character is folded before hashing: lower case, canonical decomposition, marks, digits, punctuation.

Reads:  fold_table.npz beside this file (Unicode 14.0.0); `python -m stages.kernels.fold_table` writes it again from the
        running interpreter's `unicodedata`
Writes: a FoldTable, two arrays that `stages/kernels/fold.py` looks characters up in
Cost:   4.4 MB and about 10 ms per table
Source: datatrove 0.10.1, utils/text.py: `simplify_text`, PUNCTUATION, NUMBERS_PATTERN

Two normalisations:
- `datatrove`: lower case, numbers become 0, punctuation and white space separate words, NFD without marks (Mn).
- `plain`: lower case and NFD; white space separates words.

Where a table of single characters differs from the rules on whole strings: final sigma is always written as sigma, and
combining marks stay in the order they came in.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

Normalisation = Literal["datatrove", "plain"]
FILE = Path(__file__).with_name("fold_table.npz")
NUM_CODE_POINTS = 0x110000

# What a character does. KEEP: part of a word. SPACE: ends one. DIGIT: part of a number, written as 0. DROP: nothing.
# ALONE: a word of its own. JOIN: part of the word before it, an ALONE one too.
KEEP, SPACE, DIGIT, DROP, ALONE, JOIN = range(6)
# Marks a character that continues a number when it stands between two digits; added to its class.
SEPARATOR = 8
CLASS_MASK = 7
CLASS_BITS, LENGTH_BITS = 4, 4
POOL_PADDING = 4  # bytes after the last entry's, so that four can be loaded at any
SLOW = 0xFF  # in `bytes`: look into the full table

# datatrove's list, its control characters (0-31, 127-159) left out here and added below.
PUNCTUATION = "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
NUMBER_SEPARATORS = ".,،٫⎖⎗⎘"

# Scripts written without spaces between words, by the start of a letter's Unicode name: each letter is a word.
UNSPACED = (
    "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA",
    "HALFWIDTH KATAKANA", "HANGUL", "HALFWIDTH HANGUL",
)  # fmt: skip
# What continues such a letter: a decomposed syllable's vowel and final consonant, a half-width kana's voicing mark.
TAILS = (
    "HANGUL JUNGSEONG", "HANGUL JONGSEONG", "HALFWIDTH KATAKANA VOICED SOUND MARK",
    "HALFWIDTH KATAKANA SEMI-VOICED SOUND MARK",
)  # fmt: skip


@dataclass(frozen=True)
class FoldTable:
    """`entries` uint32[0x110000]: class | length << 4 | offset << 8 into `pool` (uint8); length 0 stands for itself.
    `bytes` uint8[256]: the byte written for an ASCII character, itself ASCII; SLOW where it takes more than that."""

    entries: np.ndarray
    pool: np.ndarray
    bytes: np.ndarray


@functools.cache
def load(normalisation: Normalisation, split_unspaced: bool = True) -> FoldTable:
    """The table for a normalisation. `split_unspaced`: Han, kana and Hangul letters are words of their own."""
    with np.load(FILE) as stored:
        flags, changed = stored["flags"], stored["changed"]
        length_of_mark_free = stored["bare_length"]
        name = "bare" if normalisation == "datatrove" else "full"
        lengths, pool = stored[f"{name}_length"], stored[name]
    classes = np.zeros(NUM_CODE_POINTS, np.uint32)
    classes[(flags & _MARK) > 0] = JOIN
    if split_unspaced:
        classes[(flags & _UNSPACED) > 0] = ALONE
        classes[(flags & _TAIL) > 0] = JOIN
    classes[(flags & _SPACE) > 0] = SPACE
    if normalisation == "datatrove":
        classes[(flags & _NONSPACING) > 0] = DROP
        classes[changed[length_of_mark_free == 0]] = DROP
        classes[(flags & _PUNCTUATION) > 0] = SPACE
        classes[(flags & _DIGIT) > 0] = DIGIT
        classes[(flags & _SEPARATOR) > 0] += SEPARATOR
    starts = np.cumsum(lengths, dtype=np.uint32) - lengths
    entries = classes
    entries[changed] |= lengths.astype(np.uint32) << CLASS_BITS | starts << (CLASS_BITS + LENGTH_BITS)
    padded = np.concatenate([pool, np.zeros(POOL_PADDING, np.uint8)])
    return FoldTable(entries=entries, pool=padded, bytes=_bytes(entries, pool))


def _bytes(entries: np.ndarray, pool: np.ndarray) -> np.ndarray:
    table = np.full(256, SLOW, np.uint8)
    for code in range(128):
        entry = int(entries[code])
        kind = entry & CLASS_MASK
        if kind == SPACE:
            table[code] = 0x20
        elif kind == KEEP:
            table[code] = pool[entry >> 8] if entry >> CLASS_BITS & 15 else code
    return table


_SPACE, _PUNCTUATION, _MARK, _NONSPACING, _DIGIT, _SEPARATOR, _UNSPACED, _TAIL = (1 << i for i in range(8))


def _flags_of(char: str) -> int:
    category, name = unicodedata.category(char), unicodedata.name(char, "")
    letter = category[0] == "L" or category == "Nl"
    control = ord(char) < 32 or 127 <= ord(char) < 160
    return (
        _SPACE * char.isspace()
        | _PUNCTUATION * (char in PUNCTUATION or control)
        | _MARK * (category[0] == "M")
        | _NONSPACING * (category == "Mn")
        | _DIGIT * (category == "Nd")
        | _SEPARATOR * (char in NUMBER_SEPARATORS)
        | _UNSPACED * (letter and name.startswith(UNSPACED))
        | _TAIL * name.startswith(TAILS)
    )


def write() -> None:
    """Write fold_table.npz from this interpreter's unicodedata."""
    flags = np.zeros(NUM_CODE_POINTS, np.uint8)
    changed, full, bare = [], [], []
    for code in range(NUM_CODE_POINTS):
        if 0xD800 <= code < 0xE000:
            continue
        char = chr(code)
        flags[code] = _flags_of(char)
        folded = unicodedata.normalize("NFD", char.lower()).replace("ς", "σ")
        without_marks = "".join(c for c in folded if unicodedata.category(c) != "Mn")
        if folded != char or without_marks != char:
            changed.append(code)
            full.append(folded.encode())
            bare.append(without_marks.encode())
    np.savez_compressed(
        FILE, flags=flags, changed=np.array(changed, np.uint32),
        full=np.frombuffer(b"".join(full), np.uint8), full_length=np.array([len(b) for b in full], np.uint8),
        bare=np.frombuffer(b"".join(bare), np.uint8), bare_length=np.array([len(b) for b in bare], np.uint8),
        unicode_version=np.array(unicodedata.unidata_version),
    )  # fmt: skip


if __name__ == "__main__":
    write()
