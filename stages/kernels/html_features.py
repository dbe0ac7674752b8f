"""What the trees look at, of a block itself: its text, its element, the elements around it. A byte per feature.

Reads:  a page's blocks, counts, sums of learned weights, paths
Writes: rows of `features` uint8[NUM_FEATURES, B]: a row per feature, so that trees compare many blocks at once
Cost:   about 0.1 us a block
Source: Kohlschütter et al. 2010, "Boilerplate Detection using Shallow Text Features" (lengths, link shares); our own
        measurements: docs/log.md

Lengths are logarithms in steps of a sixteenth of an octave, shares are of 255, sums of weights (sixteenths of a logit)
are around 128. Whole numbers throughout: the same page has the same features on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.byte_masks import last_bit
from stages.kernels.html_structure import BIT_OF, BITS, COMMENT_BIT, HIDDEN_BIT, LEAST, MOST, NEAR, OWN, SUM, TOTAL
from stages.kernels.html_tags import NUMBER, TAGS
from stages.kernels.html_text import (
    B_BOLD_BYTES,
    B_BREAKS,
    B_ELEMENT,
    B_END,
    B_IMAGES,
    B_LINK_BYTES,
    B_LINKS,
    B_START,
    B_TAGS,
    B_TEXT_ELEMENT,
    E_TAG,
)  # fmt: skip
from stages.kernels.html_words import (
    BEGINS_WITH,
    CAPITALS,
    CHARS,
    COMMAS,
    DIGITS,
    ENDS_IN,
    HALF_WORDS,
    SEPARATORS,
    STOPS,
    WORDS,
)  # fmt: skip
from stages.kernels.inlined import inlined

OWN_FEATURES = (
    "length", "chars", "link_share", "links", "bold_share", "commas", "stops", "punctuation", "digits", "capitals",
    "separators", "ends_in", "begins_with", "word_length", "breaks", "tags", "images", "words", "least_word",
    "most_word", "structure", "own_weight", "least_weight", "most_weight", "words_and_structure", "heading", "tag",
    "navigation", "header", "footer", "aside", "article", "form", "hidden", "table", "list", "quote", "figure",
    "title_share", "title_covered", "announces", "path_words", "in_comments",
)  # fmt: skip
(
    LENGTH, LETTERS, LINK_SHARE, LINKS, BOLD_SHARE, NUM_COMMAS, NUM_STOPS, PUNCTUATION, DIGIT_SHARE, CAPITAL_SHARE,
    NUM_SEPARATORS, ENDING, BEGINNING, WORD_LENGTH, NUM_BREAKS, TAGS_BEFORE, IMAGES_BEFORE, WORD_SUM, LEAST_WORD,
    MOST_WORD, STRUCTURE, OWN_WEIGHT, LEAST_WEIGHT, MOST_WEIGHT, BOTH, HEADING_LEVEL, TAG_GROUP, IN_NAVIGATION,
    IN_HEADER, IN_FOOTER, IN_ASIDE, IN_ARTICLE, IN_FORM, IS_HIDDEN, IN_TABLE, IN_LIST, IN_QUOTE, IN_FIGURE,
    TITLE_SHARE, TITLE_COVERED, ANNOUNCES, PATH_WORDS, IN_COMMENTS,
) = range(len(OWN_FEATURES))  # fmt: skip

# Sums over a block's words: of weights, least, most, words that were weighed.
W_SUM, W_LEAST, W_MOST, W_TITLE, W_FOLLOW, NUM_WORD_SUMS = range(6)

_GROUPS = ("", "p", "blockquote", "pre", "li", "dd", "dt", "td", "th", "figcaption", "caption", "div", "center", "form")
_GROUP_OF_TAG = np.array([_GROUPS.index(name) if name in _GROUPS else 0 for name in TAGS], np.uint8)
_H1, _H6 = NUMBER["h1"], NUMBER["h6"]


def _bits(*names: str) -> int:
    return sum(BIT_OF[name] for name in names)


_BITS = np.array(
    [
        _bits("nav"), _bits("header"), _bits("footer"), _bits("aside"), _bits("article", "main"),
        _bits("form", "button", "label"), HIDDEN_BIT, _bits("table"), _bits("ul", "ol", "dl"), _bits("blockquote"),
        _bits("figure"),
    ],
    np.int64,
)  # fmt: skip


@inlined
def octaves(number: Any) -> Any:
    """16 log2(1 + number), by straight lines between powers of two; at most 255."""
    number += 1
    exponent = last_bit(np.uint64(number))
    return min(16 * exponent + ((number << 4) >> exponent) - 16, 255)


@inlined
def quotient(part: Any, whole: Any) -> Any:
    """part // whole for 0 <= part < 2^45 and 0 < whole < 2^45: the same as in whole numbers, several times as fast. The
    quotient of two such numbers is further below the next whole number than the rounding of doubles reaches."""
    return np.int64(np.float64(part) / np.float64(whole))


@inlined
def share(part: Any, whole: Any) -> Any:
    """255 part / whole; 0 of nothing."""
    return min(quotient(255 * part, whole), 255) if whole > 0 else 0


@inlined
def around_128(number: Any) -> Any:
    return min(max(number + 128, 0), 255)


@inlined
def own_features(
    b: int, row: np.ndarray, blocks: np.ndarray, counts: np.ndarray, sums: np.ndarray, path: np.ndarray,
    elements: np.ndarray, num_title_words: int,
) -> None:  # fmt: skip
    """Fill row[:len(OWN_FEATURES)], uint8, for block b."""
    half, num_bytes = np.int64(counts[b, HALF_WORDS]), np.int64(blocks[b, B_END] - blocks[b, B_START])
    num_words, num_chars = np.int64(counts[b, WORDS]), np.int64(counts[b, CHARS])
    marks = np.int64(counts[b, COMMAS] + counts[b, STOPS])
    row[LENGTH], row[LETTERS] = octaves(half), octaves(num_chars)
    row[LINK_SHARE], row[LINKS] = share(blocks[b, B_LINK_BYTES], num_bytes), octaves(blocks[b, B_LINKS])
    row[BOLD_SHARE] = share(blocks[b, B_BOLD_BYTES], num_bytes)
    row[NUM_COMMAS], row[NUM_STOPS] = octaves(counts[b, COMMAS]), octaves(counts[b, STOPS])
    row[PUNCTUATION], row[DIGIT_SHARE] = share(8 * marks, half), share(counts[b, DIGITS], num_chars)
    row[CAPITAL_SHARE] = share(counts[b, CAPITALS], num_words)
    row[NUM_SEPARATORS] = octaves(counts[b, SEPARATORS])
    row[ENDING], row[BEGINNING] = counts[b, ENDS_IN] + 1, counts[b, BEGINS_WITH] + 1
    row[WORD_LENGTH] = share(2 * num_chars, 24 * half)
    row[NUM_BREAKS], row[TAGS_BEFORE] = octaves(blocks[b, B_BREAKS]), octaves(blocks[b, B_TAGS])
    row[IMAGES_BEFORE] = octaves(blocks[b, B_IMAGES])
    words = np.int64(sums[b, W_SUM])
    row[WORD_SUM] = around_128(words)
    row[LEAST_WORD], row[MOST_WORD] = around_128(sums[b, W_LEAST]), around_128(sums[b, W_MOST])
    e, block_e = blocks[b, B_TEXT_ELEMENT], blocks[b, B_ELEMENT]
    structure = np.int64(path[e, TOTAL])
    row[STRUCTURE], row[OWN_WEIGHT] = (
        around_128(structure),
        around_128(np.int64(path[e, OWN]) + np.int64(path[e, NEAR])),
    )
    row[LEAST_WEIGHT], row[MOST_WEIGHT] = around_128(path[e, LEAST]), around_128(path[e, MOST])
    row[BOTH] = around_128((words + structure) // 2)
    tag = elements[block_e, E_TAG]
    row[HEADING_LEVEL] = tag - _H1 + 1 if _H1 <= tag <= _H6 else 0
    row[TAG_GROUP] = _GROUP_OF_TAG[tag]
    bits = np.int64(path[e, BITS])
    for k in range(len(_BITS)):
        row[IN_NAVIGATION + k] = (bits & _BITS[k]) != 0
    row[TITLE_SHARE] = share(sums[b, W_TITLE], num_words)
    row[TITLE_COVERED] = share(sums[b, W_TITLE], num_title_words)
    row[ANNOUNCES], row[PATH_WORDS] = around_128(sums[b, W_FOLLOW]), around_128(path[e, SUM])
    row[IN_COMMENTS] = (bits & COMMENT_BIT) != 0
