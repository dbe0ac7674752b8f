"""What the trees look at, of a block's surroundings: where it stands, its containers, neighbours, blocks built alike.

Reads:  the features of html_features.py, words, paths, elements
Writes: further rows of `features`
Cost:   about 0.2 us a block
Source: Vogels et al. 2018, "Web2Text" (neighbours, containers); our own measurements: docs/log.md. Lengths of a whole
        page are left out: with them the trees learn pages by heart
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_features import (
    ANNOUNCES,
    BOTH,
    HEADING_LEVEL,
    LENGTH,
    LINK_SHARE,
    OWN_FEATURES,
    TAG_GROUP,
    TITLE_COVERED,
    TITLE_SHARE,
    octaves,
    quotient,
    share,
)  # fmt: skip
from stages.kernels.html_structure import BITS, COMMENT_BIT, SIGNATURE
from stages.kernels.html_text import B_ELEMENT, B_TEXT_ELEMENT, E_PARENT
from stages.kernels.html_totals import (
    NUM_TOTALS,
    T_BLOCKS,
    T_LENGTH,
    T_LINKED,
    T_MASS,
    levels_below,
    linked,
    main_element,
    mark_main,
    sum_elements,
)  # fmt: skip
from stages.kernels.html_word_sums import pair_hash
from stages.kernels.html_words import FIRST_WORD, HALF_WORDS
from stages.kernels.inlined import inlined

CONTEXT_FEATURES = (
    "block_share", "blocks_before", "blocks_after", "length_before_share", "length_before", "length_after",
    "mass_before", "since_long", "until_long", "since_heading", "since_h1", "before_length", "before_links",
    "before_both", "before_same", "after_length", "after_links", "after_both", "after_same", "before2_length",
    "before2_both", "after2_length", "after2_both", "parent_length", "parent_links", "parent_blocks", "parent_share",
    "parent_mass", "grandparent_length", "grandparent_links", "grandparent_blocks", "grandparent_share",
    "grandparent_mass", "third_share", "third_mass", "in_main", "below_common", "alike", "alike_length", "alike_links",
    "announced", "least_announced", "least_announced_all", "most_announced", "opening", "opening_near",
    "comments_before", "since_comments", "since_title", "until_title",
)  # fmt: skip
(
    BLOCK_SHARE, BLOCKS_BEFORE, BLOCKS_AFTER, LENGTH_BEFORE_SHARE, LENGTH_BEFORE, LENGTH_AFTER, MASS_BEFORE, SINCE_LONG,
    UNTIL_LONG, SINCE_HEADING, SINCE_H1, BEFORE_LENGTH, BEFORE_LINKS, BEFORE_BOTH, BEFORE_SAME, AFTER_LENGTH,
    AFTER_LINKS, AFTER_BOTH, AFTER_SAME, BEFORE2_LENGTH, BEFORE2_BOTH, AFTER2_LENGTH, AFTER2_BOTH, PARENT_LENGTH,
    PARENT_LINKS, PARENT_BLOCKS, PARENT_SHARE, PARENT_MASS, GRANDPARENT_LENGTH, GRANDPARENT_LINKS, GRANDPARENT_BLOCKS,
    GRANDPARENT_SHARE, GRANDPARENT_MASS, THIRD_SHARE, THIRD_MASS, IN_MAIN, BELOW_COMMON, ALIKE, ALIKE_LENGTH,
    ALIKE_LINKS, ANNOUNCED, LEAST_ANNOUNCED, LEAST_ANNOUNCED_ALL, MOST_ANNOUNCED, OPENING, OPENING_NEAR,
    COMMENTS_BEFORE, SINCE_COMMENTS, SINCE_TITLE, UNTIL_TITLE,
) = range(len(OWN_FEATURES), len(OWN_FEATURES) + len(CONTEXT_FEATURES))  # fmt: skip

# Sums over blocks with one signature: elements of the same tags and classes on the whole path.
A_BLOCKS, A_LENGTH, A_LINKED, A_MASS, NUM_ALIKE = range(5)
# What is known of the blocks before one: half words, mass, the last long block, heading, h1, block like the title,
# elements whose class speaks of comments and the block after the last one, the element looked at next, the last
# announcement, the least one so far.
(
    S_LENGTH, S_MASS, S_LONG, S_HEADING, S_H1, S_TITLE, S_NUM_COMMENTS, S_COMMENTS, S_ELEMENT, S_ANNOUNCED, S_LEAST,
    NUM_SO_FAR,
) = range(12)  # fmt: skip
LONG_HALF_WORDS, LONG_LINKS = 40, 85  # a long block: twenty words, a third of them linked at most
ANNOUNCED_BLOCKS = 8  # back from a block
OPENING_BLOCKS = 4  # to each side
TITLE_MATCH = 128  # of 255: of the title and of the block
NEUTRAL = 128  # a sum of weights of nothing
# 255 times the logistic function of the distance from 128 in eighths.
LOGISTIC = np.array([round(255 / (1 + np.exp((128 - k) / 8))) for k in range(256)], np.int64)


@inlined
def since(place: int, b: int) -> Any:
    """How far block b stands from the block `place`; 255 where that is -1, no block."""
    return octaves(abs(b - place)) if place >= 0 else 255


@inlined
def is_long(b: int, row: np.ndarray, counts: np.ndarray) -> bool:
    return counts[b, HALF_WORDS] >= LONG_HALF_WORDS and row[LINK_SHARE] <= LONG_LINKS


@inlined
def is_title(row: np.ndarray) -> bool:
    return row[TITLE_COVERED] >= TITLE_MATCH and row[TITLE_SHARE] >= TITLE_MATCH


@inlined
def slot_of(signature: Any, keys: np.ndarray) -> int:
    """The place of a signature in the open table `keys` (int32, a power of two, 0 is empty), entered if it is new."""
    key = np.int32(signature) | np.int32(1)
    mask = len(keys) - 1
    slot = (np.int64(key) * 0x9E3779B1 >> 7) & mask
    while keys[slot] and keys[slot] != key:
        slot = (slot + 1) & mask
    keys[slot] = key
    return int(slot)


@inlined
def opening_of(b: int, counts: np.ndarray, words: np.ndarray) -> np.uint32:
    """A hash of a block's first two words, of its only one, or 0."""
    start = counts[b, FIRST_WORD]
    if counts[b, HALF_WORDS] == 0:
        return np.uint32(0)
    if counts[b, HALF_WORDS] <= 2:
        return np.uint32(words[start])
    return np.uint32(pair_hash(words[start], words[start + 1]))


@inlined
def group_blocks(
    first: int, last: int, blocks: np.ndarray, counts: np.ndarray, path: np.ndarray, words: np.ndarray,
    keys: np.ndarray, alike: np.ndarray, slot_B: np.ndarray, opening_keys: np.ndarray, openings: np.ndarray,
    opening_B: np.ndarray,
) -> None:  # fmt: skip
    """Sum over blocks of one signature; count the blocks that begin with the same two words."""
    keys[:], alike[:], openings[:], opening_keys[:] = 0, 0, 0, 0
    for b in range(first, last):
        slot = slot_of(path[blocks[b, B_ELEMENT], SIGNATURE], keys)
        slot_B[b] = slot
        alike[slot, A_BLOCKS] += 1
        alike[slot, A_LENGTH] += counts[b, HALF_WORDS]
        alike[slot, A_LINKED] += linked(b, blocks, counts)
        opening_B[b] = slot_of(opening_of(b, counts, words), opening_keys)
        openings[opening_B[b]] += 1


@inlined
def place_features(
    b: int, first: int, last: int, row: np.ndarray, so_far: np.ndarray, page: np.ndarray
) -> None:  # fmt: skip
    """Where in the page block b stands. `page`: totals of the page."""
    row[BLOCK_SHARE] = share(b - first, last - first)
    row[BLOCKS_BEFORE], row[BLOCKS_AFTER] = octaves(b - first), octaves(last - 1 - b)
    row[LENGTH_BEFORE_SHARE] = share(so_far[S_LENGTH], page[T_LENGTH])
    row[LENGTH_BEFORE] = octaves(so_far[S_LENGTH])
    row[LENGTH_AFTER] = octaves(max(page[T_LENGTH] - so_far[S_LENGTH], 0))
    row[MASS_BEFORE] = share(so_far[S_MASS], page[T_MASS])
    row[SINCE_LONG], row[SINCE_HEADING] = since(so_far[S_LONG], b), since(so_far[S_HEADING], b)
    row[SINCE_H1], row[SINCE_TITLE] = since(so_far[S_H1], b), since(so_far[S_TITLE], b)
    row[COMMENTS_BEFORE] = octaves(so_far[S_NUM_COMMENTS])
    row[SINCE_COMMENTS] = since(so_far[S_COMMENTS], b)
    row[ANNOUNCED], row[LEAST_ANNOUNCED_ALL] = so_far[S_ANNOUNCED], so_far[S_LEAST]


@inlined
def neighbour_features(b: int, first: int, last: int, row: np.ndarray, features: np.ndarray) -> None:
    """Of the two blocks before and after, 0 where there are none; what the blocks before announce."""
    for k in range(BEFORE_LENGTH, AFTER2_BOTH + 1):
        row[k] = 0
    if b > first:
        row[BEFORE_LENGTH], row[BEFORE_LINKS] = features[b - 1, LENGTH], features[b - 1, LINK_SHARE]
        row[BEFORE_BOTH] = features[b - 1, BOTH]
        row[BEFORE_SAME] = 1 + (features[b - 1, TAG_GROUP] == row[TAG_GROUP])
    if b + 1 < last:
        row[AFTER_LENGTH], row[AFTER_LINKS] = features[b + 1, LENGTH], features[b + 1, LINK_SHARE]
        row[AFTER_BOTH] = features[b + 1, BOTH]
        row[AFTER_SAME] = 1 + (features[b + 1, TAG_GROUP] == row[TAG_GROUP])
    if b > first + 1:
        row[BEFORE2_LENGTH], row[BEFORE2_BOTH] = features[b - 2, LENGTH], features[b - 2, BOTH]
    if b + 2 < last:
        row[AFTER2_LENGTH], row[AFTER2_BOTH] = features[b + 2, LENGTH], features[b + 2, BOTH]
    least: Any = np.int64(NEUTRAL)
    most: Any = np.int64(NEUTRAL)
    for before in range(max(first, b - ANNOUNCED_BLOCKS), b):
        announces = np.int64(features[before, ANNOUNCES])
        least, most = min(least, announces), max(most, announces)
    row[LEAST_ANNOUNCED], row[MOST_ANNOUNCED] = least, most


@inlined
def container_features(
    e: int, row: np.ndarray, elements: np.ndarray, totals: np.ndarray, common: np.ndarray, page: np.ndarray
) -> None:  # fmt: skip
    """Of the three elements around a block's element `e`, and of its place beside the main element."""
    parent = elements[e, E_PARENT]
    grand = elements[parent, E_PARENT]
    third = elements[grand, E_PARENT]
    row[PARENT_LENGTH], row[PARENT_BLOCKS] = octaves(totals[parent, T_LENGTH]), octaves(totals[parent, T_BLOCKS])
    row[PARENT_LINKS] = share(totals[parent, T_LINKED], totals[parent, T_LENGTH])
    row[PARENT_SHARE] = share(totals[parent, T_LENGTH], page[T_LENGTH])
    row[PARENT_MASS] = share(totals[parent, T_MASS], page[T_MASS])
    row[GRANDPARENT_LENGTH] = octaves(totals[grand, T_LENGTH])
    row[GRANDPARENT_BLOCKS] = octaves(totals[grand, T_BLOCKS])
    row[GRANDPARENT_LINKS] = share(totals[grand, T_LINKED], totals[grand, T_LENGTH])
    row[GRANDPARENT_SHARE] = share(totals[grand, T_LENGTH], page[T_LENGTH])
    row[GRANDPARENT_MASS] = share(totals[grand, T_MASS], page[T_MASS])
    row[THIRD_SHARE] = share(totals[third, T_LENGTH], page[T_LENGTH])
    row[THIRD_MASS] = share(totals[third, T_MASS], page[T_MASS])
    row[IN_MAIN] = min(common[e], 255)
    row[BELOW_COMMON] = levels_below(e, elements, common)


@inlined
def pass_comments(e: int, last_seen: int, so_far: np.ndarray, elements: np.ndarray, path: np.ndarray) -> None:
    """Count the elements up to `e` that begin a part whose class speaks of comments; `last_seen`: the block."""
    while so_far[S_ELEMENT] <= e:
        at = so_far[S_ELEMENT]
        if path[at, BITS] & COMMENT_BIT and not path[elements[at, E_PARENT], BITS] & COMMENT_BIT:
            so_far[S_NUM_COMMENTS] += 1
            so_far[S_COMMENTS] = last_seen
        so_far[S_ELEMENT] += 1


@inlined
def pass_block(b: int, row: np.ndarray, counts: np.ndarray, likelihood: np.ndarray, so_far: np.ndarray) -> None:
    """Take block b into `so_far`."""
    so_far[S_LENGTH] += counts[b, HALF_WORDS]
    so_far[S_MASS] += np.int64(counts[b, HALF_WORDS]) * likelihood[b]
    so_far[S_LEAST] = min(so_far[S_LEAST], np.int64(row[ANNOUNCES]))
    if row[ANNOUNCES] != NEUTRAL:
        so_far[S_ANNOUNCED] = row[ANNOUNCES]
    if is_title(row):
        so_far[S_TITLE] = b
    if is_long(b, row, counts):
        so_far[S_LONG] = b
    if row[HEADING_LEVEL]:
        so_far[S_HEADING] = b
    if row[HEADING_LEVEL] == 1:
        so_far[S_H1] = b


@inlined
def look_ahead(first: int, last: int, counts: np.ndarray, features: np.ndarray) -> None:
    """The features that say what comes after a block, and how often short blocks near it begin as others do."""
    until, until_title = -1, -1
    for b in range(last - 1, first - 1, -1):
        row = features[b]
        near: Any = np.int64(0)
        for other in range(max(first, b - OPENING_BLOCKS), min(last, b + OPENING_BLOCKS + 1)):
            if other != b and counts[other, HALF_WORDS] <= LONG_HALF_WORDS:
                near = max(near, np.int64(features[other, OPENING]))
        row[OPENING_NEAR] = near
        row[UNTIL_TITLE], row[UNTIL_LONG] = since(until_title, b), since(until, b)
        if is_title(row):
            until_title = b
        if is_long(b, row, counts):
            until = b


@inlined
def context_features(
    first: int, last: int, first_element: int, last_element: int, blocks: np.ndarray, counts: np.ndarray,
    elements: np.ndarray, path: np.ndarray, words: np.ndarray, features: np.ndarray, likelihood: np.ndarray,
    totals: np.ndarray, common: np.ndarray, keys: np.ndarray, alike: np.ndarray, slot_B: np.ndarray,
    opening_keys: np.ndarray, openings: np.ndarray, opening_B: np.ndarray, so_far: np.ndarray, page: np.ndarray,
) -> None:  # fmt: skip
    """Fill the context rows of blocks[first:last]; `features` uint8[B, NUM_FEATURES]. The rest is scratch: `likelihood`
    uint8[B], `so_far` int64[NUM_SO_FAR], `page` int64[NUM_TOTALS], tables of a power of two."""
    for b in range(first, last):
        likelihood[b] = LOGISTIC[features[b, BOTH]]
    sum_elements(first, last, first_element, last_element, blocks, counts, elements, likelihood, totals)
    main = main_element(first_element, last_element, elements, totals)
    mark_main(main, first_element, last_element, elements, common)
    for k in range(NUM_TOTALS):
        page[k] = totals[first_element, k]
    group_blocks(first, last, blocks, counts, path, words, keys, alike, slot_B, opening_keys, openings, opening_B)
    so_far[:] = -1
    so_far[S_LENGTH] = so_far[S_MASS] = so_far[S_NUM_COMMENTS] = 0
    so_far[S_ANNOUNCED] = so_far[S_LEAST] = NEUTRAL
    so_far[S_ELEMENT] = first_element + 1
    for b in range(first, last):
        row, slot = features[b], slot_B[b]
        pass_comments(blocks[b, B_TEXT_ELEMENT], b, so_far, elements, path)
        place_features(b, first, last, row, so_far, page)
        neighbour_features(b, first, last, row, features)
        container_features(blocks[b, B_ELEMENT], row, elements, totals, common, page)
        row[ALIKE] = octaves(alike[slot, A_BLOCKS])
        row[ALIKE_LENGTH] = octaves(quotient(alike[slot, A_LENGTH], alike[slot, A_BLOCKS]))
        row[ALIKE_LINKS] = share(alike[slot, A_LINKED], alike[slot, A_LENGTH])
        row[OPENING] = octaves(openings[opening_B[b]])
        pass_block(b, row, counts, likelihood, so_far)
    look_ahead(first, last, counts, features)
