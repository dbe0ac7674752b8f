"""The metadata columns of a batch of pages.

Reads:  pages as UTF-8 and the scanner's notes (stages/kernels/html_metadata.py), the days they were crawled
Writes: `title`, `byline`, `site_name` large_string, `declared_language` string; timestamp[s, UTC] of publication
Cost:   that of the kernel; the texts are not copied
Source: the sources of each column, in their order: stages/kernels/html_metadata_sources.py
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.kernels import utf8
from stages.kernels.html_metadata import BYLINES, LANGUAGES, SITES, TITLES, read_metadata


@dataclass(frozen=True, kw_only=True)
class MetadataColumns:
    """Of N pages, null where a page does not say it. `title`, `byline`, `site_name`: large_string, one line each, 500,
    200 and 120 characters at most. `published`: timestamp[s, UTC]. `declared_language`: string, BCP 47."""

    title: pa.Array
    byline: pa.Array
    published: pa.Array
    site_name: pa.Array
    declared_language: pa.Array


@dataclass(frozen=True, kw_only=True)
class Crawled:
    """What is known of N pages besides: `second_N` int64, when they were crawled, seconds since 1970, -1 where that is
    not known; `urls`, an empty text where that is not."""

    second_N: np.ndarray
    urls: utf8.Utf8

    def part(self, start: int, stop: int) -> Crawled:
        """Of pages start to stop."""
        urls = utf8.Utf8(
            offsets=self.urls.offsets[start : stop + 1], data=self.urls.data, null_N=self.urls.null_N[start:stop]
        )
        return Crawled(second_N=self.second_N[start:stop], urls=urls)


def crawled_of(num_pages: int, crawled: pa.Array | None = None, urls: pa.Array | None = None) -> Crawled:
    """From arrays; `crawled`: timestamp[s, UTC], `urls`: string, both with nulls."""
    second_N = np.full(num_pages, -1, np.int64)
    if crawled is not None:
        seconds = crawled.cast(pa.timestamp("s", tz="UTC")).view(pa.int64())
        second_N = np.array(pc.fill_null(seconds, -1).to_numpy(zero_copy_only=False), np.int64)
    return Crawled(second_N=second_N, urls=utf8.view(pa.nulls(num_pages, pa.string()) if urls is None else urls))


def metadata_columns(
    data: np.ndarray, note_offsets: np.ndarray, kind: np.ndarray, start: np.ndarray, end: np.ndarray,
    crawled: Crawled,
) -> MetadataColumns:  # fmt: skip
    """The columns of N pages. `note_offsets` int64[N + 1], `kind` uint8[M], `start` and `end` int64[M]: the notes.
    No page is of a day after the one that follows its crawl, or where that is not known, of 2100. A site's name in its
    host's name is known as such at the end of titles."""
    urls = crawled.urls
    found = read_metadata(data, note_offsets, kind, start, end, crawled.second_N, urls.data, urls.offsets)
    return MetadataColumns(
        title=_texts(*found.texts[TITLES]),
        byline=_texts(*found.texts[BYLINES]),
        published=pa.array(found.date_N, pa.int64(), mask=~found.has_date_N).cast(pa.timestamp("s", tz="UTC")),
        site_name=_texts(*found.texts[SITES]),
        declared_language=_texts(*found.texts[LANGUAGES]).cast(pa.string()),
    )


def _texts(data: np.ndarray, offsets: np.ndarray) -> pa.Array:
    """large_string, an empty text as null."""
    valid_N = np.diff(offsets) > 0
    validity = None if valid_N.all() else pa.array(valid_N).buffers()[1]
    return pa.LargeStringArray.from_buffers(len(valid_N), pa.py_buffer(offsets), pa.py_buffer(data), validity)
