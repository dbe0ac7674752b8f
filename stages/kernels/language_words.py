"""Words of a text by the rules of its language, the way spaCy's blank tokenizer of that language splits.

Reads:  bytes of one text, WordRules, the number of a rule set
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

from stages.kernels.affix_rules import is_url
from stages.kernels.compiled import kernel
from stages.kernels.unicode_tables import BLOCK_BITS, SPACE
from stages.kernels.utf8 import decode
from stages.kernels.word_rules import CELLS, INFIX, PAIR_BYTES, PREFIX, SIDE, STARTS, STRIDE, SUFFIX, TOKEN, WordRules

FNV_START, FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_BLOCK_MASK = (1 << BLOCK_BITS) - 1
ACCEPT, ACCEPT_END, NEXT = 0, 1, 2  # a state's cells
BLANK = 32
MAX_LOOK_BYTES = 100  # how far to look on for a match to end; Greek rules read numbers of any length again and again


@kernel
def split_text(
    rules: WordRules, r: int, data: np.ndarray, i: int, end: int, single: int,
    starts: np.ndarray, ends: np.ndarray, at: int, suffixes: np.ndarray,
) -> int:  # fmt: skip
    """Words of data[i:end] by rule set r to starts[at:], ends[at:]; characters of class `single` are words. Returns the
    next `at`. `suffixes` is room for as many entries as the text has bytes."""
    first, stop = at, SPACE | single
    while i < end:
        chunk, bits, size, plain = i, 0, 0, True
        while i < end:
            found, size = _class(rules, data, i, end)
            bits = _cell(rules.class_bits, found)
            if bits & stop:
                break
            plain = plain and rules.plain[r, found]
            i += size
        if i > chunk:
            row = find_exception(rules, r, data, chunk, i)
            if row >= 0:
                at = _emit_exception(rules, row, chunk, starts, ends, at)
            elif plain:
                starts[at], ends[at] = chunk, i
                at += 1
            else:
                at = _split_chunk(rules, r, data, chunk, i, starts, ends, at, suffixes)
        if i < end:
            if bits & single:
                starts[at], ends[at] = i, i + size
                at += 1
            i += size
    return _join_pieces(rules, r, data, first, at, starts, ends)


@kernel
def _cell(array: np.ndarray, i: int) -> int:
    """An entry as a signed number, so that sums with it stay integers."""
    value: Any = np.int64(array[i])
    return value


@kernel
def _class(rules: WordRules, data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(class, length in bytes) of the character at data[i], i < end."""
    byte = data[i]
    if byte < 0x80:
        return _cell(rules.class_blocks, byte), 1
    code, size = decode(data, i, end)
    block = _cell(rules.class_index, code >> BLOCK_BITS)
    return _cell(rules.class_blocks, block << BLOCK_BITS | code & _BLOCK_MASK), size


@kernel
def _class_before(rules: WordRules, data: np.ndarray, start: int, i: int) -> tuple[int, int]:
    """(class, length in bytes) of the character that ends before data[i], start < i."""
    first = i - 1
    while first > start and i - first < 4 and data[first] & 0xC0 == 0x80:
        first -= 1
    found, size = _class(rules, data, first, i)
    if first + size != i:
        return _class(rules, data, i - 1, i)
    return found, size


@kernel
def _match(rules: WordRules, a: int, state: int, data: np.ndarray, start: int, end: int) -> int:
    """Where the match of automaton `a` that begins at start ends; -1 if there is none."""
    base, stride = rules.automata[a, CELLS], rules.automata[a, STRIDE]
    i, before, best = start, start, -1
    while state:
        row = base + state * stride
        back = rules.cells[row + (ACCEPT_END if i == end else ACCEPT)]
        if back:
            best = i if back == 1 else before
        if i == end or i - max(best, start) > MAX_LOOK_BYTES:
            break
        found, size = _class(rules, data, i, end)
        state = _cell(rules.cells, row + NEXT + rules.columns[a, found])
        before, i = i, i + size
    return best


@kernel
def prefix_length(rules: WordRules, r: int, data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the prefix of data[start:end]; 0 if there is none."""
    a = 4 * r + PREFIX
    return max(_match(rules, a, _cell(rules.cells, rules.automata[a, STARTS]), data, start, end) - start, 0)


@kernel
def suffix_length(rules: WordRules, r: int, data: np.ndarray, start: int, end: int) -> int:
    """Bytes of the longest suffix of data[start:end]; 0 if there is none. Reads backwards."""
    a = 4 * r + SUFFIX
    base, stride = rules.automata[a, CELLS], rules.automata[a, STRIDE]
    state = _cell(rules.cells, rules.automata[a, STARTS])
    i, after, after_that, best = end, end, end, end
    while state:
        row = base + state * stride
        back = rules.cells[row + (ACCEPT_END if i == start else ACCEPT)]
        if back:
            best = min(best, i if back == 1 else after if back == 2 else after_that)
        if i == start or best - i > MAX_LOOK_BYTES:
            break
        found, size = _class_before(rules, data, start, i)
        state = _cell(rules.cells, row + NEXT + rules.columns[a, found])
        after_that, after, i = after, i, i - size
    return end - best


@kernel
def _token_match(rules: WordRules, r: int, data: np.ndarray, start: int, end: int) -> int:
    """`end` + 1 if data[start:end] is a whole token; otherwise how far one had to look to see that it is not."""
    a = 4 * r + TOKEN
    base, stride = rules.automata[a, CELLS], rules.automata[a, STRIDE]
    i, state = start, _cell(rules.cells, rules.automata[a, STARTS])
    while state:
        row = base + state * stride
        if rules.cells[row + (ACCEPT_END if i == end else ACCEPT)]:
            return end + 1
        if i == end:
            break
        found, size = _class(rules, data, i, end)
        state = _cell(rules.cells, row + NEXT + rules.columns[a, found])
        i += size
    return i


@kernel
def _has_pair(pairs: np.ndarray, r: int, data: np.ndarray, i: int) -> bool:
    """Whether rule set r's table of byte pairs has data[i:i + 2]."""
    pair = np.int64(data[i]) << 8 | np.int64(data[i + 1])
    return pairs[r * PAIR_BYTES + (pair >> 3)] >> (pair & 7) & 1 != 0


@kernel
def find_exception(rules: WordRules, r: int, data: np.ndarray, start: int, end: int) -> int:
    """Row of the exception data[start:end] of rule set r, or -1."""
    length = end - start
    if length > rules.max_bytes[r] or (length > 1 and not _has_pair(rules.pairs, r, data, start)):
        return -1
    key = FNV_START
    for i in range(start, end):
        key = (key ^ np.uint64(data[i])) * FNV_PRIME
    base = rules.slot_start[r]
    mask = np.uint64(rules.slot_start[r + 1] - base - 1)
    slot = key & mask
    while True:
        row = _cell(rules.slots, base + np.int64(slot)) - 1
        if row < 0:
            return -1
        text = rules.text_start[row]
        if rules.text_start[row + 1] - text == length:
            k = 0
            while k < length and data[start + k] == rules.text[text + k]:
                k += 1
            if k == length:
                return row
        slot = (slot + np.uint64(1)) & mask


@kernel
def _emit_exception(rules: WordRules, row: int, start: int, starts: np.ndarray, ends: np.ndarray, at: int) -> int:
    """The words an exception is split into."""
    for p in range(rules.parts_start[row], rules.parts_start[row + 1]):
        size = _cell(rules.parts, p)
        starts[at], ends[at] = start, start + size
        at, start = at + 1, start + size
    return at


@kernel
def _split_chunk(
    rules: WordRules, r: int, data: np.ndarray, low: int, high: int,
    starts: np.ndarray, ends: np.ndarray, at: int, suffixes: np.ndarray,
) -> int:  # fmt: skip
    """Words of a chunk that is no exception."""
    end, num_suffixes, before = high, 0, -1
    has_tokens = rules.automata[4 * r + TOKEN, STRIDE] > 0
    looked_from, looked_to = -1, -1  # what begins at looked_from and ends after looked_to is no whole token
    while low < high and high - low != before:
        if has_tokens and not (low == looked_from and looked_to < high):
            looked_from, looked_to = low, _token_match(rules, r, data, low, high)
            if looked_to > high:
                break
        if find_exception(rules, r, data, low, high) >= 0:
            break
        before = high - low
        prefix = prefix_length(rules, r, data, low, high)
        if prefix:
            starts[at], ends[at] = low, low + prefix
        if prefix and low + prefix < high and find_exception(rules, r, data, low + prefix, high) >= 0:
            at, low = at + 1, low + prefix
            break
        suffix = suffix_length(rules, r, data, low + prefix, high)
        if suffix:
            suffixes[num_suffixes] = high - suffix
            num_suffixes += 1
            if high - suffix > low and find_exception(rules, r, data, low, high - suffix) >= 0:
                high -= suffix
                break
        if prefix:
            at, low = at + 1, low + prefix
        high -= suffix
    if low < high:
        at = _split_middle(rules, r, data, low, high, starts, ends, at)
    for k in range(num_suffixes - 1, -1, -1):
        starts[at], ends[at] = suffixes[k], suffixes[k - 1] if k else end
        at += 1
    return at


@kernel
def _split_middle(
    rules: WordRules, r: int, data: np.ndarray, start: int, end: int, starts: np.ndarray, ends: np.ndarray, at: int
) -> int:
    """Words of what is left of a chunk without its prefixes and suffixes."""
    row = find_exception(rules, r, data, start, end)
    if row >= 0:
        return _emit_exception(rules, row, start, starts, ends, at)
    is_token = rules.automata[4 * r + TOKEN, STRIDE] > 0 and _token_match(rules, r, data, start, end) > end
    if is_token or is_url(data, start, end):
        starts[at], ends[at] = start, end
        return at + 1
    return _split_infixes(rules, r, data, start, end, starts, ends, at)


@kernel
def _split_infixes(
    rules: WordRules, r: int, data: np.ndarray, start: int, end: int, starts: np.ndarray, ends: np.ndarray, at: int
) -> int:
    """Words of data[start:end] between and of its infixes; an infix may be empty, and is no word then."""
    a = 4 * r + INFIX
    base, stride = rules.automata[a, CELLS], rules.automata[a, STRIDE]
    table, side = rules.automata[a, STARTS], rules.automata[a, SIDE]
    low, i, two_before, one_before = start, start, 0, 0
    while i < end:
        found, size = _class(rules, data, i, end)
        column: Any = np.int64(rules.columns[a, found])
        state = _cell(rules.cells, table + two_before * side + one_before)
        row = base + state * stride
        after = -1
        if rules.cells[row + ACCEPT] or rules.cells[row + NEXT + column]:
            after = _match(rules, a, state, data, i, end)
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
            found, size = _class(rules, data, i, end)
            column = np.int64(rules.columns[a, found])
    if low < end:
        starts[at], ends[at] = low, end
        at += 1
    return at


@kernel
def _starts_pieces(
    rules: WordRules, r: int, data: np.ndarray, w: int, at: int, starts: np.ndarray, ends: np.ndarray
) -> bool:
    """Whether words w.. may be the pieces of an exception, by the first two bytes that are no space."""
    i = starts[w] + 1
    if i == ends[w]:
        if w + 1 == at:
            return False
        i = starts[w + 1]
    pair = np.int64(data[starts[w]]) << 8 | np.int64(data[i])
    return rules.piece_pairs[r * PAIR_BYTES + (pair >> 3)] >> (pair & 7) & 1 != 0


@kernel
def _piece_row(
    rules: WordRules, r: int, data: np.ndarray, w: int, length: int, starts: np.ndarray, ends: np.ndarray
) -> tuple[int, bool]:
    """(row of the exception that words w..w + length are the pieces of, or -1; whether they become it). Pieces with
    single spaces between them that the exception has not are found, but stay as they are."""
    num_spaces = 0
    for k in range(w + 1, w + length):
        gap = starts[k] - ends[k - 1]
        if gap > 1 or (gap == 1 and data[ends[k - 1]] != BLANK):
            return -1, False
        num_spaces += gap
    start, end = starts[w], ends[w + length - 1]
    row = find_exception(rules, r, data, start, end)
    is_exact = row >= 0
    if not is_exact and num_spaces and end - start - num_spaces <= rules.max_bytes[r]:
        joined = np.empty(end - start - num_spaces, np.uint8)
        size = 0
        for k in range(w, w + length):
            joined[size : size + ends[k] - starts[k]] = data[starts[k] : ends[k]]
            size += ends[k] - starts[k]
        row = find_exception(rules, r, joined, 0, size)
    if row < 0:
        return -1, False
    k = 0
    for p in range(rules.pieces_start[row], rules.pieces_start[row + 1]):
        size = _cell(rules.pieces, p)
        if size and (k == length or ends[w + k] - starts[w + k] != size):
            return -1, False
        k += size > 0
    return (row, is_exact) if k == length else (-1, False)


@kernel
def _join_pieces(
    rules: WordRules, r: int, data: np.ndarray, first: int, at: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """Replace runs of words first..at that make up an exception; longer runs go first, then earlier ones. Returns the
    next `at`."""
    for w in range(first, at):
        if _starts_pieces(rules, r, data, w, at, starts, ends):
            for length in range(1, min(rules.max_pieces[r], at - w) + 1):
                if _piece_row(rules, r, data, w, length, starts, ends)[0] >= 0:
                    return _rejoin(rules, r, data, first, at, starts, ends)
    return at


@kernel
def _rejoin(
    rules: WordRules, r: int, data: np.ndarray, first: int, at: int, starts: np.ndarray, ends: np.ndarray
) -> int:
    """As _join_pieces, where there is such a run."""
    num_words = at - first
    row_W, length_W = np.full(num_words, -1, np.int64), np.zeros(num_words, np.int64)
    seen_W, starts_W = np.zeros(num_words, np.bool_), np.zeros(num_words, np.bool_)
    for w in range(num_words):
        starts_W[w] = _starts_pieces(rules, r, data, first + w, at, starts, ends)
    for length in range(min(rules.max_pieces[r], num_words), 0, -1):
        for w in range(num_words - length + 1):
            if not starts_W[w]:
                continue
            row, is_exact = _piece_row(rules, r, data, first + w, length, starts, ends)
            if row >= 0:
                if is_exact and not seen_W[w] and not seen_W[w + length - 1]:
                    row_W[w], length_W[w] = row, length
                seen_W[w : w + length] = True
    old_starts, old_ends = starts[first:at].copy(), ends[first:at].copy()
    w, at = 0, first
    while w < num_words:
        if row_W[w] >= 0:
            at = _emit_exception(rules, row_W[w], old_starts[w], starts, ends, at)
            w += length_W[w]
        else:
            starts[at], ends[at] = old_starts[w], old_ends[w]
            at, w = at + 1, w + 1
    return at
