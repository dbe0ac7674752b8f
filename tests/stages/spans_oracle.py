"""Repeated spans by two plain-Python definitions: a dictionary of all windows, and common substrings of every pair."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from stages.kernels.fold_table import TAILS, UNSPACED

Interval = tuple[int, int]


def word_places(text: str) -> list[Interval]:
    """(start, end) of each word, in characters."""
    found: list[list[int]] = []
    goes_on = after_alone = False
    for i, char in enumerate(text):
        category, name = unicodedata.category(char), unicodedata.name(char, "")
        letter = category[0] == "L" or category == "Nl"
        joins = category[0] == "M" or name.startswith(TAILS)
        if char.isspace():
            goes_on = after_alone = False
        elif letter and name.startswith(UNSPACED) and not name.startswith(TAILS):
            found.append([i, i + 1])
            goes_on, after_alone = False, True
        elif joins and after_alone:
            found[-1][1] = i + 1
        else:
            if goes_on:
                found[-1][1] = i + 1
            else:
                found.append([i, i + 1])
            goes_on, after_alone = True, False
    return [(start, end) for start, end in found]


def words_of(text: str | None, plain: bool = False) -> list[str]:
    """`plain`: folded character by character, as stages/kernels/fold_table.py says."""
    words = [(text or "")[a:b] for a, b in word_places(text or "")]
    if not plain:
        return words
    return ["".join(unicodedata.normalize("NFD", c) for c in word.lower().replace("ς", "σ")) for word in words]


def preferred_first(ids: Sequence[bytes], texts: Sequence[str | None]) -> list[int]:
    """Documents by the policy `longest`."""
    return sorted(range(len(ids)), key=lambda i: (-len(t) if (t := texts[i]) is not None else 1, ids[i]))


def lost_by_windows(words: Sequence[Sequence[str]], order: Sequence[int], length: int) -> list[set[int]]:
    """Per document the places of the words it loses: those of windows that a preferred document has too."""
    seen: dict[tuple[str, ...], int] = {}
    lost: list[set[int]] = [set() for _ in words]
    for d in order:
        for i in range(len(words[d]) - length + 1):
            if seen.setdefault(tuple(words[d][i : i + length]), d) != d:
                lost[d].update(range(i, i + length))
    return lost


def lost_by_pairs(words: Sequence[Sequence[str]], order: Sequence[int], length: int) -> list[set[int]]:
    """The same by common substrings: for every pair, which runs of at least `length` words the two have in common."""
    lost: list[set[int]] = [set() for _ in words]
    for place, d in enumerate(order):
        for preferred in order[:place]:
            before = [0] * (len(words[preferred]) + 1)  # length of the common run that ends before each place
            for i, word in enumerate(words[d]):
                now = [0] * len(before)
                for j, other in enumerate(words[preferred]):
                    if word == other:
                        now[j + 1] = before[j] + 1
                longest = max(now)
                if longest >= length:
                    lost[d].update(range(i + 1 - longest, i + 1))
                before = now
    return lost


def spans_of(places: set[int]) -> list[Interval]:
    """Runs of neighbouring places, (first, end)."""
    spans: list[list[int]] = []
    for place in sorted(places):
        if spans and spans[-1][1] == place:
            spans[-1][1] += 1
        else:
            spans.append([place, place + 1])
    return [(first, end) for first, end in spans]


def without(text: str, spans: Sequence[Interval]) -> str:
    """The text without these spans of words."""
    words, kept_from, parts = word_places(text), 0, []
    for first, end in spans:
        behind = words[end][0] if end < len(words) else len(text)
        if first > 0:
            before = words[first - 1][1]
            parts.append(text[kept_from:before])
            if end < len(words):
                gaps = text[before : words[first][0]], text[words[end - 1][1] : behind]
                gap = gaps[1] if gaps[1].count("\n") > gaps[0].count("\n") or not gaps[0] else gaps[0]
                parts.append(gap or " ")
        kept_from = behind
    return "".join([*parts, text[kept_from:]])
