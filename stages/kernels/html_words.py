"""What a block's text is made of: words as hashes, lengths, punctuation, capitals, digits.

Reads:  `text` and `blocks` of a scan
Writes: `counts` int32[B, NUM_COUNTS] and the words of all blocks, one hash each
Cost:   about 2 ns per byte of text
Source: lengths are counted in half words, so that a sentence weighs alike in Chinese and in English: a Chinese news
        sentence has 1.6 to 1.9 characters for each English word of its translation (Han, kana); Korean has spaces

A word is letters and digits of ASCII and all other letters; a Han or kana character stands alone, and its hash is made
with the character before it, since pairs say what single ones do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_attributes import FNV_OFFSET, FNV_PRIME
from stages.kernels.inlined import inlined
from stages.kernels.utf8 import decode

(
    HALF_WORDS, CHARS, WORDS, COMMAS, STOPS, DIGITS, CAPITALS, SEPARATORS, ENDS_IN, BEGINS_WITH, FIRST_WORD, NUM_COUNTS,
) = range(12)  # fmt: skip
# What a block ends in or begins with.
LETTER, DIGIT, STOP, COMMA, COLON, ELLIPSIS, SEPARATOR, CAPITAL, CJK = range(9)
MAX_WORDS = 2000  # of a block that are kept: one this long needs no more to be known


def _class_of_ascii(code: int) -> int:
    """`class_of` below 0x80."""
    byte = chr(code)
    if byte.isalnum():
        return DIGIT if byte.isdigit() else CAPITAL if byte.isupper() else LETTER
    return {".": STOP, "!": STOP, "?": STOP, ",": COMMA, ";": COMMA, ":": COLON}.get(
        byte, SEPARATOR if byte in "|/<>*" else -1
    )


_CLASS_OF_ASCII = np.array([_class_of_ascii(code) for code in range(128)], np.int64)
# Letters and digits of ASCII in lower case; 0 for all other bytes.
_FOLDED = np.array(
    [ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else 0 for byte in range(256)], np.uint8
)


@inlined
def class_of(code: int) -> int:
    """What kind of character a code point is: LETTER, DIGIT, STOP ... CJK; -1 for spaces and what says nothing."""
    if code < 0x80:
        return int(_CLASS_OF_ASCII[code])
    if code < 0x2E80:
        if code == 0x2026:
            return ELLIPSIS
        if code >= 0x2000 or code < 0xC0:
            return SEPARATOR if code == 0xBB or code == 0xAB or code == 0xB7 or code >= 0x2022 else -1
        return LETTER
    if code == 0x3002 or code == 0xFF01 or code == 0xFF1F or code == 0xFF61:
        return STOP
    if code == 0xFF0C or code == 0x3001 or code == 0xFF1B:
        return COMMA
    if code == 0xFF1A:
        return COLON
    if 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or 0x20000 <= code <= 0x3FFFF:
        return CJK
    if 0xFF00 <= code <= 0xFFEF or 0x3000 <= code <= 0x303F:
        return SEPARATOR if code == 0xFF5C or code == 0x3010 or code == 0x3011 else -1
    return LETTER


@inlined
def _hash_ascii(text: np.ndarray, i: int, end: int, word: Any) -> tuple[Any, int, int]:
    """(hash of `word` and the letters and digits from i on, the position behind them, how many are digits)."""
    num_digits = 0
    low = _FOLDED[text[i]]
    while low:
        word = (word ^ np.uint32(low)) * np.uint32(FNV_PRIME)
        num_digits += low <= 57
        i += 1
        low = _FOLDED[text[i]] if i < end else np.uint8(0)
    return word, i, num_digits


@inlined
def count_block(text: np.ndarray, start: int, end: int, counts: np.ndarray, words: np.ndarray, num_words: int) -> int:
    """Fill a block's row of counts, append its words; their new number."""
    counts[:] = 0
    counts[FIRST_WORD], counts[BEGINS_WITH] = num_words, -1
    last_word = num_words + MAX_WORDS
    fresh = np.uint32(FNV_OFFSET)
    word, in_word, before, kind = fresh, False, np.uint32(0), -1
    i, num_chars, num_digits = start, 0, 0
    while i < end:
        code: Any = np.int64(text[i])
        size = 1
        if code >= 0x80:
            code, size = decode(text, i, end)
        now = class_of(code)
        num_chars += 1
        if now >= 0:
            if counts[BEGINS_WITH] < 0:
                counts[BEGINS_WITH] = now
            kind = now
        is_letter = now in (LETTER, CAPITAL, DIGIT)
        if in_word and not is_letter:
            if num_words < last_word:
                words[num_words] = word
                num_words += 1
            counts[HALF_WORDS] += 2
            word, in_word = fresh, False
        if is_letter:
            if not in_word:
                counts[WORDS] += 1
                counts[CAPITALS] += now == CAPITAL
            in_word, before = True, np.uint32(0)
            if code >= 0x80:
                for k in range(size):
                    word = (word ^ np.uint32(text[i + k])) * np.uint32(FNV_PRIME)
            else:
                word, behind, digits = _hash_ascii(text, i, end, word)
                num_digits += digits
                num_chars += behind - i - 1
                i, kind = behind, _CLASS_OF_ASCII[text[behind - 1]]
                continue
        elif now == CJK:
            pair = (np.uint32(code) ^ before) * np.uint32(FNV_PRIME)
            if num_words < last_word:
                words[num_words] = pair
                num_words += 1
            before = np.uint32(code) * np.uint32(0x9E3779B1)
            counts[HALF_WORDS] += 1
        else:
            before = np.uint32(0)
            counts[COMMAS] += now == COMMA
            counts[STOPS] += now == STOP
            counts[SEPARATORS] += now == SEPARATOR
        i += size
    if in_word:
        if num_words < last_word:
            words[num_words] = word
            num_words += 1
        counts[HALF_WORDS] += 2
    counts[CHARS], counts[DIGITS], counts[ENDS_IN] = num_chars, num_digits, kind
    return num_words
