r"""C4's line rules: which lines of a text stay, and how they read without citations.

Reads:  Utf8 (an Arrow string array's offsets and bytes)
Writes: CleanLines: the lines that stay, joined by `\n`, and counts
Cost:   about 8 ns per byte; the output is at most as long as the input and a byte
Source: datatrove 0.10.1 c4_filters.py, C4QualityFilter; Raffel et al. 2020 (jmlr.org/papers/v21/20-074.html)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.lines import ends_with_ellipsis, is_at, line_end, strip
from stages.kernels.unicode_tables import DIGIT, HAN_KANA, SPACE
from stages.kernels.utf8 import Utf8, class_at
from stages.kernels.words import ENDS_SENTENCE, IS_PUNCTUATION, Words

# What happened to a line; the columns of CleanLines.counts.
KEPT, LONG_WORD, NO_TERMINAL, FEW_WORDS, JAVASCRIPT, POLICY, LOREM_IPSUM, CURLY_BRACKET = range(8)
LINE_KINDS = ("kept", "long_word", "no_terminal_punctuation", "too_few_words", "javascript", "policy")
NO_LIMIT = np.iinfo(np.int64).max

# (text in lower case, what it means, a rare letter of it to look for first), by that letter
PHRASES = (
    ("terms of use", POLICY, "f"),
    ("cookie policy", POLICY, "k"),
    ("uses cookies", POLICY, "k"),
    ("use of cookies", POLICY, "k"),
    ("use cookies", POLICY, "k"),
    ("lorem ipsum", LOREM_IPSUM, "p"),
    ("javascript", JAVASCRIPT, "v"),
    ("privacy policy", POLICY, "v"),
)
_PHRASE_BYTES = np.frombuffer("".join(p for p, _, _ in PHRASES).encode(), np.uint8)
_PHRASE_STARTS = np.cumsum([0, *(len(p) for p, _, _ in PHRASES)])
_PHRASE_ANCHORS = np.array([p.index(anchor) for p, _, anchor in PHRASES])
_PHRASE_KINDS = np.array([kind for _, kind, _ in PHRASES])
# by byte: first phrase whose rare letter it is, and the one after the last; the curly bracket has an empty range
_ANCHORS, _FIRST_PHRASE, _LAST_PHRASE = np.zeros(256, np.bool_), np.zeros(256, np.int64), np.zeros(256, np.int64)
for _letter in {anchor for _, _, anchor in PHRASES}:
    _indices = [i for i, (_, _, anchor) in enumerate(PHRASES) if anchor == _letter]
    for _byte in (ord(_letter), ord(_letter.upper())):
        _ANCHORS[_byte], _FIRST_PHRASE[_byte], _LAST_PHRASE[_byte] = True, _indices[0], _indices[-1] + 1
_ANCHORS[ord("{")] = True
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
    """`text`: the kept lines of every text, not yet stripped; empty for a text with a forbidden phrase.

    `counts` int64[N, 8]: lines by what happened to them; the last two are at most 1, for the forbidden phrase that was
    met first.
    """

    text: Utf8
    counts: np.ndarray


def clean(text: Utf8, east_asian_N: np.ndarray, rules: Rules) -> CleanLines:
    """Apply the rules to every line. In texts of `east_asian_N` a Han or kana character counts as a word of its line,
    and closing marks of these scripts are terminal punctuation too."""
    num_bytes = int(text.offsets[-1] - text.offsets[0])
    data, offsets = np.empty(num_bytes + len(text) + 1, np.uint8), np.zeros(len(text) + 1, np.int64)
    counts = np.zeros((len(text), 8), np.int64)
    switches = np.array([rules.lorem_ipsum, rules.javascript, rules.curly_bracket, rules.policy])
    _clean_batch(
        text.data, text.offsets, east_asian_N, rules.max_word_chars, rules.min_words, rules.citations, rules.terminal,
        switches, data, offsets, counts,
    )  # fmt: skip
    data.flags.writeable = False  # the kernels are compiled for Arrow's read-only buffers
    cleaned = Utf8(offsets=offsets, data=data, null_N=text.null_N)
    return CleanLines(text=cleaned, counts=counts)


def stripped(text: Utf8) -> Utf8:
    """A copy of the texts without white space around them."""
    data, offsets = np.empty(int(text.offsets[-1] - text.offsets[0]), np.uint8), np.zeros(len(text) + 1, np.int64)
    _strip_batch(text.data, text.offsets, data, offsets)
    return Utf8(offsets=offsets, data=data[: offsets[-1]], null_N=text.null_N)


def num_sentences(text: Utf8, words: Words, kinds: np.ndarray, num_lines_N: np.ndarray) -> np.ndarray:
    r"""int64[N]: sentences, each line counted by itself as spaCy's sentencizer does; a line has at least one.

    `num_lines_N` is the number of lines, `\n` between them; `kinds` is from words.describe.
    """
    sentences_N = num_lines_N.copy()
    _sentences_batch(text.data, text.offsets, words.starts, words.ends, words.first, kinds, sentences_N)
    return sentences_N


@kernel
def _clean_batch(
    data: np.ndarray, offsets: np.ndarray, east_asian_N: np.ndarray, max_word_chars: int, min_words: int,
    citations: bool, terminal: bool, switches: np.ndarray, out: np.ndarray, out_offsets: np.ndarray, counts: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    for n in range(len(offsets) - 1):
        start, end, first = offsets[n], offsets[n + 1], at
        while start < end:
            stop, following = line_end(data, start, end)
            low, high = strip(data, start, stop)
            kind, after = _clean_line(
                data, low, high, east_asian_N[n], max_word_chars, min_words, citations, terminal, switches, out, at
            )
            counts[n, kind] += 1
            if kind in (LOREM_IPSUM, CURLY_BRACKET):
                at = first
                break
            if kind == KEPT:
                out[after] = 10
                at = after + 1
            start = following
        if at > first:
            at -= 1  # the line break after the last line
        out_offsets[n + 1] = at


@kernel
def _clean_line(
    data: np.ndarray, start: int, end: int, east_asian: bool, max_word_chars: int, min_words: int, citations: bool,
    terminal: bool, switches: np.ndarray, out: np.ndarray, at: int,
) -> tuple[int, int]:  # fmt: skip
    """(what happens to the line, where it ends in `out`); it is written there in any case."""
    num_words, longest = _line_words(data, start, end, HAN_KANA if east_asian else 0)
    if longest > max_word_chars:
        return LONG_WORD, at
    after = _copy_line(data, start, end, citations, out, at)
    if terminal and not _ends_line(out, at, after, east_asian):
        return NO_TERMINAL, after
    if num_words < min_words:
        return FEW_WORDS, after
    found = _phrases(out, at, after)
    if found & 1 << LOREM_IPSUM and switches[0]:
        return LOREM_IPSUM, after
    if found & 1 << JAVASCRIPT and switches[1]:
        return JAVASCRIPT, after
    if found & 1 << CURLY_BRACKET and switches[2]:
        return CURLY_BRACKET, after
    if found & 1 << POLICY and switches[3]:
        return POLICY, after
    return KEPT, after


@kernel
def _line_words(data: np.ndarray, start: int, end: int, single: int) -> tuple[int, int]:
    """(words between white space, characters of the longest); each character of class `single` is a word."""
    num_words = longest = current = 0
    i = start
    while i < end:
        byte = data[i]
        if 32 < byte < 0x80:
            num_words += current == 0
            current += 1
            longest = max(longest, current)
            i += 1
            continue
        bits, size = class_at(data, i, end)
        if bits & (SPACE | single):
            num_words += (bits & single) != 0
            current = 0
        else:
            num_words += current == 0
            current += 1
            longest = max(longest, current)
        i += size
    return num_words, longest


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
def _copy_line(data: np.ndarray, start: int, end: int, citations: bool, out: np.ndarray, at: int) -> int:
    """Copy data[start:end], perhaps without citations, to out[at:]; the position after it."""
    i = start
    while i < end:
        if citations and data[i] == 91:
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
def _phrases(data: np.ndarray, start: int, end: int) -> int:
    """Bits 1 << kind of the phrases in the line, in any case, and of curly brackets."""
    found = 0
    for i in range(start, end):
        byte = data[i]
        if byte == 0xE2 and is_at(data, i, end, 0xE2, 0x84, 0xAA):
            return found | _phrases_with_kelvin(data, start, end)
        if _ANCHORS[byte]:
            if byte == 123:
                found |= 1 << CURLY_BRACKET
            for p in range(_FIRST_PHRASE[byte], _LAST_PHRASE[byte]):
                low = i - _PHRASE_ANCHORS[p]
                if low >= start and _is_phrase(data, low, end, p):
                    found |= 1 << _PHRASE_KINDS[p]
    return found


@kernel
def _is_phrase(data: np.ndarray, i: int, end: int, p: int) -> bool:
    """Whether phrase p stands at data[i], letters in either case."""
    first, length = _PHRASE_STARTS[p], _PHRASE_STARTS[p + 1] - _PHRASE_STARTS[p]
    if i + length > end:
        return False
    for k in range(length):
        byte = data[i + k]
        if byte != _PHRASE_BYTES[first + k] and (not 65 <= byte <= 90 or byte + 32 != _PHRASE_BYTES[first + k]):
            return False
    return True


@kernel
def _phrases_with_kelvin(data: np.ndarray, start: int, end: int) -> int:
    """As _phrases, for a line with a Kelvin sign: the one other character whose lower case is an ASCII letter, k."""
    line = np.empty(end - start, np.uint8)
    i, at = start, 0
    while i < end:
        kelvin = is_at(data, i, end, 0xE2, 0x84, 0xAA)
        line[at] = 107 if kelvin else data[i]
        i, at = i + (3 if kelvin else 1), at + 1
    found = 0
    for i in range(at):
        found |= (line[i] == 123) << CURLY_BRACKET
        for p in range(len(_PHRASE_KINDS)):
            if _is_phrase(line, i, at, p):
                found |= 1 << _PHRASE_KINDS[p]
    return found


@kernel
def _strip_batch(data: np.ndarray, offsets: np.ndarray, out: np.ndarray, out_offsets: np.ndarray) -> None:
    at = 0
    for n in range(len(offsets) - 1):
        low, high = strip(data, offsets[n], offsets[n + 1])
        out[at : at + high - low] = data[low:high]
        at += high - low
        out_offsets[n + 1] = at


@kernel
def _sentences_batch(
    data: np.ndarray, offsets: np.ndarray, starts: np.ndarray, ends: np.ndarray, first: np.ndarray, kinds: np.ndarray,
    sentences_N: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(offsets) - 1):
        ended, before = False, offsets[n]
        for w in range(first[n], first[n + 1]):
            trailing, new_line = _gap(data, before, starts[w])
            if ended and trailing:
                sentences_N[n] += 1
                ended = False
            ended = ended and not new_line
            if kinds[w] & ENDS_SENTENCE:
                ended = True
            elif ended and not kinds[w] & IS_PUNCTUATION:
                sentences_N[n] += 1
                ended = False
            before = ends[w]
        trailing, _ = _gap(data, before, offsets[n + 1])
        sentences_N[n] += ended and trailing


@kernel
def _gap(data: np.ndarray, start: int, end: int) -> tuple[bool, bool]:
    r"""Of the white space data[start:end] after a word: (whether spaCy makes a token of what precedes the first `\n`,
    whether there is a `\n`). It does unless that is nothing or one space."""
    i = start
    while i < end and data[i] != 10:
        i += 1
    return i - start > 1 or (i - start == 1 and data[start] != 32), i < end
