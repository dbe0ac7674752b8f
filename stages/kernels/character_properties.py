"""Per character: combining class, whether it can break NFC, case, whether it is assigned at all.

Reads:  character_properties.npz beside this file; `python -m stages.kernels.character_properties` writes it again from
        the running interpreter's `unicodedata`
Writes: Properties, two arrays; `is_assigned`
Cost:   1 ms to load; 50 KB
Source: Unicode 14.0.0 through Python's `unicodedata`; NFC_Quick_Check as UAX 15 defines it
"""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).with_name("character_properties.npz")
BLOCK_BITS = 7
NUM_CODE_POINTS = 0x110000

COMBINING_CLASS = 0xFF  # the lower eight bits are the canonical combining class
NFC_NOT_YES = 1 << 8  # NFC_Quick_Check is No or Maybe
UPPER, LOWER = 1 << 9, 1 << 10  # general category Lu, Ll
UNASSIGNED = 1 << 11  # general category Cn
PRIVATE_USE = 1 << 12  # general category Co
CONTROL = 1 << 13  # general category Cc
SPACE_SEPARATOR = 1 << 14  # general category Zs
BIDI_CONTROL = 1 << 15


class Properties(NamedTuple):
    """`blocks[index[code >> BLOCK_BITS] << BLOCK_BITS | code & 127]` are a character's bits; both uint16."""

    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    blocks: np.ndarray


@functools.cache
def load() -> Properties:
    """The committed table."""
    with np.load(FILE) as stored:
        return Properties(index=stored["index"], blocks=stored["blocks"])


def unicode_version() -> str:
    """The Unicode version the table was generated from."""
    with np.load(FILE) as stored:
        return str(stored["unicode_version"])


def properties_of(character: str) -> int:
    """One character's bits."""
    table, code = load(), ord(character)
    return int(table.blocks[int(table.index[code >> BLOCK_BITS]) << BLOCK_BITS | code & (1 << BLOCK_BITS) - 1])


def _second_characters() -> set[int]:
    """Code points that can be joined to the one before them: second in a canonical composition, or a Hangul vowel or
    final consonant."""
    second = {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
    for code in range(NUM_CODE_POINTS):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pair = "".join(chr(int(part, 16)) for part in parts)
            if unicodedata.normalize("NFC", pair) == chr(code):  # the others are excluded from composition
                second.add(int(parts[1], 16))
    return second


def generate() -> np.ndarray:
    """uint16[0x110000] of bits, from the running interpreter."""
    second = _second_characters()
    categories = {"Lu": UPPER, "Ll": LOWER, "Cn": UNASSIGNED, "Co": PRIVATE_USE, "Cc": CONTROL, "Zs": SPACE_SEPARATOR}
    bits = np.zeros(NUM_CODE_POINTS, np.uint16)
    for code in range(NUM_CODE_POINTS):
        character = chr(code)
        category = unicodedata.category(character)
        value = unicodedata.combining(character) | categories.get(category, 0)
        if code in second or (category != "Cs" and unicodedata.normalize("NFC", character) != character):
            value |= NFC_NOT_YES
        if unicodedata.bidirectional(character) in ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"):
            value |= BIDI_CONTROL
        bits[code] = value
    for code in (0x061C, 0x200E, 0x200F):  # the marks: their direction is that of a letter
        bits[code] |= BIDI_CONTROL
    return bits


def main() -> None:
    rows = generate().reshape(-1, 1 << BLOCK_BITS)
    blocks, index = np.unique(rows, axis=0, return_inverse=True)
    np.savez_compressed(
        FILE, unicode_version=np.array(unicodedata.unidata_version), index=index.ravel().astype(np.uint16),
        blocks=blocks.ravel(),
    )  # fmt: skip
    print(blocks.shape, FILE.stat().st_size)


if __name__ == "__main__":
    main()
