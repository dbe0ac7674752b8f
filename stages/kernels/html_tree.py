"""The stack of open elements: what a start tag closes, what an end tag closes, what elements a page has.

Reads:  tags as the scan meets them
Writes: rows of `elements`; the stack
Cost:   2 to 10 ns a tag, however deep the stack is: what is searched for is linked, not walked to
Source: https://html.spec.whatwg.org/#parsing-main-inbody and #parsing-main-intable, without the adoption agency and
        foster parents: text stays where it stands in the bytes. Depth: browsers stop at 512 as well
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.kernels.html_tags import (
    BARRIER,
    BLOCK,
    CELL,
    CLOSES_P,
    DEFINITION,
    HEADING,
    LIST,
    NUMBER,
    ROW,
    ROWS,
    TABLE,
    TAG_BITS,
)  # fmt: skip
from stages.kernels.html_text import (
    BOLD_DEPTH,
    DEEP,
    DEPTH,
    E_DEPTH,
    E_FIRST_TOKEN,
    E_FLAGS,
    E_PARENT,
    E_TAG,
    LINK_DEPTH,
    LINK_ELEMENT,
    NUM_ELEMENTS,
    ODDITIES,
    OVERFLOW,
    PRE,
    end_bold_run,
    end_link_run,
)  # fmt: skip
from stages.kernels.inlined import inlined

MAX_DEPTH = 512
_P, _LI, _PRE, _LISTING, _BODY, _HTML = (NUMBER[name] for name in ("p", "li", "pre", "listing", "body", "html"))
_DD, _DT, _TD, _TH, _TR, _TBODY, _THEAD, _TFOOT, _TABLE = (
    NUMBER[name] for name in ["dd", "dt", "td", "th", "tr", "tbody", "thead", "tfoot", "table"]
)
_H1, _H6 = NUMBER["h1"], NUMBER["h6"]


class Stack(NamedTuple):
    """Of every open element, int32[MAX_DEPTH]: `tag`, `element`, `block_element` (the innermost block around it).

    Places in the stack, -1 for none: `below` (the next one of the same tag), `barrier`, `scope` and `block` (the
    innermost one up to here with BARRIER, with BARRIER or LIST, with BLOCK); `innermost` int32, by tag.
    """

    tag: np.ndarray
    element: np.ndarray
    block_element: np.ndarray
    below: np.ndarray
    barrier: np.ndarray
    scope: np.ndarray
    block: np.ndarray
    innermost: np.ndarray


NUM_PLACES = len(Stack._fields) - 1


@inlined
def begin_stack(row: int, s: np.ndarray, stack: Stack) -> None:
    """A stack of a root alone, which has no tag and the given row in `elements`."""
    stack.innermost[:] = -1
    stack.tag[0], stack.element[0], stack.block_element[0] = 0, row, row
    stack.below[0] = stack.barrier[0] = stack.scope[0] = stack.block[0] = -1
    s[DEPTH], s[OVERFLOW] = 1, 0


@inlined
def pop_to(depth: int, s: np.ndarray, stack: Stack, links: np.ndarray) -> None:
    """Close elements until `depth` are left, and the links and bold text opened in them."""
    s[OVERFLOW] = 0
    while s[DEPTH] > depth:
        s[DEPTH] -= 1
        tag = stack.tag[s[DEPTH]]
        stack.innermost[tag] = stack.below[s[DEPTH]]
        if tag in (_PRE, _LISTING):
            s[PRE] -= 1
    if s[LINK_ELEMENT] >= 0 and s[LINK_DEPTH] > depth:
        end_link_run(s, links)
        s[LINK_ELEMENT] = -1
    if s[BOLD_DEPTH] > depth:
        end_bold_run(s)
        s[BOLD_DEPTH] = -1


@inlined
def push(
    tag: int, parent: int, hidden: int, first_token: int, s: np.ndarray, stack: Stack, elements: np.ndarray
) -> int:
    """Open an element; its row in `elements`."""
    row = add_element(tag, parent, hidden, first_token, s, elements)
    depth = s[DEPTH]
    if depth == MAX_DEPTH:
        s[OVERFLOW] += 1
        s[ODDITIES] |= DEEP
        return row
    bits = TAG_BITS[tag]
    stack.tag[depth], stack.element[depth] = tag, row
    stack.block_element[depth] = row if bits & BLOCK else stack.block_element[depth - 1]
    stack.block[depth] = depth if bits & BLOCK else stack.block[depth - 1]
    stack.barrier[depth] = depth if bits & BARRIER else stack.barrier[depth - 1]
    stack.scope[depth] = depth if bits & (BARRIER | LIST) else stack.scope[depth - 1]
    stack.below[depth] = stack.innermost[tag]
    stack.innermost[tag] = depth
    s[DEPTH] += 1
    if tag in (_PRE, _LISTING):
        s[PRE] += 1
    return row


@inlined
def add_element(tag: int, parent: int, hidden: int, first_token: int, s: np.ndarray, elements: np.ndarray) -> int:
    row = s[NUM_ELEMENTS]
    elements[row, E_PARENT], elements[row, E_TAG], elements[row, E_FIRST_TOKEN] = parent, tag, first_token
    elements[row, E_FLAGS] = hidden | elements[parent, E_FLAGS]
    elements[row, E_DEPTH] = elements[parent, E_DEPTH] + 1
    s[NUM_ELEMENTS] += 1
    return row


@inlined
def closed_by_start(tag: int, bits: int, s: np.ndarray, stack: Stack) -> int:
    """The place of the outermost element that the start tag closes; -1 for none."""
    top, innermost = s[DEPTH] - 1, stack.innermost
    place = item = stop = -1
    if bits & CLOSES_P and innermost[_P] > stack.barrier[top]:
        place = innermost[_P]
    if tag == _LI:
        item, stop = innermost[_LI], stack.scope[top]
    elif bits & DEFINITION:
        item, stop = max(innermost[_DD], innermost[_DT]), stack.scope[top]
    elif bits & CELL:
        item, stop = max(innermost[_TD], innermost[_TH]), max(innermost[_TABLE], innermost[_TR])
    elif bits & ROW:
        item, stop = innermost[_TR], innermost[_TABLE]
    elif bits & ROWS:
        item, stop = max(innermost[_TBODY], innermost[_THEAD], innermost[_TFOOT]), innermost[_TABLE]
    elif bits & HEADING and TAG_BITS[stack.tag[top]] & HEADING:
        item = top
    if item > stop and (place < 0 or item < place):
        place = item
    return place


@inlined
def closed_by_end(tag: int, bits: int, s: np.ndarray, stack: Stack) -> int:
    """The place of the element that the end tag closes; -1 where it closes none."""
    top, place = s[DEPTH] - 1, stack.innermost[tag]
    if tag in (_BODY, _HTML):
        return -1
    if not bits & BLOCK:
        stop = stack.block[top]
    elif bits & (CELL | ROW | ROWS | TABLE):
        stop = stack.innermost[_TABLE]
    elif tag == _LI or bits & DEFINITION:
        stop = stack.scope[top]
    else:
        stop = stack.barrier[top]
        if bits & HEADING:
            for other in range(_H1, _H6 + 1):
                place = max(place, stack.innermost[other])
    return place if place >= stop else -1
