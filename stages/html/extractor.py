"""Pages in UTF-8 to their main text, with what was thought of every block on the way.

Reads:  a batch of padded pages (stages/kernels/utf8.py), the model
Writes: Extracted
Cost:   about 0.35 ms a page of 85 KB
Source: docs/design.md, "Main text"
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.html.assembling import TextOptions, kept, texts, verdicts
from stages.html.judging import Judged, judge
from stages.html.model import Model
from stages.html.scanning import Scan, scan
from stages.kernels.html_kinds import kinds
from stages.kernels.utf8 import Utf8


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """`text` large_string[N], "" where a page has none. Of B blocks: `kind_B` uint8 (html_kinds.KINDS), `verdict_B`
    uint8 (html_verdicts.VERDICTS), and what they were judged by."""

    text: pa.Array
    scan: Scan
    judged: Judged
    kind_B: np.ndarray
    verdict_B: np.ndarray


def extract_pages(pages: Utf8, model: Model, options: TextOptions, *, alt_texts: bool = False) -> Extracted:
    """The main text of every page; each depends on its own page alone. `alt_texts`: images' descriptions are text."""
    scanned = scan(pages, alt_texts)
    judged = judge(pages, scanned, model)
    rows = scanned.rows
    kind_B = kinds(rows, scanned.block_offsets, scanned.element_offsets, scanned.token_offsets)
    main_B = judged.logit_B > model.threshold
    verdict_B = verdicts(scanned, main_B, kind_B, judged.of.counts, judged.of.features, options)
    text = texts(pages, scanned, kept(verdict_B), options)
    return Extracted(text=text, scan=scanned, judged=judged, kind_B=kind_B, verdict_B=verdict_B)
