"""One pass over the bytes of HTML pages: text blocks with the elements around them, links, notes of metadata.

Reads:  valid UTF-8, stages/kernels/utf8.py's PADDING behind it
Writes: Scanned (stages/kernels/html_text.py) and the row counts of every page
Cost:   about 1 ns per byte of a page; at most 20 of one made to be slow
Source: https://html.spec.whatwg.org/#tokenization; elements as stages/kernels/html_tree.py says

What is skipped (scripts, styles, SVG, forms' choices) is passed over to its end tag; where that is missing, only the
start tag is, so that no page ends there, but for scripts and styles: what follows them is none of a page's text.
Nothing here fails: any bytes give blocks, and no more rows than stages/html/scanning.py makes room for.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_attributes import (
    ALT,
    ALT_END,
    HIDDEN,
    HREF,
    HREF_END,
    IS_AUTHOR,
    IS_JSON_LD,
    NEXT,
    NO_DOUBLE,
    NO_SINGLE,
    NUM_FIELDS,
    read_attributes,
)  # fmt: skip
from stages.kernels.html_bytes import BANG, DASH, GREATER, SLASH, after_comment, next_greater, next_less
from stages.kernels.html_raw_text import NUM_FOUND, raw_text_end
from stages.kernels.html_tags import BLOCK, BOLD, FORMAT, NUMBER, SKIP, TAG_BITS, VOID, name_end, tag_of
from stages.kernels.html_text import (
    AT,
    BLOCK_START,
    BOLD_DEPTH,
    BOLD_FROM,
    DEPTH,
    E_FIRST_TOKEN,
    E_PARENT,
    FIRST_LINK,
    LINK_DEPTH,
    LINK_ELEMENT,
    LINK_FROM,
    LINK_HREF,
    LINK_HREF_END,
    LINK_OPENED,
    NUM_BLOCKS,
    NUM_BR,
    NUM_ELEMENTS,
    NUM_IMAGES,
    NUM_LINKS,
    NUM_NOTES,
    NUM_STATE,
    NUM_TAGS,
    NUM_TOKENS,
    ODDITIES,
    OVERFLOW,
    SPACE_PENDING,
    UNCLOSED_COMMENT,
    UNCLOSED_RAW_TEXT,
    Scanned,
    add_text,
    end_bold_run,
    end_link_run,
    flush,
)  # fmt: skip
from stages.kernels.html_tree import (
    MAX_DEPTH,
    NUM_PLACES,
    Stack,
    add_element,
    begin_stack,
    closed_by_end,
    closed_by_start,
    pop_to,
    push,
)  # fmt: skip
from stages.kernels.inlined import inlined

NOTE_TITLE, NOTE_META, NOTE_HTML, NOTE_TIME, NOTE_JSON_LD, NOTE_AUTHOR = range(6)
MOST_NOTES = np.array([1, 256, 1, 8, 8, 8])  # of each kind on a page
AUTHOR_BYTES = 2000

_A, _BR, _HR, _IMG, _META, _HTML, _TIME, _TITLE, _SCRIPT, _STYLE, _SVG = (
    NUMBER[name] for name in ["a", "br", "hr", "img", "meta", "html", "time", "title", "script", "style", "svg"]
)


@inlined
def _note(kind: int, start: int, end: int, s: np.ndarray, counts: np.ndarray, notes: np.ndarray) -> None:
    if counts[kind] < MOST_NOTES[kind]:
        row = s[NUM_NOTES]
        notes[row, 0], notes[row, 1], notes[row, 2] = kind, start, end
        counts[kind] += 1
        s[NUM_NOTES] += 1


@inlined
def _skip_raw_text(
    data: np.ndarray, start: int, end: int, tag: int, fields: np.ndarray, s: np.ndarray, counts: np.ndarray,
    found: np.ndarray, notes: np.ndarray,
) -> int:  # fmt: skip
    """The position behind raw text that begins at `start` and its end tag; `start` where it has none."""
    close = raw_text_end(data, start, end, tag, found)
    if close < 0:
        s[ODDITIES] |= UNCLOSED_RAW_TEXT
        return end if tag in (_SCRIPT, _STYLE) else start
    if tag == _TITLE:
        _note(NOTE_TITLE, start, close, s, counts, notes)
    elif tag == _SCRIPT and fields[IS_JSON_LD]:
        _note(NOTE_JSON_LD, start, close, s, counts, notes)
    return min(next_greater(data, close, end) + 1, end)


@inlined
def _open_link(row: int, fields: np.ndarray, s: np.ndarray) -> None:
    s[LINK_ELEMENT], s[LINK_DEPTH] = row, s[DEPTH]
    s[LINK_FROM] = s[LINK_OPENED] = s[AT]
    s[LINK_HREF], s[LINK_HREF_END] = fields[HREF], fields[HREF_END]


@inlined
def _keep_link(tag: int, place: int, s: np.ndarray, stack: Stack) -> None:
    """A start tag in a link, `<p><a href><h2>`, ends the paragraph, but not the link. One for another such element,
    `<li><a href>text<li>`, ends both: the link was not closed."""
    if s[LINK_ELEMENT] >= 0 and s[LINK_DEPTH] > place and (stack.tag[place] != tag or s[AT] == s[LINK_OPENED]):
        s[LINK_DEPTH] = place


@inlined
def _start_formatting(
    tag: int, bits: int, element: int, first_token: int, fields: np.ndarray, s: np.ndarray, out: Scanned
) -> None:  # fmt: skip
    if tag == _A:
        end_link_run(s, out.links)
        s[LINK_ELEMENT] = -1
        if fields[HREF] >= 0:
            _open_link(add_element(tag, element, fields[HIDDEN], first_token, s, out.elements), fields, s)
        else:
            s[NUM_TOKENS] = first_token
        return
    s[NUM_TOKENS] = first_token
    if bits & BOLD and s[BOLD_DEPTH] < 0:
        s[BOLD_DEPTH], s[BOLD_FROM] = s[DEPTH], s[AT]


@inlined
def _start_void(
    data: np.ndarray, tag: int, region: int, fields: np.ndarray, s: np.ndarray, counts: np.ndarray, stack: Stack,
    alt_texts: bool, out: Scanned,
) -> None:  # fmt: skip
    if tag == _BR:
        s[NUM_BR] += 1
        s[SPACE_PENDING] = 0
    elif tag == _HR:
        flush(s, out.text, out.blocks, out.links)
    elif tag == _IMG:
        s[NUM_IMAGES] += 1
        if alt_texts and fields[ALT] >= 0:
            _add(data, fields[ALT], fields[ALT_END], s, stack, out)
    elif tag == _META:
        _note(NOTE_META, region, fields[NEXT] - 1, s, counts, out.notes)


@inlined
def _add(data: np.ndarray, i: int, end: int, s: np.ndarray, stack: Stack, out: Scanned) -> None:
    """Text where the scan stands."""
    top = s[DEPTH] - 1
    add_text(
        data, i, end, s, out.text, out.blocks, out.links, stack.block_element[top], stack.element[top]
    )  # fmt: skip


@inlined
def _start_tag(
    data: np.ndarray, name: int, i: int, end: int, tag: int, fields: np.ndarray, s: np.ndarray, counts: np.ndarray,
    found: np.ndarray, stack: Stack, alt_texts: bool, out: Scanned,
) -> int:  # fmt: skip
    """Take in a start tag whose name is data[name:i]; the position behind it."""
    bits = TAG_BITS[tag]
    first_token = s[NUM_TOKENS]
    num_tokens = read_attributes(data, i, end, fields, out.tokens, first_token)
    if data[fields[NEXT] - 1] != GREATER:  # the page ends in the tag
        return end
    s[NUM_TAGS] += 1
    if bits & (VOID | SKIP):
        if tag == _SVG and data[fields[NEXT] - 2] == SLASH:
            return fields[NEXT]
        if bits & SKIP:
            return _skip_raw_text(data, fields[NEXT], end, tag, fields, s, counts, found, out.notes)
        _start_void(data, tag, i, fields, s, counts, stack, alt_texts, out)
        return fields[NEXT]
    s[NUM_TOKENS] = num_tokens
    if fields[IS_AUTHOR]:
        _note(NOTE_AUTHOR, name - 1, min(name - 1 + AUTHOR_BYTES, end), s, counts, out.notes)
    if bits & FORMAT:
        _start_formatting(tag, bits, stack.element[s[DEPTH] - 1], first_token, fields, s, out)
        return fields[NEXT]
    if tag in (_HTML, _TIME):
        _note(NOTE_HTML if tag == _HTML else NOTE_TIME, i, fields[NEXT] - 1, s, counts, out.notes)
    if bits & BLOCK:
        flush(s, out.text, out.blocks, out.links)
        place = closed_by_start(tag, bits, s, stack)
        if place > 0:
            _keep_link(tag, place, s, stack)
            pop_to(place, s, stack, out.links)
    push(tag, stack.element[s[DEPTH] - 1], fields[HIDDEN], first_token, s, stack, out.elements)
    return fields[NEXT]


@inlined
def _end_tag(tag: int, s: np.ndarray, stack: Stack, out: Scanned) -> None:
    bits = TAG_BITS[tag]
    s[NUM_TAGS] += 1
    if tag == _BR:
        s[NUM_BR] += 1
    elif bits & FORMAT:
        if tag == _A:
            end_link_run(s, out.links)
            s[LINK_ELEMENT] = -1
        elif bits & BOLD:
            end_bold_run(s)
            s[BOLD_DEPTH] = -1
    elif not bits & VOID:
        if bits & BLOCK:
            flush(s, out.text, out.blocks, out.links)
        if s[OVERFLOW]:
            s[OVERFLOW] -= 1
            return
        place = closed_by_end(tag, bits, s, stack)
        if place > 0:
            pop_to(place, s, stack, out.links)


@inlined
def _page(
    data: np.ndarray, i: int, end: int, fields: np.ndarray, s: np.ndarray, counts: np.ndarray, found: np.ndarray,
    stack: Stack, alt_texts: bool, out: Scanned,
) -> None:  # fmt: skip
    while i < end:
        less = next_less(data, i, end)
        if less > i:
            _add(data, i, less, s, stack, out)
        i = less + 1
        if i >= end:
            if less < end:
                _add(data, less, end, s, stack, out)
            return
        byte = data[i]
        if 97 <= byte | 32 <= 122:
            after = name_end(data, i, end)
            i = _start_tag(data, i, after, end, tag_of(data, i, after), fields, s, counts, found, stack, alt_texts, out)
        elif byte == SLASH:
            if i + 1 < end and 97 <= data[i + 1] | 32 <= 122:
                after = name_end(data, i + 1, end)
                _end_tag(tag_of(data, i + 1, after), s, stack, out)
                i = after
            i = min(next_greater(data, i, end) + 1, end)
        elif byte == BANG and i + 2 < end and data[i + 1] == DASH and data[i + 2] == DASH:
            close = after_comment(data, i + 3, end)
            if close < 0:
                s[ODDITIES] |= UNCLOSED_COMMENT
                return
            i = close
        elif byte == BANG or byte == 63:
            i = min(next_greater(data, i, end) + 1, end)
        else:
            _add(data, less, i, s, stack, out)


@inlined
def _begin_page(
    s: np.ndarray, fields: np.ndarray, counts: np.ndarray, found: np.ndarray, stack: Stack, out: Scanned
) -> None:
    """An empty stack but for a root of no tag."""
    s[ODDITIES] = s[NUM_TAGS] = s[NUM_IMAGES] = 0
    s[LINK_ELEMENT] = s[BOLD_DEPTH] = -1
    s[BLOCK_START], s[FIRST_LINK] = s[AT], s[NUM_LINKS]
    fields[NO_DOUBLE] = fields[NO_SINGLE] = 0
    counts[:], found[:] = 0, 0
    row = s[NUM_ELEMENTS]
    out.elements[row] = 0
    out.elements[row, E_PARENT], out.elements[row, E_FIRST_TOKEN] = row, s[NUM_TOKENS]
    s[NUM_ELEMENTS] += 1
    begin_stack(row, s, stack)


@kernel
def scan_pages(
    data: np.ndarray, offsets: np.ndarray, alt_texts: bool, out: Scanned, ends: np.ndarray, oddities_N: np.ndarray
) -> None:
    """Scan every page; `ends` int64[N + 1, 6]: rows of text, blocks, elements, tokens, links, notes before page n."""
    s = np.zeros(NUM_STATE, np.int64)
    fields, counts = np.zeros(NUM_FIELDS, np.int64), np.zeros(len(MOST_NOTES), np.int64)
    found = np.zeros(NUM_FOUND, np.int64)
    places = np.zeros((NUM_PLACES, MAX_DEPTH), np.int32)
    stack = Stack(
        places[0], places[1], places[2], places[3], places[4], places[5], places[6], np.zeros(len(TAG_BITS), np.int32)
    )
    for n in range(len(offsets) - 1):
        _begin_page(s, fields, counts, found, stack, out)
        _page(data, offsets[n], offsets[n + 1], fields, s, counts, found, stack, alt_texts, out)
        flush(s, out.text, out.blocks, out.links)
        pop_to(0, s, stack, out.links)
        s[AT] = s[BLOCK_START]
        oddities_N[n] = s[ODDITIES]
        for k, count in enumerate((s[AT], s[NUM_BLOCKS], s[NUM_ELEMENTS], s[NUM_TOKENS], s[NUM_LINKS], s[NUM_NOTES])):
            ends[n + 1, k] = count
