r"""Which lines of a text are no prose, and the text without them.

Reads:  Utf8 (an Arrow string array's offsets and bytes)
Writes: CleanLines: the texts, lines and words by what happened to them
Cost:   about 10 ns per byte; the output is at most as long as the input
Source: Penedo et al. 2023 (arXiv 2306.01116), appendix G.2; C4's phrases

A line ends where str.splitlines ends it. A word is a run of characters that are not white space with a letter or digit
among them; every Han or kana character and every letter of scripts without spaces (Thai, Lao, Tibetan, Burmese, Khmer)
is one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels import character_properties
from stages.kernels.byte_copy import copy_bytes
from stages.kernels.character_properties import BLOCK_BITS, UPPER
from stages.kernels.compiled import kernel
from stages.kernels.lines import Lines, strip
from stages.kernels.phrase_groups import Automaton, automaton, found_in
from stages.kernels.pii_gap import is_digit, is_word
from stages.kernels.unicode_tables import DIGIT, HAN_KANA, LETTER, SPACE
from stages.kernels.utf8 import Utf8, class_at, decode

# What happened to a line, in the order in which the rules are tried; the columns of `lines` and `words`.
KEPT, JAVASCRIPT, POLICY, PHRASE, UPPERCASE, NUMERIC, COUNTER, ONE_WORD, SHORT = range(9)
LINE_KINDS = (
    "kept", "javascript", "policy", "phrase", "uppercase", "numeric", "counter", "one_word", "short_pattern"
)  # fmt: skip
NEWLINE = 10
COUNTED = (
    "comment", "dislike", "favorite", "favourite", "follower", "following", "like", "member", "photo", "point", "post",
    "rating", "reaction", "read", "reblog", "reply", "replie", "repost", "response", "retweet", "review", "share",
    "subscriber", "tweet", "upvote", "view", "viewer", "visitor", "vote",
)  # fmt: skip
_COUNTED_BYTES = np.frombuffer("".join(COUNTED).encode(), np.uint8)
_COUNTED_STARTS = np.cumsum([0, *map(len, COUNTED)])
_INDEX, _BLOCKS = character_properties.load().index, character_properties.load().blocks
_BLOCK_MASK = (1 << BLOCK_BITS) - 1


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is taken out. `phrases`: groups for JAVASCRIPT, POLICY, PHRASE and SHORT. `starts`, `ends`: of short lines,
    as (bytes, where each begins)."""

    phrases: Automaton
    max_uppercase_share: float  # 1 takes out nothing
    numeric: bool
    counters: bool
    single_words: bool
    max_short_words: int
    starts: tuple[np.ndarray, np.ndarray]
    ends: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class CleanLines:
    """`text` is None where no line was taken out. `lines`, `words` int64[N, 9] by kind; blank lines are no lines."""

    text: Utf8 | None
    lines: np.ndarray
    words: np.ndarray


def phrase_groups(
    javascript: Sequence[str], policy: Sequence[str], own: Sequence[str], short: Sequence[str]
) -> Automaton:
    """Rules.phrases."""
    return automaton((javascript, policy, own, short))


def patterns(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rules.starts or Rules.ends."""
    encoded = [text.lower().encode() for text in texts]
    return np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)])


def clean(text: Utf8, breaks: Lines, rules: Rules) -> CleanLines:
    r"""Take the lines out. A text that loses none is not touched. In one that does, `\n` stands between the lines
    that stay, and blank lines where there were some between them: as many as in the longest run."""
    num_kinds = len(LINE_KINDS)
    lines, words = np.zeros((len(text), num_kinds), np.int64), np.zeros((len(text), num_kinds), np.int64)
    num_bytes = int(text.offsets[-1] - text.offsets[0])
    data, offsets = np.empty(num_bytes, np.uint8), np.zeros(len(text) + 1, np.int64)
    switches = np.array([rules.numeric, rules.counters, rules.single_words])
    _clean_batch(
        text.data, text.offsets, (breaks.begin, breaks.end, breaks.stops, breaks.nexts), rules.phrases,
        rules.max_uppercase_share, switches, rules.max_short_words, rules.starts, rules.ends, data, offsets, lines,
        words,
    )  # fmt: skip
    if not lines[:, KEPT + 1 :].any():
        return CleanLines(text=None, lines=lines, words=words)
    return CleanLines(
        text=Utf8(offsets=offsets, data=data[: offsets[-1]], null_N=text.null_N), lines=lines, words=words
    )


@kernel
def _clean_batch(
    data: np.ndarray, offsets: np.ndarray, breaks: tuple, phrases: Automaton, max_uppercase_share: float,
    switches: np.ndarray, max_short_words: int, starts: tuple[np.ndarray, np.ndarray],
    ends: tuple[np.ndarray, np.ndarray], out: np.ndarray, out_offsets: np.ndarray, lines: np.ndarray,
    words: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    first_break, last_break, stops, nexts = breaks
    for n in range(len(offsets) - 1):
        start, end, first = offsets[n], offsets[n + 1], at
        num_kept, removed, blank, most_blank = 0, False, 0, 0
        for k in range(first_break[n], last_break[n]):
            stop, following = offsets[n] + stops[k], offsets[n] + nexts[k]
            low, high = strip(data, start, stop)
            if low == high:
                blank += 1
                most_blank = max(most_blank, blank)
                start = following
                continue
            kind, num_words = _judge_line(
                data, low, high, phrases, max_uppercase_share, switches, max_short_words, starts, ends
            )
            lines[n, kind] += 1
            words[n, kind] += num_words
            blank = 0
            if kind != KEPT:
                removed = True
            else:
                if num_kept:
                    for _ in range(most_blank + 1):
                        out[at] = NEWLINE
                        at += 1
                at = copy_bytes(data, start, stop, out, at)
                num_kept += 1
                most_blank = 0
            start = following
        if not removed:
            at = copy_bytes(data, offsets[n], end, out, first)
        out_offsets[n + 1] = at


@kernel
def _judge_line(
    data: np.ndarray, start: int, end: int, phrases: Automaton, max_uppercase_share: float, switches: np.ndarray,
    max_short_words: int, starts: tuple[np.ndarray, np.ndarray], ends: tuple[np.ndarray, np.ndarray],
) -> tuple[int, int]:  # fmt: skip
    """(what happens to the line, number of words)."""
    num_words, num_letters, num_upper, num_digits = _measure(data, start, end)
    found = found_in(data, start, end, phrases)
    if found & 1:
        return JAVASCRIPT, num_words
    if found & 2:
        return POLICY, num_words
    if found & 4:
        return PHRASE, num_words
    if num_upper > max_uppercase_share * num_letters:
        return UPPERCASE, num_words
    if switches[0] and num_digits and num_letters == 0:
        return NUMERIC, num_words
    if switches[1] and num_words == 2 and num_digits and end - start < 40 and _is_counter(data, start, end):
        return COUNTER, num_words
    if switches[2] and num_words == 1:
        return ONE_WORD, num_words
    if num_words <= max_short_words and (
        found & 8 or _begins_with(data, start, end, starts) or _ends_with(data, start, end, ends)
    ):
        return SHORT, num_words
    return KEPT, num_words


@kernel
def _measure(data: np.ndarray, start: int, end: int) -> tuple[int, int, int, int]:
    """(words, letters, capital letters, digits)."""
    num_words: Any = 0
    num_letters: Any = 0
    num_upper: Any = 0
    num_digits: Any = 0
    in_word = False  # whether the run of characters that are not white space has been counted
    i = start
    while i < end:
        byte = np.int64(data[i])
        if byte < 0x80:
            i += 1
            small, capital, digit = 97 <= byte <= 122, 65 <= byte <= 90, 48 <= byte <= 57
            num_letters += small or capital
            num_upper += capital
            num_digits += digit
            if small or capital or digit:
                num_words += not in_word
                in_word = True
            elif byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31:
                in_word = False
            continue
        bits, size = class_at(data, i, end)
        code, _ = decode(data, i, end)
        if bits & LETTER:
            num_letters += 1
            num_upper += (
                np.int64(_BLOCKS[np.int64(_INDEX[code >> BLOCK_BITS]) << BLOCK_BITS | code & _BLOCK_MASK]) & UPPER != 0
            )
        num_digits += bits & DIGIT != 0
        if bits & HAN_KANA or (bits & LETTER and _is_unspaced(code)):
            num_words += 1
            in_word = False
        elif bits & (LETTER | DIGIT):
            num_words += not in_word
            in_word = True
        elif bits & SPACE:
            in_word = False
        i += size
    return num_words, num_letters, num_upper, num_digits


@kernel
def _is_unspaced(code: int) -> bool:
    """Thai, Lao, Tibetan, Burmese; Khmer; Tai Tham."""
    return 0x0E00 <= code < 0x10A0 or 0x1780 <= code < 0x1800 or 0x1A20 <= code < 0x1AB0


@kernel
def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def _is_counter(data: np.ndarray, start: int, end: int) -> bool:
    """Whether a line of two words is a number (`3`, `1,204`, `2.5k`) and one of COUNTED, singular or plural, in either
    order, with signs around them or not."""
    counted, numbers, i = 0, 0, start
    while i < end:
        if not is_word(data[i]):
            i += 1
            continue
        first = i
        if is_digit(data[i]):
            while i < end and (is_digit(data[i]) or data[i] == 44 or data[i] == 46):
                i += 1
            if i < end and (data[i] | 32 == 107 or data[i] | 32 == 109):  # k, m
                i += 1
            if i < end and is_word(data[i]):
                return False
            numbers += 1
            continue
        while i < end and is_word(data[i]):
            i += 1
        counted += _is_counted(data, first, i)
    return counted == 1 and numbers == 1


@kernel
def _is_counted(data: np.ndarray, start: int, end: int) -> bool:
    for w in range(len(_COUNTED_STARTS) - 1):
        first = _COUNTED_STARTS[w]
        size = _COUNTED_STARTS[w + 1] - first
        plural = end - start == size + 1 and _lower(data[end - 1]) == 115
        if (end - start == size or plural) and _equals(data, start, _COUNTED_BYTES, first, size):
            return True
    return False


@kernel
def _equals(data: np.ndarray, i: int, wanted: np.ndarray, first: int, size: int) -> bool:
    """Whether data[i:i + size] is wanted[first:first + size], letters A to Z in either case."""
    k = 0
    while k < size and _lower(data[i + k]) == wanted[first + k]:
        k += 1
    return k == size


@kernel
def _begins_with(data: np.ndarray, start: int, end: int, texts: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether the line begins with one of the texts, and no word goes on after it."""
    wanted, firsts = texts
    for p in range(len(firsts) - 1):
        size = firsts[p + 1] - firsts[p]
        fits = start + size == end or (start + size < end and not is_word(data[start + size]))
        if fits and _equals(data, start, wanted, firsts[p], size):
            return True
    return False


@kernel
def _ends_with(data: np.ndarray, start: int, end: int, texts: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether the line ends with one of the texts, and no word leads into it."""
    wanted, firsts = texts
    for p in range(len(firsts) - 1):
        size = firsts[p + 1] - firsts[p]
        fits = start + size == end or (start + size < end and not is_word(data[end - size - 1]))
        if fits and _equals(data, end - size, wanted, firsts[p], size):
            return True
    return False
