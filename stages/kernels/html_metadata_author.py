"""The text of an element that names a page's author.

Reads:  a page from the `<` of the element's start tag on, a region of 2,000 bytes or so
Writes: its text, references not decoded, with `|` where the line ends in a browser
Cost:   1 to 2 ns per byte
Source: `rel=author` of HTML, `itemprop`, hCard's `fn`; the other class names below are our choice

Source: `rel=author` of HTML, `itemprop`, `fn` of hCard; the other class names below are our choice
and the like is left out. An element inside that is marked as the name stands for the whole.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_text import (
    GREATER,
    LESS,
    MAX_VALUE_BYTES,
    SLASH,
    SPACE,
    equals,
    lower,
    next_attribute,
)  # fmt: skip

NOTHING, BY_CLASS, MARKED, IS_NAME = range(4)  # what an element is by its attributes
_ATTRIBUTES = ("rel", "itemprop", "class", "id")
REL, ITEMPROP, CLASS, ID = range(4)
_CLASSES = (
    "author", "byline", "by-line", "author-name", "author_name", "authorname", "author-link", "author_link", "p-author",
    "post-author", "post-author-name", "post__author", "entry-author", "entry-author-name", "entry-author-link",
    "article-author", "article__author", "article_author", "article-byline", "article__byline", "post-byline",
    "story-byline", "storybyline", "byline-name", "byline__name", "byline-author", "byline_author", "byline__author",
    "news-author", "news_author", "autor", "writer", "authors", "article-author-name", "author__name",
)  # fmt: skip
_NAMES = ("fn", "author-name", "author_name", "authorname", "byline-name", "byline__name", "author__name")
_SKIPPED = ("time", "script", "style", "noscript", "svg", "template", "button", "textarea", "select")
_BLOCKS = ("p", "div", "li", "ul", "br", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "td", "dd", "dt", "section", "img")
_VOID = ("meta", "link", "img", "input", "br", "hr")
BAR, DASH, BANG = b"|-!"


def _joined(words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    raw = [word.encode() for word in words]
    return np.frombuffer(b"".join(raw), np.uint8), np.cumsum([0, *map(len, raw)], dtype=np.int64)


_ATTRIBUTE_WORDS, _CLASS_WORDS, _NAME_WORDS, _SKIPPED_WORDS, _BLOCK_WORDS, _VOID_WORDS = (
    _joined(words) for words in (_ATTRIBUTES, _CLASSES, _NAMES, _SKIPPED, _BLOCKS, _VOID)
)
_AUTHOR_WORDS, _NAME_PROPERTY = _joined(("author", "creator")), _joined(("name",))


@kernel
def _which(data: np.ndarray, start: int, end: int, words: tuple[np.ndarray, np.ndarray]) -> int:
    for k in range(len(words[1]) - 1):
        if equals(data, start, end, words[0], words[1][k], words[1][k + 1]):
            return k
    return -1


@kernel
def _has_word(data: np.ndarray, i: int, end: int, words: tuple[np.ndarray, np.ndarray]) -> bool:
    """Whether one of the words stands among those of data[i:end], between white space."""
    while i < end:
        while i < end and data[i] <= SPACE:
            i += 1
        start = i
        while i < end and data[i] > SPACE:
            i += 1
        if i > start and _which(data, start, i, words) >= 0:
            return True
    return False


@kernel
def _tag_end(data: np.ndarray, i: int, end: int) -> int:
    """The position of the `>` of the tag whose attributes begin at i, or `end`."""
    quote = 0
    while i < end:
        byte = data[i]
        if quote:
            if byte == quote:
                quote = 0
        elif byte == GREATER:
            return i
        elif byte == 34 or byte == 39:
            quote = byte
        i += 1
    return end


@kernel
def _name_end(data: np.ndarray, i: int, end: int) -> int:
    while i < end and data[i] > SPACE and data[i] != SLASH and data[i] != GREATER:
        i += 1
    return i


@kernel
def _role(data: np.ndarray, i: int, end: int) -> int:
    """What the attributes in data[i:end] make of an element."""
    role = NOTHING
    while True:
        i, key, key_end, value, value_end = next_attribute(data, i, end)
        if key == key_end:
            return role
        attribute = _which(data, key, key_end, _ATTRIBUTE_WORDS)
        if attribute == ITEMPROP and _has_word(data, value, value_end, _NAME_PROPERTY):
            return IS_NAME
        if attribute in (REL, ITEMPROP) and _has_word(data, value, value_end, _AUTHOR_WORDS):
            role = MARKED
        elif attribute == CLASS and role == NOTHING and _has_word(data, value, value_end, _NAME_WORDS):
            role = IS_NAME
        elif attribute in (CLASS, ID) and role == NOTHING and _has_word(data, value, value_end, _CLASS_WORDS):
            role = BY_CLASS


@kernel
def author_role(data: np.ndarray, start: int, end: int) -> int:
    """MARKED for `rel=author` and `itemprop=author`, BY_CLASS for a class or id that says so, else NOTHING."""
    name_end = _name_end(data, start + 1, end)
    if _which(data, start + 1, name_end, _VOID_WORDS) >= 0:
        return NOTHING
    role = _role(data, name_end, _tag_end(data, name_end, end))
    return BY_CLASS if role == IS_NAME else role


@kernel
def author_text(data: np.ndarray, start: int, end: int, value: np.ndarray) -> int:
    """The text of the element whose start tag is at data[start]; returns its bytes in `value`."""
    name, name_end = start + 1, _name_end(data, start + 1, end)
    i = _tag_end(data, name_end, end) + 1
    depth, size, narrowed = 1, 0, False
    while i < end and size + 2 < MAX_VALUE_BYTES:
        if data[i] != LESS or i + 1 >= end or not _begins_tag(data[i + 1]):
            value[size] = data[i] if data[i] != BAR else 47
            size, i = size + 1, i + 1
            continue
        if data[i + 1] == BANG:  # a comment, or what is read as one
            i = _after_comment(data, i + 2, end)
            continue
        closing = data[i + 1] == SLASH
        tag = i + 2 if closing else i + 1
        tag_name_end = _name_end(data, tag, end)
        behind = _tag_end(data, tag_name_end, end)
        if _same(data, name, name_end, tag, tag_name_end):
            depth += -1 if closing else 1
            if depth == 0:
                break
        if not closing and _which(data, tag, tag_name_end, _SKIPPED_WORDS) >= 0:
            i = _after_element(data, behind + 1, end, tag, tag_name_end)
            continue
        may_narrow = not closing and not narrowed and _which(data, tag, tag_name_end, _VOID_WORDS) < 0
        if may_narrow and _role(data, tag_name_end, behind) == IS_NAME:
            name, name_end, depth, size, narrowed = tag, tag_name_end, 1, 0, True
        value[size] = BAR if _which(data, tag, tag_name_end, _BLOCK_WORDS) >= 0 else SPACE
        size, i = size + 1, behind + 1
    return size


@kernel
def _begins_tag(byte: int) -> bool:
    return 97 <= byte | 32 <= 122 or byte in (SLASH, BANG)


@kernel
def _same(data: np.ndarray, a: int, a_end: int, b: int, b_end: int) -> bool:
    """Whether two tag names are one, A to Z in either case."""
    if a_end - a != b_end - b:
        return False
    for k in range(a_end - a):  # noqa: SIM110 - Numba
        if lower(data[a + k]) != lower(data[b + k]):
            return False
    return True


@kernel
def _after_comment(data: np.ndarray, i: int, end: int) -> int:
    """Behind `-->` where `--` is at i, else behind the next `>`."""
    dashes = i + 1 < end and data[i] == DASH and data[i + 1] == DASH
    if dashes:
        i += 2
    while i < end:
        if data[i] == GREATER and (not dashes or (data[i - 1] == DASH and data[i - 2] == DASH)):
            return i + 1
        i += 1
    return end


@kernel
def _after_element(data: np.ndarray, i: int, end: int, name: int, name_end: int) -> int:
    """Behind the next end tag of that name; `end` where there is none."""
    while i + 1 < end:
        if data[i] == LESS and data[i + 1] == SLASH:
            behind = _name_end(data, i + 2, end)
            if _same(data, name, name_end, i + 2, behind):
                return _tag_end(data, behind, end) + 1
        i += 1
    return end
