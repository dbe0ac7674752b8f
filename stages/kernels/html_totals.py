"""What stands below each element of a page, and which element is the main one.

Reads:  blocks with their lengths and how likely each is to be content, elements
Writes: `totals` int64[E, NUM_TOTALS], `common` int32[E]
Cost:   about 5 ns an element and 5 ns a block
Source: Vogels et al. 2018, "Web2Text" (common ancestors); our own measurements: docs/log.md

A block's mass is its length times how likely it is; the page's main element is the deepest one that holds at least
MAIN_SHARE of the page's mass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_text import B_ELEMENT, B_END, B_LINK_BYTES, B_START, E_PARENT
from stages.kernels.html_words import HALF_WORDS
from stages.kernels.inlined import inlined

# Sums over the blocks below an element: half words, those of links, blocks, mass.
T_LENGTH, T_LINKED, T_BLOCKS, T_MASS, NUM_TOTALS = range(5)
MAIN_SHARE = 160  # of 255
MAX_LEVELS = 12  # looked at between a block and the main element or its ancestors


@inlined
def linked(b: int, blocks: np.ndarray, counts: np.ndarray) -> Any:
    """Half words of a block that are linked."""
    num_bytes = np.int64(blocks[b, B_END] - blocks[b, B_START])
    return np.int64(counts[b, HALF_WORDS]) * np.int64(blocks[b, B_LINK_BYTES]) // num_bytes


@inlined
def sum_elements(
    first: int, last: int, first_element: int, last_element: int, blocks: np.ndarray, counts: np.ndarray,
    elements: np.ndarray, likelihood: np.ndarray, totals: np.ndarray,
) -> None:  # fmt: skip
    """Fill `totals` for a page; `likelihood` uint8[B] is what a block's mass is made with."""
    totals[first_element:last_element] = 0
    for b in range(first, last):
        e, half = blocks[b, B_ELEMENT], np.int64(counts[b, HALF_WORDS])
        totals[e, T_LENGTH] += half
        totals[e, T_LINKED] += linked(b, blocks, counts)
        totals[e, T_BLOCKS] += 1
        totals[e, T_MASS] += half * np.int64(likelihood[b])
    for e in range(last_element - 1, first_element, -1):
        parent = elements[e, E_PARENT]
        for k in range(NUM_TOTALS):
            totals[parent, k] += totals[e, k]


@inlined
def main_element(first_element: int, last_element: int, elements: np.ndarray, totals: np.ndarray) -> int:
    """The main element; elements stand in the order of their start tags."""
    best = first_element
    for e in range(first_element + 1, last_element):
        holds_mass = 255 * totals[e, T_MASS] >= MAIN_SHARE * totals[first_element, T_MASS]
        if holds_mass and elements[e, E_PARENT] == best:
            best = e
    return best


@inlined
def mark_main(
    main: int, first_element: int, last_element: int, elements: np.ndarray, common: np.ndarray
) -> None:  # fmt: skip
    """`common`: how many levels above the main element the nearest element is that holds both."""
    e, level = main, 0
    common[first_element:last_element] = -1
    while True:
        common[e] = level
        if e == elements[e, E_PARENT]:
            break
        e, level = elements[e, E_PARENT], level + 1
    for e in range(first_element, last_element):
        if common[e] < 0:
            common[e] = common[elements[e, E_PARENT]]


@inlined
def levels_below(e: int, elements: np.ndarray, common: np.ndarray) -> int:
    """How many levels `e` stands below the element that holds it and the main one; 0 inside the main one."""
    level = 0
    while common[e] > 0 and level < MAX_LEVELS and common[elements[e, E_PARENT]] == common[e]:
        if elements[e, E_PARENT] == e:
            break
        e, level = elements[e, E_PARENT], level + 1
    return level
