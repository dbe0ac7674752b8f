"""From what the model thinks of every block to one text per page.

Reads:  a scan and its pages, kinds, counts and features of blocks, which of them the model takes for main text
Writes: `verdict_B` (why a block is kept or not), the texts as large_string
Cost:   that of stages/kernels/html_verdicts.py and html_assemble.py
Source: stages/kernels/html_assemble_units.py for the layout of lists and tables
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from stages.html.scanning import Scan
from stages.kernels.html_assemble import assemble, capacity
from stages.kernels.html_assemble_links import DROP, MARKDOWN, TEXT
from stages.kernels.html_verdicts import KEPT_VERDICTS, fill_verdicts
from stages.kernels.utf8 import PADDING, Utf8

_LINKS = {"text": TEXT, "drop": DROP, "markdown": MARKDOWN}


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """What goes into a page's text.

    `links`: linked text as text, left out (a block of nothing else goes too), or as [text](address) where the address
    is relative or of HTTP. `list_bullets`: "• " before the items of a list, numbers before those of an ordered one.
    `mode`: "body" is the article without its headline, byline and date. `comments`: readers' comments of six words and
    more as well; without, they stay only where they are most of the page.
    """

    links: Literal["text", "drop", "markdown"] = "text"
    list_bullets: bool = False
    mode: Literal["article", "body"] = "article"
    comments: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a word that is none of an option's."""
        if self.links not in _LINKS:
            raise ValueError(f"links: {self.links!r} is none of {', '.join(_LINKS)}")
        if self.mode not in ("article", "body"):
            raise ValueError(f"mode: {self.mode!r} is neither article nor body")


def verdicts(
    scan: Scan, main_B: np.ndarray, kind_B: np.ndarray, counts: np.ndarray, features: np.ndarray, options: TextOptions
) -> np.ndarray:
    """uint8[B], places in stages.kernels.html_verdicts.VERDICTS. `main_B` bool[B]: probable enough for main text;
    `kind_B` uint8[B] (html_kinds); `counts` int32[B, NUM_COUNTS] and `features` uint8[B, F] (html_pages)."""
    verdict_B = np.empty(len(scan.rows.blocks), np.uint8)
    fill_verdicts(
        scan.rows, scan.block_offsets, main_B.astype(np.bool_, copy=False), kind_B, counts, features, options.comments,
        options.mode == "body", options.links == "drop", verdict_B,
    )  # fmt: skip
    return verdict_B


def kept(verdict_B: np.ndarray) -> np.ndarray:
    """bool[B]: blocks that are part of the text."""
    kept_B: np.ndarray = np.isin(verdict_B, KEPT_VERDICTS)
    return kept_B


def texts(pages: Utf8, scan: Scan, keep_B: np.ndarray, options: TextOptions) -> pa.Array:
    """large_string[N]: the kept blocks of every page, "" where there are none; the bytes behind the last text allow
    kernels to read on (stages/kernels/utf8.py, PADDING)."""
    keep_B = keep_B.astype(np.bool_, copy=False)
    links_as = _LINKS[options.links]
    size = capacity(scan.rows, scan.block_offsets, keep_B, links_as, options.list_bullets)
    text, offsets = np.empty(size + PADDING, np.uint8), np.empty(len(pages) + 1, np.int64)
    assemble(
        pages.data, scan.rows, scan.block_offsets, scan.element_offsets, keep_B, links_as, options.list_bullets, text,
        offsets,
    )  # fmt: skip
    end = int(offsets[-1]) + PADDING
    text[end - PADDING : end] = 0
    return pa.LargeStringArray.from_buffers(len(pages), pa.py_buffer(offsets), pa.py_buffer(text[:end]))
