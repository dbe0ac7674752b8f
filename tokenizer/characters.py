"""Words as strings of frequent characters: what models over characters are learned from.

Reads:  Counts of pretokens (tokenizer/sorted_counts.py), UTF-8
Writes: Characters: an alphabet, and words over it with their counts
Cost:   some 40 bytes of memory per byte of distinct words
Source: sentencepiece's character_coverage (its default) and max_sentence_length, and its `▁` for a space

A word is cut wherever a character stands that is not in the alphabet: such a character is written in bytes when texts
are encoded, so its neighbours never meet in a token.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from tokenizer.errors import TokenizerError
from tokenizer.sorted_counts import Counts, combine

CHARACTER_COVERAGE = 0.9995  # of all characters of the texts
MAX_WORD_CHARACTERS = 4096  # longer words are no words, and what is learned of them no tokens
SPACE = 0x2581  # ▁, which stands for a space
_CODE_POINTS = 0x110000
# An entry may be named <0x0A>: these are always in the alphabet, so that text of that form is made of characters.
_ASCII = np.arange(0x21, 0x7F)


class Characters(NamedTuple):
    """W distinct words: word w is the characters `alphabet[symbol_N[start_W[w]:start_W[w + 1]]]` (code points,
    ascending) and occurred `count_W[w]` times. Words ascend by their bytes. symbol_N int32, start_W and count_W int64.
    """

    alphabet: np.ndarray
    symbol_N: np.ndarray
    start_W: np.ndarray
    count_W: np.ndarray

    def words(self) -> list[str]:
        text = _text(self.alphabet[self.symbol_N])
        return [text[start:end] for start, end in itertools.pairwise(self.start_W.tolist())]


def characters(counts: Counts, max_alphabet: int) -> Characters:
    """The words of `counts` over an alphabet of ASCII and the most frequent characters, `max_alphabet` at most."""
    code_N, start_W = _code_points(counts)
    short_W = np.diff(start_W) <= MAX_WORD_CHARACTERS
    word_N = np.repeat(np.arange(len(counts.counts)), np.diff(start_W))
    usable_N = (code_N != SPACE) & short_W[word_N]
    code_N[code_N == ord(" ")] = SPACE
    alphabet = _alphabet(code_N[usable_N], counts.counts[word_N[usable_N]], max_alphabet)
    kept = _cut(code_N, word_N, usable_N & np.isin(code_N, alphabet), counts.counts)
    kept_N, kept_start = _code_points(kept)
    return Characters(alphabet, np.searchsorted(alphabet, kept_N).astype(np.int32), kept_start, kept.counts)


def _code_points(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Code points of all words, and where each begins."""
    try:
        text = counts.data.tobytes().decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(f"text that is not UTF-8 ({error.reason}); expected UTF-8") from error
    code_N = np.frombuffer(bytearray(text.encode("utf-32-le")), "<u4").astype(np.int64)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum((counts.data & 0xC0) != 0x80)])
    return code_N, before[counts.offsets]


def _text(code_N: np.ndarray) -> str:
    return code_N.astype("<u4").tobytes().decode("utf-32-le")


def _alphabet(code_N: np.ndarray, count_N: np.ndarray, max_alphabet: int) -> np.ndarray:
    count_C = np.zeros(_CODE_POINTS, np.int64)
    np.add.at(count_C, code_N, count_N)
    order_C = np.argsort(-count_C, kind="stable")  # of equal counts the lower code point
    covered_C = np.cumsum(count_C[order_C].astype(np.float64))
    num = int(np.searchsorted(covered_C, CHARACTER_COVERAGE * covered_C[-1])) + 1
    frequent = order_C[: min(num, max_alphabet)]
    return np.union1d(np.append(frequent[count_C[frequent] > 0], SPACE), _ASCII)


def _cut(code_N: np.ndarray, word_N: np.ndarray, is_kept_N: np.ndarray, count_W: np.ndarray) -> Counts:
    """The stretches of kept characters, as words with the counts of those they are of."""
    word_N, before_N = word_N[is_kept_N], np.flatnonzero(is_kept_N)
    is_first_N = np.ones(len(word_N), np.bool_)
    is_first_N[1:] = (np.diff(word_N) != 0) | (np.diff(before_N) != 1)
    kept_N = code_N[is_kept_N]
    data = np.frombuffer(_text(kept_N).encode(), np.uint8)
    num_bytes_N = 1 + (kept_N > 0x7F) + (kept_N > 0x7FF) + (kept_N > 0xFFFF)
    end_N = np.concatenate([np.zeros(1, np.int64), np.cumsum(num_bytes_N)])
    first = np.flatnonzero(is_first_N)
    return combine([Counts(data, np.append(end_N[first], end_N[-1]), count_W[word_N[first]])])
