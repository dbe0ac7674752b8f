"""Why the trees judge a block as they do: what each group of features adds to the logit.

Reads:  a stage's trees, the features of a page's blocks
Writes: Explained: sums by group that add up to the logit
Cost:   some 20 ms a page and 20 us a block
Source: Shapley values (Lundberg et al. 2018, arXiv 1802.03888) of trees that ask each question whatever was answered
        before (CatBoost's): by the functional ANOVA decomposition (Sobol 1993) of each tree's 64 leaves, exact and
        free of the questions' order, where a walk down the path (Saabas 2014) credits the later ones with more

What is explained is how a block differs from the others of its page: a question's answer is held against the share of
the page's blocks that give it, as if answers were independent of each other. On a page of few blocks that share is
drawn to a half, since a block that is alone does not differ from anything. The part that all blocks have is `base`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stages.kernels.html_second import FEATURE_NAMES
from stages.kernels.html_trees import DEPTH, NUM_LEAVES, SCALE, Trees

# What a person is told instead of some 120 features. In each group, the names of its features.
GROUPS = {
    "text": "length chars bold_share commas stops punctuation digits capitals separators ends_in begins_with"
    " word_length breaks tags images",
    "links": "link_share links",
    "words": "words least_word most_word announces title_share title_covered words_and_structure",
    "elements": "structure own_weight least_weight most_weight heading tag navigation header footer aside article form"
    " hidden table list quote figure in_comments path_words words_and_structure",
    "position": "block_share blocks_before blocks_after length_before_share length_before length_after mass_before"
    " since_long until_long since_heading since_h1 since_title until_title comments_before since_comments"
    " likely_mass_before since_likely until_likely",
    "neighbours": "before_length before_links before_both before_same after_length after_links after_both after_same"
    " before2_length before2_both after2_length after2_both announced least_announced least_announced_all"
    " most_announced likely_before likely_before2 likely_before3 likely_after likely_after2 likely_after3 near_mean"
    " wide_mean most_before most_after",
    "container": "parent_length parent_links parent_blocks parent_share parent_mass grandparent_length"
    " grandparent_links grandparent_blocks grandparent_share grandparent_mass third_share third_mass in_main"
    " below_common element_mean parent_mean grandparent_mean_likely third_mean in_likely_main below_likely_common"
    " parent_likely_share grandparent_likely_share third_likely_share over_parent",
    "likes": "alike alike_length alike_links opening opening_near alike_mean",
    "first look": "likely",
}
ABOUT = {
    "text": "its length, punctuation, capitals, digits, bold text, what it begins and ends with",
    "links": "how much of it is linked",
    "words": "its words, by the weights learned for them; words it shares with the page's title",
    "elements": "the tags, classes and ids around it",
    "position": "where on the page it stands",
    "neighbours": "the blocks before and after it",
    "container": "the elements around it: how much they hold, how likely that is main text",
    "likes": "the blocks that are built or begin like it",
    "first look": "what the first stage, which knows no other block's score, thinks of it",
}
ALONE_BLOCKS = 8  # of even odds that every page is taken to have besides its own
CHUNK = 256  # blocks at a time


@dataclass(frozen=True, kw_only=True)
class Explained:
    """Of S blocks, in logits: `base + by_group_SG.sum(axis=1)` is a block's logit; G as in GROUPS."""

    base: float
    by_group_SG: np.ndarray


def explain(trees: Trees, features: np.ndarray, shown_S: np.ndarray) -> Explained:
    """Explain the blocks `shown_S` (int[S]) of the page whose blocks have `features` uint8[B, F]."""
    odds_TD = _odds(trees, features)
    means_T, credits_TLD = credits(trees.leaf / SCALE, odds_TD)
    of_group = group_weights()[trees.feature.reshape(-1)]
    by_group_SG = np.empty((len(shown_S), len(GROUPS)))
    tree_T = np.arange(len(trees.leaf))
    for start in range(0, len(shown_S), CHUNK):
        rows = features[shown_S[start : start + CHUNK]]
        answers = rows[:, trees.feature] > trees.threshold
        leaf_ST = (answers << np.arange(DEPTH)).sum(axis=2)
        given = credits_TLD[tree_T, leaf_ST].reshape(len(rows), -1)
        by_group_SG[start : start + CHUNK] = given @ of_group
    return Explained(base=trees.bias / SCALE + float(means_T.sum()), by_group_SG=by_group_SG)


def credits(leaf_TL: np.ndarray, odds_TD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each question of a tree adds at each leaf: float64[T, L, D] of Shapley values, and float64[T], the mean that
    they and a leaf's value differ by. `odds_TD`: the probability that question d is answered by yes."""
    parts = {0: np.asarray(leaf_TL, np.float64)}  # by the set of questions, as bits: what is due to just these together
    for d in range(DEPTH):
        split = {}
        for questions, part in parts.items():
            mean = _mean_over(part, d, odds_TD[:, d])
            split[questions], split[questions | 1 << d] = mean, part - mean
        parts = split
    credits_TLD = np.zeros((*leaf_TL.shape, DEPTH))
    for questions, part in parts.items():
        members = [d for d in range(DEPTH) if questions >> d & 1]
        for d in members:
            credits_TLD[:, :, d] += part / len(members)
    return parts[0][:, 0], credits_TLD


def _mean_over(part_TL: np.ndarray, level: int, odds_T: np.ndarray) -> np.ndarray:
    """The mean over the answers to one question, the same at both leaves that differ in it."""
    yes_L = np.arange(NUM_LEAVES) | 1 << level
    yes, no = part_TL[:, yes_L], part_TL[:, yes_L ^ 1 << level]
    mean: np.ndarray = no + odds_T[:, None] * (yes - no)
    return mean


def _odds(trees: Trees, features: np.ndarray) -> np.ndarray:
    """float64[T, D]: the share of the page's blocks that answer a question by yes."""
    yes_TD = np.zeros(trees.feature.shape)
    for f in np.unique(trees.feature):
        above = np.bincount(features[:, f], minlength=256)[::-1].cumsum()[::-1]  # at k: blocks with k and more
        asked = trees.feature == f
        yes_TD[asked] = np.append(above, 0)[trees.threshold[asked].astype(np.int64) + 1]
    odds_TD: np.ndarray = (yes_TD + ALONE_BLOCKS / 2) / (len(features) + ALONE_BLOCKS)
    return odds_TD


def group_weights() -> np.ndarray:
    """float64[F, G]: which group a feature belongs to; one of two groups counts for each by half, one of none (it is
    new) for the text."""
    weights_FG = np.zeros((len(FEATURE_NAMES), len(GROUPS)))
    for g, names in enumerate(GROUPS.values()):
        weights_FG[np.isin(FEATURE_NAMES, names.split()), g] = 1
    weights_FG[weights_FG.sum(axis=1) == 0, 0] = 1
    weights_FG /= weights_FG.sum(axis=1, keepdims=True)
    return weights_FG
