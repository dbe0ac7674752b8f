"""Pages in UTF-8 to main text and metadata, in pieces whose blocks fit into memory.

Reads:  decoded pages, the dates they were crawled on and their addresses
Writes: Reading
Cost:   that of stages/html/extractor.py and metadata.py; memory by the blocks of a piece, about 0.5 kB each
Source: stages/html; PIECE_TAGS is ours
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.html.assembling import TextOptions
from stages.html.extractor import extract_pages
from stages.html.metadata import Crawled, MetadataColumns, metadata_columns
from stages.html.model import Model
from stages.html.scanning import Scan, scan
from stages.kernels.html_bytes import num_less_than
from stages.kernels.html_kinds import KINDS
from stages.kernels.html_verdicts import VERDICTS, num_chars
from stages.kernels.utf8 import Utf8

PIECE_TAGS = 1 << 19  # of a piece of more than one page; 100 pages as they come have half as many


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """The learned extractor and how it is to be used. A page of more than `max_blocks` blocks is not looked at."""

    model: Model
    options: TextOptions
    alt_texts: bool
    max_blocks: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """Of N pages. `text` large_string, "" where there is none, null where there are too many blocks, and without an
    extractor; `num_blocks_N` and `oddities_N` (bits of html_text) int64; `chars` int64[kinds, verdicts], code points of
    the blocks of pages that have not too many."""

    text: pa.Array
    metadata: MetadataColumns
    num_blocks_N: np.ndarray
    oddities_N: np.ndarray
    chars: np.ndarray


def read_pages(pages: Utf8, crawled: Crawled, extractor: Extractor | None) -> Iterator[Reading]:
    """Readings of the pages in order, one a piece; what a page gives depends on itself alone."""
    num_tags = num_less_than(pages.data, int(pages.offsets[0]), int(pages.offsets[-1]))
    if num_tags > PIECE_TAGS and len(pages) > 1:
        half = len(pages) // 2
        for start, stop in ((0, half), (half, len(pages))):
            part = Utf8(offsets=pages.offsets[start : stop + 1], data=pages.data, null_N=pages.null_N[start:stop])
            yield from read_pages(part, crawled.part(start, stop), extractor)
        return
    yield _read(pages, crawled, extractor, might_be_too_many=num_tags > PIECE_TAGS)


def _read(pages: Utf8, crawled: Crawled, extractor: Extractor | None, might_be_too_many: bool) -> Reading:
    chars = np.zeros((len(KINDS), len(VERDICTS)), np.int64)
    scanned = scan(pages) if extractor is None or might_be_too_many else None
    if extractor is None or (scanned is not None and len(scanned.rows.blocks) > extractor.max_blocks):
        assert scanned is not None, "there is a scan wherever the extractor is not asked"
        return _reading(pages, crawled, pa.nulls(len(pages), pa.large_string()), scanned, chars)
    found = extract_pages(pages, extractor.model, extractor.options, alt_texts=extractor.alt_texts)
    num_blocks_N = np.diff(found.scan.block_offsets)
    counted_B = np.repeat(num_blocks_N <= extractor.max_blocks, num_blocks_N)
    kind_B, verdict_B, counts = found.kind_B, found.verdict_B, found.judged.of.counts
    chars += num_chars(kind_B[counted_B], verdict_B[counted_B], counts[counted_B])
    return _reading(pages, crawled, found.text, found.scan, chars)


def _reading(pages: Utf8, crawled: Crawled, text: pa.Array, scanned: Scan, chars: np.ndarray) -> Reading:
    notes = scanned.rows.notes
    kind, start, end = notes[:, 0].astype(np.uint8), notes[:, 1].copy(), notes[:, 2].copy()
    return Reading(
        text=text,
        metadata=metadata_columns(pages.data, scanned.note_offsets, kind, start, end, crawled),
        num_blocks_N=np.diff(scanned.block_offsets),
        oddities_N=scanned.oddities_N,
        chars=chars,
    )
