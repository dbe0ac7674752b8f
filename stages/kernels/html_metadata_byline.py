"""Who a page says wrote it.

Reads:  a page and the places its sources were found at
Writes: a line of text: names, several with `, ` between them
Cost:   1 us a page
Source: our choice. A value that is an address, a handle, a login such as `admin`, the site's own name, a sentence or a
        number is no byline, and the next source is asked

`By`, `von`, `作者：` and the like are taken off. Elements that give different names far apart are those of a list of
articles, and name nobody.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.byte_copy import copy_bytes
from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_author import BY_CLASS, MARKED, author_role, author_text
from stages.kernels.html_metadata_sources import AUTHOR_CLASS, AUTHOR_MARKED, BYLINES_END, TITLES_END, add_source
from stages.kernels.html_metadata_text import clean, equals, is_alphanumeric, lower, same_name
from stages.kernels.html_metadata_title import is_domain, is_site
from stages.kernels.html_metadata_values import read_value

MAX_BYLINE_CHARS = 200
MAX_VALUE_CHARS = 400  # of which a byline may be a part
MAX_NAME_BYTES = 120
MAX_NAME_WORDS = 12
NEAR_BYTES = 1000  # between the elements of authors of one article
SPACE, OPEN, COMMA, SLASH, COLON, LESS, AT, BAR = b" (,/:<@|"

# Ended by `:`: only with a colon behind. Longer ones first where one begins another.
_PREFIXES = (
    "written by", "posted by", "published by", "reported by", "submitted by", "story by", "text by", "words by",
    "article by", "reviewed by", "created by", "view all posts by", "all posts by", "posts by", "by", "von", "par",
    "por", "door", "escrito por", "publicado por", "postado por", "geschrieben von", "verfasst von",
    "veröffentlicht von", "erstellt von", "ein artikel von", "artikel von", "ein beitrag von", "beitrag von",
    "text von", "eingestellt von", "rédigé par", "publié par", "écrit par", "geplaatst door", "автор:", "author:",
    "authors:", "autor:", "autor/in:", "autorin:", "autoren:", "auteur:",
    "autore:", "auteurs:", "redaktion:", "text:", "texte:",
    "作者", "文/", "记者", "記者", "责任编辑", "编辑", "撰文",
)  # fmt: skip
_NOBODY = (
    "admin", "administrator", "adm", "administrador", "administrateur", "webmaster", "web master", "editor", "author",
    "authors", "autor", "autoren", "auteur", "user", "guest", "gast", "root",
    "anonymous", "anonym", "anónimo", "unknown",
    "none", "null", "n/a", "nan", "undefined", "test", "default", "super user", "superuser", "wordpress", "joomla",
    "joomla!", "typo3", "drupal", "blogger", "site admin", "wpadmin", "admin user", "administrator user", "various",
    "google", "google+", "twitter", "facebook", "linkedin", "name", "owner", "home", "false", "true", "staff",
    "contributor", "contributors", "by", "follow", "email", "contact", "redakteur", "array",
    "author name", "your name", "about the author", "about", "profile", "website",
    "mehr", "more", "匿名", "管理员",
    "佚名", "subscribe", "rss", "view profile", "view my profile",
    "view my complete profile", "author archive", "about us", "about me", "no primary author", "newsroom",
    "no author", "read more", "sign in", "log in", "login",
)  # fmt: skip
# What a link or a field begins with that is in the place of a name.
_COMMANDS = (
    "enter", "click", "read", "view", "more", "follow", "subscribe", "share", "see", "contact", "visit", "join",
)  # fmt: skip
# What stands between a name and a date: taken off its end.
_DATE_WORDS = (
    "on", "am", "um", "at", "le", "el", "den", "vom", "posted", "published", "updated", "date", "the", "in", "monday",
    "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "mon", "tue", "wed", "thu", "fri", "sat",
    "sun", "january", "february", "march", "april", "may", "june", "july",
    "august", "september", "october", "november",
    "december", "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "montag",
    "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag", "veröffentlicht", "of", "und",
)  # fmt: skip


def _joined(words: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    raw = [word.encode() for word in words]
    return np.frombuffer(b"".join(raw), np.uint8), np.cumsum([0, *map(len, raw)], dtype=np.int64)


_PREFIX_WORDS, _NOBODY_WORDS = _joined(_PREFIXES), _joined(_NOBODY)
_DATE_END_WORDS, _COMMAND_WORDS = _joined(_DATE_WORDS), _joined(_COMMANDS)


@kernel
def note_author(data: np.ndarray, start: int, end: int, sources: np.ndarray) -> None:
    """Add an element that may name an author to the sources."""
    role = author_role(data, start, end)
    if role == MARKED:
        add_source(sources, AUTHOR_MARKED, start, end)
    elif role == BY_CLASS:
        add_source(sources, AUTHOR_CLASS, start, end)


@kernel
def choose_byline(
    data: np.ndarray, sources: np.ndarray, value: np.ndarray, text: np.ndarray, names: np.ndarray, ends: np.ndarray,
    num_names: int, out: np.ndarray,
) -> int:  # fmt: skip
    """Write the byline to `out`, uint8[4 * MAX_BYLINE_CHARS + 16]; returns its bytes, 0 for none."""
    for source in range(TITLES_END, BYLINES_END):
        is_element = source in (AUTHOR_MARKED, AUTHOR_CLASS)
        size, num_chars, first_place = 0, 0, -1
        for k in range(sources[source, 0]):
            place = sources[source, 1 + 2 * k]
            if is_element:
                length = author_text(data, place, sources[source, 2 + 2 * k], value)
                length, count = clean(value, length, False, MAX_VALUE_CHARS, text)
            else:
                length, count = read_value(data, sources, source, k, value, text, MAX_VALUE_CHARS)
            if count > MAX_VALUE_CHARS and not is_element:
                continue
            start, end = _name_in(text, length)
            if start == end or _is_nobody(text, start, end) or is_site(text, start, end, names, ends, num_names):
                continue
            if _is_among(text, start, end, out, size):
                continue
            if is_element and first_place >= 0 and place - first_place > NEAR_BYTES:
                size = 0
                break
            if first_place < 0:
                first_place = place
            count = _num_chars(text, start, end)
            if num_chars + count + 2 > MAX_BYLINE_CHARS:
                break
            if size:
                out[size], out[size + 1] = COMMA, SPACE
                size, num_chars = size + 2, num_chars + 2
            size, num_chars = copy_bytes(text, start, end, out, size), num_chars + count
        if size:
            return size
    return 0


@kernel
def _num_chars(text: np.ndarray, start: int, end: int) -> int:
    count = 0
    for i in range(start, end):
        count += text[i] & 0xC0 != 0x80
    return count


@kernel
def _is_among(text: np.ndarray, start: int, end: int, out: np.ndarray, size: int) -> bool:
    """Whether a name is one of those in out[:size]."""
    first = 0
    for i in range(size + 1):
        if i == size or out[i] == COMMA:
            if same_name(text, start, end, out, first, i):
                return True
            first = i + 1
    return same_name(text, start, end, out, 0, size)


@kernel
def _name_in(text: np.ndarray, size: int) -> tuple[int, int]:
    """(start, end) of the first name in text[:size]; an empty one where there is none."""
    i = 0
    while i < size:
        stop = i
        while stop < size and text[stop] != BAR:
            stop += 1
        start, end = _trim(text, i, stop)
        while True:
            behind = _after_prefix(text, start, end)
            if behind == start:
                break
            start, end = _trim(text, behind, end)
        end = _before_rest(text, start, end)
        start, end = _trim(text, start, end)
        if start < end:
            return (start, end) if _is_name(text, start, end) else (0, 0)
        i = stop + 1
    return 0, 0


@kernel
def _trim(text: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Without spaces and punctuation at the ends, but a full stop or bracket at the right one."""
    while start < end and not is_alphanumeric(text[start]) and text[start] != AT:
        start += 1
    while start + 2 < end and (_is_wide_sign(text, start)):
        start += 3
        while start < end and text[start] == SPACE:
            start += 1
    while end > start and not is_alphanumeric(text[end - 1]) and text[end - 1] != 46 and text[end - 1] != 41:
        end -= 1
    while end - 3 >= start and _is_wide_sign(text, end - 3):
        end -= 3
        while end > start and not is_alphanumeric(text[end - 1]) and text[end - 1] != 46:
            end -= 1
    return start, end


@kernel
def _is_wide_sign(text: np.ndarray, i: int) -> bool:
    """Whether a dash, quote or bullet (U+2010 to U+203F) or a full-width colon or comma is at i."""
    if text[i] == 0xE2:
        return text[i + 1] == 0x80
    return text[i] == 0xEF and text[i + 1] == 0xBC and (text[i + 2] == 0x9A or text[i + 2] == 0x8C)


@kernel
def _after_prefix(text: np.ndarray, start: int, end: int) -> int:
    """Behind a word that leads up to the name, and its colon or space; `start` where there is none."""
    raw, firsts = _PREFIX_WORDS
    for k in range(len(firsts) - 1):
        size = firsts[k + 1] - firsts[k]
        if end - start < size:
            continue
        same = True
        for j in range(size):
            if lower(text[start + j]) != raw[firsts[k] + j]:
                same = False
                break
        behind = start + size
        if same and (
            behind == end or not is_alphanumeric(raw[firsts[k] + size - 1])
            or not is_alphanumeric(text[behind]) or text[behind] == 0xEF
        ):  # fmt: skip
            return behind
    return start


@kernel
def _before_rest(text: np.ndarray, start: int, end: int) -> int:
    """Where what follows the name begins: a bracket, an address, a date."""
    for i in range(start, end):
        byte = text[i]
        wide = byte == 0xE2 and i + 2 < end and text[i + 1] == 0x80 and text[i + 2] in (0xA2, 0x93, 0x94)
        middle = byte == 0xC2 and i + 1 < end and text[i + 1] == 0xB7
        spaced = i > start and text[i - 1] == SPACE
        if (wide or middle) and spaced:
            return i
        if byte in (OPEN, LESS) and i > start:
            return i
        if byte == 45 and spaced and i + 1 < end and text[i + 1] == SPACE:
            return i
        if byte == AT:
            while i > start and text[i - 1] != SPACE:
                i -= 1
            return i
        if 48 <= byte <= 57 and (i == start or not is_alphanumeric(text[i - 1])):
            return _before_date(text, start, i)
    return end


@kernel
def _before_date(text: np.ndarray, start: int, end: int) -> int:
    """text[start:end] stands before a number: without the words and signs that belong to a date."""
    while True:
        _, end = _trim(text, start, end)
        first = end
        while first > start and text[first - 1] != SPACE and text[first - 1] != COMMA:
            first -= 1
        stop = end - 1 if end > first and text[end - 1] == 46 else end
        if not _is_one_of(text, first, stop, _DATE_END_WORDS):
            return end
        end = first


@kernel
def _is_name(text: np.ndarray, start: int, end: int) -> bool:
    """Whether it may be a name by its form: short, of few words, no address."""
    if end - start > MAX_NAME_BYTES or (end - start < 3 and text[start] < 0x80):
        return False
    num_words, num_letters = 1, 0
    for i in range(start, end):
        byte = text[i]
        num_words += byte == SPACE
        num_letters += is_alphanumeric(byte) and not 48 <= byte <= 57
        if byte == COLON and i + 2 < end and text[i + 1] == SLASH:
            return False
        if byte == SLASH and text[start] == SLASH:
            return False
        if byte == 46 and i >= start + 3 and lower(text[i - 1]) == 119 and lower(text[i - 2]) == 119:  # www.
            return False
    return num_letters > 1 and num_words <= MAX_NAME_WORDS


@kernel
def _is_nobody(text: np.ndarray, start: int, end: int) -> bool:
    """Whether it is a login, a label, a host's name, or tells a reader what to do."""
    if _is_one_of(text, start, end, _NOBODY_WORDS) or is_domain(text, start, end):
        return True
    stop = start
    while stop < end and text[stop] != SPACE:
        stop += 1
    return stop < end and _is_one_of(text, start, stop, _COMMAND_WORDS)


@kernel
def _is_one_of(text: np.ndarray, start: int, end: int, words: tuple[np.ndarray, np.ndarray]) -> bool:
    for k in range(len(words[1]) - 1):  # noqa: SIM110 - Numba
        if equals(text, start, end, words[0], words[1][k], words[1][k + 1]):
            return True
    return False
