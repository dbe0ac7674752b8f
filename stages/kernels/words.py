"""Words of every text of a batch, split the way spaCy's blank English tokenizer does.

Reads:  Utf8 (an Arrow string array's offsets and bytes)
Writes: Words: first and last byte of every word, in order; white space is no word
Cost:   about 8 ns per byte of real pages; 16 bytes of address space per byte of text, touched as words are found
Source: spaCy 3.8 tokenizer.pyx (MIT), which datatrove 0.10.1 counts English words with; the expressions are in
        affix_rules.py

A chunk is what stands between white space. If it is an exception (`don't`, `U.S.`, `:)`) its parts are the words;
otherwise prefixes and suffixes are taken off until an exception or nothing to take off is left; what is left is one
word if it is a URL, else it is cut at infixes. At last, exceptions that contain punctuation are looked for in runs of
words.

Where this differs from spaCy: an exception's pieces with spaces between them are not looked for (there they are never
joined, but can keep overlapping pieces from being joined).

In East Asian texts (utf8.east_asian) every Han or kana character is a word, and also ends the chunk before it. Hangul
is split like other letters, at its spaces.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import (
    DIGIT,
    HAN_KANA,
    LETTER,
    PLAIN,
    PREFIX,
    PUNCTUATION,
    SENTENCE_END,
    SPACE,
    SUFFIX,
    SYMBOL,
)
from stages.kernels.utf8 import Utf8, class_at

DOT, APOSTROPHE = 46, 39
_SPECIAL_PARTS = unicode_tables.load().special_parts  # compiled into the kernels as a constant
MAX_PIECES = 11  # `(╯°□°）╯︵┻━┻`

# What `describe` says of a word.
HAS_LETTER = 1  # at least one letter (str.isalpha)
IS_SYMBOL = 2  # only characters of datatrove's PUNCTUATION_SET
IS_PUNCTUATION = 4  # only characters of general category P
ENDS_SENTENCE = 8  # one character, one of spaCy's sentence ends


@dataclass(frozen=True, kw_only=True)
class Words:
    """W words of N texts: word w is `data[starts[w]:ends[w]]`, text n has words `first[n]` up to `first[n + 1]`.

    `starts`, `ends` int64[W]; `first` int64[N + 1].
    """

    starts: np.ndarray
    ends: np.ndarray
    first: np.ndarray


def split(text: Utf8, east_asian_N: np.ndarray) -> Words:
    """The words of every text; `east_asian_N` (bool) says in which of them a Han or kana character is a word."""
    num_bytes = int(text.offsets[-1] - text.offsets[0])
    starts, ends = np.empty(num_bytes + 1, np.int64), np.empty(num_bytes + 1, np.int64)
    first = np.zeros(len(text.offsets), np.int64)
    _split_batch(text.data, text.offsets, east_asian_N, starts, ends, first)
    return Words(starts=starts[: first[-1]], ends=ends[: first[-1]], first=first)


def describe(text: Utf8, words: Words) -> tuple[np.ndarray, np.ndarray]:
    """(`num_chars` int32[W], `kinds` uint8[W] of the bits above)."""
    num_chars, kinds = np.empty(len(words.starts), np.int32), np.empty(len(words.starts), np.uint8)
    _describe(text.data, words.starts, words.ends, num_chars, kinds)
    return num_chars, kinds


@kernel
def _split_batch(
    data: np.ndarray, offsets: np.ndarray, east_asian_N: np.ndarray, starts: np.ndarray,
    ends: np.ndarray, first: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    for n in range(len(offsets) - 1):
        single = HAN_KANA if east_asian_N[n] else 0
        at = _split_text(data, offsets[n], offsets[n + 1], single, starts, ends, at)
        first[n + 1] = at


@kernel
def _split_text(data: np.ndarray, i: int, end: int, single: int, starts: np.ndarray, ends: np.ndarray, at: int) -> int:
    """Words of data[i:end] to starts[at:], ends[at:]; characters of class `single` are words. Returns the next `at`."""
    stop = SPACE | single
    while i < end:
        chunk, first_odd, last_odd, every, bits, size = i, end, -1, DIGIT, 0, 0
        while i < end:
            bits, size = class_at(data, i, end)
            if bits & stop:
                break
            if not bits & PLAIN:
                first_odd, last_odd = min(first_odd, i), i
            every &= bits
            i += size
        if i > chunk:
            row = find_special(data, chunk, i)
            if row >= 0:
                at = _emit_special(chunk, row, starts, ends, at)
            elif last_odd < 0 or every:
                starts[at], ends[at] = chunk, i
                at += 1
            else:
                cut = _only_cut(data, chunk, i, first_odd) if first_odd == last_odd else 0
                if cut:
                    starts[at], ends[at], starts[at + 1], ends[at + 1] = chunk, cut, cut, i
                    at += 2
                else:
                    at = _split_chunk(data, chunk, i, first_odd, last_odd, starts, ends, at)
        if i < end:
            if bits & single:
                starts[at], ends[at] = i, i + size
                at += 1
            i += size
    return at


@kernel
def _only_cut(data: np.ndarray, start: int, end: int, odd: int) -> int:
    """Where the two words of `word,` `(word` or `word's` meet; 0 where the general rules have to tell.

    A shortcut for the most frequent chunks that are not plain: one ASCII character, at `odd`, is not plain, and the
    rest is no exception.
    """
    byte = data[odd]
    if byte >= 0x80 or end - start < 2:
        return 0
    cut = 0
    if odd == end - 1:
        small = 97 <= data[odd - 1] <= 122
        cut = odd if class_at(data, odd, end)[0] & SUFFIX or (byte == DOT and small) else 0
    elif odd == start:
        cut = odd + 1 if class_at(data, odd, end)[0] & PREFIX else 0
    elif odd == end - 2 and byte == APOSTROPHE and data[end - 1] | 32 == 115:
        cut = odd
    if cut and find_special(data, cut if odd == start else start, end if odd == start else cut) >= 0:
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
def _split_chunk(
    data: np.ndarray, start: int, end: int, first_odd: int, last_odd: int, starts: np.ndarray, ends: np.ndarray, at: int
) -> int:
    """Words of a chunk that is neither plain nor an exception; data[first_odd] and data[last_odd] begin the first and
    the last character that is not plain.

    Suffixes come off last to first: their starts are kept at the far end of `starts`, which cannot be reached by words
    because it has an entry for every byte of the batch and one more.
    """
    first, low, high, num_suffixes, before = at, start, end, 0, -1
    spare = len(starts) - 1
    special = False
    while low < high and high - low != before and not special and low <= last_odd and first_odd < high:
        before = high - low
        prefix = prefix_length(data, low, high)
        special = prefix > 0 and low + prefix < high and find_special(data, low + prefix, high) >= 0
        suffix = 0 if special else suffix_length(data, low + prefix, high)
        if suffix and high - suffix > low and find_special(data, low, high - suffix) >= 0:
            prefix, special = 0, True
        if prefix:
            starts[at], ends[at] = low, low + prefix
            at, low = at + 1, low + prefix
        if suffix:
            high -= suffix
            starts[spare - num_suffixes] = high
            num_suffixes += 1
        special = special or (prefix > 0 and suffix > 0 and low < high and find_special(data, low, high) >= 0)
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
    row = find_special(data, start, end)
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
    old_starts, old_ends = starts[first:at].copy(), ends[first:at].copy()
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
def _describe(data: np.ndarray, starts: np.ndarray, ends: np.ndarray, num_chars: np.ndarray, kinds: np.ndarray) -> None:
    for w in range(len(starts)):
        any_of, all_of, count = 0, -1, 0
        i, end = starts[w], ends[w]
        while i < end:
            bits, size = class_at(data, i, end)
            any_of |= bits
            all_of &= bits
            count += 1
            i += size
        kind = HAS_LETTER if any_of & LETTER else 0
        kind |= IS_SYMBOL if all_of & SYMBOL else 0
        kind |= IS_PUNCTUATION if all_of & PUNCTUATION else 0
        kind |= ENDS_SENTENCE if count == 1 and any_of & SENTENCE_END else 0
        num_chars[w], kinds[w] = count, kind
