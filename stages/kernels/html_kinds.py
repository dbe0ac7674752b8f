"""What a block is on its page, by the elements around it alone: navigation, comment, heading, list item, paragraph.

Reads:  the rows of a scan
Writes: `kind_B` uint8[B], places in KINDS
Cost:   about 55 ns a block, with three elements and seven tokens for each
Source: https://html.spec.whatwg.org/#the-header-element and the elements beside it; words that themes of the common
        publishing systems give their containers, in a few languages; no site's own names

A kind says nothing of whether a block is main text; stages/kernels/html_verdicts.py leaves comments and bylines out by
it, and reports and explanations count and name blocks by it. Words of `html` and `body` say what a page has
(`has-sidebar`), so they are passed over, as are containers that hold most of the page's text.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_attributes import ITEMPROP_SALT, ROLE_SALT, token_hash
from stages.kernels.html_tags import NUMBER, TAGS
from stages.kernels.html_text import (
    B_ELEMENT,
    B_END,
    B_LINK_BYTES,
    B_START,
    B_TEXT_ELEMENT,
    E_FIRST_TOKEN,
    E_FLAGS,
    E_HIDDEN,
    E_PARENT,
    E_TAG,
    Scanned,
)  # fmt: skip
from stages.kernels.inlined import inlined

KINDS = (
    "hidden", "comment", "navigation", "header", "footer", "aside", "form", "caption", "byline", "heading", "code",
    "list item", "table cell", "quote", "paragraph", "other",
)  # fmt: skip
(
    HIDDEN, COMMENT, NAVIGATION, HEADER, FOOTER, ASIDE, FORM, CAPTION, BYLINE, HEADING, CODE, LIST_ITEM, TABLE_CELL,
    QUOTE, PARAGRAPH, OTHER,
) = range(len(KINDS))  # fmt: skip

SHORT_BYTES = 200  # bylines and cells of tables are shorter; so are menus' entries
PARAGRAPH_BYTES = 80  # of text that stands in no <p>
LINKED_SHARE = 0.9  # of the bytes of a block that is nearly all links

# Bits of an element: bit k for kind k somewhere on its path, and the following.
_IN_ARTICLE, _OF_ARTICLE, _SAYS_HAS, _NEAR_BYLINE = 1 << 16, 1 << 17, 1 << 18, 1 << 19
_BYLINE_LEVELS = 0b111 * _NEAR_BYLINE  # a byline's name counts for its element and the two levels below
_PLACES = 1 << LIST_ITEM | 1 << TABLE_CELL | 1 << QUOTE  # the innermost counts
_CONTAINERS = 1 << NAVIGATION | 1 << HEADER | 1 << FOOTER | 1 << ASIDE | 1 << FORM
_HOLDS_H1, _HOLDS_MAIN = 1, 2

_WORDS = {
    # WordPress and its likes (comment, commentlist, respond), Disqus, and the word in other languages' themes.
    1 << COMMENT: "comment comments commentlist comment-list disqus respond replies kommentar kommentare commentaire"
    " commentaires comentario comentarios commenti reacties komentarze komentar yorumlar pinglun",
    1 << NAVIGATION: "nav navbar navigation menu submenu breadcrumb breadcrumbs pagination pager",
    1 << HEADER: "header masthead topbar",
    1 << FOOTER: "footer colophon copyright",
    1 << ASIDE: "aside sidebar widget related",
    1 << CAPTION: "caption figcaption wp-caption",
    _NEAR_BYLINE: "author byline date dateline time timestamp published posted meta postmeta autor auteur datum fecha",
    # `entry-header` is the header of an article, not of the page.
    _OF_ARTICLE: "entry post article story content section single",
    # `has-sidebar`, `no-comments`: the page's layout, not what the element holds.
    _SAYS_HAS: "has with no without",
}
_ROLES = {
    1 << NAVIGATION: "navigation menu menubar", 1 << HEADER: "banner", 1 << FOOTER: "contentinfo",
    1 << ASIDE: "complementary", 1 << FORM: "search form",
}  # fmt: skip
_PROPERTIES = {_NEAR_BYLINE: "author date published", 1 << COMMENT: "comment"}
_TAGS = {
    1 << NAVIGATION: "nav", 1 << HEADER: "header", 1 << FOOTER: "footer", 1 << ASIDE: "aside",
    1 << FORM: "form button label fieldset option optgroup", 1 << CAPTION: "figcaption caption", _NEAR_BYLINE: "time",
    1 << HEADING: "h1 h2 h3 h4 h5 h6", 1 << CODE: "pre listing", 1 << LIST_ITEM: "li dt dd", 1 << TABLE_CELL: "td th",
    1 << QUOTE: "blockquote", _IN_ARTICLE: "article main",
}  # fmt: skip

NUM_SLOTS = 1024


def _token_table() -> tuple[np.ndarray, np.ndarray]:
    """(token, its bits) by slot; no token of these is 0."""
    keys, bits = np.zeros(NUM_SLOTS, np.uint32), np.zeros(NUM_SLOTS, np.int64)
    for table, salt in ((_WORDS, 0), (_ROLES, ROLE_SALT), (_PROPERTIES, ITEMPROP_SALT)):
        for bit, words in table.items():
            for word in words.split():
                token = token_hash(word, salt)
                slot = token % NUM_SLOTS
                while keys[slot] and keys[slot] != token:
                    slot = (slot + 1) % NUM_SLOTS
                keys[slot] = token
                bits[slot] |= bit
    return keys, bits


def _tag_bits() -> np.ndarray:
    bits = np.zeros(len(TAGS), np.int64)
    for bit, names in _TAGS.items():
        for name in names.split():
            bits[NUMBER[name]] |= bit
    return bits


_KEYS, _TOKEN_BITS = _token_table()
_BITS_OF_TAG = _tag_bits()
_H1, _MAIN, _BODY, _HTML, _P, _HEADER = (NUMBER[name] for name in ("h1", "main", "body", "html", "p", "header"))


@inlined
def _bits_of_token(token: int) -> int:
    slot = np.int64(token) & (NUM_SLOTS - 1)
    while _KEYS[slot]:
        if _KEYS[slot] == token:
            return _TOKEN_BITS[slot]
        slot = (slot + 1) & (NUM_SLOTS - 1)
    return 0


@inlined
def _weigh(
    blocks: np.ndarray, first: int, last: int, elements: np.ndarray, first_element: int, last_element: int,
    mass: np.ndarray, holds: np.ndarray,
) -> None:  # fmt: skip
    """Fill `mass`, the bytes of text that is not linked, and `holds`, of what is below each of a page's elements."""
    for e in range(first_element, last_element):
        tag = elements[e, E_TAG]
        mass[e - first_element] = 0
        holds[e - first_element] = _HOLDS_H1 if tag == _H1 else _HOLDS_MAIN if tag == _MAIN else 0
    for b in range(first, last):
        mass[blocks[b, B_ELEMENT] - first_element] += max(
            blocks[b, B_END] - blocks[b, B_START] - blocks[b, B_LINK_BYTES], 0
        )
    for e in range(last_element - 1, first_element, -1):
        parent = elements[e, E_PARENT] - first_element
        mass[parent] += mass[e - first_element]
        holds[parent] |= holds[e - first_element]


@inlined
def _element_bits(
    elements: np.ndarray, tokens: np.ndarray, first: int, last: int, token_end: int, mass: np.ndarray,
    holds: np.ndarray, bits: np.ndarray,
) -> None:  # fmt: skip
    """Fill `bits`, of elements[first:last], a page's."""
    bits[0] = 0
    for e in range(first + 1, last):
        tag, above = elements[e, E_TAG], bits[elements[e, E_PARENT] - first]
        of_tag: Any = np.int64(_BITS_OF_TAG[tag])
        own: Any = np.int64(0)
        if tag != _BODY and tag != _HTML:
            end = elements[e + 1, E_FIRST_TOKEN] if e + 1 < last else token_end
            for t in range(elements[e, E_FIRST_TOKEN], end):
                own |= _bits_of_token(tokens[t])
        if own & _SAYS_HAS:
            own = np.int64(0)
        if own & _OF_ARTICLE:
            own &= ~(1 << HEADER | 1 << FOOTER)
        if holds[e - first] or above & 1 << CODE:  # editors colour comments in code by that name
            own &= ~(1 << COMMENT)
        if tag == _HEADER and above & _IN_ARTICLE:
            of_tag = np.int64(0)
        own |= of_tag
        if 2 * mass[e - first] > mass[0]:
            own &= ~(_CONTAINERS | _NEAR_BYLINE)
        if own & _PLACES:
            above &= ~_PLACES
        levels = (above & _BYLINE_LEVELS) << 1 & _BYLINE_LEVELS
        bits[e - first] = above & ~_BYLINE_LEVELS | levels | own & ~(_OF_ARTICLE | _SAYS_HAS)


@inlined
def _kind(b: int, blocks: np.ndarray, elements: np.ndarray, first_element: int, bits: np.ndarray) -> int:
    element, text_element = blocks[b, B_ELEMENT], blocks[b, B_TEXT_ELEMENT]
    num_bytes = blocks[b, B_END] - blocks[b, B_START]
    around, at_text = bits[element - first_element], bits[text_element - first_element]
    if elements[text_element, E_FLAGS] & E_HIDDEN:
        return HIDDEN
    if around & 1 << COMMENT:
        return COMMENT
    is_short = num_bytes < SHORT_BYTES
    all_linked = is_short and blocks[b, B_LINK_BYTES] >= LINKED_SHARE * num_bytes
    if around & 1 << NAVIGATION or (all_linked and not around & (1 << HEADING | 1 << CAPTION | 1 << CODE)):
        return NAVIGATION
    for kind in (HEADER, FOOTER, ASIDE):
        if around & 1 << kind:
            return kind
    if at_text & 1 << FORM:  # a button or label within a paragraph's line
        return FORM
    if around & 1 << CAPTION:
        return CAPTION
    if is_short and at_text & _BYLINE_LEVELS and not around & 1 << HEADING:
        return BYLINE
    for kind in (HEADING, CODE, LIST_ITEM):
        if around & 1 << kind:
            return kind
    if around & 1 << TABLE_CELL:
        return TABLE_CELL if is_short else PARAGRAPH  # longer ones are of tables that lay a page out
    if around & 1 << QUOTE:
        return QUOTE
    return PARAGRAPH if elements[element, E_TAG] == _P or num_bytes >= PARAGRAPH_BYTES else OTHER


@kernel
def _fill_kinds(
    rows: Scanned, block_offsets: np.ndarray, element_offsets: np.ndarray, token_offsets: np.ndarray, kind_B: np.ndarray
) -> None:
    num_elements = 0  # of the largest page
    for n in range(len(block_offsets) - 1):
        num_elements = max(num_elements, element_offsets[n + 1] - element_offsets[n])
    mass, holds = np.empty(num_elements, np.int64), np.empty(num_elements, np.uint8)
    bits = np.empty(num_elements, np.int64)
    for n in range(len(block_offsets) - 1):
        first, last = block_offsets[n], block_offsets[n + 1]
        first_element, last_element = element_offsets[n], element_offsets[n + 1]
        _weigh(rows.blocks, first, last, rows.elements, first_element, last_element, mass, holds)
        _element_bits(
            rows.elements, rows.tokens, first_element, last_element, token_offsets[n + 1], mass, holds, bits
        )  # fmt: skip
        for b in range(first, last):
            kind_B[b] = _kind(b, rows.blocks, rows.elements, first_element, bits)


def kinds(
    rows: Scanned, block_offsets: np.ndarray, element_offsets: np.ndarray, token_offsets: np.ndarray
) -> np.ndarray:  # fmt: skip
    """uint8[B]: the kind of every block of a scan, places in KINDS; offsets int64[N + 1] as in Scan."""
    kind_B = np.empty(len(rows.blocks), np.uint8)
    _fill_kinds(rows, block_offsets, element_offsets, token_offsets, kind_B)
    return kind_B
