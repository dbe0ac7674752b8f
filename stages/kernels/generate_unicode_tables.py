"""Writes unicode_tables.npz: run where spaCy 3.8 and datatrove 0.10.1 are, under the Python whose Unicode is wanted.

    .peers/bin/python -m stages.kernels.generate_unicode_tables

Reads:  `unicodedata` and `str` methods of the running Python; spaCy's English punctuation rules and exceptions (MIT
        licence); datatrove's punctuation sets
Writes: stages/kernels/unicode_tables.npz (layout in unicode_tables.Tables)
Cost:   15 s
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from stages.kernels import unicode_tables as t

FNV_START, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
HAN_KANA_NAMES = (
    "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC ITERATION", "IDEOGRAPHIC CLOSING",
    "IDEOGRAPHIC NUMBER ZERO", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "VERTICAL IDEOGRAPHIC ITERATION",
)  # fmt: skip
HANGUL_NAMES = ("HANGUL", "HALFWIDTH HANGUL")
CONTEXT_CHARACTERS = "'’sS-–—~+*^.,:<>=/°0123456789%²³$"  # stand in affix rules of more than one character


def _matches(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda c: compiled.fullmatch(c) is not None


def _spacy_classes() -> dict[int, Callable[[str], bool]]:
    """Class bit -> test, from the pieces spaCy builds its affix expressions of."""
    from spacy.lang import char_classes as c  # type: ignore[import-not-found,unused-ignore]
    from spacy.lang import punctuation as p  # type: ignore[import-not-found,unused-ignore]

    quotes, icons = c.CONCAT_QUOTES, c.LIST_ICONS[0]
    prefixes = "|".join(x for x in p.TOKENIZER_PREFIXES if x.strip() and "(?" not in x)
    suffixes = "|".join([*filter(str.strip, c.LIST_PUNCT), "…", *filter(str.strip, c.LIST_QUOTES), icons, "—", "–"])
    return {
        t.SPACY_ALPHA: _matches(f"[{c.ALPHA}]"),
        t.SPACY_UPPER: _matches(f"[{c.ALPHA_UPPER}]"),
        t.SPACY_LOWER: _matches(f"[{c.ALPHA_LOWER}]"),
        t.PREFIX: _matches(prefixes),
        t.SUFFIX: _matches(suffixes),
        t.INFIX: _matches(f"…|{icons}"),
        t.BEFORE_SUFFIX_DOT: _matches(rf"[0-9{c.ALPHA_LOWER}%²\-\+{c.PUNCT}(?:{quotes})]"),
        t.BEFORE_INFIX_DOT: _matches(f"[{c.ALPHA_LOWER}{quotes}]"),
        t.AFTER_INFIX_DOT: _matches(f"[{c.ALPHA_UPPER}{quotes}]"),
        t.CURRENCY: _matches(c.CURRENCY),
        t.URL_LABEL: _matches("[A-Za-z0-9\u00a1-\uffff]"),
    }


def _class_tests() -> dict[int, Callable[[str], bool]]:
    from datatrove.utils.text import (  # type: ignore[import-not-found,unused-ignore]
        PUNCTUATION_SET,
        TERMINAL_PUNCTUATION,
    )
    from spacy.pipeline import Sentencizer  # type: ignore[import-not-found,unused-ignore]

    sentence_ends = frozenset(Sentencizer.default_punct_chars)
    return {
        t.SPACE: str.isspace,
        t.LINE_BREAK: lambda c: len(f"a{c}b".splitlines()) == 2,
        t.LETTER: str.isalpha,
        t.WORD: _matches(r"\w"),
        t.DIGIT: _matches(r"\d"),
        t.PUNCTUATION: lambda c: unicodedata.category(c).startswith("P"),
        t.SYMBOL: PUNCTUATION_SET.__contains__,
        t.TERMINAL: TERMINAL_PUNCTUATION.__contains__,
        t.SENTENCE_END: sentence_ends.__contains__,
        t.HAN_KANA: lambda c: c.isalpha() and unicodedata.name(c, "").startswith(HAN_KANA_NAMES),
        t.HANGUL: lambda c: c.isalpha() and unicodedata.name(c, "").startswith(HANGUL_NAMES),
        **_spacy_classes(),
    }


def classes() -> np.ndarray:
    """uint32[0x110000] of class bits."""
    tests = _class_tests()
    bits = np.zeros(sys.maxunicode + 1, np.uint32)
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        for bit, test in tests.items():
            if test(character):
                bits[code] |= bit
        if (
            not bits[code] & (t.SPACE | t.PREFIX | t.SUFFIX | t.INFIX | t.CURRENCY)
            and character not in CONTEXT_CHARACTERS
        ):
            bits[code] |= t.PLAIN
    for character in "sS":  # only end an affix after an apostrophe, which is not plain
        bits[ord(character)] |= t.PLAIN
    return bits


def two_stage(bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index, blocks): equal blocks stored once."""
    blocks, index = np.unique(bits.reshape(-1, 1 << t.BLOCK_BITS), axis=0, return_inverse=True)
    ascii_block = index.ravel()[0]
    order = np.argsort(np.arange(len(blocks)) != ascii_block, kind="stable")  # ASCII first
    return np.argsort(order)[index.ravel()].astype(np.uint16), blocks[order].ravel()


def fnv(text: bytes) -> int:
    value = FNV_START
    for byte in text:
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return value


def _rows(lists: Iterable[list[str]], width: int) -> np.ndarray:
    """uint8[R, width] of UTF-8 lengths, zero after the last."""
    rows = [[len(word.encode()) for word in words] for words in lists]
    return np.array([row + [0] * (width - len(row)) for row in rows], np.uint8)


def specials() -> dict[str, np.ndarray]:
    """spaCy's English exceptions as the special_* and piece_* arrays."""
    import spacy  # type: ignore[import-not-found,unused-ignore]
    from spacy.attrs import ORTH  # type: ignore[import-not-found,unused-ignore]

    tokenizer = spacy.blank("en").tokenizer
    rules = {k: [part[ORTH] for part in v] for k, v in sorted(tokenizer.rules.items()) if not k.isspace()}
    has_affix = [bool(tokenizer.find_prefix(k) or tokenizer.find_suffix(k) or tokenizer.find_infix(k)) for k in rules]
    tokenizer.rules = {}
    pieces = [[x.text for x in tokenizer(k)] if affix else [] for k, affix in zip(rules, has_affix, strict=True)]
    texts = [k.encode() for k in rules]
    size = 1 << (2 * len(texts) - 1).bit_length()
    table_hash, table_row = np.zeros(size, np.uint64), np.zeros(size, np.int32)
    bloom, pairs, piece_pairs = (np.zeros(8192, np.uint8) for _ in range(3))
    for row, text in enumerate(texts):
        value = fnv(text)
        slot = value & (size - 1)
        while table_hash[slot]:
            slot = (slot + 1) & (size - 1)
        table_hash[slot], table_row[slot] = value, row
        bloom[value >> 51] |= 1 << (value >> 48 & 7)
        if len(text) > 1:
            pair = text[0] << 8 | text[1]
            pairs[pair >> 3] |= 1 << (pair & 7)
            piece_pairs[pair >> 3] |= bool(pieces[row]) << (pair & 7)
    return {
        "special_hash": table_hash, "special_row": table_row,
        "special_bytes": np.frombuffer(b"".join(texts), np.uint8),
        "special_start": np.cumsum([0, *map(len, texts)]).astype(np.int32),
        "special_parts": _rows(rules.values(), 3), "special_pieces": _rows(pieces, 12),
        "special_filter": bloom, "special_pairs": pairs, "piece_pairs": piece_pairs,
    }  # fmt: skip


def units() -> dict[str, np.ndarray]:
    from spacy.lang.char_classes import LIST_UNITS  # type: ignore[import-not-found,unused-ignore]

    texts = sorted({unit.encode() for unit in LIST_UNITS if unit})
    return {
        "units": np.array([list(x.ljust(12, b"\0")) for x in texts], np.uint8),
        "unit_lengths": np.array([len(x) for x in texts], np.uint8),
    }


def main() -> None:
    index, blocks = two_stage(classes())
    arrays: dict[str, Any] = {"index": index, "blocks": blocks, **specials(), **units()}
    np.savez_compressed(t.FILE, unicode_version=np.array(unicodedata.unidata_version), **arrays)
    print({name: (array.dtype, array.shape) for name, array in arrays.items()}, t.FILE.stat().st_size)


if __name__ == "__main__":
    main()
