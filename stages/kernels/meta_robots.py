"""What pages and their headers say to crawlers: `noindex`, `noai` and the like, found without parsing the page.

Reads:  payloads (HTML as bytes) and what PAGE.robots holds of the headers
Writes: Found: for each page a bit per directive, and whether its head was looked at to its end
Cost:   about 1 ns per byte before `<body>`; nothing is kept of a page
Source: the tokenizer of the HTML standard (13.2.5) for tags, attributes, comments and raw text; the rules of
        directives and user agents are Google's ("Robots meta tag, data-nosnippet, and X-Robots-Tag specifications")

Looked at are the `<meta name content>` tags before `<body>` and within the first HEAD_BYTES, `<noscript>` included.
Tags in comments, `<!...>`, scripts, styles, titles and other raw text are none; `<![CDATA[` ends at the next `>`, as in
browsers. Bytes are read as ASCII, which holds for all charsets of the web but UTF-16 (see Found) and ISO-2022-JP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.kernels import utf8
from stages.kernels.compiled import kernel

HEAD_BYTES = 1 << 20  # of 876 real pages with such a tag, the last one has it at 501,608, behind inlined styles
DIRECTIVES = ("noindex", "none", "noai", "noimageai", "noarchive", "tdm-reservation")
TDM_RESERVATION = DIRECTIVES.index("tdm-reservation")
# Rules of X-Robots-Tag that are followed by a colon and a value, as a user agent's name is by a colon and its rules.
RULES_WITH_VALUE = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")
RAW_TEXT = ("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes")
TAGS = ("meta", "body", "plaintext", *RAW_TEXT)
META, BODY, PLAINTEXT, FIRST_RAW = 0, 1, 2, 3

TO_THE_END, CUT, UTF16 = 0, 1, 2  # what became of a page's head

BANG, QUOTE, APOSTROPHE, ASTERISK, COMMA, DASH, SLASH, COLON, SEMICOLON = b"!\"'*,-/:;"
LESS, EQUALS, GREATER, QUESTION = b"<=>?"
LINE_FEED, SPACE, ONE = b"\n 1"


@dataclass(frozen=True, kw_only=True)
class Found:
    """`seen_N` int64: bit k for DIRECTIVES[k]. `head_N` uint8: TO_THE_END; CUT where HEAD_BYTES ended before the head
    did; UTF16 where the page is in UTF-16 and only its headers were looked at."""

    seen_N: np.ndarray
    head_N: np.ndarray


def _names(names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """(their lower-case bytes, int64 where each begins and the last one ends)."""
    raw = [name.lower().encode() for name in names]
    return np.frombuffer(b"".join(raw), np.uint8), np.cumsum([0, *map(len, raw)], dtype=np.int64)


_TAGS, _TAG_STARTS = _names(TAGS)
_DIRECTIVES, _DIRECTIVE_STARTS = _names(DIRECTIVES)
_RULES, _RULE_STARTS = _names(RULES_WITH_VALUE)
_NAME, _CONTENT = np.frombuffer(b"name", np.uint8), np.frombuffer(b"content", np.uint8)


def find(payload: pa.Array, robots: pa.Array, user_agents: Sequence[str]) -> Found:
    """The directives for all crawlers and for `user_agents`; `payload` is large_binary, nulls say nothing."""
    pages, headers = utf8.view(payload.view(pa.large_string())), utf8.view(robots)
    agents, agent_starts = _names(["robots", *user_agents])
    seen_N, head_N = np.zeros(len(pages), np.int64), np.zeros(len(pages), np.uint8)
    _find_batch(
        pages.data, pages.offsets, headers.data, headers.offsets, agents, agent_starts, HEAD_BYTES, seen_N, head_N
    )
    return Found(seen_N=seen_N, head_N=head_N)


@kernel
def _find_batch(
    data: np.ndarray, offsets: np.ndarray, headers: np.ndarray, header_offsets: np.ndarray, agents: np.ndarray,
    agent_starts: np.ndarray, head_bytes: int, seen_N: np.ndarray, head_N: np.ndarray,
) -> None:  # fmt: skip
    for n in range(len(seen_N)):
        seen_N[n] = _header(headers, header_offsets[n], header_offsets[n + 1], agents, agent_starts)
        start, end = offsets[n], offsets[n + 1]
        if _is_utf16(data, start, end):
            head_N[n] = UTF16
            continue
        last = min(end, start + head_bytes)
        seen, reached_body = _head(data, start, last, agents, agent_starts)
        seen_N[n] |= seen
        if not reached_body and last < end:
            head_N[n] = CUT


@kernel
def _is_utf16(data: np.ndarray, start: int, end: int) -> bool:
    """By its byte order mark, or by a `<` of two bytes at its beginning."""
    if end - start < 2:
        return False
    a, b = data[start], data[start + 1]
    return (a == 0xFF and b == 0xFE) or (a == 0xFE and b == 0xFF) or (a == LESS and b == 0) or (a == 0 and b == LESS)


@kernel
def _lower(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte


@kernel
def _is_letter(byte: int) -> bool:
    return 97 <= byte | 32 <= 122


@kernel
def _equals(data: np.ndarray, start: int, end: int, name: np.ndarray, first: int, last: int) -> bool:
    """data[start:end] in lower case is name[first:last]."""
    if end - start != last - first:
        return False
    for k in range(end - start):  # noqa: SIM110 - Numba
        if _lower(data[start + k]) != name[first + k]:
            return False
    return True


@kernel
def _which(data: np.ndarray, start: int, end: int, names: np.ndarray, name_starts: np.ndarray) -> int:
    """The number of the name that data[start:end] is, -1 for none."""
    for k in range(len(name_starts) - 1):
        if _equals(data, start, end, names, name_starts[k], name_starts[k + 1]):
            return k
    return -1


@kernel
def _after(data: np.ndarray, i: int, end: int, byte: int) -> int:
    """The position after the next `byte`, or `end`."""
    while i < end and data[i] != byte:
        i += 1
    return min(i + 1, end)


@kernel
def _after_comment(data: np.ndarray, i: int, end: int) -> int:
    """The position after the comment whose text begins at i."""
    if i < end and data[i] == GREATER:
        return i + 1
    if i + 1 < end and data[i] == DASH and data[i + 1] == GREATER:
        return i + 2
    while i + 2 < end:
        if data[i] == DASH and data[i + 1] == DASH:
            if data[i + 2] == GREATER:
                return i + 3
            if i + 3 < end and data[i + 2] == BANG and data[i + 3] == GREATER:
                return i + 4
        i += 1
    return end


@kernel
def _after_raw_text(data: np.ndarray, i: int, end: int, tag: int) -> int:
    """The position of the end tag that closes the raw text of TAGS[tag], or `end`."""
    first, last = _TAG_STARTS[tag], _TAG_STARTS[tag + 1]
    size = last - first
    while i + 2 + size < end:
        if data[i] == LESS and data[i + 1] == SLASH and _equals(data, i + 2, i + 2 + size, _TAGS, first, last):
            after = data[i + 2 + size]
            if after <= SPACE or after in (SLASH, GREATER):
                return i
        i += 1
    return end


@kernel
def _head(data: np.ndarray, i: int, end: int, agents: np.ndarray, agent_starts: np.ndarray) -> tuple[int, bool]:
    """(directives of the meta tags in data[i:end] before `<body>`, whether `<body>` was reached)."""
    seen = 0
    while i + 1 < end:
        if data[i] != LESS:
            i += 1
            continue
        byte = data[i + 1]
        closing = byte == SLASH
        name = i + 2 if closing else i + 1
        if byte == BANG and i + 3 < end and data[i + 2] == DASH and data[i + 3] == DASH:
            i = _after_comment(data, i + 4, end)
        elif name < end and _is_letter(data[name]):
            name_end = name
            while name_end < end and data[name_end] > SPACE and data[name_end] != SLASH and data[name_end] != GREATER:
                name_end += 1
            tag = -1 if closing else _which(data, name, name_end, _TAGS, _TAG_STARTS)
            i, name, name_end, content, content_end = _attributes(data, name_end, end)
            if i < 0:
                return seen, False
            if tag in (BODY, PLAINTEXT):
                return seen, True
            if tag == META and name >= 0 and content >= 0:
                seen |= _meta(data, name, name_end, content, content_end, agents, agent_starts)
            elif tag >= FIRST_RAW:
                i = _after_raw_text(data, i, end, tag)
        elif byte in (BANG, QUESTION) or closing:
            i = _after(data, i + 2, end, GREATER)
        else:
            i += 1
    return seen, False


@kernel
def _attributes(data: np.ndarray, i: int, end: int) -> tuple[int, int, int, int, int]:
    """A tag's attributes from i on: (position after the tag, or -1 where the page ends before; start and end of the
    values of `name` and of `content`, -1 without)."""
    name, name_end, content, content_end = -1, -1, -1, -1
    while i < end:
        byte = data[i]
        if byte == GREATER:
            return i + 1, name, name_end, content, content_end
        if byte <= SPACE or byte == SLASH:
            i += 1
            continue
        key = i
        i += 1  # a `=` in the first place is part of the key
        while i < end and data[i] > SPACE and data[i] != SLASH and data[i] != GREATER and data[i] != EQUALS:
            i += 1
        key_end = i
        while i < end and data[i] <= SPACE:
            i += 1
        value = value_end = i
        if i < end and data[i] == EQUALS:
            i += 1
            while i < end and data[i] <= SPACE:
                i += 1
            if i < end and (data[i] == QUOTE or data[i] == APOSTROPHE):
                value, quote = i + 1, data[i]
                i = _after(data, value, end, quote)
                if data[i - 1] != quote or i == value:
                    return -1, name, name_end, content, content_end
                value_end = i - 1
            else:
                value = i
                while i < end and data[i] > SPACE and data[i] != GREATER:
                    i += 1
                value_end = i
        if name < 0 and _equals(data, key, key_end, _NAME, 0, len(_NAME)):
            name, name_end = value, value_end
        elif content < 0 and _equals(data, key, key_end, _CONTENT, 0, len(_CONTENT)):
            content, content_end = value, value_end
    return -1, name, name_end, content, content_end


@kernel
def _meta(
    data: np.ndarray, name: int, name_end: int, content: int, content_end: int, agents: np.ndarray,
    agent_starts: np.ndarray,
) -> int:  # fmt: skip
    """The directives of one meta tag."""
    while name < name_end and data[name] <= SPACE:
        name += 1
    while name_end > name and data[name_end - 1] <= SPACE:
        name_end -= 1
    first, last = _DIRECTIVE_STARTS[TDM_RESERVATION], _DIRECTIVE_STARTS[TDM_RESERVATION + 1]
    if _equals(data, name, name_end, _DIRECTIVES, first, last):
        start, end = _token(data, content, content_end)
        return 1 << TDM_RESERVATION if end - start == 1 and data[start] == ONE else 0
    seen = 0
    if _which(data, name, name_end, agents, agent_starts) >= 0:
        start, end = _token(data, content, content_end)
        while start < end:
            directive = _which(data, start, end, _DIRECTIVES, _DIRECTIVE_STARTS)
            if directive >= 0 and directive != TDM_RESERVATION:
                seen |= 1 << directive
            start, end = _token(data, end, content_end)
    return seen


@kernel
def _token(data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """The next piece of data[i:end] between commas, semicolons and white space; an empty one at the end."""
    while i < end and (data[i] <= SPACE or data[i] == COMMA or data[i] == SEMICOLON):
        i += 1
    start = i
    while i < end and data[i] > SPACE and data[i] != COMMA and data[i] != SEMICOLON:
        i += 1
    return start, i


@kernel
def _header(data: np.ndarray, i: int, stop: int, agents: np.ndarray, agent_starts: np.ndarray) -> int:
    """The directives of PAGE.robots: on each line, rules for everybody, then for the user agents named on it."""
    seen = 0
    while i < stop:
        line_end = _after(data, i, stop, LINE_FEED)
        ours, reserved = True, False
        start, end = _token(data, i, line_end)
        while start < end:
            colon = start
            while colon < end and data[colon] != COLON:
                colon += 1
            if reserved:
                seen |= 1 << TDM_RESERVATION if end - start == 1 and data[start] == ONE else 0
                reserved = False
            elif colon == end:
                directive = _which(data, start, end, _DIRECTIVES, _DIRECTIVE_STARTS)
                if ours and directive >= 0 and directive != TDM_RESERVATION:
                    seen |= 1 << directive
            elif _which(data, start, colon, _DIRECTIVES, _DIRECTIVE_STARTS) == TDM_RESERVATION:
                reserved = True
                end = colon + 1
            elif _is_letter(data[start]) and _which(data, start, colon, _RULES, _RULE_STARTS) < 0:
                ours = _which(data, start, colon, agents, agent_starts) >= 0
                end = colon + 1
            elif data[start] == ASTERISK:
                ours = True
                end = colon + 1
            start, end = _token(data, end, line_end)
        i = line_end
    return seen
