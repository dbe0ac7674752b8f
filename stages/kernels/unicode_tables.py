"""Character classes and spaCy's exceptions, as arrays the kernels look things up in.

Reads:  unicode_tables.npz beside this file; `python -m stages.kernels.generate_unicode_tables` writes it
Writes: Tables, a NamedTuple of arrays (Numba takes it as one argument)
Cost:   2 ms to load; 120 KB
Source: Unicode 14.0.0 through Python's `unicodedata` (`str.isspace`, `str.isalpha`, `\\w`, `\\d`, general category P);
        datatrove 0.10.1 utils/text.py (PUNCTUATION_SET, TERMINAL_PUNCTUATION); spaCy 3.8 (MIT) lang/char_classes.py,
        lang/punctuation.py, lang/en/tokenizer_exceptions.py, pipeline/sentencizer.pyx
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

FILE = Path(__file__).with_name("unicode_tables.npz")
BLOCK_BITS = 7  # code points per block of the two-stage table: 128, so that block 0 is ASCII

# One bit per class. The upper half is spaCy's view of a character, by the regular expression it stands in.
SPACE = 1 << 0  # str.isspace
LINE_BREAK = 1 << 1  # str.splitlines breaks here
LETTER = 1 << 2  # str.isalpha
WORD = 1 << 3  # \w
DIGIT = 1 << 4  # \d
PUNCTUATION = 1 << 5  # general category P*, spaCy's is_punct
SYMBOL = 1 << 6  # datatrove's PUNCTUATION_SET: a word of these alone is a symbol
TERMINAL = 1 << 7  # datatrove's TERMINAL_PUNCTUATION
SENTENCE_END = 1 << 8  # the sentencizer's punct_chars
HAN_KANA = 1 << 9  # Han ideographs, hiragana, katakana and their iteration and length marks
HANGUL = 1 << 10  # Hangul syllables and jamo
SPACY_ALPHA = 1 << 16  # ALPHA
SPACY_UPPER = 1 << 17  # ALPHA_UPPER (scripts without case are in both)
SPACY_LOWER = 1 << 18  # ALPHA_LOWER
PREFIX = 1 << 19  # one character that is a prefix by itself
SUFFIX = 1 << 20  # one character that is a suffix by itself
INFIX = 1 << 21  # one character that is an infix by itself (icons and the ellipsis)
BEFORE_SUFFIX_DOT = 1 << 22  # a final `.` is split off after this character
BEFORE_INFIX_DOT = 1 << 23  # an inner `.` is split off between this character
AFTER_INFIX_DOT = 1 << 24  # and this one
CURRENCY = 1 << 25  # a suffix after a digit
URL_LABEL = 1 << 26  # [A-Za-z0-9\u00a1-\uffff]
PLAIN = 1 << 27  # in no affix rule: a run of such characters is one word, if it is not an exception


class Tables(NamedTuple):
    """Arrays for the kernels.

    A character's class bits are `blocks[index[code >> BLOCK_BITS] << BLOCK_BITS | code & 127]`; the first 128 entries
    of `blocks` are ASCII. `index` uint16, `blocks` uint32.

    Special words (spaCy's exceptions and units) sit in an open-addressing table of power-of-two size S keyed by their
    FNV-1a hash: `special_hash` uint64[S] (0: empty), `special_row` int32[S] (row of the R specials below).
    `special_bytes` uint8: their UTF-8 text; row r is `special_bytes[special_start[r]:special_start[r + 1]]`.
    `special_parts` uint8[R, 3]: byte lengths of the words it is split into, 0 after the last.
    `special_pieces` uint8[R, 12]: byte lengths of the words it would be split into without the exception; row of zeros
    where spaCy does not look for it inside longer strings. `special_filter` uint8[8192]: bit h >> 48 of a Bloom filter
    with one hash. `special_pairs`, `piece_pairs` uint8[8192]: bit (first byte << 8 | second byte) of all specials, and
    of those that have pieces.

    `units` uint8[U, 12] zero-padded UTF-8, `unit_lengths` uint8[U]: suffixes after a digit.
    """

    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    blocks: np.ndarray
    special_hash: np.ndarray
    special_row: np.ndarray
    special_bytes: np.ndarray
    special_start: np.ndarray
    special_parts: np.ndarray
    special_pieces: np.ndarray
    special_filter: np.ndarray
    special_pairs: np.ndarray
    piece_pairs: np.ndarray
    units: np.ndarray
    unit_lengths: np.ndarray


@functools.cache
def load() -> Tables:
    """The committed tables."""
    with np.load(FILE) as stored:
        return Tables(*(stored[name] for name in Tables._fields))


def unicode_version() -> str:
    """The Unicode version the tables were generated from."""
    with np.load(FILE) as stored:
        return str(stored["unicode_version"])
