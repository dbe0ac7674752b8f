"""Where what is skipped ends: scripts, styles, titles, drawings, templates.

Reads:  the bytes of a page from behind a start tag on
Writes: the position of the end tag
Cost:   about 0.05 ns per byte, and 2 ns per `<`
Source: https://html.spec.whatwg.org/#script-data-state and the states behind it: in `<!-- -->` a script may hold a
        script. Where that leads to the end of the page, the first end tag counts

`found` (int64[NUM_FOUND], zeros at a page's start) keeps the time linear: a mark for each tag that has no further end
tag on the page, NO_INNER where skipped elements do not nest as they should, and the end of the last comment looked for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_bytes import BANG, DASH, GREATER, SLASH, after_comment, next_less
from stages.kernels.html_tags import MARKUP, NUMBER, TAG_BITS, TAGS
from stages.kernels.inlined import inlined

NO_INNER, COMMENT_END, NUM_FOUND = len(TAGS), len(TAGS) + 1, len(TAGS) + 2

_SCRIPT = NUMBER["script"]
_TAG_BYTES = np.frombuffer("".join(TAGS).encode(), np.uint8)
_TAG_STARTS = np.cumsum([0, *map(len, TAGS)], dtype=np.int64)


@inlined
def _is_name(data: np.ndarray, i: int, end: int, tag: int) -> bool:
    """Whether the tag's name stands at data[i], up to white space, `/` or `>`."""
    first, size = _TAG_STARTS[tag], _TAG_STARTS[tag + 1] - _TAG_STARTS[tag]
    if i + size > end:
        return False
    for k in range(size):
        byte = data[i + k]
        if 65 <= byte <= 90:
            byte |= 32
        if byte != _TAG_BYTES[first + k]:
            return False
    after: Any = data[i + size] if i + size < end else np.uint8(GREATER)
    return after <= 32 or after in (SLASH, GREATER)


@inlined
def _comment_end(data: np.ndarray, i: int, end: int, found: np.ndarray) -> int:
    """The position after the comment that begins at data[i] with `<!--`; -1 where none begins or it is not closed."""
    if i + 6 > end or data[i + 2] != DASH or data[i + 3] != DASH:
        return -1
    is_empty = data[i + 4] == GREATER or (data[i + 4] == DASH and data[i + 5] == GREATER)
    if is_empty or (found[COMMENT_END] >= 0 and i + 8 > found[COMMENT_END]):
        close = after_comment(data, i + 4, end)
        if is_empty:
            return close
        found[COMMENT_END] = close
    return found[COMMENT_END]


@inlined
def raw_text_end(data: np.ndarray, i: int, end: int, tag: int, found: np.ndarray) -> int:
    """The position of the `</` that ends what is skipped of `tag`, from i on; -1 without."""
    if found[tag]:
        return -1
    holds_inner = not found[NO_INNER] and (tag == _SCRIPT or TAG_BITS[tag] & MARKUP)
    first, depth, escaped_to = -1, 1, -1
    while True:
        i = next_less(data, i, end)
        if i + 2 > end:
            break
        if tag == _SCRIPT and i >= escaped_to:
            depth = 1
        byte = data[i + 1]
        if byte == SLASH:
            if _is_name(data, i + 2, end, tag):
                depth -= 1
                if not holds_inner or not depth:
                    return i
                if first < 0:
                    first = i
        elif byte == BANG:
            if tag == _SCRIPT and holds_inner:
                escaped_to = max(escaped_to, _comment_end(data, i, end, found))
        elif holds_inner and (tag != _SCRIPT or i < escaped_to) and _is_name(data, i + 1, end, tag):
            depth = 2 if tag == _SCRIPT else depth + 1
        i += 1
    found[NO_INNER if first >= 0 else tag] = 1
    return first
