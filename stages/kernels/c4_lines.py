r"""C4's line rules: which lines of a text stay, and how they read without citations.

Reads:  Utf8 (an Arrow string array's offsets and bytes), its words and lines
Writes: CleanLines: the lines that stay, joined by `\n`, their words, and counts
Cost:   about 2 ns per byte; the output is at most as long as the input and a byte

The words of a line that stays are those it had; only a line that loses a citation is split again.
Source: datatrove 0.10.1 c4_filters.py, C4QualityFilter; Raffel et al. 2020 (jmlr.org/papers/v21/20-074.html)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels.analysis import TextAnalysis
from stages.kernels.byte_masks import address_of, survey
from stages.kernels.c4_phrases import BRACKET, CURLY_BRACKET, JAVASCRIPT, LOREM_IPSUM, POLICY, phrases_in, signs
from stages.kernels.chunks import BEGINS_CHUNK, HAS_SPACE
from stages.kernels.compiled import kernel
from stages.kernels.lines import ends_with_ellipsis, strip
from stages.kernels.sentences import num_sentences
from stages.kernels.unicode_tables import DIGIT, HAN_KANA
from stages.kernels.utf8 import PADDING, Utf8, class_at, count_chars
from stages.kernels.word_rules import ENGLISH
from stages.kernels.words import BLANK, Words, split, split_chunk_at

# What happened to a line; the columns of CleanLines.counts.
KEPT, LONG_WORD, NO_TERMINAL, FEW_WORDS = range(4)  # and those of c4_phrases.py
LINE_KINDS = ("kept", "long_word", "no_terminal_punctuation", "too_few_words", "javascript", "policy")
NO_LIMIT = np.iinfo(np.int64).max

_CITATIONS = np.frombuffer(b"[edit][citation needed]", np.uint8)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Which rules hold; NO_LIMIT or -1 for a limit turns it off."""

    max_word_chars: int
    min_words: int
    citations: bool
    terminal: bool
    lorem_ipsum: bool
    javascript: bool
    curly_bracket: bool
    policy: bool


@dataclass(frozen=True, kw_only=True)
class CleanLines:
    """`text`: the kept lines of every text, padded, without white space around them; empty for a text with a forbidden
    phrase. `words`: its words. `sentences_N` int64: its sentences.

    `counts` int64[N, 8]: lines by what happened to them; the last two are at most 1, for the forbidden phrase that was
    met first.
    """

    text: Utf8
    words: Words
    sentences_N: np.ndarray
    counts: np.ndarray


def clean(found: TextAnalysis, rules: Rules) -> CleanLines:
    """Apply the rules to every line. In East Asian texts a Han or kana character counts as a word of its line, and
    closing marks of these scripts are terminal punctuation too."""
    text, words, lines = found.text, found.words, found.lines
    num_bytes = int(text.offsets[-1] - text.offsets[0]) + len(text)
    data, offsets = np.empty(num_bytes + PADDING, np.uint8), np.zeros(len(text) + 1, np.int64)
    starts, ends = np.empty(num_bytes + 1, np.int32), np.empty(num_bytes + 1, np.int32)
    kinds, first = np.empty(num_bytes + 1, np.uint8), np.zeros(len(text) + 1, np.int64)
    counts, sentences_N = np.zeros((len(text), 8), np.int64), np.zeros(len(text), np.int64)
    cut_N = np.zeros(len(text), np.bool_)
    switches = np.array([rules.lorem_ipsum, rules.javascript, rules.curly_bracket, rules.policy])
    _clean_batch(
        text.data, text.offsets, (words.begin, words.end, words.starts, words.ends, words.kinds),
        (lines.begin, lines.end, lines.stops, lines.nexts), found.east_asian_N, rules.max_word_chars, rules.min_words,
        rules.citations, rules.terminal, switches, data, offsets, (starts, ends, kinds, first), counts, sentences_N,
        cut_N,
    )  # fmt: skip
    cleaned, count = Utf8(offsets=offsets, data=data, null_N=text.null_N), first[-1]
    words = Words(begin=first[:-1], end=first[1:], starts=starts[:count], ends=ends[:count], kinds=kinds[:count])
    cut_N &= found.rules_N != ENGLISH
    if cut_N.any():  # the kernel splits by English rules what it has cut
        words = split(cleaned, survey(data, 0, int(offsets[-1])), found.east_asian_N, found.rules_N)
        _count_sentences(data, offsets, words.begin, words.end, words.starts, words.ends, words.kinds, counts, cut_N,
                         sentences_N)  # fmt: skip
    return CleanLines(text=cleaned, words=words, sentences_N=sentences_N, counts=counts)


@kernel
def _count_sentences(
    data: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, counts: np.ndarray, wanted_N: np.ndarray, sentences_N: np.ndarray,
) -> None:  # fmt: skip
    """The sentences of the wanted texts."""
    for n in range(len(begin)):
        if wanted_N[n]:
            sentences_N[n] = num_sentences(
                address_of(data, offsets[n]), offsets[n + 1] - offsets[n], address_of(starts, 0), address_of(ends, 0),
                address_of(kinds, 0), begin[n], end[n], counts[n, KEPT],
            )  # fmt: skip


@kernel
def _clean_batch(
    data: np.ndarray, offsets: np.ndarray, words: tuple, lines: tuple, east_asian_N: np.ndarray, max_word_chars: int,
    min_words: int, citations: bool, terminal: bool, switches: np.ndarray, out: np.ndarray, out_offsets: np.ndarray,
    out_words: tuple, counts: np.ndarray, sentences_N: np.ndarray, cut_N: np.ndarray,
) -> None:  # fmt: skip
    begin, end, starts, ends, kinds = words
    first_line, last_line, stops, nexts = lines
    out_starts, out_ends = address_of(out_words[0], 0), address_of(out_words[1], 0)
    out_kinds, first, spare = address_of(out_words[2], 0), out_words[3], len(out_words[0]) - 1
    length: Any = np.int64(0)
    line: Any = np.int64(0)
    for n in range(len(begin)):
        text, written = address_of(data, offsets[n]), address_of(out, out_offsets[n])
        length, line, w, at = np.int64(0), np.int64(0), begin[n], first[n]
        for k in range(first_line[n], last_line[n]):
            stop: Any = np.int64(stops[k])
            low, high = strip(text, line, stop)
            line, before = np.int64(nexts[k]), w
            num_words, longest, w = _line_words(text, starts, ends, kinds, w, end[n], stop)
            if longest > max_word_chars:
                longest = _longest_chunk(text, starts, ends, kinds, before, w)
            kind, after, same = _clean_line(
                text, low, high, num_words, longest, east_asian_N[n], max_word_chars, min_words, citations, terminal,
                switches, written, length,
            )  # fmt: skip
            counts[n, kind] += 1
            if kind in (LOREM_IPSUM, CURLY_BRACKET):
                length, at = np.int64(0), first[n]
                break
            if kind == KEPT:
                if same:
                    for m in range(before, w):
                        out_starts[at], out_ends[at] = starts[m] + length - low, ends[m] + length - low
                        out_kinds[at] = kinds[m]
                        at += 1
                else:
                    cut_N[n] = True
                    single = HAN_KANA if east_asian_N[n] else 0
                    i = length
                    while i < after:
                        i, at = split_chunk_at(
                            written, i, after, single, out_starts, out_ends, out_kinds, at, spare
                        )  # fmt: skip
                written[after] = 10
                length = after + 1
        if length:
            sentences_N[n] = num_sentences(
                written, length - 1, out_starts, out_ends, out_kinds, first[n], at, counts[n, KEPT]
            )  # fmt: skip
            length = _strip_text(written, length - 1, out_starts, out_ends, first[n], at)
        out_offsets[n + 1], first[n + 1] = out_offsets[n] + length, at


@kernel
def _line_words(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, w: int, last: int, stop: int
) -> tuple[int, int, int]:
    """(chunks of the line that ends at byte `stop` and has words from w on, bytes of the longest, the next word)."""
    num_chunks = longest = chunk = 0
    while w < last and starts[w] < stop:
        if kinds[w] & BEGINS_CHUNK:
            num_chunks, chunk = num_chunks + 1, starts[w]
        if kinds[w] & HAS_SPACE:
            for i in range(starts[w], ends[w]):
                num_chunks += text[i] == BLANK
        longest = max(longest, ends[w] - chunk)
        w += 1
    return num_chunks, longest, w


@kernel
def _longest_chunk(
    text: np.ndarray, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, first: int, last: int
) -> int:
    """Characters of the longest chunk that words first..last make up."""
    longest = num_chars = 0
    for w in range(first, last):
        num_chars = count_chars(text, starts[w], ends[w]) + (0 if kinds[w] & BEGINS_CHUNK else num_chars)
        longest = max(longest, num_chars)
    return longest


@kernel
def _clean_line(
    text: np.ndarray, low: int, high: int, num_words: int, longest: int, east_asian: bool, max_word_chars: int,
    min_words: int, citations: bool, terminal: bool, switches: np.ndarray, out: np.ndarray, at: int,
) -> tuple[int, int, bool]:  # fmt: skip
    """(what happens to the line text[low:high], where it ends in `out` if it is kept, whether nothing was cut out)."""
    if longest > max_word_chars:
        return LONG_WORD, at, True
    found, after, same = signs(text, low, high), at + high - low, True
    if citations and found & 1 << BRACKET:
        after = _copy_line(text, low, high, out, at)
        same = after - at == high - low
        found = phrases_in(out, at, after)
    line, start, end = (text, low, high) if same else (out, at, after)
    if terminal and not _ends_line(line, start, end, east_asian):
        return NO_TERMINAL, after, same
    if num_words < min_words:
        return FEW_WORDS, after, same
    if found & 1 << LOREM_IPSUM and switches[0]:
        return LOREM_IPSUM, after, same
    if found & 1 << JAVASCRIPT and switches[1]:
        return JAVASCRIPT, after, same
    if found & 1 << CURLY_BRACKET and switches[2]:
        return CURLY_BRACKET, after, same
    if found & 1 << POLICY and switches[3]:
        return POLICY, after, same
    if same:
        for k in range(high - low):
            out[at + k] = text[low + k]
    return KEPT, after, same


@kernel
def _citation_length(data: np.ndarray, i: int, end: int) -> int:
    r"""Bytes of `\[\d*]|\[edit]|\[citation needed]` at the bracket data[i]; 0 if there is none."""
    k = i + 1
    while k < end:
        bits, size = class_at(data, k, end)
        if not bits & DIGIT:
            break
        k += size
    if k < end and data[k] == 93:
        return k + 1 - i
    first, last = (0, 6) if i + 1 < end and data[i + 1] == 101 else (6, len(_CITATIONS))
    if i + last - first > end:
        return 0
    for k in range(first, last):
        if data[i + k - first] != _CITATIONS[k]:
            return 0
    return last - first


@kernel
def _copy_line(data: np.ndarray, start: int, end: int, out: np.ndarray, at: int) -> int:
    """Copy data[start:end] without citations to out[at:]; the position after it."""
    i = start
    while i < end:
        if data[i] == 91:
            length = _citation_length(data, i, end)
            if length:
                i += length
                continue
        out[at] = data[i]
        at, i = at + 1, i + 1
    return at


@kernel
def _ends_line(data: np.ndarray, start: int, end: int, east_asian: bool) -> bool:
    """Whether the line ends with . ? ! " ' but not with `...`, or, in East Asian text, with 。 ！ ？ ” ’ 」 』."""
    if start == end:
        return False
    byte = data[end - 1]
    if byte == 46:
        return not (end - 3 >= start and data[end - 2] == 46 and data[end - 3] == 46)
    if byte == 63 or byte == 33 or byte == 34 or byte == 39:
        return True
    if not east_asian or end - 3 < start or ends_with_ellipsis(data, start, end):
        return False
    first, second = data[end - 3], data[end - 2]
    if first == 0xE3 and second == 0x80:
        return byte == 0x82 or byte == 0x8D or byte == 0x8F
    if first == 0xEF and second == 0xBC:
        return byte == 0x81 or byte == 0x9F
    return first == 0xE2 and second == 0x80 and (byte == 0x9D or byte == 0x99)


@kernel
def _strip_text(text: np.ndarray, end: int, starts: np.ndarray, ends: np.ndarray, first: int, last: int) -> int:
    """Move text[:end] and its words so that no white space is around it; its new length."""
    first_byte: Any = np.int64(0)
    low, high = strip(text, first_byte, end)
    if low > 0:
        for i in range(low, high):
            text[i - low] = text[i]
        for w in range(first, last):
            starts[w], ends[w] = starts[w] - low, ends[w] - low
    return high - low
