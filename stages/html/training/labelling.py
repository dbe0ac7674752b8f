"""How much of each block of a gold page is main text.

Reads:  a gold page, the texts of its blocks
Writes: float32[B]: the share of a block's words in the gold, 0 to 1; NaN where the gold does not say
Cost:   that of alignment.py: about 5 ms a page
Source: alignment.py for gold that is a text, snippets.py for snippets
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.html.training.alignment import matched_words
from stages.html.training.gold import GoldPage, Snippets
from stages.html.training.snippets import UNKNOWN, snippet_labels


def block_labels(page: GoldPage, blocks: Sequence[str]) -> np.ndarray:
    """The labels of a page's blocks; a block without words is no main text."""
    gold = page.label_text
    if gold is None:
        return np.full(len(blocks), np.nan, np.float32)
    if isinstance(gold, Snippets):
        found = snippet_labels(blocks, gold.wanted, gold.unwanted)
        return np.where(found == UNKNOWN, np.nan, found).astype(np.float32)
    num_words, matched = matched_words(blocks, gold)
    return (matched / np.maximum(num_words, 1)).astype(np.float32)
