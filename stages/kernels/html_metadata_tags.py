"""Which sources the attributes of a `<meta>`, `<html>` or `<time>` tag are.

Reads:  the bytes between a tag's name and its `>`
Writes: places in `sources` (stages/kernels/html_metadata_sources.py)
Cost:   2 ns per byte
Source: https://html.spec.whatwg.org/#the-meta-element, #the-lang-and-xml:lang-attributes, #the-time-element; `property`
        is RDFa's
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_sources import (
    HTML_LANG,
    HTTP_EQUIV,
    ITEMPROP,
    NAME,
    TIME_CLASS,
    TIME_MARKED,
    TIME_PLAIN,
    XML_LANG,
    add_source,
    source_of,
)  # fmt: skip
from stages.kernels.html_metadata_text import APOSTROPHE, EQUALS, QUOTE, equals, is_alphanumeric, next_attribute, strip

_KEYS = ("content", "name", "property", "itemprop", "http-equiv", "lang", "xml:lang", "datetime", "pubdate", "class")
CONTENT, META_NAME, PROPERTY, META_ITEMPROP, META_HTTP_EQUIV, LANG, XML, DATETIME, PUBDATE, CLASS = range(len(_KEYS))
# Words of `class` by which a `<time>` is the day of publication, and those by which it is another.
_PUBLISHED = (
    "published", "entry-date", "post-date", "entry-time", "dt-published", "pubdate", "publish-date", "date-published",
    "article-date", "post__date", "article__date", "published-date", "article-published",
)  # fmt: skip
_OTHER = ("updated", "modified", "dt-updated", "date-modified", "comment-date")


def _joined(words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    raw = [word.encode() for word in words]
    return np.frombuffer(b"".join(raw), np.uint8), np.cumsum([0, *map(len, raw)], dtype=np.int64)


_KEY_WORDS, _KEY_STARTS = _joined(_KEYS)
_PUBLISHED_WORDS, _PUBLISHED_STARTS = _joined(_PUBLISHED)
_OTHER_WORDS, _OTHER_STARTS = _joined(_OTHER)
_DATE_PROPERTIES, _DATE_PROPERTY_STARTS = _joined(("datepublished", "datemodified", "dateupdated"))


@kernel
def _which(data: np.ndarray, start: int, end: int, words: np.ndarray, starts: np.ndarray) -> int:
    for k in range(len(starts) - 1):
        if equals(data, start, end, words, starts[k], starts[k + 1]):
            return k
    return -1


@kernel
def _has_word(data: np.ndarray, i: int, end: int, words: np.ndarray, starts: np.ndarray) -> int:
    """The number of the first word of data[i:end] that is among the words; -1 for none."""
    while i < end:
        while i < end and data[i] <= 32:
            i += 1
        start = i
        while i < end and data[i] > 32:
            i += 1
        k = _which(data, start, i, words, starts)
        if i > start and k >= 0:
            return k
    return -1


@kernel
def note_meta(data: np.ndarray, i: int, end: int, sources: np.ndarray) -> None:
    """A `<meta>` tag: its name, property, itemprop and http-equiv may each be a source, its content is the value."""
    content = name = prop = item = equiv = -1
    content_end = name_end = prop_end = item_end = equiv_end = 0
    while True:
        i, key, key_end, value, value_end = next_attribute(data, i, end)
        size = key_end - key
        if size == 0:
            break
        if size == 7 and content < 0 and equals(data, key, key_end, _KEY_WORDS, _KEY_STARTS[0], _KEY_STARTS[1]):
            content, content_end = value, value_end
        elif size == 4 and name < 0 and equals(data, key, key_end, _KEY_WORDS, _KEY_STARTS[1], _KEY_STARTS[2]):
            name, name_end = value, value_end
        elif size == 8 and prop < 0 and equals(data, key, key_end, _KEY_WORDS, _KEY_STARTS[2], _KEY_STARTS[3]):
            prop, prop_end = value, value_end
        elif size == 8 and item < 0 and equals(data, key, key_end, _KEY_WORDS, _KEY_STARTS[3], _KEY_STARTS[4]):
            item, item_end = value, value_end
        elif size == 10 and equiv < 0 and equals(data, key, key_end, _KEY_WORDS, _KEY_STARTS[4], _KEY_STARTS[5]):
            equiv, equiv_end = value, value_end
    if content < 0 or content == content_end:
        return
    content_end = _past_inner_quotes(data, content, content_end, end)
    _add(data, prop, prop_end, NAME, content, content_end, sources)
    _add(data, name, name_end, NAME, content, content_end, sources)
    _add(data, item, item_end, ITEMPROP, content, content_end, sources)
    _add(data, equiv, equiv_end, HTTP_EQUIV, content, content_end, sources)


@kernel
def _past_inner_quotes(data: np.ndarray, start: int, value_end: int, end: int) -> int:
    """Where the value ends that a quote within it seems to end: `content="He said "no" to it"`. A letter follows such
    a quote, and no attribute the last one."""
    if value_end + 1 >= end or not is_alphanumeric(data[value_end + 1]):
        return value_end
    quote, last = data[value_end], value_end
    if quote != data[start - 1] or (quote != QUOTE and quote != APOSTROPHE):
        return value_end
    for i in range(value_end + 1, end):
        if data[i] == EQUALS:
            return value_end
        if data[i] == quote:
            last = i
    return last


@kernel
def _add(
    data: np.ndarray, start: int, end: int, attribute: int, content: int, content_end: int, sources: np.ndarray
) -> None:  # fmt: skip
    if start < 0:
        return
    start, end = strip(data, start, end)
    source = source_of(data, start, end, attribute)
    if source >= 0:
        add_source(sources, source, content, content_end)


@kernel
def note_html(data: np.ndarray, i: int, end: int, sources: np.ndarray) -> None:
    """The `<html>` tag: its languages."""
    while True:
        i, key, key_end, value, value_end = next_attribute(data, i, end)
        if key == key_end:
            return
        which = _which(data, key, key_end, _KEY_WORDS, _KEY_STARTS)
        if which == LANG and sources[HTML_LANG, 0] == 0:
            add_source(sources, HTML_LANG, value, value_end)
        elif which == XML and sources[XML_LANG, 0] == 0:
            add_source(sources, XML_LANG, value, value_end)


@kernel
def note_time(data: np.ndarray, i: int, end: int, sources: np.ndarray) -> None:
    """A `<time>` tag with a date: one of publication, by `itemprop` and `pubdate` or by its class, or a plain one."""
    start, stop, marked, by_class, other = -1, 0, False, False, False
    while True:
        i, key, key_end, value, value_end = next_attribute(data, i, end)
        if key == key_end:
            break
        which = _which(data, key, key_end, _KEY_WORDS, _KEY_STARTS)
        if which in (DATETIME, CONTENT) and start < 0:
            start, stop = value, value_end
        elif which == PUBDATE:
            marked = True
        elif which == META_ITEMPROP:
            found = _has_word(data, value, value_end, _DATE_PROPERTIES, _DATE_PROPERTY_STARTS)
            marked = marked or found == 0
            other = other or found > 0
        elif which == CLASS:
            by_class = by_class or _has_word(data, value, value_end, _PUBLISHED_WORDS, _PUBLISHED_STARTS) >= 0
            other = other or _has_word(data, value, value_end, _OTHER_WORDS, _OTHER_STARTS) >= 0
    if start < 0 or (other and not marked and not by_class):
        return
    add_source(sources, TIME_MARKED if marked else TIME_CLASS if by_class else TIME_PLAIN, start, stop)
