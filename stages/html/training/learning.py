"""The whole model from examples: tables, the first stage's trees, the second's, each on what it has not seen.

Reads:  Examples, a fold for each page
Writes: Model
Cost:   about 80 s for 4,000 pages and 5 folds
Source: stacking: Wolpert 1992, "Stacked Generalization"

A table knows the words of the pages it was learned from better than those of other pages, and so do trees. What is
learned on top of them would trust them too much; so for every fold the tables that give its features, and the trees
that give its probabilities, are learned from the other folds. The tables and trees of the model itself are learned from
all.
"""

from __future__ import annotations

import numpy as np
import xxhash

from pipeline.errors import DataError
from stages.html.judging import first_stage, second_stage, sums_of
from stages.html.model import Model
from stages.html.training.boosting import learn_trees
from stages.html.training.examples import Examples
from stages.html.training.guessing import sampled, with_guesses
from stages.html.training.settings import Settings, TreeSettings
from stages.html.training.tables import Tables, learn_tables
from stages.kernels.html_second import NUM_FEATURES, NUM_FIRST
from stages.kernels.html_trees import SCALE

NOT_LEARNED = -1  # the fold of pages that the model must know nothing of


def learn(examples: Examples, fold_P: np.ndarray, settings: Settings) -> Model:
    """Learn from the pages whose fold (int64[P]) is not NOT_LEARNED. Raises DataError where these have no two folds:
    nothing can then be out of fold."""
    num_folds = len(_folds(fold_P))
    if num_folds < 2:
        raise DataError(
            f"gold pages of {num_folds} folds", expected="sites in at least two of the folds they are put in"
        )
    examples = _guessed(examples, fold_P, settings)
    rows = known_blocks(examples, fold_P)
    features = first_features(examples, fold_P, settings, wordless_pages(examples, settings))
    logit_B = first_logits(examples, features, fold_P, settings, settings.first)
    tables = learn_tables(examples, rows, settings)
    first = learn_trees(*_known(examples, features[:, :NUM_FIRST], rows, settings), settings.first, settings.seed)
    _fill_second(examples, tables, logit_B, features)
    second = learn_trees(*_known(examples, features, rows, settings), settings.second, settings.seed)
    return Model(
        **tables._asdict(), first=first, second=second, threshold=round(settings.threshold * SCALE),
        about={"settings": settings.as_json()},
    )  # fmt: skip


def known_blocks(examples: Examples, fold_P: np.ndarray) -> np.ndarray:
    """int64, rising: the blocks that may be learned from."""
    return np.flatnonzero((fold_P[examples.page_B] != NOT_LEARNED) & ~np.isnan(examples.label_B))


def first_features(
    examples: Examples, fold_P: np.ndarray, settings: Settings, wordless_P: np.ndarray | None = None
) -> np.ndarray:
    """uint8[B, NUM_FEATURES]: the first stage's, each fold's with tables learned from the others; 0 elsewhere. Those of
    `wordless_P` (bool[P]) are as where no word is known."""
    rows, fold_B = known_blocks(examples, fold_P), fold_P[examples.page_B]
    features = np.zeros((len(fold_B), NUM_FEATURES), np.uint8)
    for fold in _folds(fold_P):
        tables = learn_tables(examples, rows[fold_B[rows] != fold], settings)
        _fill_first(examples, tables, fold_B == fold, features)
        if wordless_P is not None:
            tables = tables._replace(vocabulary=tables.vocabulary * 0, following=tables.following * 0)
            _fill_first(examples, tables, (fold_B == fold) & wordless_P[examples.page_B], features)
    return features


def _fill_first(examples: Examples, tables: Tables, wanted_B: np.ndarray, features: np.ndarray) -> None:
    for batch in examples.batches:
        wanted = wanted_B[batch.blocks]
        if wanted.any():
            features[batch.blocks][wanted] = first_stage(batch.html, batch.scan, *tables).features[wanted]


def first_logits(
    examples: Examples, features: np.ndarray, fold_P: np.ndarray, settings: Settings, trees_like: TreeSettings
) -> np.ndarray:
    """int32[B], in 1/SCALE: what the first stage says, each fold's from trees learned from the others; 0 elsewhere."""
    rows, fold_B = known_blocks(examples, fold_P), fold_P[examples.page_B]
    logit_B = np.zeros(len(fold_B), np.int32)
    of_first = np.ascontiguousarray(features[:, :NUM_FIRST])
    for fold in _folds(fold_P):
        known = _known(examples, of_first, rows[fold_B[rows] != fold], settings)
        trees = learn_trees(*known, trees_like, settings.seed)
        logit_B[fold_B == fold] = sums_of(trees, of_first[fold_B == fold])
    return logit_B


def _folds(fold_P: np.ndarray) -> list[int]:
    return [int(fold) for fold in np.unique(fold_P) if fold != NOT_LEARNED]


def _guessed(examples: Examples, fold_P: np.ndarray, settings: Settings) -> Examples:
    """With labels where the gold gives none, from a first stage learned on the gold alone."""
    learned_B = fold_P[examples.page_B] != NOT_LEARNED
    if not settings.guess_weight or not np.isnan(examples.label_B[learned_B]).any():
        return examples
    features = first_features(examples, fold_P, settings)
    logit_B = first_logits(examples, features, fold_P, settings, settings.teacher)
    return with_guesses(examples, logit_B, learned_B, settings)


def wordless_pages(examples: Examples, settings: Settings) -> np.ndarray:
    """bool[P]: the pages whose words are to weigh nothing, as the hashes of their URIs say."""
    return np.array([_draw(page.gold.uri) < settings.wordless_share for page in examples.pages])


def _draw(uri: str) -> float:
    """Evenly in 0 to 1."""
    return xxhash.xxh3_64_intdigest(uri.encode("utf-8", "replace")) / (1 << 64)


def _known(
    examples: Examples, features: np.ndarray, rows: np.ndarray, settings: Settings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, labels and weights of some blocks."""
    chosen, weight_N = sampled(rows, examples, settings)
    return features[chosen], examples.label_B[chosen], weight_N


def _fill_second(examples: Examples, tables: Tables, logit_B: np.ndarray, features: np.ndarray) -> None:
    """The second stage's, of all blocks. The tables do not matter here: of a batch's work with them, the second stage
    takes counts and places only."""
    for batch in examples.batches:
        of = first_stage(batch.html, batch.scan, *tables)
        of.features[:] = features[batch.blocks]
        second_stage(batch.scan, of, logit_B[batch.blocks])
        features[batch.blocks] = of.features
