"""What the model of main text is learned with. Every constant that may be tuned stands here, and nowhere else.

Reads:  nothing
Writes: Settings
Cost:   none
Source: measured on gold pages, in comments beside the values: areas under the ROC curve of a table's sums on held-out
        sites, mean of folds 0 and 1, with one constant changed. What has no figure was taken over from first
        experiments and not compared since
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """One table of weights: a logistic regression on hashed tokens, by AdaGrad (Duchi et al. 2011).

    `min_sites`: of training; a token that fewer have gets no weight, as it can only name them. `epochs`: over the
    blocks. `rate`: AdaGrad's step. `l2`: of the weights, per unit of a block's weight.
    """

    min_sites: int = 5
    epochs: int = 3
    rate: float
    l2: float = 0.01


@dataclass(frozen=True, kw_only=True)
class TreeSettings:
    """One stage of symmetric trees (Prokhorenkova et al. 2018, arXiv 1706.09516); names as in CatBoost.

    `feature_share`: of the features, drawn anew at every level. `row_share`: of the blocks, drawn anew for every tree.
    """

    iterations: int
    learning_rate: float = 0.1
    l2_leaf_reg: float = 3.0  # CatBoost's default
    border_count: int = 64  # of a feature's 255 steps
    feature_share: float = 0.5
    row_share: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of them. `length_exponent`: a block weighs its length in half words to this power, between one vote a block
    (0) and one a word (1); the blocks of a page weigh `page_weight` together, whatever its length, as in the score.
    `following_blocks`: what a short block announces is the share of main text in this many after it.
    `teacher`: the trees that guess the labels of blocks whose gold says nothing; a page of guesses weighs
    `guess_weight` of a page with gold, at most (guessing.py). `wordless_share`: of the pages: their words
    weigh nothing, as those of languages without gold, and the trees have to manage. `most_blocks` of a page, about.
    `threshold`: the logit above which a block is main text where no cross-validation chooses one of `thresholds`.
    """

    # 0.962; 3 sites 0.962, 10 sites 0.960; 2 epochs 0.961, 5 0.962; half the rate 0.959, twice 0.962; l2 0.001 0.961
    structure: TableSettings = TableSettings(rate=0.05)
    # 0.926; 3 sites 0.926, 10 sites 0.926; 2 epochs 0.925, 5 0.927; half the rate 0.924, twice 0.927; l2 0.001 0.925
    vocabulary: TableSettings = TableSettings(rate=0.3)
    # 0.711; 3 or 10 sites 0.711; 2 epochs 0.711, 5 0.710; half the rate 0.709, twice 0.708; l2 0.001 0.710
    following: TableSettings = TableSettings(rate=0.2)
    teacher: TreeSettings = TreeSettings(iterations=100)
    first: TreeSettings = TreeSettings(iterations=150)
    second: TreeSettings = TreeSettings(iterations=250)
    length_exponent: float = 0.7
    page_weight: float = 10.0  # sets the scale of l2, l2_leaf_reg and AdaGrad's first steps
    following_blocks: int = 6
    guess_weight: float = 0.5
    wordless_share: float = 0.25
    most_blocks: int = 200
    threshold: float = -0.5
    thresholds: tuple[float, ...] = (-1.0, -0.8, -0.7, -0.6, -0.5, -0.4, -0.3, -0.2, 0.0)
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers."""
        return asdict(self) | {"thresholds": list(self.thresholds)}
