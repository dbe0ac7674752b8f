"""The kept blocks of every page to one text: paragraphs, lists, tables and code as they stand.

Reads:  the rows of a scan, `keep_B`, the bytes of the pages for the addresses of links
Writes: texts one after the other, int64 offsets
Cost:   about 10 ns an element of pages with kept blocks, 15 ns and a copy per kept block
Source: stages/kernels/html_assemble_units.py, what parts blocks; html_assemble_links.py, what becomes of links

`capacity` counts what can be written at most, so that the buffer is never outgrown: for every kept block its bytes, the
longest separator and marker, and in Markdown each address three times its length, once for each `<a>`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_assemble_links import (
    DROP,
    HREF_GROWTH,
    MARKDOWN,
    MARKDOWN_BYTES,
    MOST_HREF_BYTES,
    copy,
    put_markdown,
    put_without_links,
)  # fmt: skip
from stages.kernels.html_assemble_units import (
    LINE,
    NUM_PLACES,
    POSITION,
    PRE_OF,
    TAB,
    UNIT,
    count_own,
    place_elements,
    separator,
)  # fmt: skip
from stages.kernels.html_tags import HEADING, TAG_BITS
from stages.kernels.html_text import (
    B_ELEMENT,
    B_END,
    B_FIRST_LINK,
    B_LINKS,
    B_START,
    E_TAG,
    L_HREF,
    L_HREF_END,
    LINE_FEED,
    Scanned,
)  # fmt: skip
from stages.kernels.inlined import inlined

SEPARATOR_BYTES = 2
MARKER_BYTES = 12  # "2147483647. "
_BULLET = np.frombuffer("• ".encode(), np.uint8)
_TAB = 9


@kernel
def capacity(rows: Scanned, block_offsets: np.ndarray, keep_B: np.ndarray, links_as: int, with_markers: bool) -> int:
    """Bytes that `assemble` writes at most."""
    most = 0
    last_href: Any = np.int64(-1)
    for b in range(block_offsets[0], block_offsets[-1]):
        if keep_B[b]:
            most += rows.blocks[b, B_END] - rows.blocks[b, B_START] + SEPARATOR_BYTES + MARKER_BYTES * with_markers
            if links_as == MARKDOWN:
                first_link = rows.blocks[b, B_FIRST_LINK]
                for k in range(first_link, first_link + rows.blocks[b, B_LINKS]):
                    href, href_end = rows.links[k, L_HREF], rows.links[k, L_HREF_END]
                    if href != last_href and href_end - href <= MOST_HREF_BYTES:
                        most += MARKDOWN_BYTES + HREF_GROWTH * (href_end - href)
                    last_href = np.int64(href)
    return most


@inlined
def _put_separator(kind: int, text: np.ndarray, at: int) -> int:
    if kind == TAB:
        text[at] = _TAB
        return at + 1
    text[at] = LINE_FEED
    if kind == LINE:
        return at + 1
    text[at + 1] = LINE_FEED
    return at + 2


@inlined
def _put_marker(row: int, tag: int, places: np.ndarray, text: np.ndarray, at: int) -> int:
    """Write the bullet or number of the item whose first kept block this is, and note that it has been. An item that
    begins with a heading is an article in a list of articles, and has none."""
    unit = places[row, UNIT]
    if unit < 0 or places[unit, POSITION] < 0 or places[row, PRE_OF] >= 0:
        return at
    position: Any = np.int64(places[unit, POSITION])
    places[unit, POSITION] = -1
    if TAG_BITS[tag] & HEADING:
        return at
    if position == 0:
        return copy(_BULLET, 0, len(_BULLET), text, at)
    divisor = 1
    while position // divisor >= 10:
        divisor *= 10
    while divisor:
        text[at] = 48 + position // divisor % 10
        at += 1
        divisor //= 10
    text[at], text[at + 1] = 46, 32
    return at + 2


@kernel
def assemble(
    data: np.ndarray, rows: Scanned, block_offsets: np.ndarray, element_offsets: np.ndarray, keep_B: np.ndarray,
    links_as: int, with_markers: bool, text: np.ndarray, offsets: np.ndarray,
) -> None:  # fmt: skip
    """Fill `text` uint8[capacity] and `offsets` int64[N + 1]. `data` uint8: the pages, padded."""
    num_elements = 0  # of the largest page
    for n in range(len(block_offsets) - 1):
        num_elements = max(num_elements, element_offsets[n + 1] - element_offsets[n])
    places = np.empty((num_elements, NUM_PLACES), np.int32)
    offsets[0] = 0
    at: Any = np.int64(0)
    for n in range(len(block_offsets) - 1):
        begin, first, last = at, block_offsets[n], block_offsets[n + 1]
        first_element = element_offsets[n]
        while first < last and not keep_B[first]:
            first += 1
        if first < last:
            place_elements(rows.elements, first_element, element_offsets[n + 1], places)
            count_own(keep_B, rows.blocks, first, last, first_element, places, rows.text)
        row: Any = np.int64(-1)
        last_href: Any = np.int64(-1)
        for b in range(first, last):
            if not keep_B[b]:
                continue
            before = at
            other: Any = rows.blocks[b, B_ELEMENT] - first_element
            if at > begin:
                at = _put_separator(separator(row, other, rows.elements, first_element, places), text, at)
            if with_markers:
                at = _put_marker(other, rows.elements[rows.blocks[b, B_ELEMENT], E_TAG], places, text, at)
            start = at
            if links_as == DROP and rows.blocks[b, B_LINKS]:
                in_pre = places[other, PRE_OF] >= 0
                at = put_without_links(rows.text, b, rows.blocks, rows.links, in_pre, text, at)
            elif links_as == MARKDOWN and rows.blocks[b, B_LINKS]:
                at = put_markdown(rows.text, data, b, rows.blocks, rows.links, text, at, last_href)
                last_href = np.int64(rows.links[rows.blocks[b, B_FIRST_LINK] + rows.blocks[b, B_LINKS] - 1, L_HREF])
            else:
                at = copy(rows.text, rows.blocks[b, B_START], rows.blocks[b, B_END], text, at)
            if at == start:  # all of it was linked
                at = before
            else:
                row = other
        offsets[n + 1] = at
