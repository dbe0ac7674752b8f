"""The attributes of one tag: the words of its class and id, where it links to, whether it is hidden.

Reads:  the bytes of a page from behind a tag's name on
Writes: tokens (hashes of words) of `class`, `id`, `role` and `itemprop`; positions of values in an array of fields
Cost:   about 10 ns an attribute, and 1.2 ns per byte of class and id
Source: https://html.spec.whatwg.org/#before-attribute-name-state and the states behind it. A quote that never closes
        takes the rest of the page in browsers; here the tag then ends at its first `>`, so that no text is lost

`class="entry-content postBody2"` gives the tokens entry, content, entry-content, post, body, postbody: names are cut
where letters end and before a capital, digits are left out, and a name of several words is a token as a whole too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.kernels.html_bytes import APOSTROPHE, EQUALS, GREATER, QUOTE, SLASH, SPACE, next_greater, next_quote
from stages.kernels.html_tags import first_word, name_end, name_word
from stages.kernels.inlined import inlined

MAX_TOKENS = 24  # of one tag; those of pages seen end at 20, but for hostile ones
(NEXT, HREF, HREF_END, ALT, ALT_END, HIDDEN, IS_AUTHOR, IS_JSON_LD, NO_DOUBLE, NO_SINGLE, NUM_FIELDS) = range(11)

FNV_OFFSET, FNV_PRIME = 2166136261, 16777619  # FNV-1a of 32 bits
ROLE_SALT, ITEMPROP_SALT = 0x52, 0x49


def token_hash(word: str, salt: int = 0) -> int:
    """The token of one word in lower case."""
    value = FNV_OFFSET ^ salt
    for byte in word.encode():
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value


_CLASS, _ID, _ROLE, _ITEMPROP, _HREF, _ALT, _STYLE, _HIDDEN, _ARIA_HIDDEN, _TYPE, _REL = (
    np.uint64(name_word(name))
    for name in ["class", "id", "role", "itemprop", "href", "alt", "style", "hidden", "aria-hidden", "type", "rel"]
)  # fmt: skip
_ARIA_HIDDEN_REST = np.uint64(name_word("den"))
_AUTHOR_TOKENS = np.array(
    [
        token_hash(word, salt)
        for word in ("author", "byline", "authors", "autor", "writer")
        for salt in (0, ITEMPROP_SALT)
    ],
    np.uint32,
)
_AUTHOR_BITS = np.uint64(sum({1 << (int(token) & 63) for token in _AUTHOR_TOKENS}))  # nearly no other token has these
_DISPLAY_NONE = np.frombuffer(b"display:none", np.uint8)
_JSON_LD = np.frombuffer(b"application/ld+json", np.uint8)
_TRUE = np.frombuffer(b"true", np.uint8)


@inlined
def read_attributes(
    data: np.ndarray, i: int, end: int, fields: np.ndarray, tokens: np.ndarray, num_tokens: int
) -> int:  # fmt: skip
    """Fill `fields` (int64[NUM_FIELDS]) from the attributes at i, append tokens; returns their new number.

    NEXT: the position behind the tag. NO_DOUBLE and NO_SINGLE hold from tag to tag where no more quotes are.
    """
    fields[HREF] = fields[ALT] = -1
    fields[HIDDEN] = fields[IS_AUTHOR] = fields[IS_JSON_LD] = 0
    first_token = num_tokens
    while i < end:
        byte = data[i]
        if byte == GREATER:
            i += 1
            break
        if byte <= SPACE or byte == SLASH:
            i += 1
            continue
        name = i
        i = name_end(data, i + 1, end)
        key = _known(data, name, i - name)
        while i < end and data[i] <= SPACE:
            i += 1
        value = value_end = i
        if i < end and data[i] == EQUALS:
            value, value_end, i = _value(data, i + 1, end, fields)
        salt = 0 if key in (_CLASS, _ID) else ROLE_SALT if key == _ROLE else -1
        if key in (_ITEMPROP, _REL):
            salt = ITEMPROP_SALT
        if salt >= 0:
            num_tokens = _words(data, value, value_end, salt, tokens, num_tokens, first_token + MAX_TOKENS)
        elif key == _HREF:
            if fields[HREF] < 0:  # of several, the first counts
                fields[HREF], fields[HREF_END] = value, value_end
        elif key == _ALT:
            fields[ALT], fields[ALT_END] = value, value_end
        elif key == _STYLE:
            fields[HIDDEN] |= _holds(data, value, value_end, _DISPLAY_NONE)
        elif key == _HIDDEN:
            fields[HIDDEN] = 1
        elif key == _ARIA_HIDDEN:
            fields[HIDDEN] |= _holds(data, value, value_end, _TRUE)
        elif key == _TYPE:
            fields[IS_JSON_LD] = _holds(data, value, value_end, _JSON_LD)
    fields[NEXT] = i
    for k in range(first_token, num_tokens):
        if _AUTHOR_BITS >> np.uint64(tokens[k] & np.uint32(63)) & np.uint64(1):
            for author in _AUTHOR_TOKENS:
                fields[IS_AUTHOR] |= tokens[k] == author
    return num_tokens


@inlined
def _known(data: np.ndarray, i: int, size: int) -> np.uint64:
    """`name_word` of an attribute's name if it may be one that counts, 0 if not."""
    if size > 8 and not (size == 11 and first_word(data, i + 8, 3) == _ARIA_HIDDEN_REST):
        return np.uint64(0)
    word = first_word(data, i, size)
    return word if (size > 8) == (word == _ARIA_HIDDEN) else np.uint64(0)


@inlined
def _value(data: np.ndarray, i: int, end: int, fields: np.ndarray) -> tuple[int, int, int]:
    """(start, end of the value behind the `=`, position behind it and its quote)."""
    while i < end and data[i] <= SPACE:
        i += 1
    if i < end and (data[i] == QUOTE or data[i] == APOSTROPHE):
        quote = data[i]
        none_left = NO_DOUBLE if quote == QUOTE else NO_SINGLE
        close = end
        if not fields[none_left]:
            close = next_quote(data, i + 1, end, quote)
        if close < end:
            return i + 1, close, close + 1
        fields[none_left] = 1
        close = next_greater(data, i + 1, end)
        return i + 1, close, close
    start = i
    while i < end and data[i] > SPACE and data[i] != GREATER:
        i += 1
    return start, i, i


@inlined
def _holds(data: np.ndarray, start: int, end: int, wanted: np.ndarray) -> int:
    """Whether `wanted` stands in data[start:end], white space left out and capitals lowered."""
    matched = 0
    for i in range(start, end):
        byte = data[i]
        if byte <= SPACE:
            continue
        if 65 <= byte <= 90:
            byte |= 32
        if byte == wanted[matched]:
            matched += 1
            if matched == len(wanted):
                return 1
        else:
            matched = 1 if byte == wanted[0] else 0
    return 0


@inlined
def _words(
    data: np.ndarray, start: int, end: int, salt: int, tokens: np.ndarray, num_tokens: int, most: int
) -> int:  # fmt: skip
    """Append the tokens of data[start:end] while there are fewer than `most`; their new number."""
    fresh = np.uint32(FNV_OFFSET ^ salt)
    whole: Any = fresh
    word: Any = fresh
    was_lower: Any = False
    num_letters, num_words = 0, 0
    for i in range(start, end + 1):
        byte = data[i] if i < end else np.uint8(SPACE)
        is_upper = 65 <= byte <= 90
        is_letter = is_upper or 97 <= byte <= 122 or byte >= 0x80
        if num_letters and (not is_letter or (is_upper and was_lower)):
            if num_letters > 1 and num_tokens < most:
                tokens[num_tokens] = word
                num_tokens += 1
            num_words += 1
            word, num_letters = fresh, 0
        if is_letter:
            low = byte | np.uint8(32) if is_upper else byte
            word = (word ^ np.uint32(low)) * np.uint32(FNV_PRIME)
            whole = (whole ^ np.uint32(low)) * np.uint32(FNV_PRIME)
            num_letters += 1
        elif byte <= SPACE:
            if num_words > 1 and num_tokens < most:
                tokens[num_tokens] = whole
                num_tokens += 1
            whole, num_words = fresh, 0
        elif byte == 45 or byte == 95:
            whole = (whole ^ np.uint32(45)) * np.uint32(FNV_PRIME)
        was_lower = is_letter and not is_upper
    return num_tokens
