"""What a page's JSON-LD says of the page: headline, authors, date, publisher, language.

Reads:  the content of one `<script type="application/ld+json">`
Writes: positions of strings, between their quotes, as sources (stages/kernels/html_metadata_sources.py)
Cost:   about 1.5 ns per byte; no recursion, MAX_DEPTH levels looked at, deeper ones passed over
Source: RFC 8259; schema.org's types; https://developers.google.com/search/docs/appearance/structured-data/article

Looked at are the entities a page is about: at the top, in arrays there, in `@graph`, and at `mainEntity`. What is said
of other things (a product's reviews, items of a list) is none of the page. Among entities the first of a kind counts.
Line breaks in strings and commas too many are borne with; where brackets do not fit, the rest is not read. An author
given as `@id` is the person of that `@id` in the same script.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_sources import (
    AUTHORS,
    JSON_AUTHOR,
    JSON_CREATED,
    JSON_DATE,
    JSON_HEADLINE,
    JSON_LANGUAGE,
    JSON_NAME,
    JSON_PAGE_AUTHOR,
    JSON_PAGE_DATE,
    JSON_PUBLISHER,
    JSON_SITE,
    add_source,
)  # fmt: skip
from stages.kernels.inlined import inlined

MAX_DEPTH = 32
MAX_PERSONS = 16
# What a container is: nothing of ours, a list of entities, an entity, or what stands at one of an entity's keys.
OTHER, ENTITIES, ENTITY, AUTHOR, PUBLISHER, LANGUAGE, TYPES = range(7)
KEYS = (
    "@type", "headline", "name", "datePublished", "dateCreated", "uploadDate", "author", "creator", "publisher",
    "inLanguage", "@graph", "mainEntity", "@id", "alternateName",
)  # fmt: skip
(TYPE, HEADLINE, NAME, PUBLISHED, CREATED, UPLOADED, BY, CREATOR, PUBLISHED_BY, IN_LANGUAGE, GRAPH, MAIN_ENTITY, ID,
 ALTERNATE_NAME) = range(len(KEYS))  # fmt: skip
NO_KEY = -1
# Bits of an entity's types; a type counts where its name ends like one of these.
ARTICLE, PAGE, SITE, PERSON = 1, 2, 4, 8
TYPE_ENDINGS = (
    ("article", ARTICLE), ("blogposting", ARTICLE), ("mediaposting", ARTICLE), ("forumposting", ARTICLE),
    ("report", ARTICLE), ("recipe", ARTICLE), ("howto", ARTICLE), ("creativework", ARTICLE), ("videoobject", ARTICLE),
    ("question", ARTICLE), ("website", SITE), ("webpage", PAGE), ("itempage", PAGE), ("aboutpage", PAGE),
    ("person", PERSON),
)  # fmt: skip
# Rows of `fields`: strings of the entity at a depth, as (start, end), start -1 without.
F_HEADLINE, F_NAME, F_PUBLISHED, F_CREATED, F_PUBLISHER, F_LANGUAGE, F_ID, F_AUTHOR_ID, NUM_FIELDS = range(9)
QUOTE, COMMA, COLON, OPEN_LIST, BACKSLASH, CLOSE_LIST, OPEN, CLOSE = b'",:[\\]{}'
SPACE = 32


def _joined(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    raw = [word.encode() for word in words]
    return np.frombuffer(b"".join(raw), np.uint8), np.cumsum([0, *map(len, raw)], dtype=np.int64)


_KEYS, _KEY_STARTS = _joined(list(KEYS))
_ENDINGS, _ENDING_STARTS = _joined([ending for ending, _ in TYPE_ENDINGS])
_ENDING_BITS = np.array([bit for _, bit in TYPE_ENDINGS], np.int64)
_CDATA = np.frombuffer(b"CDATA", np.uint8)

# Columns of `frames` int64[MAX_DEPTH + 1, ...]: the containers open. OWNER: the depth of the entity it belongs to.
ROLE, IS_OBJECT, OWNER, BITS, NUM_AUTHORS, FIRST_FIELD = range(6)
FIRST_AUTHOR = FIRST_FIELD + 2 * NUM_FIELDS
NUM_COLUMNS = FIRST_AUTHOR + 2 * AUTHORS
# Rows of `persons` int64[MAX_PERSONS + 1, 4]: where an id and a name begin and end; the last holds the article's
# author's id and how many persons there are.


@kernel
def read_json_ld(
    data: np.ndarray, i: int, end: int, sources: np.ndarray, frames: np.ndarray, persons: np.ndarray
) -> None:  # fmt: skip
    """Add what data[i:end] says to `sources`. `frames` and `persons` are room to work in, of the shapes above."""
    first, depth, key, after_value = i, 0, NO_KEY, False
    frames[0, ROLE], frames[0, IS_OBJECT], frames[0, OWNER] = ENTITIES, 0, -1
    persons[MAX_PERSONS, 0], persons[MAX_PERSONS, 2] = -1, 0
    while i < end:
        byte = data[i]
        if byte <= SPACE:
            i += 1
        elif depth == 0 and byte != OPEN and (byte != OPEN_LIST or _is_cdata(data, first, i, end)):
            i += 1  # comments and the like around the JSON
        elif byte == QUOTE:
            start = i + 1
            i = start
            while i < end and data[i] != QUOTE:
                i += 2 if data[i] == BACKSLASH else 1
            if i >= end or after_value:
                break
            if depth <= MAX_DEPTH and frames[depth, IS_OBJECT] and key == NO_KEY:
                key = _key(data, start, i)
                i = _after_colon(data, i + 1, end)
                if i < 0:
                    break
                continue
            if depth <= MAX_DEPTH:
                _string(data, start, i, frames, depth, key)
            i, key, after_value = i + 1, NO_KEY, True
        elif byte in (OPEN, OPEN_LIST):
            if depth > 0 and after_value:
                break
            depth += 1
            if depth <= MAX_DEPTH:
                _open(frames, depth, key, byte == OPEN)
            i, key, after_value = i + 1, NO_KEY, False
        elif byte in (CLOSE, CLOSE_LIST):
            if depth <= MAX_DEPTH:
                if frames[depth, IS_OBJECT] != (byte == CLOSE):
                    break
                if frames[depth, ROLE] == ENTITY:
                    _close(sources, frames, depth, persons)
            depth -= 1
            i, key, after_value = i + 1, NO_KEY, depth > 0
        elif byte == COMMA or (byte == COLON and depth > MAX_DEPTH):  # keys are not told apart so deep
            i, key, after_value = i + 1, NO_KEY, False
        elif _is_scalar(byte) and not after_value:
            start = i
            while i < end and _is_scalar(data[i]):
                i += 1
            if depth <= MAX_DEPTH and key in (PUBLISHED, CREATED, UPLOADED) and 48 <= byte <= 57:
                _string(data, start, i, frames, depth, key)
            key, after_value = NO_KEY, True
        else:
            break
    _resolve(data, sources, persons)


@inlined
def _is_scalar(byte: int) -> bool:
    """What numbers, `true`, `false` and `null` are made of."""
    return 48 <= byte <= 57 or 97 <= byte | 32 <= 122 or byte == 45 or byte == 43 or byte == 46


@inlined
def _is_cdata(data: np.ndarray, first: int, i: int, end: int) -> bool:
    """Whether data[i] == `[` is one of `<![CDATA[`'s."""
    for offset in (-5, 1):
        if i + offset < first or i + offset + 5 > end:
            continue
        same = True
        for k in range(5):
            same = same and data[i + offset + k] == _CDATA[k]
        if same:
            return True
    return False


@inlined
def _after_colon(data: np.ndarray, i: int, end: int) -> int:
    """The position behind the colon that must come next; -1 where it does not."""
    while i < end and data[i] <= SPACE:
        i += 1
    return i + 1 if i < end and data[i] == COLON else -1


@kernel
def _key(data: np.ndarray, start: int, end: int) -> int:
    """The number in KEYS of data[start:end]; len(KEYS) for another."""
    for k in range(len(_KEY_STARTS) - 1):
        first = _KEY_STARTS[k]
        if _KEY_STARTS[k + 1] - first == end - start:
            same = True
            for j in range(end - start):
                if data[start + j] != _KEYS[first + j]:
                    same = False
                    break
            if same:
                return k
    return len(KEYS)


@inlined
def _role_at(role: int, key: int) -> int:
    """What a value is that stands at a key of an object, or (NO_KEY) in a list."""
    if key == NO_KEY:
        return role
    if key == GRAPH and role in (ENTITY, ENTITIES):
        return ENTITIES
    if role == ENTITY:
        if key == TYPE:
            return TYPES
        if key in (BY, CREATOR):
            return AUTHOR
        if key == PUBLISHED_BY:
            return PUBLISHER
        if key == IN_LANGUAGE:
            return LANGUAGE
        if key == MAIN_ENTITY:
            return ENTITIES
    if role == AUTHOR and key == NAME:
        return AUTHOR
    return OTHER


@inlined
def _open(frames: np.ndarray, depth: int, key: int, is_object: bool) -> None:
    """A container begins at `depth`, which is MAX_DEPTH or less, at the key or in the list of the one above."""
    role = _role_at(frames[depth - 1, ROLE], key)
    owner = frames[depth - 1, OWNER]
    if role == ENTITIES and is_object:
        role, owner = ENTITY, depth
        frames[depth, BITS] = frames[depth, NUM_AUTHORS] = 0
        for field in range(NUM_FIELDS):
            frames[depth, FIRST_FIELD + 2 * field] = -1
    frames[depth, ROLE], frames[depth, IS_OBJECT], frames[depth, OWNER] = role, is_object, owner


@kernel
def _string(data: np.ndarray, start: int, end: int, frames: np.ndarray, depth: int, key: int) -> None:
    """A string at a key of the object, or in the list, at `depth`."""
    role, owner = frames[depth, ROLE], frames[depth, OWNER]
    if owner < 0 or role == OTHER or start == end:
        return
    field = -1
    if role == ENTITY:
        if key == TYPE:
            frames[owner, BITS] |= _type(data, start, end)
        elif key == HEADLINE:
            field = F_HEADLINE
        elif key == NAME:
            field = F_NAME
        elif key == PUBLISHED:
            field = F_PUBLISHED
        elif key in (CREATED, UPLOADED):
            field = F_CREATED
        elif key == PUBLISHED_BY:
            field = F_PUBLISHER
        elif key == IN_LANGUAGE:
            field = F_LANGUAGE
        elif key == ID:
            field = F_ID
        elif key in (BY, CREATOR):
            _author(frames, owner, start, end)
    elif role == TYPES:
        frames[owner, BITS] |= _type(data, start, end)
    elif role == AUTHOR:
        if key in (NAME, NO_KEY):
            _author(frames, owner, start, end)
        elif key == ID:
            field = F_AUTHOR_ID
    elif role == PUBLISHER and key == NAME:
        field = F_PUBLISHER
    elif role == LANGUAGE and key in (ALTERNATE_NAME, NO_KEY):
        field = F_LANGUAGE
    if field >= 0 and frames[owner, FIRST_FIELD + 2 * field] < 0:
        frames[owner, FIRST_FIELD + 2 * field], frames[owner, FIRST_FIELD + 2 * field + 1] = start, end


@inlined
def _author(frames: np.ndarray, owner: int, start: int, end: int) -> None:
    count = frames[owner, NUM_AUTHORS]
    if count < AUTHORS:
        frames[owner, FIRST_AUTHOR + 2 * count], frames[owner, FIRST_AUTHOR + 2 * count + 1] = start, end
        frames[owner, NUM_AUTHORS] = count + 1


@kernel
def _type(data: np.ndarray, start: int, end: int) -> int:
    """The bits of a type's name, which may be an address."""
    for k in range(len(_ENDING_BITS)):
        size = _ENDING_STARTS[k + 1] - _ENDING_STARTS[k]
        if end - start < size:
            continue
        same = True
        for j in range(size):
            if data[end - size + j] | 32 != _ENDINGS[_ENDING_STARTS[k] + j]:
                same = False
                break
        if same:
            return _ENDING_BITS[k]
    return 0


@inlined
def _give(sources: np.ndarray, source: int, frames: np.ndarray, depth: int, field: int) -> None:
    start = frames[depth, FIRST_FIELD + 2 * field]
    if start >= 0 and sources[source, 0] == 0:
        add_source(sources, source, start, frames[depth, FIRST_FIELD + 2 * field + 1])


@kernel
def _close(sources: np.ndarray, frames: np.ndarray, depth: int, persons: np.ndarray) -> None:
    """The entity at `depth` has ended: what it says becomes sources, by its types."""
    bits = frames[depth, BITS]
    if bits & ARTICLE:
        source = JSON_AUTHOR
        _give(sources, JSON_HEADLINE, frames, depth, F_HEADLINE)
        _give(sources, JSON_NAME, frames, depth, F_NAME)
        _give(sources, JSON_DATE, frames, depth, F_PUBLISHED)
        _give(sources, JSON_CREATED, frames, depth, F_CREATED)
        _give(sources, JSON_LANGUAGE, frames, depth, F_LANGUAGE)
    else:
        source = JSON_PAGE_AUTHOR
    if bits & (ARTICLE | PAGE):
        _give(sources, JSON_PUBLISHER, frames, depth, F_PUBLISHER)
        if sources[source, 0] == 0:
            for k in range(frames[depth, NUM_AUTHORS]):
                add_source(
                    sources, source, frames[depth, FIRST_AUTHOR + 2 * k], frames[depth, FIRST_AUTHOR + 2 * k + 1]
                )
    author_id = FIRST_FIELD + 2 * F_AUTHOR_ID
    if bits & ARTICLE and frames[depth, NUM_AUTHORS] == 0 and persons[MAX_PERSONS, 0] < 0:
        persons[MAX_PERSONS, 0], persons[MAX_PERSONS, 1] = frames[depth, author_id], frames[depth, author_id + 1]
    if bits & PAGE:
        _give(sources, JSON_PAGE_DATE, frames, depth, F_PUBLISHED)
        _give(sources, JSON_LANGUAGE, frames, depth, F_LANGUAGE)
    if bits & SITE:
        _give(sources, JSON_SITE, frames, depth, F_NAME)
    count = persons[MAX_PERSONS, 2]
    identity, name = FIRST_FIELD + 2 * F_ID, FIRST_FIELD + 2 * F_NAME
    if bits & PERSON and count < MAX_PERSONS and frames[depth, identity] >= 0 and frames[depth, name] >= 0:
        persons[count, 0], persons[count, 1] = frames[depth, identity], frames[depth, identity + 1]
        persons[count, 2], persons[count, 3] = frames[depth, name], frames[depth, name + 1]
        persons[MAX_PERSONS, 2] = count + 1


@kernel
def _resolve(data: np.ndarray, sources: np.ndarray, persons: np.ndarray) -> None:
    """Find the person an article's author is given as."""
    wanted, size = persons[MAX_PERSONS, 0], persons[MAX_PERSONS, 1] - persons[MAX_PERSONS, 0]
    if wanted < 0 or sources[JSON_AUTHOR, 0]:
        return
    for k in range(persons[MAX_PERSONS, 2]):
        if persons[k, 1] - persons[k, 0] != size:
            continue
        same = True
        for j in range(size):
            if data[persons[k, 0] + j] != data[wanted + j]:
                same = False
                break
        if same:
            add_source(sources, JSON_AUTHOR, persons[k, 2], persons[k, 3])
            return
