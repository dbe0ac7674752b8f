"""Which words of a block speak for main text and which against: weights of the vocabulary, looked up again.

Reads:  a block's text and the hashes that stages/kernels/html_words.py made of its words; the table of weights
Writes: words with their weights, in logits
Cost:   about 0.3 us a character
Source: stages/kernels/html_words.py for what a word is, html_word_sums.py for the weight of one after another
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stages.kernels.html_word_sums import PAIR_PRIME
from stages.kernels.html_words import CAPITAL, CJK, DIGIT, LETTER, class_of

MAX_CHARS = 4000  # of a block that are looked at
NUM_WORDS = 3  # of each side
STEP = 16  # weights of the table in a logit
# The function before it is compiled: calling the compiled one for every character takes longer.
_class_of: Callable[[int], int] = vars(class_of)["py_func"]


def words_of(text: str) -> list[str]:
    """The words of a text, in order, as the kernel hashes them: a Han or kana character with the one before it."""
    words: list[str] = []
    start, before = -1, ""
    for i, char in enumerate(text):
        kind = _class_of(ord(char))
        if kind in (LETTER, CAPITAL, DIGIT):
            start, before = i if start < 0 else start, ""
            continue
        if start >= 0:
            words.append(text[start:i])
            start = -1
        if kind == CJK:
            words.append(before + char)
            before = char
        else:
            before = ""
    return [*words, text[start:]] if start >= 0 else words


def weigh_words(text: str, hashes: np.ndarray, vocabulary: np.ndarray) -> tuple[Sequence[tuple[str, float]], ...]:
    """The words most for main text and the words most against it, each with its weight in logits; `hashes` uint32 are
    those of the block's words. A word whose weight is mostly that of the pair it ends is shown with the one before."""
    words = words_of(text[:MAX_CHARS])
    if len(text) > MAX_CHARS:
        words = words[:-1]  # it may be cut
    words = words[: len(hashes)]
    if not words:
        return (), ()
    hash_W = hashes[: len(words)].astype(np.uint32)
    before_W = np.concatenate([np.zeros(1, np.uint32), hash_W[:-1]])
    mask = np.uint32(len(vocabulary) - 1)
    single_W = vocabulary[hash_W & mask].astype(np.int64)
    pair_W = vocabulary[((before_W * PAIR_PRIME) ^ hash_W) & mask].astype(np.int64)
    weights: dict[str, float] = {}
    for i in np.flatnonzero(single_W + pair_W):
        is_pair = i > 0 and abs(pair_W[i]) > abs(single_W[i])
        word = _joined(words[i - 1], words[i]) if is_pair else words[i]
        weights.setdefault(word.lower(), float(single_W[i] + pair_W[i]) / STEP)
    ranked = sorted(weights.items(), key=lambda item: (-item[1], item[0]))
    most = [item for item in ranked[:NUM_WORDS] if item[1] > 0]
    least = [item for item in ranked[: -NUM_WORDS - 1 : -1] if item[1] < 0]
    return most, least


def _joined(first: str, second: str) -> str:
    """Two words in a row; of two that share a Han or kana character, it stands once."""
    is_shared = len(second) == 2 and first[-1] == second[0] and _class_of(ord(first[-1])) == CJK
    return first + second[1:] if is_shared else f"{first} {second}"
