"""Pages to blocks: the arrays a scan needs, sized once, and the scan.

Reads:  a batch of pages in valid UTF-8
Writes: Scan: arrays cut to length
Cost:   that of stages/kernels/html_scan.py; memory at most 40 times the pages and 400 bytes a page, of which what is
        not written is never touched: two fifths of the pages, of those in the wild
Source: stages/kernels/html_scan.py

No page can outgrow its arrays: every block, element and link begins or ends with a tag of its own, a tag gives at most
two notes, every token has two letters, and a reference is at most a sixth shorter than what it stands for (`&nGt;`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.kernels.html_bytes import num_less_than
from stages.kernels.html_scan import MOST_NOTES, scan_pages
from stages.kernels.html_text import NUM_BLOCK_FIELDS, NUM_ELEMENT_FIELDS, NUM_LINK_FIELDS, Scanned
from stages.kernels.utf8 import Utf8

SPARE = 64
SHORTEST_TAG = 3  # bytes; one cut off at a page's end may be shorter
MAX_BYTES = 1 << 30  # positions are of 32 bits


@dataclass(frozen=True, kw_only=True)
class Scan:
    """`rows` and, int64[N + 1] each, which of them are of page n; `ends` int64[N + 1, 6] has these side by side.
    `oddities_N` int64, bits of html_scan."""

    rows: Scanned
    ends: np.ndarray
    text_offsets: np.ndarray
    block_offsets: np.ndarray
    element_offsets: np.ndarray
    token_offsets: np.ndarray
    link_offsets: np.ndarray
    note_offsets: np.ndarray
    oddities_N: np.ndarray


def scan(pages: Utf8, alt_texts: bool = False) -> Scan:
    """Scan a batch of padded pages (stages/kernels/utf8.py); ValueError where they end behind MAX_BYTES."""
    start, end = int(pages.offsets[0]), int(pages.offsets[-1])
    if end > MAX_BYTES:
        raise ValueError(
            f"pages end at byte {end:,} of their batch, scans reach to {MAX_BYTES:,}: make batches smaller"
        )
    num_pages, num_bytes = len(pages), end - start
    num_less = num_less_than(pages.data, start, end)
    num_tags = min(num_less, num_bytes // SHORTEST_TAG + num_pages) + 2 * num_pages + SPARE
    out = Scanned(
        text=np.empty(num_bytes + num_bytes // 5 + SPARE, np.uint8),
        blocks=np.empty((num_tags, NUM_BLOCK_FIELDS), np.int32),
        elements=np.empty((num_tags, NUM_ELEMENT_FIELDS), np.int32),
        tokens=np.empty(num_bytes + SPARE, np.uint32),
        links=np.empty((num_tags, NUM_LINK_FIELDS), np.int32),
        notes=np.empty((min(2 * num_tags, int(MOST_NOTES.sum()) * num_pages), 3), np.int64),
    )
    ends = np.zeros((num_pages + 1, 6), np.int64)
    oddities_N = np.zeros(num_pages, np.int64)
    scan_pages(pages.data, pages.offsets, alt_texts, out, ends, oddities_N)
    num_rows = ends[-1]
    rows = Scanned(*(array[:count] for array, count in zip(out, num_rows, strict=True)))
    return Scan(
        rows=rows,
        ends=ends,
        text_offsets=ends[:, 0].copy(),
        block_offsets=ends[:, 1].copy(),
        element_offsets=ends[:, 2].copy(),
        token_offsets=ends[:, 3].copy(),
        link_offsets=ends[:, 4].copy(),
        note_offsets=ends[:, 5].copy(),
        oddities_N=oddities_N,
    )
