"""What is known of each HTML tag: whether it breaks text, holds raw text, ends paragraphs, is kept on the stack.

Reads:  a tag name in the bytes of a page
Writes: its number in TAGS and its bits
Cost:   3 ns a name
Source: https://html.spec.whatwg.org/#parsing-main-inbody (what closes what), #void-elements, the standard's rendering
        section (which elements are blocks). What is skipped with its content is our choice, named at SKIPPED

Names of other elements have the number OTHER: inline, on the stack, as browsers treat them.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.byte_masks import WIDTH, first_bit, load_8, mask_of
from stages.kernels.inlined import inlined


def _names(names: str) -> list[str]:
    return names.split()


VOID_TAGS = _names("area base br col embed hr img input link meta param source track wbr basefont bgsound frame keygen")
# Raw text: no tags in it. Nothing a reader sees, or (select, noscript, svg) nothing that is part of a text.
SKIPPED = _names(
    "script style noscript template svg select textarea iframe noembed noframes xmp object canvas title annotation "
    "annotation-xml"
)
# Skipped, but markup in browsers: the end tag of an element of the same name within does not end them.
SKIPPED_MARKUP = {"template", "svg", "object", "canvas"}
# Not on the stack: they are opened and closed so carelessly that they would tear blocks apart.
FORMATTING = _names("a b i u em strong font small big tt s strike code nobr ins del mark var kbd samp")
BLOCKS = _names(
    "html head body address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li listing main menu nav ol p pre search section "
    "summary table caption tbody td tfoot th thead tr ul video audio button optgroup option frameset"
)
INLINE = _names("span label cite q time abbr acronym sup sub dfn bdo bdi ruby rt rp data output meter progress math")
NOT_CLOSING_P = {"html", "head", "body", "button", "video", "audio", "td", "th", "tr", "tbody", "thead", "tfoot",
                 "caption", "option", "optgroup", "frameset"}  # fmt: skip
# An end tag outside does not close what stands inside one of these (the standard's scopes, simplified).
BARRIERS = {"td", "th", "caption", "table", "html", "body"}

OTHER = 0
TAGS = ["", *dict.fromkeys([*VOID_TAGS, *SKIPPED, *FORMATTING, *BLOCKS, *INLINE])]
NUMBER = {name: k for k, name in enumerate(TAGS)}
LISTS = {"ul", "ol", "menu", "dir", "dl"}
VOID, SKIP, FORMAT, BLOCK, CLOSES_P, BARRIER, HEADING, CELL, BOLD, LIST, TABLE, ROW, ROWS, DEFINITION, MARKUP = (
    1 << k for k in range(15)
)


def _bits(name: str) -> int:
    return (
        VOID * (name in VOID_TAGS)
        | SKIP * (name in SKIPPED)
        | FORMAT * (name in FORMATTING)
        | BLOCK * (name in BLOCKS)
        | CLOSES_P * (name in BLOCKS and name not in NOT_CLOSING_P)
        | BARRIER * (name in BARRIERS)
        | HEADING * (name in ("h1", "h2", "h3", "h4", "h5", "h6"))
        | CELL * (name in ("td", "th"))
        | BOLD * (name in ("b", "strong"))
        | LIST * (name in LISTS)
        | TABLE * (name == "table")
        | ROW * (name == "tr")
        | ROWS * (name in ("tbody", "thead", "tfoot"))
        | DEFINITION * (name in ("dd", "dt"))
        | MARKUP * (name in SKIPPED_MARKUP)
    )


TAG_BITS = np.array([_bits(name) for name in TAGS], np.int64)

NUM_SLOTS = 1024
LONGEST_KEY = 16  # bytes of a name that its key is made of
_FACTOR = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
_FOLD = 0x2020202020202020
_ALL = (1 << 64) - 1


def name_word(name: str) -> int:
    """The first eight bytes of a name as `first_word` reads them: lower case, zeros behind a shorter one."""
    return int.from_bytes(name.lower().encode()[:8].ljust(8, b"\0"), "little")


def _slots() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    words, rests, numbers = (
        np.zeros(NUM_SLOTS, np.uint64),
        np.zeros(NUM_SLOTS, np.uint64),
        np.zeros(NUM_SLOTS, np.int64),
    )
    for name, number in NUMBER.items():
        if name:
            word, rest = name_word(name), name_word(name[8:])
            slot = ((word ^ rest) * _FACTOR & _ALL) >> 54
            while words[slot]:
                slot = (slot + 1) % NUM_SLOTS
            words[slot], rests[slot], numbers[slot] = word, rest, number
    return words, rests, numbers


_WORDS, _RESTS, _NUMBERS = _slots()
_FIRST_BYTES = np.array([(1 << 8 * k) - 1 for k in range(9)], np.uint64)
# Up to here a name reaches: white space, `/`, `>`, `=`.
_name_end_at = mask_of((0, 32), (47, 47), (61, 62))


@inlined
def name_end(data: np.ndarray, i: int, end: int) -> int:
    """The position behind the name that begins at i."""
    while i < end:
        found = _name_end_at(data, i)
        if found:
            return min(i + first_bit(found), end)
        i += WIDTH
    return end


@inlined
def first_word(data: np.ndarray, i: int, size: int) -> np.uint64:
    """The first eight bytes of a name of `size` bytes, lower-cased; no two names of letters and digits are alike in it,
    but those of more than eight."""
    return (load_8(data, i) | np.uint64(_FOLD)) & _FIRST_BYTES[min(size, 8)]


@inlined
def tag_of(data: np.ndarray, i: int, end: int) -> int:
    """The number in TAGS of the name data[i:end], OTHER for unknown names."""
    size = end - i
    word, rest = first_word(data, i, size), np.uint64(0)
    if size > 8:
        if size > LONGEST_KEY:
            return OTHER
        rest = first_word(data, i + 8, size - 8)
    slot = np.int64((word ^ rest) * np.uint64(_FACTOR) >> np.uint64(54))
    while _WORDS[slot]:
        if _WORDS[slot] == word and _RESTS[slot] == rest:
            return _NUMBERS[slot]
        slot = (slot + 1) & (NUM_SLOTS - 1)
    return OTHER
