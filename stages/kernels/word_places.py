r"""Where the words of a text stand in its bytes, and the text without some of them.

Reads:  Utf8 (an Arrow string array's offsets and bytes); the classes of a FoldTable; spans of words
Writes: Places; Utf8
Cost:   3 ns per byte to find words, 1 to cut; 16 bytes per word of the texts asked for; the output is at most as long
        as the input
Source: words are those that stages/kernels/fold.py makes with the table: white space separates them, a letter of the
        class ALONE is one by itself

Between two words that were not neighbours stands the white space that stood before the cut or behind it, whichever has
more line breaks (`\n`), the one before where they are alike; one space where there was none. A text that loses its
first or last word begins or ends with a word. All other bytes stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels.byte_copy import copy_bytes
from stages.kernels.compiled import kernel
from stages.kernels.fold_table import ALONE, CLASS_MASK, JOIN, KEEP, SPACE, FoldTable
from stages.kernels.utf8 import Utf8, decode

_NEWLINE, _SPACE_BYTE = 10, 32


@dataclass(frozen=True, kw_only=True)
class Places:
    """Text n's words are `offsets[n]` to `offsets[n + 1]` (int64[N + 1]); word w is the text's bytes `starts[w]` to
    `ends[w]`, counted in the batch's data."""

    offsets: np.ndarray
    starts: np.ndarray
    ends: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Spans:
    """S spans of words, by text and place, none touching another: words `first` up to, not with, `end` of text `text`;
    int64[S] each."""

    text: np.ndarray
    first: np.ndarray
    end: np.ndarray


def places(text: Utf8, table: FoldTable, wanted_N: np.ndarray) -> Places:
    """The words of the texts that are wanted (bool[N]); of the others none."""
    most = int((np.diff(text.offsets)[wanted_N]).sum())  # a word has a byte; memory is touched as used
    offsets, starts, ends = np.zeros(len(text) + 1, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    _places(text.data, text.offsets, table.entries, wanted_N, offsets, starts, ends)
    return Places(offsets=offsets, starts=starts[: offsets[-1]], ends=ends[: offsets[-1]])


def cut(text: Utf8, words: Places, spans: Spans) -> Utf8:
    """The texts without the spans; `words` are those of the texts that lose some, at least."""
    num_words_S = np.diff(words.offsets)[spans.text]
    assert (spans.end <= num_words_S).all(), "a span lies in its text"
    data = np.empty(int(text.offsets[-1] - text.offsets[0]), np.uint8)
    offsets = np.zeros(len(text) + 1, np.int64)
    _cut_batch(
        text.data, text.offsets, words.offsets, words.starts, words.ends, spans.text, spans.first, spans.end, data,
        offsets,
    )  # fmt: skip
    return Utf8(offsets=offsets, data=data[: offsets[-1]], null_N=text.null_N)


@kernel
def _kind_at(data: np.ndarray, i: int, end: int, entries: np.ndarray) -> tuple[int, int]:
    """(what a character does, its length in bytes) at data[i]; bytes that are no character are parts of words."""
    code, size = decode(data, i, end)
    kind: Any = np.int64(entries[code] & CLASS_MASK)
    if (size == 3 and code < 0x800) or (size == 4 and code < 0x10000):  # written longer than it may be
        kind = np.int64(KEEP)
    return kind, size


@kernel
def _places(
    data: np.ndarray, offsets: np.ndarray, entries: np.ndarray, wanted_N: np.ndarray, word_offsets: np.ndarray,
    starts: np.ndarray, ends: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    kind: Any = 0
    for n in range(len(offsets) - 1):
        i, end = offsets[n], offsets[n + 1]
        if not wanted_N[n]:
            i = end
        in_word = alone = False  # whether the word before goes on; whether it is an ALONE one, right before
        while i < end:
            if data[i] < 0x80:
                kind, size = np.int64(entries[data[i]] & CLASS_MASK), 1
            else:
                kind, size = _kind_at(data, i, end, entries)
            if kind == SPACE:
                in_word = alone = False
            elif kind == JOIN and alone:
                ends[at - 1] = i + size
            else:
                if kind == ALONE or not in_word:
                    starts[at] = i
                    at += 1
                ends[at - 1] = i + size
                alone = kind == ALONE
                in_word = not alone
            i += size
        word_offsets[n + 1] = at


@kernel
def _num_breaks(data: np.ndarray, start: int, end: int) -> int:
    count = 0
    for i in range(start, end):
        count += data[i] == _NEWLINE
    return count


@kernel
def _write_gap(
    data: np.ndarray, before: int, cut_start: int, cut_end: int, behind: int, out: np.ndarray, at: int
) -> int:
    """Between a word that ends at `before` and one that starts at `behind`, for the words from cut_start to cut_end."""
    if before == cut_start and cut_end == behind:
        out[at] = _SPACE_BYTE
        return at + 1
    in_front, after = _num_breaks(data, before, cut_start), _num_breaks(data, cut_end, behind)
    if after > in_front or (after == in_front and before == cut_start):
        return copy_bytes(data, cut_end, behind, out, at)
    return copy_bytes(data, before, cut_start, out, at)


@kernel
def _cut_batch(
    data: np.ndarray, offsets: np.ndarray, word_offsets: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    text_S: np.ndarray, first_S: np.ndarray, end_S: np.ndarray, out: np.ndarray, out_offsets: np.ndarray,
) -> None:  # fmt: skip
    at, s = 0, 0
    for n in range(len(offsets) - 1):
        word, num_words = word_offsets[n], word_offsets[n + 1] - word_offsets[n]
        kept_from = offsets[n]  # of the bytes not yet written
        while s < len(text_S) and text_S[s] == n:
            first, end = first_S[s], end_S[s]
            cut_start, cut_end = starts[word + first], ends[word + end - 1]
            behind = starts[word + end] if end < num_words else offsets[n + 1]
            if first > 0:
                before = ends[word + first - 1]
                at = copy_bytes(data, kept_from, before, out, at)
                if end < num_words:
                    at = _write_gap(data, before, cut_start, cut_end, behind, out, at)
            kept_from = behind
            s += 1
        at = copy_bytes(data, kept_from, offsets[n + 1], out, at)
        out_offsets[n + 1] = at
