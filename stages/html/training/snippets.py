"""Labels for text blocks from short extracts of which a page's main text must have some and must not have others.

Reads:  the blocks' texts in page order, the wanted and the unwanted snippets
Writes: a label per block: WANTED, UNWANTED or UNKNOWN
Cost:   one search of the page's text per snippet
Source: trafilatura's evaluation data is of this kind

A snippet is looked for in the page's text, white space made even, so it may reach over several blocks. A wanted one has
to be in the main text once: of several places, only the one nearest to the wanted snippets that have a single place is
WANTED; where none has, none of them is. An unwanted one of several places (the name of a tag, say, that the article
mentions as well) is meant where it makes up half of the blocks it touches; where it does so nowhere, everywhere unless
one of the places is wanted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from unicodedata import normalize

import numpy as np

WANTED, UNWANTED, UNKNOWN = 1, 0, -1
_MEANT_SHARE = 0.5


def snippet_labels(blocks: Sequence[str], with_: Sequence[str], without: Sequence[str]) -> np.ndarray:
    """int8[N]. A block that a wanted and an unwanted snippet touch is UNKNOWN."""
    filled = np.array([n for n, block in enumerate(blocks) if even_space(block)], np.int64)
    page = _Page([blocks[n] for n in filled])
    wanted = _wanted([page.places(snippet) for snippet in with_])
    unwanted = set[int]()
    for snippet in without:
        unwanted |= _unwanted(page, page.places(snippet), len(even_space(snippet)), wanted)
    labels = np.full(len(blocks), UNKNOWN, np.int8)
    labels[filled[list(wanted - unwanted)]] = WANTED
    labels[filled[list(unwanted - wanted)]] = UNWANTED
    return labels


def _wanted(places_of_each: list[list[range]]) -> set[int]:
    single = [places[0].start for places in places_of_each if len(places) == 1]
    wanted = set[int]()
    for places in places_of_each:
        if len(places) == 1:
            wanted |= {*places[0]}
        elif places and single:
            wanted |= {*min(places, key=lambda place: min(abs(place.start - other) for other in single))}
    return wanted


def _unwanted(page: _Page, places: list[range], num_characters: int, wanted: set[int]) -> set[int]:
    if len(places) > 1:
        meant = [place for place in places if num_characters >= _MEANT_SHARE * page.num_characters(place)]
        if not meant and any(wanted & {*place} for place in places):
            return set()
        places = meant or places
    return {block for place in places for block in place}


class _Page:
    """The blocks' texts (none blank) with even white space, a space between them."""

    def __init__(self, blocks: Sequence[str]) -> None:
        texts = [even_space(block) for block in blocks]
        self._text = " ".join(texts)
        self._starts = list(accumulate((len(text) + 1 for text in texts), initial=0))

    def num_characters(self, place: range) -> int:
        return self._starts[place.stop] - self._starts[place.start] - 1

    def places(self, snippet: str) -> list[range]:
        """The blocks of each occurrence, without repeats; occurrences inside of words where there are no others."""
        text = even_space(snippet)
        occurrences = []
        at = self._text.find(text) if text else -1
        while at >= 0:
            occurrences.append((at, at + len(text)))
            at = self._text.find(text, at + 1)
        whole = [(start, end) for start, end in occurrences if self._between_words(start, end)]
        blocks = [(self._block_at(start), self._block_at(end - 1)) for start, end in whole or occurrences]
        return [range(first, last + 1) for first, last in dict.fromkeys(blocks)]

    def _between_words(self, start: int, end: int) -> bool:
        before, after = self._text[start - 1 : start], self._text[end : end + 1]
        return not (before.isalnum() and self._text[start].isalnum()) and not (
            after.isalnum() and self._text[end - 1].isalnum()
        )

    def _block_at(self, index: int) -> int:
        return bisect_right(self._starts, index) - 1


def even_space(text: str) -> str:
    """In Unicode's normal form C, without soft hyphens, white space as single spaces."""
    return " ".join(normalize("NFC", text).replace("\xad", "").split())
