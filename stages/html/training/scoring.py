"""How well a text agrees with the gold: shingles of four words in both, only in the text, only in the gold.

Reads:  gold texts or snippets, extracted texts
Writes: rates per page; precision, recall and F1 over pages
Cost:   about 2 ms a page
Source: the metric of the ScrapingHub article extraction benchmark
        (https://github.com/scrapinghub/article-extraction-benchmark), with snippets counted as one each

A page's rates are its counts divided by their sum, so that long pages count no more than short ones.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from stages.html.training.gold import Snippets

SHINGLE_WORDS = 4
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Rates:
    """Of what a page's gold or text has: in both, in the text alone, in the gold alone; together 1, or 0 where neither
    has any."""

    both: float
    text_alone: float
    gold_alone: float


@dataclass(frozen=True, slots=True)
class Score:
    """Of several pages; 0 where there is nothing to divide by."""

    num_pages: int
    f1: float
    precision: float
    recall: float


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """The shingles of a text; all words as one where they are fewer."""
    words = _WORD.findall(text)
    if len(words) < SHINGLE_WORDS:
        return Counter([tuple(words)] if words else [])
    return Counter(tuple(words[i : i + SHINGLE_WORDS]) for i in range(len(words) - SHINGLE_WORDS + 1))


def page_rates(gold: str | Snippets | None, text: str) -> Rates:
    """A page without a text is given as ""; one without gold has no rates but 0."""
    if gold is None:
        return _rates(0, 0, 0)
    if isinstance(gold, Snippets):
        both, wrong = sum(part in text for part in gold.wanted), sum(part in text for part in gold.unwanted)
        return _rates(both, wrong, len(gold.wanted) - both)
    wanted, found = shingles(gold), shingles(text)
    both = (wanted & found).total()
    return _rates(both, found.total() - both, wanted.total() - both)


def _rates(both: int, text_alone: int, gold_alone: int) -> Rates:
    total = both + text_alone + gold_alone
    return Rates(both / total, text_alone / total, gold_alone / total) if total else Rates(0.0, 0.0, 0.0)


def score(rates: Iterable[Rates]) -> Score:
    """Precision and recall of the mean rates."""
    pages = list(rates)
    both, text_alone, gold_alone = (
        sum(getattr(page, name) for page in pages) for name in ("both", "text_alone", "gold_alone")
    )
    precision = both / (both + text_alone) if both + text_alone else 0.0
    recall = both / (both + gold_alone) if both + gold_alone else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Score(len(pages), f1, precision, recall)
