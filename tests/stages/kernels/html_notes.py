"""The notes that metadata is read from, made by a regular expression: slow, and no part of the scanner."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TITLE, META, HTML, TIME, JSON_LD, AUTHOR = range(6)
MOST = {META: 256, TIME: 8, JSON_LD: 8, AUTHOR: 8, TITLE: 1, HTML: 1}
AUTHOR_BYTES = 2000
_ATTRIBUTES = rb"""(?:"[^"]*+"|'[^']*+'|[^>"'])*+"""
_TAG = re.compile(
    rb"<!--.*?-->|<(script|style|textarea|title)\b(" + _ATTRIBUTES + rb")>(.*?)(?=</\1)"
    rb"|<(svg)\b.*?</svg|<([a-z][^\s/>]*+)(" + _ATTRIBUTES + rb")>",
    re.IGNORECASE | re.DOTALL,
)
_MARKED = re.compile(rb"""(?:^|\s)(?:rel|itemprop|class|id)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_WORD = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+")
_AUTHOR_WORDS = {b"author", b"authors", b"byline", b"autor", b"writer"}


@dataclass(frozen=True)
class Notes:
    """`data` uint8: all pages; `offsets`, `note_offsets` int64[N + 1]; `kind` uint8[M], `start`, `end` int64[M]."""

    data: np.ndarray
    offsets: np.ndarray
    note_offsets: np.ndarray
    kind: np.ndarray
    start: np.ndarray
    end: np.ndarray


def of_page(page: bytes) -> list[tuple[int, int, int]]:
    """(kind, start, end) of each note of one page."""
    found: list[tuple[int, int, int]] = []
    counts = dict.fromkeys(MOST, 0)

    def add(kind: int, start: int, end: int) -> None:
        if counts[kind] < MOST[kind]:
            counts[kind] += 1
            found.append((kind, start, end))

    for match in _TAG.finditer(page):
        raw, name = match[1] and match[1].lower(), match[5] and match[5].lower()
        if raw == b"title":
            add(TITLE, *match.span(3))
        elif raw == b"script" and b"ld+json" in match[2].lower():
            add(JSON_LD, *match.span(3))
        elif name in (b"meta", b"html", b"time"):
            add({b"meta": META, b"html": HTML, b"time": TIME}[name], *match.span(6))
        if name and _names_author(match[6]):
            add(AUTHOR, match.start(), min(len(page), match.start() + AUTHOR_BYTES))
    return found


def _names_author(attributes: bytes) -> bool:
    return any(
        word.lower() in _AUTHOR_WORDS
        for values in _MARKED.findall(attributes)
        for word in _WORD.findall(b" ".join(values))
    )


def of_pages(pages: Sequence[bytes]) -> Notes:
    """The notes of pages laid end to end."""
    return laid_out(pages, [of_page(page) for page in pages])


def laid_out(pages: Sequence[bytes], notes: Sequence[Sequence[tuple[int, int, int]]]) -> Notes:
    """Pages laid end to end, with the notes of each, whose positions are those in its page."""
    offsets = np.cumsum([0, *map(len, pages)], dtype=np.int64)
    rows = [(kind, offsets[n] + a, offsets[n] + b) for n, page in enumerate(notes) for kind, a, b in page]
    table = np.array(rows, np.int64).reshape(-1, 3)
    return Notes(
        data=np.frombuffer(b"".join(pages) or b"\0", np.uint8),
        offsets=offsets,
        note_offsets=np.cumsum([0, *map(len, notes)], dtype=np.int64),
        kind=table[:, 0].astype(np.uint8),
        start=table[:, 1].copy(),
        end=table[:, 2].copy(),
    )
