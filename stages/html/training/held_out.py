"""Which pages a model is tested on and which it must then not be learned from: by site, and by source.

Reads:  Examples
Writes: Splits
Cost:   none
Source: cross-validation by groups; leaving out one source shows what other pages and other annotators would see
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.html.training.examples import Examples
from stages.html.training.learning import NOT_LEARNED

# Sources with the same annotators and guidelines are left out together.
_GROUP = dict.fromkeys(("cleaneval-dev", "cleaneval-final", "cleanportaleval"), "cleaneval")


@dataclass(frozen=True, kw_only=True)
class Split:
    """`fold_P` int64: NOT_LEARNED for the tested pages and for all others of their sites. `tested_P` bool."""

    name: str
    fold_P: np.ndarray
    tested_P: np.ndarray


def by_site(examples: Examples) -> list[Split]:
    """A split per fold of sites: every page is tested once."""
    folds = np.unique(examples.fold_P)
    return [_split(examples, f"fold-{fold}", examples.fold_P == fold) for fold in folds]


def by_source(examples: Examples) -> list[Split]:
    """A split per group of sources. The sites of the pages tested are not learned from in other sources either."""
    group_P = np.array([group_of(page.gold.source) for page in examples.pages])
    splits = [_split(examples, f"without-{group}", group_P == group) for group in np.unique(group_P)]
    return [split for split in splits if split.tested_P.any()]


def group_of(source: str) -> str:
    """The name under which a source is left out."""
    return _GROUP.get(source, source)


def _split(examples: Examples, name: str, tested_P: np.ndarray) -> Split:
    has_gold_P = np.array([page.gold.main_text is not None for page in examples.pages])
    same_site_P = np.isin(examples.site_P, examples.site_P[tested_P])
    return Split(name=name, fold_P=np.where(same_site_P, NOT_LEARNED, examples.fold_P), tested_P=tested_P & has_gold_P)
