"""What pages say of themselves: title, byline, date, site's name, language.

Reads:  pages as UTF-8 and the notes made of them while they were scanned: where their `<title>`, `<meta>`, `<html>`,
        `<time>` tags, their JSON-LD and the elements of authors are
Writes: Metadata: four columns of texts, one of seconds
Cost:   see docs/log.md; linear in the bytes of the notes, a value of MAX_VALUE_BYTES at most
Source: stages/kernels/html_metadata_sources.py has the sources of each column, in order. Nothing is guessed: what no
        source says is null

Bytes outside the notes are not read. Texts are valid UTF-8 on one line without controls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.kernels.byte_copy import copy_bytes
from stages.kernels.compiled import kernel
from stages.kernels.html_json_ld import MAX_DEPTH, MAX_PERSONS, NUM_COLUMNS, read_json_ld
from stages.kernels.html_metadata_byline import MAX_BYLINE_CHARS, choose_byline, note_author
from stages.kernels.html_metadata_dates import DAY_S, LATEST, MAX_DATE_BYTES, read_date
from stages.kernels.html_metadata_language import MAX_DECLARED_BYTES, MAX_LANGUAGE_BYTES, read_language
from stages.kernels.html_metadata_sources import (
    AUTHORS,
    BYLINES_END,
    DATES_END,
    LANGUAGES_END,
    NUM_SOURCES,
    SITE_NAMES_END,
    TIME_CLASS,
    TIME_MARKED,
    TIME_PLAIN,
    TITLE_ELEMENT,
    add_source,
)  # fmt: skip
from stages.kernels.html_metadata_tags import note_html, note_meta, note_time
from stages.kernels.html_metadata_text import MAX_VALUE_BYTES
from stages.kernels.html_metadata_title import (
    MAX_NAMES,
    MAX_TITLE_CHARS,
    NAME_BYTES,
    add_host_name,
    choose_site_name,
    choose_title,
)  # fmt: skip
from stages.kernels.html_metadata_values import read_value

TITLE, META, HTML, TIME, JSON_LD, AUTHOR = range(6)  # kinds of notes
TITLES, BYLINES, SITES, LANGUAGES, NUM_TEXTS = range(5)
_ROOM_BYTES = (4 * MAX_TITLE_CHARS, 4 * MAX_BYLINE_CHARS + 16, NAME_BYTES, MAX_LANGUAGE_BYTES)
TITLE_ROOM, BYLINE_ROOM, SITE_ROOM, LANGUAGE_ROOM = _ROOM_BYTES


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Of N pages. `texts`: (data uint8, offsets int64[N + 1]) of titles, bylines, names of sites, languages; an empty
    text is none. `date_N` int64: seconds since 1970 in UTC; `has_date_N` bool."""

    texts: tuple[tuple[np.ndarray, np.ndarray], ...]
    date_N: np.ndarray
    has_date_N: np.ndarray


def read_metadata(
    data: np.ndarray, note_offsets: np.ndarray, kind: np.ndarray, start: np.ndarray, end: np.ndarray,
    crawled_N: np.ndarray, urls: np.ndarray, url_offsets: np.ndarray,
) -> Metadata:  # fmt: skip
    """The metadata of N pages from notes: uint8 `kind`, int64 `start` and `end` in `data`, those of page n from
    note_offsets[n] to note_offsets[n + 1]. `crawled_N`: seconds since 1970, negative where not known. The
    address of page n is urls[url_offsets[n]:url_offsets[n + 1]], empty where not known."""
    num_pages = len(note_offsets) - 1
    texts = tuple((np.empty(num_pages * size, np.uint8), np.zeros(num_pages + 1, np.int64)) for size in _ROOM_BYTES)
    date_N, has_date_N = np.zeros(num_pages, np.int64), np.zeros(num_pages, np.bool_)
    latest_N = np.where(crawled_N < 0, LATEST, crawled_N + DAY_S).astype(np.int64)
    _read_batch(data, note_offsets, kind, start, end, latest_N, urls, url_offsets, texts, date_N, has_date_N)
    return Metadata(
        texts=tuple((out[: offsets[-1]], offsets) for out, offsets in texts), date_N=date_N, has_date_N=has_date_N
    )


@kernel
def _read_batch(
    data: np.ndarray, note_offsets: np.ndarray, kind: np.ndarray, start: np.ndarray, end: np.ndarray,
    latest_N: np.ndarray, urls: np.ndarray, url_offsets: np.ndarray, texts: tuple, date_N: np.ndarray,
    has_date_N: np.ndarray,
) -> None:  # fmt: skip
    sources = np.zeros((NUM_SOURCES, 1 + 2 * AUTHORS), np.int64)
    frames = np.zeros((MAX_DEPTH + 1, NUM_COLUMNS), np.int64)
    persons = np.zeros((MAX_PERSONS + 1, 4), np.int64)
    value, text = np.zeros(MAX_VALUE_BYTES + 8, np.uint8), np.zeros(4 * MAX_TITLE_CHARS + 16, np.uint8)
    names, name_ends = np.zeros(MAX_NAMES * NAME_BYTES, np.uint8), np.zeros(MAX_NAMES, np.int64)
    small = np.zeros(BYLINE_ROOM, np.uint8)
    (titles, title_offsets), (bylines, byline_offsets), (sites, site_offsets), (languages, language_offsets) = texts
    for n in range(len(latest_N)):
        sources[:, 0] = 0
        for k in range(note_offsets[n], note_offsets[n + 1]):
            _note(data, kind[k], start[k], end[k], sources, frames, persons)
        num_names = choose_site_name(data, sources, value, text, names, name_ends)
        url, url_end = url_offsets[n], url_offsets[n + 1]
        num_names = add_host_name(urls, url, url_end, text, names, name_ends, num_names)
        site_offsets[n + 1] = copy_bytes(names, 0, name_ends[0], sites, site_offsets[n])
        first, last = choose_title(data, sources, value, text, names, name_ends, num_names)
        title_offsets[n + 1] = copy_bytes(text, first, last, titles, title_offsets[n])
        size = choose_byline(data, sources, value, text, names, name_ends, num_names, small)
        byline_offsets[n + 1] = copy_bytes(small, 0, size, bylines, byline_offsets[n])
        size = _language(data, sources, value, text, small)
        language_offsets[n + 1] = copy_bytes(small, 0, size, languages, language_offsets[n])
        date_N[n], has_date_N[n] = _date(data, sources, value, text, latest_N[n])


@kernel
def _note(
    data: np.ndarray, kind: int, start: int, end: int, sources: np.ndarray, frames: np.ndarray, persons: np.ndarray
) -> None:  # fmt: skip
    """Find the sources in one note."""
    if kind == META:
        note_meta(data, start, end, sources)
    elif kind == AUTHOR:
        note_author(data, start, end, sources)
    elif kind == JSON_LD:
        read_json_ld(data, start, end, sources, frames, persons)
    elif kind == TIME:
        note_time(data, start, end, sources)
    elif kind == HTML:
        note_html(data, start, end, sources)
    elif kind == TITLE:
        add_source(sources, TITLE_ELEMENT, start, end)


@kernel
def _language(
    data: np.ndarray, sources: np.ndarray, value: np.ndarray, text: np.ndarray, out: np.ndarray
) -> int:  # fmt: skip
    """Write the language to `out`; returns its bytes, 0 for none."""
    for source in range(SITE_NAMES_END, LANGUAGES_END):
        for k in range(sources[source, 0]):
            size, _ = read_value(data, sources, source, k, value, text, MAX_DECLARED_BYTES + 1)
            size = read_language(text, size, out)
            if size:
                return size
    return 0


@kernel
def _date(
    data: np.ndarray, sources: np.ndarray, value: np.ndarray, text: np.ndarray, latest: int
) -> tuple[int, bool]:  # fmt: skip
    """(seconds since 1970, whether there is a date). `<time>` elements of different days are those of a list of
    articles, and say nothing."""
    for source in range(BYLINES_END, DATES_END):
        must_agree = source in (TIME_MARKED, TIME_CLASS, TIME_PLAIN)
        date, found, agree = 0, False, True
        for k in range(sources[source, 0]):
            size, _ = read_value(data, sources, source, k, value, text, MAX_DATE_BYTES + 1)
            seconds, is_date = read_date(text, size, latest)
            if not is_date:
                continue
            if not found:
                date, found = seconds, True
                if not must_agree:
                    break
            elif seconds // DAY_S != date // DAY_S:
                agree = False
                break
        if found and agree:
            return date, True
    return 0, False
