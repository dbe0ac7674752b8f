"""Text blocks as they grow: white space collapsed, character references decoded, links and bold text measured.

Reads:  runs of text between tags
Writes: `text`, the blocks' text one after the other, and a row of `blocks` and of `links` for each that ends
Cost:   about 0.5 ns per byte of text, 20 ns per character reference
Source: https://www.w3.org/TR/css-text-3/#white-space-processing; two `<br>` in a row end a block, as old pages use them
        for paragraphs

The scan's state is one array of numbers, so that pieces share it without being one function; its places are named here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.byte_masks import ALL, first_bit, load_8, mask_of, store_8
from stages.kernels.html_entities import put_code, reference_at
from stages.kernels.inlined import inlined

(
    AT, BLOCK_START, SPACE_PENDING, NUM_BR, LINK_ELEMENT, LINK_DEPTH, LINK_FROM, LINK_HREF, LINK_HREF_END, LINK_BYTES,
    BLOCK_LINKS, BOLD_DEPTH, BOLD_FROM, BOLD_BYTES, DEPTH, OVERFLOW, PRE, NUM_ELEMENTS, NUM_TOKENS, NUM_BLOCKS,
    NUM_LINKS, NUM_NOTES, NUM_TAGS, NUM_IMAGES, BLOCK_ELEMENT, TEXT_ELEMENT, STARTS_AT, LINE_BREAKS, FIRST_LINK,
    ODDITIES, LINK_OPENED, NUM_STATE,
) = range(32)  # fmt: skip

# Columns of `blocks`, int32: text positions and rows of elements are of the whole batch.
(
    B_START, B_END, B_ELEMENT, B_TEXT_ELEMENT, B_LINK_BYTES, B_LINKS, B_BOLD_BYTES, B_BREAKS, B_TAGS, B_IMAGES, B_HTML,
    B_FIRST_LINK, NUM_BLOCK_FIELDS,
) = range(13)  # fmt: skip
# Columns of `links`, int32: where the link's text stands, as B_START; where its address stands in the page.
L_START, L_END, L_HREF, L_HREF_END, NUM_LINK_FIELDS = range(5)
# Columns of `elements`, int32.
E_PARENT, E_TAG, E_FIRST_TOKEN, E_FLAGS, E_DEPTH, NUM_ELEMENT_FIELDS = range(6)
E_HIDDEN = 1
# Bits of a page's `oddities`.
UNCLOSED_COMMENT, UNCLOSED_RAW_TEXT, DEEP = 1, 2, 4

AMPERSAND, TAB, LINE_FEED, CARRIAGE_RETURN, SPACE, DELETE = 38, 9, 10, 13, 32, 127
_spaces_at = mask_of((1, 32))
_blanks_at = mask_of((32, 32))
# What cannot be copied unseen: white space, references, DELETE, what characters that are no text begin with.
_special_at = mask_of((0, 32), (38, 38), (127, 127), (0xC2, 0xC2), (0xE2, 0xE3), (0xEF, 0xEF))


class Scanned(NamedTuple):
    """What a scan fills, for all pages of a batch; row counts per page are in its offsets.

    `text` uint8, `blocks` int32[B, NUM_BLOCK_FIELDS], `elements` int32[E, NUM_ELEMENT_FIELDS], `tokens` uint32[T],
    `links` int32[L, NUM_LINK_FIELDS], `notes` int64[M, 3] (kind, start, end).
    """

    text: np.ndarray
    blocks: np.ndarray
    elements: np.ndarray
    tokens: np.ndarray
    links: np.ndarray
    notes: np.ndarray


@inlined
def end_link_run(s: np.ndarray, links: np.ndarray) -> None:
    """What was linked of this block up to here; the link itself may go on."""
    if s[LINK_ELEMENT] < 0:
        return
    start = max(s[LINK_FROM], s[BLOCK_START])
    if s[AT] > start:
        row = s[NUM_LINKS]
        links[row, L_START], links[row, L_END] = start, s[AT]
        links[row, L_HREF], links[row, L_HREF_END] = s[LINK_HREF], s[LINK_HREF_END]
        s[NUM_LINKS] += 1
        s[LINK_BYTES] += s[AT] - start
        s[BLOCK_LINKS] += 1
    s[LINK_FROM] = s[AT]


@inlined
def end_bold_run(s: np.ndarray) -> None:
    if s[BOLD_DEPTH] >= 0:
        s[BOLD_BYTES] += max(s[AT] - max(s[BOLD_FROM], s[BLOCK_START]), 0)
        s[BOLD_FROM] = s[AT]


@inlined
def _trim(s: np.ndarray, text: np.ndarray, links: np.ndarray) -> None:
    """Take the white space off the block's end, and off the links and bold text there."""
    if text[s[AT] - 1] > SPACE:
        return
    while s[AT] > s[BLOCK_START] + 1 and text[s[AT] - 1] <= SPACE:
        s[AT] -= 1
    s[BOLD_BYTES] = min(s[BOLD_BYTES], s[AT] - s[BLOCK_START])
    while s[NUM_LINKS] > s[FIRST_LINK] and links[s[NUM_LINKS] - 1, L_END] > s[AT]:
        row = s[NUM_LINKS] - 1
        s[LINK_BYTES] -= links[row, L_END] - max(s[AT], links[row, L_START])
        if links[row, L_START] < s[AT]:
            links[row, L_END] = s[AT]
            return
        s[NUM_LINKS] -= 1
        s[BLOCK_LINKS] -= 1


@inlined
def flush(s: np.ndarray, text: np.ndarray, blocks: np.ndarray, links: np.ndarray) -> None:
    """End the block, if any text has come since the last one."""
    s[SPACE_PENDING] = s[NUM_BR] = 0
    if s[AT] == s[BLOCK_START]:
        return
    _trim(s, text, links)
    end_link_run(s, links)
    end_bold_run(s)
    row = s[NUM_BLOCKS]
    blocks[row, B_START], blocks[row, B_END] = s[BLOCK_START], s[AT]
    blocks[row, B_ELEMENT], blocks[row, B_TEXT_ELEMENT] = s[BLOCK_ELEMENT], s[TEXT_ELEMENT]
    blocks[row, B_LINK_BYTES], blocks[row, B_LINKS] = s[LINK_BYTES], s[BLOCK_LINKS]
    blocks[row, B_BOLD_BYTES], blocks[row, B_BREAKS] = s[BOLD_BYTES], s[LINE_BREAKS]
    blocks[row, B_TAGS], blocks[row, B_IMAGES] = s[NUM_TAGS], s[NUM_IMAGES]
    blocks[row, B_HTML], blocks[row, B_FIRST_LINK] = s[STARTS_AT], s[FIRST_LINK]
    s[NUM_BLOCKS] += 1
    s[BLOCK_START] = s[AT]
    s[LINK_BYTES] = s[BLOCK_LINKS] = s[BOLD_BYTES] = s[LINE_BREAKS] = s[NUM_TAGS] = s[NUM_IMAGES] = 0
    s[FIRST_LINK] = s[NUM_LINKS]


@inlined
def before_character(
    s: np.ndarray, text: np.ndarray, blocks: np.ndarray, links: np.ndarray, block_element: int,
    text_element: int, html_position: int,
) -> None:  # fmt: skip
    """Write what white space stands between the block's text so far and its next character; or begin a block."""
    if s[NUM_BR] >= 2:
        flush(s, text, blocks, links)
    if s[AT] == s[BLOCK_START]:
        s[BLOCK_ELEMENT], s[STARTS_AT] = block_element, html_position
        s[TEXT_ELEMENT] = s[LINK_ELEMENT] if s[LINK_ELEMENT] >= 0 else text_element
        s[FIRST_LINK] = s[NUM_LINKS]
    elif s[NUM_BR] == 1:
        text[s[AT]] = LINE_FEED
        s[AT] += 1
        s[LINE_BREAKS] += 1
    elif s[SPACE_PENDING]:
        text[s[AT]] = SPACE
        s[AT] += 1
    s[SPACE_PENDING] = s[NUM_BR] = 0


@inlined
def _no_character(data: np.ndarray, i: int, end: int) -> tuple[int, bool]:
    """(bytes of a character that is not text at data[i] >= 0x7F, 0 if it is text; whether it counts as a space)."""
    code: Any
    byte = data[i]
    if byte == DELETE:
        return 1, False
    if byte == 0xC2 and i + 1 < end:
        code = np.int64(data[i + 1])
        return (2 if code <= 0xA0 or code == 0xAD else 0), code <= 0xA0  # C1 controls are white space
    if i + 2 < end and (byte == 0xE2 or byte == 0xE3 or byte == 0xEF):
        code = (np.int64(byte) & 15) << 12 | (np.int64(data[i + 1]) & 63) << 6 | np.int64(data[i + 2]) & 63
        is_space = _is_space(code)
        return (3 if is_space or _is_nothing(code) else 0), is_space
    return 0, False


@inlined
def _is_space(code: int) -> bool:
    """White space, no-break spaces, spaces of all widths, line and paragraph separators."""
    if code < 0x2000:
        return code <= SPACE or code == 0xA0
    return code <= 0x200A or 0x2028 <= code <= 0x2029 or code == 0x202F or code == 0x205F or code == 0x3000


@inlined
def _is_nothing(code: int) -> bool:
    """Soft hyphen, zero-width space, direction marks, word joiner, byte order mark."""
    return code == 0xAD or code == 0x200B or 0x200E <= code <= 0x200F or code == 0x2060 or code == 0xFEFF


@inlined
def _keep_space(
    code: int, s: np.ndarray, text: np.ndarray, blocks: np.ndarray, links: np.ndarray, block_element: int,
    text_element: int, html_position: int,
) -> None:  # fmt: skip
    """White space in `<pre>`: written as it is, but for that before a block's first character."""
    if s[NUM_BR]:
        before_character(s, text, blocks, links, block_element, text_element, html_position)
    if s[AT] > s[BLOCK_START]:
        text[s[AT]] = code if code in (LINE_FEED, TAB) else LINE_FEED if code == CARRIAGE_RETURN else SPACE
        s[AT] += 1


@inlined
def _special(
    data: np.ndarray, i: int, end: int, s: np.ndarray, text: np.ndarray, blocks: np.ndarray, links: np.ndarray,
    block_element: int, text_element: int, html_position: int,
) -> int:  # fmt: skip
    """Append what stands at data[i], a byte of `_special_at`; the position behind it."""
    byte = data[i]
    code: Any = np.int64(byte)
    second, size, is_space, is_nothing = 0, 1, byte <= SPACE, byte == 0
    if byte == AMPERSAND:
        code, second, size = reference_at(data, i, end, False)
        if size:
            is_space, is_nothing = _is_space(code), _is_nothing(code)
        else:
            code, size = AMPERSAND, 1
    elif byte >= DELETE:
        num_bytes, is_space = _no_character(data, i, end)
        is_nothing = num_bytes > 0 and not is_space
        size = max(num_bytes, 1)
    elif byte == CARRIAGE_RETURN and i + 1 < end and data[i + 1] == LINE_FEED:
        return i + 1
    if is_nothing:
        return i + size
    if is_space:
        if s[PRE]:
            _keep_space(code, s, text, blocks, links, block_element, text_element, html_position)
        else:
            s[SPACE_PENDING] = 1
        return i + size
    if s[SPACE_PENDING] or s[NUM_BR] or s[AT] == s[BLOCK_START]:
        before_character(s, text, blocks, links, block_element, text_element, html_position)
    if byte == AMPERSAND:
        s[AT] = put_code(text, s[AT], code)
        if second:
            s[AT] = put_code(text, s[AT], second)
    else:
        text[s[AT]] = byte
        s[AT] += 1
    return i + size


@inlined
def _num_plain(data: np.ndarray, i: int, end: int) -> int:
    """How many bytes from data[i] on, up to WIDTH, are text as they stand: single blanks between others among them."""
    one = np.uint64(1)
    plain = ~_special_at(data, i)
    plain |= _blanks_at(data, i) & plain << one & plain >> one
    size = min(first_bit(~plain), end - i)
    return size - (size > 0 and data[i + size - 1] == SPACE)


@inlined
def add_text(
    data: np.ndarray, i: int, end: int, s: np.ndarray, text: np.ndarray, blocks: np.ndarray, links: np.ndarray,
    block_element: int, text_element: int,
) -> None:  # fmt: skip
    """Append data[i:end], which holds no tags, to the block."""
    position = i
    while i < end:
        num_plain = _num_plain(data, i, end)
        if num_plain:
            if s[SPACE_PENDING] or s[NUM_BR] or s[AT] == s[BLOCK_START]:
                before_character(s, text, blocks, links, block_element, text_element, position)
            at = s[AT]
            for k in range(0, num_plain, 8):
                store_8(text, at + k, load_8(data, i + k))
            s[AT] = at + num_plain
            i += num_plain
        elif 0 < data[i] <= SPACE and not s[PRE]:
            s[SPACE_PENDING] = 1
            i += 1
            if data[i] <= SPACE:
                i += first_bit(_spaces_at(data, i) ^ ALL)
        else:
            i = _special(data, i, end, s, text, blocks, links, block_element, text_element, position)
