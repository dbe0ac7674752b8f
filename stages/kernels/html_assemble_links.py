"""The text of one block as it goes out: with its links as text, without linked text, or with links in Markdown.

Reads:  a block's bytes, its rows of `links`, addresses in the bytes of its page
Writes: bytes from `at` on
Cost:   that of a copy; about 2 ns per byte of an address
Source: https://url.spec.whatwg.org/#concept-basic-url-parser: controls in an address count for nothing, a scheme ends
        at the first colon; https://spec.commonmark.org/0.31.2/#link-destination: no spaces, parentheses escaped

An address is written once for each `<a>`, at its first kept block: no page can make its text many times its own size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_entities import AMPERSAND, put_code, reference_at
from stages.kernels.html_text import (
    B_END,
    B_FIRST_LINK,
    B_LINKS,
    B_START,
    L_END,
    L_HREF,
    L_HREF_END,
    L_START,
    SPACE,
)  # fmt: skip
from stages.kernels.html_words import CAPITAL, CJK, DIGIT, LETTER, class_of
from stages.kernels.inlined import inlined
from stages.kernels.utf8 import decode

TEXT, DROP, MARKDOWN = range(3)  # what becomes of links
MOST_HREF_BYTES = 2048  # longer addresses are data; these links are text alone
HREF_GROWTH = 3  # `%28` for a parenthesis; a character reference is never shorter than what it stands for
MARKDOWN_BYTES = 4  # [](): around a link's text and address

_OPEN, _CLOSE, _COLON, _SLASH, _QUESTION, _HASH, _PERCENT, _DELETE = b"():/?#%\x7f"
_ESCAPED = np.zeros(128, np.uint8)
for _byte in b' ()<>[]"\\`':
    _ESCAPED[_byte] = 1
_HEX = np.frombuffer(b"0123456789ABCDEF", np.uint8)


@inlined
def copy(text: np.ndarray, start: int, end: int, out: np.ndarray, at: int) -> int:
    for i in range(end - start):
        out[at + i] = text[start + i]
    return at + max(end - start, 0)


@inlined
def put_without_links(
    text: np.ndarray, b: int, blocks: np.ndarray, links: np.ndarray, in_pre: bool, out: np.ndarray, at: int
) -> int:  # fmt: skip
    """Write block b without linked text, and with one white space where two would meet, but for preformatted text."""
    begin = at
    i: Any = np.int64(blocks[b, B_START])
    end, first_link = blocks[b, B_END], blocks[b, B_FIRST_LINK]
    for k in range(blocks[b, B_LINKS] + 1):
        is_link = k < blocks[b, B_LINKS]
        stop = min(links[first_link + k, L_START], end) if is_link else end
        if not in_pre and (at == begin or out[at - 1] <= SPACE):
            while i < stop and text[i] <= SPACE:
                i += 1
        at = copy(text, i, stop, out, at)
        if is_link:
            i = np.int64(min(links[first_link + k, L_END], end))
    while at > begin and out[at - 1] <= SPACE:
        at -= 1
    return at


@inlined
def is_linked_out(text: np.ndarray, b: int, blocks: np.ndarray, links: np.ndarray) -> bool:
    """Whether a block has no letter, digit or character of Chinese or Japanese outside its links."""
    if not blocks[b, B_LINKS]:
        return False
    i: Any = np.int64(blocks[b, B_START])
    end, first_link = blocks[b, B_END], blocks[b, B_FIRST_LINK]
    for k in range(blocks[b, B_LINKS] + 1):
        is_link = k < blocks[b, B_LINKS]
        stop: Any = np.int64(min(links[first_link + k, L_START], end) if is_link else end)
        while i < stop:
            code, size = decode(text, i, stop)
            kind = class_of(code)
            if kind in (LETTER, CAPITAL, DIGIT, CJK):
                return False
            i += size
        if is_link:
            i = np.int64(min(links[first_link + k, L_END], end))
    return True


@inlined
def put_markdown(
    text: np.ndarray, data: np.ndarray, b: int, blocks: np.ndarray, links: np.ndarray, out: np.ndarray, at: int,
    last_href: int,
) -> int:  # fmt: skip
    """Write block b with its links as [text](address); `last_href` is the address written last, as L_HREF."""
    i: Any = np.int64(blocks[b, B_START])
    end, first_link = blocks[b, B_END], blocks[b, B_FIRST_LINK]
    for k in range(first_link, first_link + blocks[b, B_LINKS]):
        start: Any = np.int64(links[k, L_START])
        stop: Any = np.int64(min(links[k, L_END], end))
        while start < stop and text[start] <= SPACE:
            start += 1
        at = copy(text, i, min(start, end), out, at)
        i = start
        href, href_end = links[k, L_HREF], links[k, L_HREF_END]
        if start >= stop or href == last_href or href_end - href > MOST_HREF_BYTES:
            continue
        last_href = href
        open_at = at
        out[at] = 91
        at = copy(text, start, stop, out, at + 1)
        out[at], out[at + 1] = 93, _OPEN
        href_at = at + 2
        at = _put_href(data, href, href_end, out, href_at)
        if _is_kept_href(out, href_at, at):
            out[at] = _CLOSE
            at += 1
        else:
            at = copy(text, start, stop, out, open_at)
        i = stop
    return copy(text, i, end, out, at)


@inlined
def _put_href(data: np.ndarray, i: int, end: int, out: np.ndarray, at: int) -> int:
    """Write the address data[i:end] without character references, controls and the spaces around it."""
    begin, behind = at, at
    while i < end:
        code: Any = np.int64(data[i])
        second, size = 0, 1
        if code == AMPERSAND:
            code, second, size = reference_at(data, i, end, True)
            if not size:
                code, size = np.int64(AMPERSAND), 1
        elif code >= 0x80:  # a byte of a character
            out[at] = code
            at += 1
            behind = at
            i += 1
            continue
        i += size
        if code < SPACE or code == _DELETE or (code == SPACE and at == begin):
            continue
        if code < 0x80 and _ESCAPED[code]:
            out[at], out[at + 1], out[at + 2] = _PERCENT, _HEX[code >> 4], _HEX[code & 15]
            at += 3
        else:
            at = put_code(out, at, code)
        if second:
            at = put_code(out, at, second)
        if code != SPACE:
            behind = at
    return behind


@inlined
def _is_kept_href(out: np.ndarray, start: int, end: int) -> bool:
    """Whether out[start:end] is an address of HTTP, or a relative one that leads out of the page."""
    if start >= end or out[start] == _HASH:
        return False
    colon = start
    while colon < end and out[colon] != _COLON:
        byte = out[colon]
        if byte in (_SLASH, _QUESTION, _HASH):
            return True
        colon += 1
    if colon == end:
        return True
    if colon - start != 4 and colon - start != 5:
        return not _is_scheme(out, start, colon)
    is_http = out[start] | 32 == 104 and out[start + 1] | 32 == 116 and out[start + 2] | 32 == 116
    is_http = is_http and out[start + 3] | 32 == 112
    if colon - start == 5:
        is_http = is_http and out[start + 4] | 32 == 115
    return is_http or not _is_scheme(out, start, colon)


@inlined
def _is_scheme(out: np.ndarray, start: int, end: int) -> bool:
    """A letter, then letters, digits, `+`, `-` and `.`."""
    for i in range(start, end):
        byte = out[i]
        is_letter = 97 <= byte | 32 <= 122
        if not is_letter and (i == start or not (48 <= byte <= 57 or byte == 43 or byte == 45 or byte == 46)):
            return False
    return end > start
