"""The value a source has, as a line of clean text.

Reads:  a page and the places its sources were found at (stages/kernels/html_metadata_sources.py)
Writes: text and its length
Cost:   4 ns per byte of the value
Source: our choice
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_metadata_sources import (
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
    NUM_SOURCES,
    TITLE_ELEMENT,
)  # fmt: skip
from stages.kernels.html_metadata_text import clean, copy_json, copy_value

_IS_JSON = np.zeros(NUM_SOURCES, np.bool_)
_IS_JSON[
    [JSON_AUTHOR, JSON_CREATED, JSON_DATE, JSON_HEADLINE, JSON_LANGUAGE, JSON_NAME, JSON_PAGE_AUTHOR, JSON_PAGE_DATE,
     JSON_PUBLISHER, JSON_SITE]
] = True  # fmt: skip


@kernel
def read_value(
    data: np.ndarray, sources: np.ndarray, source: int, k: int, value: np.ndarray, text: np.ndarray, max_chars: int
) -> tuple[int, int]:  # fmt: skip
    """What stands at the k-th place of a source, in `text`: (bytes, characters; max_chars + 1 where it was cut)."""
    start, end = sources[source, 1 + 2 * k], sources[source, 2 + 2 * k]
    if _IS_JSON[source]:
        size = copy_json(data, start, end, value)
        return clean(value, size, False, max_chars, text)
    size = copy_value(data, start, end, value)
    return clean(value, size, source != TITLE_ELEMENT, max_chars, text)
