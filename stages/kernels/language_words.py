"""Words of a text by the rules of its language, the way spaCy's blank tokenizer of that language splits.

Reads:  bytes of one text, the tables of word_rules.load (`t`), the number of a rule set (`r`)
Writes: first and last byte of every word, in order
Cost:   see words.py; the first use compiles for half a minute
Source: spaCy 3.8 tokenizer.pyx (MIT). The expressions are tables here (word_rules.py); URLs as in affix_rules.py

As words.py, which does the same for English by expressions written out: a chunk is what stands between white space.
An exception becomes its parts; otherwise prefixes and suffixes are taken off until an exception, a whole token (fr, hu,
tr) or nothing to take off is left; what is left is one word if it is a whole token or a URL, else it is cut at infixes.
At last, exceptions with punctuation or spaces in them are looked for in runs of words.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels import word_rules
from stages.kernels.affix_rules import is_url
from stages.kernels.compiled import kernel
from stages.kernels.language_exceptions import emit_exception, find_exception, has_pair, join_pieces
from stages.kernels.unicode_tables import BLOCK_BITS, LETTER, SPACE
from stages.kernels.utf8 import class_at, decode
from stages.kernels.word_rules import (
    AUTOMATA,
    CELLS,
    COLUMNS,
    INFIX,
    MAX_BYTES,
    NUM_CLASSES,
    PLAIN_LETTERS,
    PREFIX,
    SIDE,
    STARTS,
    STATES,
    STRIDE,
    SUFFIX,
    TOKEN,
)

_INDEX, _BLOCKS = word_rules.character_classes()  # compiled in as constants
_BLOCK_MASK = (1 << BLOCK_BITS) - 1
ACCEPT, ACCEPT_END, NEXT = 0, 1, 2  # a state's cells
MAX_LOOK_BYTES = 100  # how far to look on for a match to end; Greek rules read numbers of any length again and again


@kernel
def split_text(
    t: np.ndarray, r: int, data: np.ndarray, i: int, end: int, single: int,
    starts: np.ndarray, ends: np.ndarray, at: int, suffixes: np.ndarray,
) -> int:  # fmt: skip
    """Words of data[i:end] by rule set r to starts[at:], ends[at:]; characters of class `single` are words. Returns the
    next `at`. `suffixes` is room for as many entries as the text has bytes."""
    first, stop = at, SPACE | single
    plain_bit = LETTER if t[t[PLAIN_LETTERS] + r] else 0
    max_bytes = t[t[MAX_BYTES] + r]
    while i < end:
        chunk, bits, size, plain = i, 0, 0, plain_bit
        while i < end:
            bits, size = class_at(data, i, end)
            if bits & stop:
                break
            plain &= bits
            i += size
        if i > chunk:
            row = -1
            if i - chunk <= max_bytes and (i - chunk == 1 or has_pair(t, r, data, chunk)):
                row = find_exception(t, r, data, chunk, i)
            if row >= 0:
                at = emit_exception(t, row, chunk, starts, ends, at)
            elif plain:
                starts[at], ends[at] = chunk, i
                at += 1
            else:
                at = _split_chunk(t, r, data, chunk, i, starts, ends, at, suffixes)
        if i < end:
            if bits & single:
                starts[at], ends[at] = i, i + size
                at += 1
            i += size
    return join_pieces(t, r, data, first, at, starts, ends)


@kernel
def _class(data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(class, length in bytes) of the character at data[i], i < end; as utf8.class_at, over the rules' classes."""
    byte = data[i]
    if byte < 0x80:
        found: Any = np.int64(_BLOCKS[byte])
        return found, 1
    code, size = decode(data, i, end)
    block: Any = np.int64(_INDEX[code >> BLOCK_BITS])
    found = np.int64(_BLOCKS[block << BLOCK_BITS | code & _BLOCK_MASK])
    return found, size


@kernel
def _class_before(data: np.ndarray, start: int, i: int) -> tuple[int, int]:
    """(class, length in bytes) of the character that ends before data[i], start < i."""
    first = i - 1
    while first > start and i - first < 4 and data[first] & 0xC0 == 0x80:
        first -= 1
    found, size = _class(data, first, i)
    if first + size != i:
        return _class(data, i - 1, i)
    return found, size


@kernel
def _match(t: np.ndarray, a: int, state: int, data: np.ndarray, start: int, end: int) -> int:
    """Where the match of automaton `a` that begins at start ends; -1 if there is none."""
    base, stride = t[t[AUTOMATA] + 4 * a + CELLS], t[t[AUTOMATA] + 4 * a + STRIDE]
    i, before, best = start, start, -1
    while state:
        row = base + state * stride
        back = t[t[STATES] + row + (ACCEPT_END if i == end else ACCEPT)]
        if back:
            best = i if back == 1 else before
        if i == end or i - max(best, start) > MAX_LOOK_BYTES:
            break
        found, size = _class(data, i, end)
        state = t[t[STATES] + row + NEXT + t[t[COLUMNS] + a * t[NUM_CLASSES] + found]]
        before, i = i, i + size
    return best


@kernel
def prefix_length(t: np.ndarray, r: int, data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the prefix of data[start:end]; 0 if there is none."""
    a = 4 * r + PREFIX
    return max(_match(t, a, t[t[STATES] + t[t[AUTOMATA] + 4 * a + STARTS]], data, start, end) - start, 0)


@kernel
def suffix_length(t: np.ndarray, r: int, data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the longest suffix of data[start:end]; 0 if there is none. Reads backwards."""
    a = 4 * r + SUFFIX
    base, stride = t[t[AUTOMATA] + 4 * a + CELLS], t[t[AUTOMATA] + 4 * a + STRIDE]
    state: Any = t[t[STATES] + t[t[AUTOMATA] + 4 * a + STARTS]]
    i, after, after_that, best = end, end, end, end
    while state:
        row = base + state * stride
        back = t[t[STATES] + row + (ACCEPT_END if i == start else ACCEPT)]
        if back:
            best = min(best, i if back == 1 else after if back == 2 else after_that)
        if i == start or best - i > MAX_LOOK_BYTES:
            break
        found, size = _class_before(data, start, i)
        state = t[t[STATES] + row + NEXT + t[t[COLUMNS] + a * t[NUM_CLASSES] + found]]
        after_that, after, i = after, i, i - size
    return end - best


@kernel
def _token_match(t: np.ndarray, r: int, data: np.ndarray, start: int, end: int) -> int:
    """`end` + 1 if data[start:end] is a whole token; otherwise how far one had to look to see that it is not."""
    a = 4 * r + TOKEN
    base, stride = t[t[AUTOMATA] + 4 * a + CELLS], t[t[AUTOMATA] + 4 * a + STRIDE]
    i = start
    state: Any = t[t[STATES] + t[t[AUTOMATA] + 4 * a + STARTS]]
    while state:
        row = base + state * stride
        if t[t[STATES] + row + (ACCEPT_END if i == end else ACCEPT)]:
            return end + 1
        if i == end:
            break
        found, size = _class(data, i, end)
        state = t[t[STATES] + row + NEXT + t[t[COLUMNS] + a * t[NUM_CLASSES] + found]]
        i += size
    return i


@kernel
def _split_chunk(
    t: np.ndarray, r: int, data: np.ndarray, low: int, high: int,
    starts: np.ndarray, ends: np.ndarray, at: int, suffixes: np.ndarray,
) -> int:  # fmt: skip
    """Words of a chunk that is no exception."""
    end, num_suffixes, before = high, 0, -1
    has_tokens = t[t[AUTOMATA] + 4 * (4 * r + TOKEN) + STRIDE] > 0
    looked_from, looked_to = -1, -1  # what begins at looked_from and ends after looked_to is no whole token
    while low < high and high - low != before:
        if has_tokens and not (low == looked_from and looked_to < high):
            looked_from, looked_to = low, _token_match(t, r, data, low, high)
            if looked_to > high:
                break
        if find_exception(t, r, data, low, high) >= 0:
            break
        before = high - low
        prefix = prefix_length(t, r, data, low, high)
        if prefix:
            starts[at], ends[at] = low, low + prefix
        if prefix and low + prefix < high and find_exception(t, r, data, low + prefix, high) >= 0:
            at, low = at + 1, low + prefix
            break
        suffix = suffix_length(t, r, data, low + prefix, high)
        if suffix:
            suffixes[num_suffixes] = high - suffix
            num_suffixes += 1
            if high - suffix > low and find_exception(t, r, data, low, high - suffix) >= 0:
                high -= suffix
                break
        if prefix:
            at, low = at + 1, low + prefix
        high -= suffix
    if low < high:
        at = _split_middle(t, r, data, low, high, starts, ends, at)
    for k in range(num_suffixes - 1, -1, -1):
        starts[at], ends[at] = suffixes[k], suffixes[k - 1] if k else end
        at += 1
    return at


@kernel
def _split_middle(
    t: np.ndarray, r: int, data: np.ndarray, start: int, end: int, starts: np.ndarray, ends: np.ndarray, at: int
) -> int:
    """Words of what is left of a chunk without its prefixes and suffixes."""
    row = find_exception(t, r, data, start, end)
    if row >= 0:
        return emit_exception(t, row, start, starts, ends, at)
    is_token = t[t[AUTOMATA] + 4 * (4 * r + TOKEN) + STRIDE] > 0 and _token_match(t, r, data, start, end) > end
    if is_token or is_url(data, start, end):
        starts[at], ends[at] = start, end
        return at + 1
    return _split_infixes(t, r, data, start, end, starts, ends, at)


@kernel
def _split_infixes(
    t: np.ndarray, r: int, data: np.ndarray, start: int, end: int, starts: np.ndarray, ends: np.ndarray, at: int
) -> int:
    """Words of data[start:end] between and of its infixes; an infix may be empty, and is no word then."""
    a = 4 * r + INFIX
    base, stride = t[t[AUTOMATA] + 4 * a + CELLS], t[t[AUTOMATA] + 4 * a + STRIDE]
    table, side = t[t[AUTOMATA] + 4 * a + STARTS], t[t[AUTOMATA] + 4 * a + SIDE]
    low, i, two_before, one_before = start, start, 0, 0
    while i < end:
        found, size = _class(data, i, end)
        column: Any = t[t[COLUMNS] + a * t[NUM_CLASSES] + found]
        state = t[t[STATES] + table + two_before * side + one_before]
        row = base + state * stride
        after = -1
        if t[t[STATES] + row + ACCEPT] or t[t[STATES] + row + NEXT + column]:
            after = _match(t, a, state, data, i, end)
        if after >= 0 and i > start:  # one at the very start stays part of the word
            if i > low:
                starts[at], ends[at] = low, i
                at += 1
            if i < after:
                starts[at], ends[at] = i, after
                at += 1
            low = after
        while True:  # over the infix, or over one character
            two_before, one_before = one_before, 1 + column if side > 1 else 0
            i += size
            if i >= after:
                break
            found, size = _class(data, i, end)
            column = t[t[COLUMNS] + a * t[NUM_CLASSES] + found]
    if low < end:
        starts[at], ends[at] = low, end
        at += 1
    return at
