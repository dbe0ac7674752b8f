"""Where two texts first differ, and what several have in common, for a person to read.

Reads:  texts
Writes: short texts
Cost:   linear; a set of 5-word shingles per text
Source: our choice
"""

from __future__ import annotations

import re
from collections.abc import Sequence

CONTEXT_WORDS, MAX_CONTEXT_CHARS = 4, 60  # shown before the first difference
SHOWN_WORDS, MAX_SHOWN_CHARS = 12, 200  # shown from it on
SHINGLE_WORDS = 5
MAX_SHARED_CHARS = 300
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"  # kana, Han, Hangul
_WORD = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")


def first_difference(one: str, other: str) -> tuple[str, str]:
    """The two passages around the first word that differs; empty texts where the words are the same."""
    left, right = one.split(), other.split()
    at = _num_alike(left, right)
    if at == len(left) == len(right):
        return "", ""
    inside = _num_alike(left[at], right[at]) if at < min(len(left), len(right)) else 0
    return _passage(left, at, inside), _passage(right, at, inside)


def _num_alike(left: Sequence[str], right: Sequence[str]) -> int:
    """How many words, or characters, two texts have in common from their start on."""
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _passage(words: list[str], at: int, inside: int) -> str:
    """The words about word `at`. Where its first `inside` characters are alike and many, as in a text without spaces,
    the mark stands behind them."""
    start = max(0, at - CONTEXT_WORDS)
    before, after = " ".join(words[start:at]), " ".join(words[at : at + SHOWN_WORDS])
    if inside > MAX_CONTEXT_CHARS:
        start, before, after = 1, after[:inside], after[inside:]
    if start or len(before) > MAX_CONTEXT_CHARS:
        before = "… " + before[-MAX_CONTEXT_CHARS:]
    if at == len(words):
        return f"{before} (ends here)".strip()
    if at + SHOWN_WORDS < len(words) or len(after) > MAX_SHOWN_CHARS:
        after = after[:MAX_SHOWN_CHARS] + " …"
    return f"{before} ▸ {after}".strip()


def shared_passage(texts: Sequence[str]) -> str:
    """The longest passage of the first text all of whose runs of 5 words stand in every other one too. Letters of
    scripts without spaces are words of their own; white space is shown as one space."""
    words = list(_WORD.finditer(texts[0]))
    first = [word[0] for word in words]
    common = _shingles(first)
    for text in texts[1:]:
        common &= _shingles(_WORD.findall(text))
    best_start = best_end = start = 0
    for i in range(len(first) - SHINGLE_WORDS + 1):
        if tuple(first[i : i + SHINGLE_WORDS]) not in common:
            start = i + 1
        elif i + SHINGLE_WORDS - start > best_end - best_start:
            best_start, best_end = start, i + SHINGLE_WORDS
    if best_end == best_start:
        return ""
    passage = " ".join(texts[0][words[best_start].start() : words[best_end - 1].end()].split())
    return passage if len(passage) <= MAX_SHARED_CHARS else passage[:MAX_SHARED_CHARS] + "…"


def _shingles(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1)}
