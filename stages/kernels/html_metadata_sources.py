"""Where a page says its title, its authors, its date, its site's name and its language: the sources, in order.

Reads:  names of `<meta>` tags
Writes: numbers of sources; an array with the places found for each
Cost:   20 ns a tag
Source: ogp.me; schema.org; Dublin Core (dublincore.org/documents/dcmi-terms); Google Scholar's inclusion guidelines
        (citation_*); developer pages of Parse.ly, Sailthru, Cxense; names seen on 4,162 real pages

A column has the value of its first source that has a valid one. TITLE_SOURCES and the like are that order; names that
mean the same are one source. Left out on purpose: `twitter:creator` (a handle), `generator`, `title` (which
templates fill with anything), dates of modification, `article:publisher` (an address).
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel

AUTHORS = 8  # places kept of one source: more than one counts for authors and for dates that must agree

NAME, ITEMPROP, HTTP_EQUIV = range(3)  # attributes that name what a `<meta>` tag says; `property` is read as `name`

# What is no `<meta>` tag, and the number of its source below.
OTHER_SOURCES = (
    "json_headline", "json_name", "title_element", "json_author", "json_page_author", "author_marked", "author_class",
    "json_date", "json_created", "json_page_date", "time_marked", "time_class", "time_plain", "json_publisher",
    "json_site", "html_lang", "xml_lang", "json_language",
)  # fmt: skip

TITLE_SOURCES = (
    ("name citation_title",),
    ("name og:title", "name http://ogp.me/ns#title"),
    ("json_headline",),
    ("name twitter:title",),
    ("name parsely-title", "name sailthru.title", "name rnews:headline", "name cxenseparse:title"),
    ("itemprop headline", "name headline"),
    ("json_name",),
    ("title_element",),
    ("name dc.title", "name dc:title", "name dcterms.title"),
)
BYLINE_SOURCES = (
    ("name citation_author", "name citation_authors"),
    ("json_author",),
    ("name parsely-author", "name sailthru.author", "name cxenseparse:author"),
    ("name byl", "name byline", "name article_author", "name vr:author", "name shareaholic:article_author_name"),
    ("name article:author", "name og:article:author", "name og:author", "name http://ogp.me/ns/article#author"),
    ("itemprop author",),
    ("author_marked",),
    ("name author", "http-equiv author"),
    ("name dc.creator", "name dc:creator", "name dcterms.creator"),
    ("name mediaid",),
    ("author_class",),
    ("json_page_author",),
)
DATE_SOURCES = (
    ("name article:published_time", "name og:article:published_time", "name article:published",
     "name http://ogp.me/ns/article#published_time", "name og:published_time"),
    ("json_date",),
    ("itemprop datepublished", "name datepublished"),
    ("name citation_publication_date", "name citation_date", "name citation_online_date"),
    ("name parsely-pub-date", "name sailthru.date", "name rnews:datepublished", "name cxenseparse:publishtime",
     "name cxenseparse:recs:publishtime", "name shareaholic:article_published_time", "name vr:published_time",
     "name vr:published-time"),
    ("name dcterms.issued", "name dc.date.issued", "name dc.issued", "name dc:date.issued"),
    ("name ptime", "name pdate", "name pubdate", "name pub_date", "name publishdate", "name publish_date",
     "name publish-date", "name publicationdate", "name publication_date", "name originalpublicationdate",
     "name published", "name published-date", "name article_date_original", "name displaydate", "name og:release_date",
     "name og:time", "name weibo: article:create_at", "name weibo:article:create_at", "name publishtime",
     "name article.published", "name article-published", "name bt:pubdate", "name releasedate", "name release_date",
     "name posted", "name dateofpublication", "name item-publish-date", "name article:publicationdate",
     "name icx_pubdate", "name datepub"),
    ("time_marked",),
    ("name dc.date", "name dc:date", "name dcterms.date", "name date"),
    ("name dc.date.created", "name dcterms.created", "name dc.created", "name created", "name date_created",
     "name doc_date", "name creation_date", "itemprop datecreated", "itemprop uploaddate"),
    ("json_created",),
    ("time_class",),
    ("json_page_date",),
    ("time_plain",),
)  # fmt: skip
SITE_NAME_SOURCES = (
    ("name og:site_name", "name http://ogp.me/ns#site_name"),
    ("json_site",),
    ("json_publisher",),
    ("name application-name", "name apple-mobile-web-app-title"),
    ("name cps_site_name", "name sitename", "name shareaholic:site_name"),
)
LANGUAGE_SOURCES = (
    ("html_lang",),
    ("xml_lang",),
    ("http-equiv content-language", "name content-language", "http-equiv language"),
    ("name og:locale",),
    ("name language", "name lang", "name dc.language", "name dcterms.language"),
    ("itemprop inlanguage", "json_language"),
)
# Not a column's, but names of the site by which it is known at the end of a title.
SITE_HINTS = (
    ("name twitter:site",),
    ("name al:ios:app_name", "name al:iphone:app_name", "name al:android:app_name"),
    ("name og:url",),
)

_GROUPS = (TITLE_SOURCES, BYLINE_SOURCES, DATE_SOURCES, SITE_NAME_SOURCES, LANGUAGE_SOURCES, SITE_HINTS)
_NUMBERS = {name: k for k, names in enumerate(names for group in _GROUPS for names in group) for name in names}
_ENDS = [sum(map(len, _GROUPS[: k + 1])) for k in range(len(_GROUPS))]
TITLES_END, BYLINES_END, DATES_END, SITE_NAMES_END, LANGUAGES_END, NUM_SOURCES = _ENDS
(JSON_HEADLINE, JSON_NAME, TITLE_ELEMENT, JSON_AUTHOR, JSON_PAGE_AUTHOR, AUTHOR_MARKED, AUTHOR_CLASS, JSON_DATE,
 JSON_CREATED, JSON_PAGE_DATE, TIME_MARKED, TIME_CLASS, TIME_PLAIN, JSON_PUBLISHER, JSON_SITE, HTML_LANG, XML_LANG,
 JSON_LANGUAGE) = (_NUMBERS[name] for name in OTHER_SOURCES)  # fmt: skip
OG_URL = _NUMBERS["name og:url"]

NUM_SLOTS = 1024  # of the hash table: an eighth filled
FNV_OFFSET, FNV_PRIME = 2166136261, 16777619  # FNV-1a of 32 bits


def _fnv(name: bytes, attribute: int) -> int:
    value = FNV_OFFSET ^ attribute
    for byte in name:
        value = (value ^ byte) * FNV_PRIME & 0xFFFFFFFF
    return value


def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(entry + 1 by slot; attribute, source, start and end of the name by entry; the names)."""
    attributes = {"name": NAME, "itemprop": ITEMPROP, "http-equiv": HTTP_EQUIV}
    slots, rows, names = np.zeros(NUM_SLOTS, np.int64), [], b""
    for full, source in _NUMBERS.items():
        if full in OTHER_SOURCES:
            continue
        kind, _, name = full.partition(" ")
        raw = name.encode()
        slot = _fnv(raw, attributes[kind]) % NUM_SLOTS
        while slots[slot]:
            slot = (slot + 1) % NUM_SLOTS
        rows.append((attributes[kind], source, len(names), len(names) + len(raw)))
        slots[slot] = len(rows)
        names += raw
    return slots, np.array(rows, np.int64), np.frombuffer(names, np.uint8)


_SLOTS, _ENTRIES, _NAMES = _table()
LONGEST_NAME = int((_ENTRIES[:, 3] - _ENTRIES[:, 2]).max())


@kernel
def source_of(data: np.ndarray, start: int, end: int, attribute: int) -> int:
    """The source a `<meta>` tag with this value of this attribute is; -1 for none."""
    if end - start > LONGEST_NAME:
        return -1
    value = np.uint32(FNV_OFFSET ^ attribute)
    for i in range(start, end):
        byte = data[i]
        value = (value ^ np.uint32(byte + 32 if 65 <= byte <= 90 else byte)) * np.uint32(FNV_PRIME)
    slot = np.int64(value) % NUM_SLOTS
    while _SLOTS[slot]:
        entry = _SLOTS[slot] - 1
        first, last = _ENTRIES[entry, 2], _ENTRIES[entry, 3]
        if _ENTRIES[entry, 0] == attribute and last - first == end - start:
            same = True
            for k in range(end - start):
                byte = data[start + k]
                if (byte + 32 if 65 <= byte <= 90 else byte) != _NAMES[first + k]:
                    same = False
                    break
            if same:
                return _ENTRIES[entry, 1]
        slot = (slot + 1) % NUM_SLOTS
    return -1


@kernel
def add_source(sources: np.ndarray, source: int, start: int, end: int) -> None:
    """Note a place of a source in `sources`, int64[NUM_SOURCES, 1 + 2 * AUTHORS]: how many, then starts and ends."""
    count = sources[source, 0]
    if count < AUTHORS:
        sources[source, 1 + 2 * count], sources[source, 2 + 2 * count] = start, end
        sources[source, 0] = count + 1
