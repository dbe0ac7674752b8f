"""Where a block stands in lists and tables: its item or cell, that one's list or row, and what parts two blocks.

Reads:  the elements of a page, what blocks of it are kept
Writes: `places` int32, a row for each element of the page; separators
Cost:   about 10 ns an element, 5 ns a separator
Source: our choice: text as people type it, a blank line between paragraphs, items and rows a line each, cells apart by
        tabs, as spreadsheets give them out

A cell or an item is one line of a table or list where one kept block is all it has, and in a cell no line break; the
cells of tables that lay a page out have more, and are paragraphs.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.html_tags import CELL, DEFINITION, LIST, NUMBER, ROW, TABLE, TAG_BITS
from stages.kernels.html_text import B_BREAKS, B_ELEMENT, B_END, B_START, E_PARENT, E_TAG, LINE_FEED
from stages.kernels.inlined import inlined

# Columns of `places`, a row for each element of a page; elements by their rows, or NONE. UNIT: the nearest item or
# cell. LIST_OF: the nearest list, no table in between; CHAIN: the outermost list around that one likewise. TABLE_OF,
# ROW_OF: the nearest, no list in between. PRE_OF: the nearest preformatted text. POSITION: of an item of an `ol`, 0 of
# another `li`, NONE else. NUM_ITEMS: `li` of an `ol` so far. NUM_OWN: kept blocks whose unit this is.
# NUM_LINE_BREAKS: in these.
(
    UNIT, LIST_OF, CHAIN, TABLE_OF, ROW_OF, PRE_OF, POSITION, NUM_ITEMS, NUM_OWN, NUM_LINE_BREAKS, NUM_PLACES,
) = range(11)  # fmt: skip
NONE = -1
TAB, LINE, BLANK_LINE = range(3)  # what parts two blocks

_LI, _OL, _PRE, _LISTING = (NUMBER[name] for name in ("li", "ol", "pre", "listing"))


@inlined
def place_elements(elements: np.ndarray, first: int, last: int, places: np.ndarray) -> None:
    """Fill `places` for elements[first:last], a page's; no block is counted yet."""
    for k in range(NUM_ITEMS):
        places[0, k] = NONE
    places[0, NUM_ITEMS] = places[0, NUM_OWN] = places[0, NUM_LINE_BREAKS] = 0
    for row in range(1, last - first):
        parent, tag = elements[first + row, E_PARENT] - first, elements[first + row, E_TAG]
        bits = TAG_BITS[tag]
        for k in range(POSITION):
            places[row, k] = places[parent, k]
        places[row, POSITION] = NONE
        places[row, NUM_ITEMS] = places[row, NUM_OWN] = places[row, NUM_LINE_BREAKS] = 0
        if bits & LIST:
            if places[row, LIST_OF] < 0:
                places[row, CHAIN] = row
            places[row, LIST_OF] = row
            places[row, TABLE_OF] = places[row, ROW_OF] = NONE
        elif tag == _LI or bits & DEFINITION:
            _place_item(tag, row, parent, elements, first, places)
        elif bits & TABLE:
            places[row, UNIT] = places[row, LIST_OF] = places[row, CHAIN] = NONE
            places[row, TABLE_OF] = places[row, ROW_OF] = row
        elif bits & ROW:
            places[row, ROW_OF] = row
        elif bits & CELL:
            places[row, UNIT] = row
            if places[row, TABLE_OF] < 0:  # cells without a table
                places[row, TABLE_OF] = parent
            if places[row, ROW_OF] < 0:
                places[row, ROW_OF] = parent
        elif tag in (_PRE, _LISTING):
            places[row, PRE_OF] = row


@inlined
def _place_item(tag: int, row: int, parent: int, elements: np.ndarray, first: int, places: np.ndarray) -> None:
    places[row, UNIT] = row
    around = places[row, LIST_OF]
    if around < 0:  # items without a list
        places[row, CHAIN] = parent
    if tag == _LI:
        places[row, POSITION] = 0
        if around >= 0 and elements[first + around, E_TAG] == _OL:
            places[around, NUM_ITEMS] += 1
            places[row, POSITION] = places[around, NUM_ITEMS]


@inlined
def count_own(
    keep_B: np.ndarray, blocks: np.ndarray, first: int, last: int, first_element: int, places: np.ndarray,
    text: np.ndarray,
) -> None:  # fmt: skip
    """Count the kept blocks of every unit, of blocks[first:last], a page's, and the line breaks in them."""
    for b in range(first, last):
        if keep_B[b]:
            row = blocks[b, B_ELEMENT] - first_element
            unit = places[row, UNIT]
            if unit >= 0:
                places[unit, NUM_OWN] += 1
                places[unit, NUM_LINE_BREAKS] += blocks[b, B_BREAKS]
                if places[row, PRE_OF] >= 0:
                    places[unit, NUM_LINE_BREAKS] += has_line_feed(b, blocks, text)


@inlined
def has_line_feed(b: int, blocks: np.ndarray, text: np.ndarray) -> bool:
    """Whether a block is of several lines."""
    i, end = blocks[b, B_START], blocks[b, B_END]
    while i < end and text[i] != LINE_FEED:
        i += 1
    return i < end


@inlined
def separator(row: int, other: int, elements: np.ndarray, first: int, places: np.ndarray) -> int:
    """TAB, LINE or BLANK_LINE: what stands between a kept block and the next, by the rows of their elements."""
    if places[row, PRE_OF] >= 0 and places[row, PRE_OF] == places[other, PRE_OF]:
        return BLANK_LINE if row == other else LINE  # two <br> in a row, or lines that are elements
    unit, next_unit = places[row, UNIT], places[other, UNIT]
    if unit < 0 or next_unit < 0 or unit == next_unit:
        return BLANK_LINE
    if places[unit, NUM_OWN] != 1 or places[next_unit, NUM_OWN] != 1:
        return BLANK_LINE
    is_cell = TAG_BITS[elements[first + unit, E_TAG]] & CELL
    if is_cell != TAG_BITS[elements[first + next_unit, E_TAG]] & CELL:
        return BLANK_LINE
    if not is_cell:
        return LINE if places[unit, CHAIN] == places[next_unit, CHAIN] else BLANK_LINE
    if places[unit, NUM_LINE_BREAKS] or places[next_unit, NUM_LINE_BREAKS]:
        return BLANK_LINE
    if places[unit, TABLE_OF] != places[next_unit, TABLE_OF]:
        return BLANK_LINE
    return TAB if places[unit, ROW_OF] == places[next_unit, ROW_OF] else LINE
