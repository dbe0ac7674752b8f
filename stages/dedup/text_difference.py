"""Where two texts first differ, and what several have in common, for a person to read.

Reads:  texts
Writes: short texts
Cost:   linear; a set of 5-word shingles per text
Source: our choice
"""

from __future__ import annotations

from collections.abc import Sequence

CONTEXT_WORDS = 4  # shown before the first difference
SHOWN_WORDS = 12  # shown from it on
SHINGLE_WORDS = 5
MAX_SHARED_CHARS = 300


def first_difference(one: str, other: str) -> tuple[str, str]:
    """The two passages around the first word that differs; empty texts where the words are the same."""
    left, right = one.split(), other.split()
    at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    if at == len(left) == len(right):
        return "", ""
    return _passage(left, at), _passage(right, at)


def _passage(words: list[str], at: int) -> str:
    start = max(0, at - CONTEXT_WORDS)
    before = ("… " if start else "") + " ".join(words[start:at])
    if at == len(words):
        return f"{before} (ends here)".strip()
    after = " ".join(words[at : at + SHOWN_WORDS]) + (" …" if at + SHOWN_WORDS < len(words) else "")
    return f"{before} ▸ {after}".strip()


def shared_passage(texts: Sequence[str]) -> str:
    """The longest passage of the first text all of whose runs of 5 words stand in every other one too."""
    first = texts[0].split()
    common = _shingles(first)
    for text in texts[1:]:
        common &= _shingles(text.split())
    best_start = best_end = start = 0
    for i in range(len(first) - SHINGLE_WORDS + 1):
        if tuple(first[i : i + SHINGLE_WORDS]) not in common:
            start = i + 1
        elif i + SHINGLE_WORDS - start > best_end - best_start:
            best_start, best_end = start, i + SHINGLE_WORDS
    passage = " ".join(first[best_start:best_end])
    return passage if len(passage) <= MAX_SHARED_CHARS else passage[:MAX_SHARED_CHARS] + "…"


def _shingles(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1)}
