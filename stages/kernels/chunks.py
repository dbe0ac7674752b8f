"""Words of one chunk: what stands between white space, split the way spaCy's blank English tokenizer does.

Reads:  the bytes of a text
Writes: first and last byte of the chunk's words, and what they are made of
Cost:   20 to 200 ns per chunk
Source: spaCy 3.8 tokenizer.pyx (MIT); the expressions are in affix_rules.py

In these kernels `data`, `starts`, `ends` and `kinds` are addresses (byte_masks.address_of). `data` is the first byte of
a padded text (utf8.padded); positions are relative to it. Words are written to starts[at:], ends[at:], kinds[at:];
`spare` is the last entry of starts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import unicode_tables
from stages.kernels.affix_rules import (
    find_special,
    is_url,
    next_infix,
    piece_row,
    prefix_length,
    suffix_length,
)
from stages.kernels.byte_masks import load_8
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import LETTER, PREFIX, PUNCTUATION, SENTENCE_END, SUFFIX, SYMBOL
from stages.kernels.utf8 import class_at

DOT, APOSTROPHE = 46, 39
_SPECIAL_PARTS = unicode_tables.load().special_parts  # compiled into the kernels as a constant
MAX_PIECES = 11  # `(╯°□°）╯︵┻━┻`

# What a word is made of; bits of Words.kinds.
HAS_LETTER = 1  # at least one letter (str.isalpha)
IS_SYMBOL = 2  # only characters of datatrove's PUNCTUATION_SET
IS_PUNCTUATION = 4  # only characters of general category P
ENDS_SENTENCE = 8  # one character, one of spaCy's sentence ends
NON_ASCII = 16  # some byte is 0x80 or more
HAS_SPACE = 64  # a space inside; exceptions of some languages have one (Spanish `EE. UU.`)
BEGINS_CHUNK = 32  # white space, the text's start or a character that is a word by itself stands before it

_KEY_FACTOR, _LENGTH_FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


def _filter_key(first_8: int, num_bytes: int) -> int:
    """16 bits that tell most words from the exceptions by their first eight bytes and their length."""
    return ((first_8 ^ num_bytes * int(_LENGTH_FACTOR)) * int(_KEY_FACTOR) & (1 << 64) - 1) >> 48


def _special_filter() -> np.ndarray:
    """uint8[8192], a bit per `_filter_key` of an exception."""
    tables, bits = unicode_tables.load(), np.zeros(1 << 16, np.uint8)
    text = tables.special_bytes.tobytes()
    for start, end in zip(tables.special_start[:-1], tables.special_start[1:], strict=True):
        bits[_filter_key(int.from_bytes(text[start:end][:8], "little"), int(end - start))] = 1
    return np.packbits(bits, bitorder="little")


def _byte_kinds() -> np.ndarray:
    """uint8[128]: what a word of one ASCII character is made of."""
    bits = unicode_tables.load().blocks[:128]
    pairs = ((LETTER, HAS_LETTER), (SYMBOL, IS_SYMBOL), (PUNCTUATION, IS_PUNCTUATION), (SENTENCE_END, ENDS_SENTENCE))
    kinds = np.zeros(128, np.uint8)
    for of_character, of_word in pairs:
        kinds[bits & of_character != 0] |= of_word
    return kinds


_SPECIAL_FILTER, _BYTE_KINDS = _special_filter(), _byte_kinds()


@kernel
def may_be_special(data: np.ndarray, start: int, num_bytes: int) -> bool:
    """False for most words that are no exceptions, true for every exception."""
    group = load_8(data, start)
    if num_bytes < 8:
        group &= (np.uint64(1) << np.uint64(8 * num_bytes)) - np.uint64(1)
    key = ((group ^ np.uint64(num_bytes) * _LENGTH_FACTOR) * _KEY_FACTOR) >> np.uint64(48)
    return (_SPECIAL_FILTER[key >> np.uint64(3)] >> np.uint8(key & np.uint64(7))) & 1 != 0


@kernel
def special_row(data: np.ndarray, start: int, end: int) -> int:
    """Row of the exception data[start:end], or -1."""
    return find_special(data, start, end) if may_be_special(data, start, end - start) else -1


@kernel
def emit_chunk(
    data: np.ndarray, start: int, row: int, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, at: int
) -> int:
    """The words of a chunk that is an exception. Returns the next `at`."""
    after = _emit_special(start, row, starts, ends, at)
    describe(data, starts, ends, kinds, at, after)
    return after


@kernel
def split_ascii(
    data: np.ndarray, start: int, end: int, first_odd: int, last_odd: int, digits: bool,
    starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, at: int, spare: int,
) -> int:  # fmt: skip
    """Words of an ASCII chunk whose first and last byte that is no letter are known. Returns the next `at`."""
    row = special_row(data, start, end)
    if row >= 0:
        return emit_chunk(data, start, row, starts, ends, kinds, at)
    if digits or end - start == 1:
        starts[at], ends[at], kinds[at] = start, end, _BYTE_KINDS[data[start]] | BEGINS_CHUNK
        return at + 1
    cut = _only_cut(data, start, end, first_odd) if first_odd == last_odd else 0
    if cut:
        starts[at], ends[at], starts[at + 1], ends[at + 1] = start, cut, cut, end
        kinds[at] = BEGINS_CHUNK | (_BYTE_KINDS[data[start]] if first_odd == start else HAS_LETTER)
        kinds[at + 1] = _BYTE_KINDS[data[cut]] if first_odd == end - 1 else HAS_LETTER
        return at + 2
    after = split_chunk(data, start, end, first_odd, last_odd, starts, ends, at, spare)
    describe(data, starts, ends, kinds, at, after)
    return after


@kernel
def _only_cut(data: np.ndarray, start: int, end: int, odd: int) -> int:
    """Where the two words of `word,` `(word` or `word's` meet; 0 where the general rules have to tell.

    A shortcut for the most frequent chunks that are not plain: two or more bytes, all ASCII letters but data[odd].
    """
    byte, cut = data[odd], 0
    if odd == end - 1:
        small = 97 <= data[odd - 1] <= 122
        cut = odd if class_at(data, odd, end)[0] & SUFFIX or (byte == DOT and small) else 0
    elif odd == start:
        cut = odd + 1 if class_at(data, odd, end)[0] & PREFIX else 0
    elif odd == end - 2 and byte == APOSTROPHE and data[end - 1] | 32 == 115:
        cut = odd
    if cut and special_row(data, cut if odd == start else start, end if odd == start else cut) >= 0:
        return 0
    return cut


@kernel
def _emit_special(start: int, row: int, starts: np.ndarray, ends: np.ndarray, at: int) -> int:
    """The words an exception is split into."""
    for p in range(_SPECIAL_PARTS.shape[1]):
        size: Any = np.int64(_SPECIAL_PARTS[row, p])
        if size == 0:
            break
        starts[at], ends[at] = start, start + size
        at, start = at + 1, start + size
    return at


@kernel
def split_chunk(
    data: np.ndarray, start: int, end: int, first_odd: int, last_odd: int, starts: np.ndarray,
    ends: np.ndarray, at: int, spare: int,
) -> int:  # fmt: skip
    """Words of a chunk that is neither plain nor an exception; data[first_odd] and data[last_odd] begin the first and
    the last character that is not plain.

    Suffixes come off last to first: their starts are kept at the far end of `starts`, which cannot be reached by words
    because it has an entry for every byte of the batch and one more.
    """
    first, low, high, num_suffixes, before = at, start, end, 0, -1
    special = False
    while low < high and high - low != before and not special and low <= last_odd and first_odd < high:
        before = high - low
        prefix = prefix_length(data, low, high)
        special = prefix > 0 and low + prefix < high and special_row(data, low + prefix, high) >= 0
        suffix = 0 if special else suffix_length(data, low + prefix, high)
        if suffix and high - suffix > low and special_row(data, low, high - suffix) >= 0:
            prefix, special = 0, True
        if prefix:
            starts[at], ends[at] = low, low + prefix
            at, low = at + 1, low + prefix
        if suffix:
            high -= suffix
            starts[spare - num_suffixes] = high
            num_suffixes += 1
        special = special or (prefix > 0 and suffix > 0 and low < high and special_row(data, low, high) >= 0)
    if low < high:
        is_plain = low > last_odd or first_odd >= high
        at = _split_middle(data, low, high, is_plain, starts, ends, at)
    for k in range(num_suffixes - 1, -1, -1):
        starts[at] = starts[spare - k]
        ends[at] = starts[spare - k + 1] if k else end
        at += 1
    return _join_pieces(data, first, at, starts, ends)


@kernel
def _split_middle(
    data: np.ndarray, start: int, end: int, is_plain: bool, starts: np.ndarray, ends: np.ndarray, at: int
) -> int:
    """Words of what is left of a chunk without its prefixes and suffixes."""
    row = special_row(data, start, end)
    if row >= 0:
        return _emit_special(start, row, starts, ends, at)
    if is_plain or is_url(data, start, end):
        starts[at], ends[at] = start, end
        return at + 1
    low, i = start, start
    while i < end:
        infix, after = next_infix(data, start, i, end)
        if infix > start:  # one at the very start stays part of the word
            if infix > low:
                starts[at], ends[at] = low, infix
                at += 1
            if infix < after:
                starts[at], ends[at] = infix, after
                at += 1
            low = after
        i = after
    if low < end:
        starts[at], ends[at] = low, end
        at += 1
    return at


@kernel
def _join_pieces(data: np.ndarray, first: int, at: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """Replace runs of words first..at that make up an exception. Returns the next `at`."""
    for w in range(first, at):
        if piece_row(data, w, 0, at, starts, ends) >= 0:
            return _rejoin(data, first, at, starts, ends)
    return at


@kernel
def _rejoin(data: np.ndarray, first: int, at: int, starts: np.ndarray, ends: np.ndarray) -> int:
    """As _join_pieces, where there is such a run; longer runs go first, then earlier ones."""
    num_words = at - first
    row_W, length_W, seen_W = (
        np.full(num_words, -1, np.int64),
        np.zeros(num_words, np.int64),
        np.zeros(num_words, np.bool_),
    )
    for length in range(MAX_PIECES, 0, -1):
        for w in range(num_words - length + 1):
            row = piece_row(data, first + w, length, at, starts, ends)
            if row >= 0:
                if not seen_W[w] and not seen_W[w + length - 1]:
                    row_W[w], length_W[w] = row, length
                seen_W[w : w + length] = True
    old_starts, old_ends = np.empty(num_words, np.int64), np.empty(num_words, np.int64)
    for w in range(num_words):
        old_starts[w], old_ends[w] = starts[first + w], ends[first + w]
    w, at = 0, first
    while w < num_words:
        if row_W[w] >= 0:
            at = _emit_special(old_starts[w], row_W[w], starts, ends, at)
            w += length_W[w]
        else:
            starts[at], ends[at] = old_starts[w], old_ends[w]
            at, w = at + 1, w + 1
    return at


@kernel
def describe(data: np.ndarray, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, first: int, last: int) -> None:
    """The kinds of words first..last, which are a chunk."""
    for w in range(first, last):
        any_of, all_of = 0, -1
        high: Any = 0
        i: Any = np.int64(starts[w])
        end: Any = np.int64(ends[w])
        bits, size = class_at(data, i, end)
        one = i + size == end
        while i < end:
            bits, size = class_at(data, i, end)
            any_of |= bits
            all_of &= bits
            high |= np.int64(data[i])
            i += size
        kind = HAS_LETTER if any_of & LETTER else 0
        kind |= IS_SYMBOL if all_of & SYMBOL else 0
        kind |= IS_PUNCTUATION if all_of & PUNCTUATION else 0
        kind |= ENDS_SENTENCE if one and any_of & SENTENCE_END else 0
        kind |= NON_ASCII if high > 127 else 0
        kinds[w] = kind | (BEGINS_CHUNK if w == first else 0)
