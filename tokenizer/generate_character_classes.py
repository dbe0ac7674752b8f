"""Writes character_classes.npz: what the regex engine inside `tokenizers` takes each code point for.

    python -m tokenizer.generate_character_classes

Reads:  the installed `tokenizers`, asked about every code point: its Unicode is neither Python's nor `regex`'s
Writes: tokenizer/character_classes.npz: `index` and `blocks` (tokenizer/pretokenize.py says how to look things up),
        `tokenizers_version`
Cost:   10 s
"""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np

from tokenizer import pretokenize as p

SURROGATES = range(0xD800, 0xE000)  # stand in no text
EXPRESSIONS = {
    p.LETTER: r"\p{L}",
    p.NUMBER: r"\p{N}",
    p.SPACE: r"\s",
    p.UPPER: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    p.LOWER: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    p.NEWLINE: r"[\r\n]",
}
# What the patterns deny is asked as well: the kernels take it for the opposite.
DENIALS = {
    p.LETTER | p.NUMBER | p.SPACE: r"[^\s\p{L}\p{N}]",
    p.LETTER | p.NUMBER | p.NEWLINE: r"[^\r\n\p{L}\p{N}]",
    p.SPACE: r"\S",
}


def matched(expression: str) -> np.ndarray:
    """bool[0x110000]: the code points that match by themselves."""
    from tokenizers import Regex, pre_tokenizers

    codes = np.array([c for c in range(sys.maxunicode + 1) if c not in SURROGATES])
    text = "".join(map(chr, codes))
    matches = np.zeros(sys.maxunicode + 1, np.bool_)
    matches[codes] = True
    for _, (start, end) in pre_tokenizers.Split(Regex(expression), "removed").pre_tokenize_str(text):
        matches[codes[start:end]] = False
    return matches


def classes() -> np.ndarray:
    """uint8[0x110000] of class bits. RuntimeError where a denial is not the opposite of what it denies."""
    bits = np.zeros(sys.maxunicode + 1, np.uint8)
    for bit, expression in EXPRESSIONS.items():
        bits[matched(expression)] |= bit
    for denied, expression in DENIALS.items():
        opposite = bits & denied == 0
        opposite[SURROGATES.start : SURROGATES.stop] = False
        if not np.array_equal(matched(expression), opposite):
            raise RuntimeError(f"{expression} is not the opposite of the classes that it denies")
    return bits


def two_stage(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index, blocks): equal blocks stored once; those of the first 128 code points are the first."""
    rows, first, index = np.unique(bits.reshape(-1, 1 << p.BLOCK_BITS), axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return np.argsort(order)[index.ravel()].astype(np.uint16), rows[order].ravel()


def main() -> None:
    index, blocks = two_stage(classes())
    version = np.array(importlib.metadata.version("tokenizers"))
    np.savez_compressed(p.FILE, index=index, blocks=blocks, tokenizers_version=version)
    print(index.shape, blocks.shape, version, p.FILE.stat().st_size)


if __name__ == "__main__":
    main()
