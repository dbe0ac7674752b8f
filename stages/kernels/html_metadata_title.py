"""A page's title without its site's name, and the site's name.

Reads:  a page and the places its sources were found at
Writes: the two as lines of text; every name the page has for its site
Cost:   0.1 to 0.5 us a page
Source: our choice. The site's name is taken off an end of a title only where it stands behind (or before) a separator
        and is one of the names the page itself gives the site, or an address such as `example.com`

A title that is no more than the site's name (many pages say nothing else in `og:title`) counts only where no other
source has a title.
"""

from __future__ import annotations

import numpy as np

from stages.kernels.byte_copy import copy_bytes
from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_sources import (
    DATES_END,
    LANGUAGES_END,
    NUM_SOURCES,
    OG_URL,
    SITE_NAMES_END,
    TITLES_END,
)  # fmt: skip
from stages.kernels.html_metadata_text import equals, is_alphanumeric, lower, same_name
from stages.kernels.html_metadata_values import read_value

MAX_TITLE_CHARS = 500
MAX_NAME_CHARS = 120
MAX_NAMES = 2 * (NUM_SOURCES - LANGUAGES_END + SITE_NAMES_END - DATES_END) + 1  # whole names, beginnings, the host's
NAME_BYTES = 4 * MAX_NAME_CHARS
SPACE, DASH, DOT, COLON, UNDERSCORE, BAR, SLASH = b" -.:_|/"

_EMPTY_TITLES = (
    "untitled", "untitled document", "untitled page", "new page 1", "no title", "document", "undefined", "null",
    "unbenanntes dokument", "sans titre", "documento sin título", "无标题文档", "{{title}}",
)  # fmt: skip
# Characters that stand between a title and a site's name: STRONG ones without a space too, others behind one, but `:`.
_SEPARATORS = "-:~/>‹›<+*–∙⋅•·|_｜—―»«★"
_STRONG = "•·|_｜—―★"
_DOMAINS = ["com", "org", "edu", "gov", "de", "uk", "fr", "es", "pl", "nl", "at", "ch", "eu", "ru"]


def _joined(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    raw = [word.encode() for word in words]
    return np.frombuffer(b"".join(raw), np.uint8), np.cumsum([0, *map(len, raw)], dtype=np.int64)


_EMPTY, _EMPTY_STARTS = _joined(list(_EMPTY_TITLES))
_SIGNS, _SIGN_STARTS = _joined(list(_SEPARATORS))
_SIGN_IS_STRONG = np.array([sign in _STRONG for sign in _SEPARATORS])
_TLDS, _TLD_STARTS = _joined(_DOMAINS)


@kernel
def choose_site_name(
    data: np.ndarray, sources: np.ndarray, value: np.ndarray, text: np.ndarray, names: np.ndarray, ends: np.ndarray
) -> int:  # fmt: skip
    """How many names the site has: `names` uint8[MAX_NAMES * NAME_BYTES], name k at k * NAME_BYTES to ends[k]. The
    first is the site's name; it is empty (and counted) where there are only others."""
    count = 1
    ends[0] = 0
    for source in range(DATES_END, NUM_SOURCES):
        if SITE_NAMES_END <= source < LANGUAGES_END:
            continue
        for k in range(sources[source, 0]):
            size, num_chars = read_value(data, sources, source, k, value, text, MAX_NAME_CHARS)
            start = 0
            if source == OG_URL:
                start, size = _host_name(text, size)
            elif num_chars > MAX_NAME_CHARS or _is_address(text, size):
                continue
            size = _before_open_end(text, start, size)
            if size <= start or not _has_letter(text, start, size):
                continue
            slot = 0
            if source >= LANGUAGES_END or ends[0] > 0:
                slot, count = count, count + 1
            ends[slot] = copy_bytes(text, start, size, names, slot * NAME_BYTES)
            head = _first_separator(text, start, size)
            if head < size:  # `Site - what it is about`
                ends[count] = copy_bytes(text, start, head, names, count * NAME_BYTES)
                count += 1
            break
    return count


@kernel
def add_host_name(
    urls: np.ndarray, start: int, end: int, text: np.ndarray, names: np.ndarray, ends: np.ndarray, num_names: int
) -> int:  # fmt: skip
    """Add the name in a page's address to the site's names; returns their new number."""
    size = copy_bytes(urls, start, min(end, start + MAX_NAME_CHARS), text, 0)
    first, last = _host_name(text, size)
    if first == last:
        return num_names
    ends[num_names] = copy_bytes(text, first, last, names, num_names * NAME_BYTES)
    return num_names + 1


@kernel
def _host_name(text: np.ndarray, size: int) -> tuple[int, int]:
    """(start, end) in an address of the label that names the site: `bbc` of `https://news.bbc.co.uk/1`."""
    start = 0
    while start + 1 < size and not (text[start] == SLASH and text[start + 1] == SLASH):
        start += 1
    start += 2
    end = start
    while end < size and (text[end] == DOT or text[end] == DASH or is_alphanumeric(text[end])):
        end += 1
    label = 0
    while label < 3:
        last = end
        while last > start and text[last - 1] != DOT:
            last -= 1
        if (label == 1 and end - last > 3) or label == 2:  # behind it `com`, or `co.uk`
            return last, end
        if last <= start:
            return (last, end) if label == 1 else (0, 0)
        end = last - 1
        label += 1
    return 0, 0


@kernel
def _before_open_end(text: np.ndarray, start: int, end: int) -> int:
    """Without a separator that nothing follows, as in `Site -`."""
    while end > start + 1 and (text[end - 1] == DASH or text[end - 1] == BAR) and text[end - 2] == SPACE:
        end -= 2
    return end


@kernel
def _first_separator(text: np.ndarray, start: int, end: int) -> int:
    for i in range(start + 1, end):
        if _after_separator(text, i, end) > i:
            return i
    return end


@kernel
def is_site(
    text: np.ndarray, start: int, end: int, names: np.ndarray, ends: np.ndarray, num_names: int
) -> bool:  # fmt: skip
    """Whether text[start:end] is one of the site's names."""
    for k in range(num_names):  # noqa: SIM110 - Numba
        if same_name(text, start, end, names, k * NAME_BYTES, ends[k]):
            return True
    return False


@kernel
def choose_title(
    data: np.ndarray, sources: np.ndarray, value: np.ndarray, text: np.ndarray, names: np.ndarray, ends: np.ndarray,
    num_names: int,
) -> tuple[int, int]:  # fmt: skip
    """(start, end) of the title in `text`, which has 4 * MAX_TITLE_CHARS + 16 bytes."""
    only_site = -1
    for source in range(TITLES_END):
        for k in range(sources[source, 0]):
            size, _ = read_value(data, sources, source, k, value, text, MAX_TITLE_CHARS)
            if not _has_letter(text, 0, size) or _is_address(text, size) or _is_empty(text, size):
                continue
            if is_site(text, 0, size, names, ends, 1):
                if only_site < 0:
                    only_site = source
                continue
            return _cut(text, size, names, ends, num_names)
    if only_site >= 0:
        for k in range(sources[only_site, 0]):
            size, _ = read_value(data, sources, only_site, k, value, text, MAX_TITLE_CHARS)
            if is_site(text, 0, size, names, ends, 1):
                return 0, size
    return 0, 0


@kernel
def _has_letter(text: np.ndarray, start: int, end: int) -> bool:
    for i in range(start, end):  # noqa: SIM110 - Numba
        if is_alphanumeric(text[i]):
            return True
    return False


@kernel
def _is_address(text: np.ndarray, size: int) -> bool:
    """Whether `http://` or `https://` is at its beginning."""
    if size < 8 or lower(text[0]) != 104 or lower(text[1]) != 116 or lower(text[2]) != 116 or lower(text[3]) != 112:
        return False
    i = 5 if lower(text[4]) == 115 else 4
    return text[i] == COLON and text[i + 1] == SLASH and text[i + 2] == SLASH


@kernel
def _is_empty(text: np.ndarray, size: int) -> bool:
    """Whether an editor wrote it where nobody had."""
    for k in range(len(_EMPTY_STARTS) - 1):
        if equals(text, 0, size, _EMPTY, _EMPTY_STARTS[k], _EMPTY_STARTS[k + 1]):
            return True
    return False


@kernel
def _cut(
    text: np.ndarray, size: int, names: np.ndarray, ends: np.ndarray, num_names: int
) -> tuple[int, int]:  # fmt: skip
    start, end, i = 0, size, 1
    while i < size:
        behind = _after_separator(text, i, size)
        if behind == i:
            i += 1
            continue
        if behind < size and (is_site(text, behind, size, names, ends, num_names) or is_domain(text, behind, size)):
            end = i
            break
        if start == 0 and behind < size and is_site(text, 0, i, names, ends, num_names):
            start = behind
        i = behind
    return (start, end) if _has_letter(text, start, end) else (0, size)


@kernel
def _after_separator(text: np.ndarray, i: int, size: int) -> int:
    """The position behind the separator at i, spaces on both sides included; i where none is."""
    k, strong, found = i, False, False
    while k < size:
        if text[k] == SPACE:
            k += 1
            continue
        width, is_strong = _sign(text, k, size)
        if width == 0:
            break
        found, strong = True, strong or is_strong
        k += width
    if not found or k >= size:
        return i
    return k if strong or text[i] == SPACE or (text[i] == COLON and text[k - 1] == SPACE) else i


@kernel
def _sign(text: np.ndarray, i: int, size: int) -> tuple[int, bool]:
    """(bytes of the separating character at i or 0, whether it is a strong one)."""
    for k in range(len(_SIGN_IS_STRONG)):
        first, width = _SIGN_STARTS[k], _SIGN_STARTS[k + 1] - _SIGN_STARTS[k]
        if text[i] != _SIGNS[first] or i + width > size:
            continue
        same = True
        for j in range(1, width):
            same = same and text[i + j] == _SIGNS[first + j]
        if same:
            return width, _SIGN_IS_STRONG[k]
    return 0, False


@kernel
def is_domain(text: np.ndarray, start: int, end: int) -> bool:
    """Whether text[start:end] is a host's name under one of the common domains, and nothing else."""
    dot = -1
    for i in range(start, end):
        if text[i] == DOT:
            dot = i
        elif text[i] >= 0x80 or not (is_alphanumeric(text[i]) or text[i] == DASH):
            return False
    if dot <= start:
        return False
    for k in range(len(_TLD_STARTS) - 1):
        if equals(text, dot + 1, end, _TLDS, _TLD_STARTS[k], _TLD_STARTS[k + 1]):
            return True
    return False
