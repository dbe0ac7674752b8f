"""What several filters need of a batch's texts, found once: characters, script, words, lines.

Reads:  a string array
Writes: TextAnalysis, each of its parts found when it is asked for first
Cost:   0.1 ns per byte to recognise texts that were looked at just before; else what its parts cost

The steps of a fused chain see the same batch one after the other, with fewer rows after each. They know nothing of each
other: `analyse` keeps what was found of the last batches and recognises their texts by comparing bytes, so that what a
stage returns depends on the texts alone. A step that is not fused finds everything anew.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from stages.kernels import lines, utf8, word_rules, words
from stages.kernels.byte_masks import Masks, load_8, survey
from stages.kernels.compiled import kernel
from stages.kernels.utf8 import Utf8
from stages.kernels.word_rules import BY_LANGUAGE

NUM_KEPT = 2  # a batch as it came, and as C4 rewrote it
MAX_KEPT_BYTES = 64 << 20  # of text; what is found takes about twice as much again

_recent: list[TextAnalysis] = []


class TextAnalysis:
    """The texts of a batch, padded, and what was found of them; arrays have an entry per text. `rules_N` (int8,
    word_rules.rules_of): by which language's rules words are split."""

    def __init__(self, text: Utf8, rules_N: np.ndarray) -> None:
        self.text = utf8.padded(text)
        self.rules_N = rules_N

    @cached_property
    def masks(self) -> Masks:
        return survey(self.text.data, int(self.text.offsets[0]), int(self.text.offsets[-1]))

    @cached_property
    def num_chars_N(self) -> np.ndarray:
        return utf8.num_chars(self.text, self.masks)

    @cached_property
    def east_asian_N(self) -> np.ndarray:
        return utf8.east_asian(self.text, self.masks)

    @cached_property
    def han_kana_N(self) -> np.ndarray:
        return utf8.han_kana(self.text, self.masks)

    @cached_property
    def words(self) -> words.Words:
        return words.split(self.text, self.masks, self.east_asian_N, self.rules_N)

    @cached_property
    def lines(self) -> lines.Lines:
        return lines.find(self.text, self.masks)

    def of_rows(self, text: Utf8, row_N: np.ndarray) -> TextAnalysis:
        """The same for `text`, whose texts are this one's in the given rows."""
        found = TextAnalysis(text, self.rules_N[row_N])
        for name in ("num_chars_N", "east_asian_N", "han_kana_N"):
            if name in self.__dict__:
                setattr(found, name, getattr(self, name)[row_N])
        for name in ("words", "lines"):
            if name in self.__dict__:
                spans = getattr(self, name)
                setattr(found, name, replace(spans, begin=spans.begin[row_N], end=spans.end[row_N]))
        return found


def analyse(batch: pa.RecordBatch, word_rules_of: str = "en") -> TextAnalysis:
    """The analysis of a batch's `text`; a null is an empty text. Words are split by the rules of a language, or, with
    BY_LANGUAGE, of each row's `language`."""
    text = utf8.view(batch["text"])
    rules_N = _rules(batch, word_rules_of)
    for known in reversed(_recent):
        row_N = _rows_of(text, known.text)
        if row_N is not None and (rules_N == known.rules_N[row_N]).all():
            return known if len(row_N) == len(known.text) else remember(known.of_rows(text, row_N))
    return remember(TextAnalysis(text, rules_N))


def _rules(batch: pa.RecordBatch, word_rules_of: str) -> np.ndarray:
    """int8[N]: the number of each row's word rules; English ones for a language without rules of its own."""
    if word_rules_of != BY_LANGUAGE:
        return np.full(batch.num_rows, word_rules.rules_of(word_rules_of), np.int8)
    codes = batch["language"].dictionary_encode()
    of_code = [word_rules.rules_of(code) for code in codes.dictionary.to_pylist()]
    indices = codes.indices.fill_null(len(of_code)).to_numpy()
    return np.array([*of_code, word_rules.ENGLISH], np.int8)[indices]


def remember(analysis: TextAnalysis) -> TextAnalysis:
    """Recognise these texts, or some of them in the same order, when they are next asked for."""
    while len(_recent) >= NUM_KEPT:
        _recent.pop(0)
    if len(analysis.text.data) <= MAX_KEPT_BYTES:
        _recent.append(analysis)
    return analysis


def remember_rewritten(text: Utf8, split: words.Words, before: TextAnalysis) -> None:
    """Recognise texts that a stage wrote in place of others, and whose words it knows."""
    found = TextAnalysis(text, before.rules_N)
    if (found.east_asian_N == before.east_asian_N).all():  # else they would be split in another way
        found.words = split
    remember(found)


def _rows_of(text: Utf8, known: Utf8) -> np.ndarray | None:
    """int64[N]: in which rows of `known` the texts and nulls stand, in ascending order; None where one does not."""
    row_N = np.empty(len(text), np.int64)
    if len(text) > len(known) or not _find_rows(text.data, text.offsets, known.data, known.offsets, row_N):
        return None
    return row_N if (text.null_N == known.null_N[row_N]).all() else None


@kernel
def _find_rows(
    data: np.ndarray, offsets: np.ndarray, known_data: np.ndarray, known_offsets: np.ndarray, row_N: np.ndarray
) -> bool:
    row = 0
    for n in range(len(offsets) - 1):
        start, length = offsets[n], offsets[n + 1] - offsets[n]
        while row < len(known_offsets) - 1:
            other = known_offsets[row]
            if known_offsets[row + 1] - other == length and _equal(data, start, known_data, other, length):
                break
            row += 1
        if row == len(known_offsets) - 1:
            return False
        row_N[n] = row
        row += 1
    return True


@kernel
def _equal(a: np.ndarray, i: int, b: np.ndarray, j: int, length: int) -> bool:
    k = 0
    while k + 8 <= length:
        if load_8(a, i + k) != load_8(b, j + k):
            return False
        k += 8
    while k < length:
        if a[i + k] != b[j + k]:
            return False
        k += 1
    return True
