"""Words of every text of a batch, split the way spaCy's blank English tokenizer does.

Reads:  Utf8 (an Arrow string array's offsets and bytes) and its byte masks
Writes: Words: first and last byte of every word, in order, and what it is made of; white space is no word
Cost:   about 3 ns per byte of real pages; 9 bytes of address space per byte of text, touched as words are found
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

from stages.kernels import language_words, word_rules
from stages.kernels.affix_rules import find_special
from stages.kernels.byte_masks import WIDTH, Masks, address_of, first_bit, last_bit, lowest, window
from stages.kernels.chunks import (
    BEGINS_CHUNK,
    HAS_LETTER,
    HAS_SPACE,
    describe,
    emit_chunk,
    may_be_special,
    special_row,
    split_ascii,
    split_chunk,
)
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import DIGIT, HAN_KANA, PLAIN, SPACE
from stages.kernels.utf8 import Utf8, class_at, is_padded

BLANK = 32


@dataclass(frozen=True, kw_only=True)
class Words:
    """Words of N texts: those of text n are begin[n] to end[n]; word w of it is
    `data[offsets[n] + starts[w]:offsets[n] + ends[w]]`.

    `begin`, `end` int64[N]; `starts`, `ends` int32[W], from the text's first byte on; `kinds` uint8[W] of the bits
    in chunks.py. A batch without some of its texts has the same starts, ends and kinds.
    """

    begin: np.ndarray
    end: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray


def split(text: Utf8, masks: Masks, east_asian_N: np.ndarray, rules_N: np.ndarray) -> Words:
    """The words of every text, padded and each of less than 2 GiB; `masks` are those of the batch, `east_asian_N`
    (bool) says in which texts a Han or kana character is a word, `rules_N` (int8, word_rules.rules_of) by which
    language's rules each is split."""
    num_bytes = int(text.offsets[-1] - text.offsets[0])
    assert np.diff(text.offsets).max(initial=0) < 1 << 31
    assert is_padded(text)
    starts, ends = np.empty(num_bytes + 1, np.int32), np.empty(num_bytes + 1, np.int32)
    kinds = np.empty(num_bytes + 1, np.uint8)
    first = np.zeros(len(text.offsets), np.int64)
    if rules_N.any():
        _split_by_rules(
            word_rules.load(), rules_N, text.data, text.offsets, masks, east_asian_N, starts, ends, kinds, first
        )
    else:
        _split_batch(text.data, text.offsets, masks, east_asian_N, starts, ends, kinds, first)
    count = first[-1]
    return Words(begin=first[:-1], end=first[1:], starts=starts[:count], ends=ends[:count], kinds=kinds[:count])


@kernel
def _split_batch(
    data: np.ndarray, offsets: np.ndarray, masks: Masks, east_asian_N: np.ndarray, starts: np.ndarray,
    ends: np.ndarray, kinds: np.ndarray, first: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(offsets) - 1):
        first[n + 1] = _split_english(
            n, data, offsets, masks, HAN_KANA if east_asian_N[n] else 0, starts, ends, kinds, first[n]
        )


@kernel
def _split_by_rules(
    tables: np.ndarray, rules_N: np.ndarray, data: np.ndarray, offsets: np.ndarray, masks: Masks,
    east_asian_N: np.ndarray, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, first: np.ndarray,
) -> None:  # fmt: skip
    """As _split_batch; apart from it, so that English does not pay for the tables of the others."""
    suffixes = np.empty(max(len(starts), 1), np.int64)
    first_byte: Any = np.int64(0)
    for n in range(len(offsets) - 1):
        low, size, at = offsets[n], offsets[n + 1] - offsets[n], first[n]
        single = HAN_KANA if east_asian_N[n] else 0
        if rules_N[n] == word_rules.ENGLISH:
            first[n + 1] = _split_english(n, data, offsets, masks, single, starts, ends, kinds, at)
        else:
            first[n + 1] = language_words.split_text(
                address_of(tables, 0), rules_N[n], address_of(data, low), first_byte, size, single,
                address_of(starts, 0), address_of(ends, 0), at, address_of(suffixes, 0),
            )  # fmt: skip
            _describe_text(address_of(data, low), single, starts, ends, kinds, at, first[n + 1])


@kernel
def _split_english(
    n: int, data: np.ndarray, offsets: np.ndarray, masks: Masks, single: int, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, at: int,
) -> int:  # fmt: skip
    """Words of text n to starts[at:], ends[at:], kinds[at:]. Returns the next `at`."""
    return _split_text(
        address_of(data, offsets[n]), offsets[n + 1] - offsets[n], address_of(masks.spaces, 0),
        address_of(masks.letters, 0), address_of(masks.digits, 0), address_of(masks.non_ascii, 0),
        offsets[n] - offsets[0], single, address_of(starts, 0), address_of(ends, 0), address_of(kinds, 0), at,
        len(starts) - 1,
    )  # fmt: skip


@kernel
def _describe_text(
    text: np.ndarray, single: int, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, first: int, last: int
) -> None:
    """The kinds of words first..last, which are a text."""
    alone = True  # the word before is none, or a character of class `single`
    for w in range(first, last):
        describe(text, starts, ends, kinds, w, w + 1)
        start: Any = np.int64(starts[w])
        end: Any = np.int64(ends[w])
        is_single = class_at(text, start, end)[0] & single != 0
        if not alone and not is_single and starts[w] == ends[w - 1]:
            kinds[w] &= ~np.uint8(BEGINS_CHUNK)
        for i in range(start, end):
            if text[i] == BLANK:
                kinds[w] |= HAS_SPACE
        alone = is_single


@kernel
def _split_text(
    data: np.ndarray, end: int, spaces: np.ndarray, letters: np.ndarray, digits: np.ndarray, non_ascii: np.ndarray,
    bit: int, single: int, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, at: int, spare: int,
) -> int:  # fmt: skip
    """Words of data[:end], whose masks begin at `bit`, to starts[at:], ends[at:], kinds[at:]; characters of class
    `single` are words. Returns the next `at`."""
    i: Any = np.int64(0)  # a literal would have the kernels it is passed to compiled twice
    while i < end:
        white = window(spaces, bit + i)
        length = min(first_bit(white), end - i)
        if length == 0:
            i += first_bit(~white)
            continue
        inside = lowest(length)
        odd = ~window(letters, bit + i) & inside
        if length < WIDTH and odd == 0:
            row = find_special(data, i, i + length) if may_be_special(data, i, length) else -1
            if row < 0:
                starts[at], ends[at], kinds[at] = i, i + length, HAS_LETTER | BEGINS_CHUNK
                at += 1
            else:
                at = emit_chunk(data, i, row, starts, ends, kinds, at)
            i += length
        elif length == WIDTH or window(non_ascii, bit + i) & inside:
            i, at = split_chunk_at(data, i, end, single, starts, ends, kinds, at, spare)
        else:
            every = window(digits, bit + i) & inside == inside
            at = split_ascii(
                data, i, i + length, i + first_bit(odd), i + last_bit(odd), every, starts, ends,
                kinds, at, spare,
            )  # fmt: skip
            i += length
    return at


@kernel
def split_chunk_at(
    data: np.ndarray, i: int, end: int, single: int, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, at: int, spare: int,
) -> tuple[int, int]:  # fmt: skip
    """(next byte, next `at`) after the chunk at data[i], which may be empty, and the character that ends it: character
    by character, for what is not ASCII or long."""
    stop = SPACE | single
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
        row = special_row(data, chunk, i)
        if row >= 0:
            at = emit_chunk(data, chunk, row, starts, ends, kinds, at)
        elif last_odd < 0 or every:
            starts[at], ends[at] = chunk, i
            describe(data, starts, ends, kinds, at, at + 1)
            at += 1
        else:
            after = split_chunk(data, chunk, i, first_odd, last_odd, starts, ends, at, spare)
            describe(data, starts, ends, kinds, at, after)
            at = after
    if i < end:
        if bits & single:
            starts[at], ends[at] = i, i + size
            describe(data, starts, ends, kinds, at, at + 1)
            at += 1
        i += size
    return i, at
