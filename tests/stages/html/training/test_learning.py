"""What is learned out of fold has not seen its site; the same pages give the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError
from stages.html.model import Model, load_model, save_model
from stages.html.training.examples import Examples, make_examples
from stages.html.training.held_out import by_site, by_source
from stages.html.training.learning import NOT_LEARNED, first_features, first_logits, learn
from stages.kernels.html_second import NUM_FIRST
from stages.kernels.html_trees import Trees
from tests.stages.html.training.gold_site import QUICK, page, pages


@pytest.fixture(scope="module")
def examples() -> Examples:
    return make_examples(pages(), QUICK)


def with_noise(examples: Examples, changed_P: np.ndarray) -> Examples:
    """The examples with the labels of some pages turned round."""
    label_B = np.where(changed_P[examples.page_B], 1 - examples.label_B, examples.label_B)
    return replace(examples, label_B=label_B.astype(np.float32))


def is_same(one: Model, other: Model) -> bool:
    def arrays(model: Model) -> list[np.ndarray]:
        trees: list[Trees] = [model.first, model.second]
        parts = [np.asarray(value) for each in trees for value in each]
        return [model.structure, model.vocabulary, model.following, *parts]

    return all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def test_first_stage_out_of_fold_has_not_seen_the_labels_of_its_site(examples: Examples) -> None:
    fold_P, site_P = examples.fold_P, examples.site_P
    noisy = with_noise(examples, site_P == site_P[0])
    own_B = (fold_P == fold_P[0])[examples.page_B]
    features = [first_features(of, fold_P, QUICK) for of in (examples, noisy)]
    assert np.array_equal(features[0][own_B], features[1][own_B])
    assert not np.array_equal(features[0][~own_B], features[1][~own_B])
    assert not features[0][:, NUM_FIRST:].any()
    logits = [first_logits(of, features[0], fold_P, QUICK, QUICK.first) for of in (examples, noisy)]
    assert np.array_equal(logits[0][own_B], logits[1][own_B])
    assert not np.array_equal(logits[0][~own_B], logits[1][~own_B])


def test_learn_without_a_fold_does_not_depend_on_its_labels(examples: Examples) -> None:
    split = by_site(examples)[0]
    noisy = with_noise(examples, split.tested_P)
    assert is_same(learn(examples, split.fold_P, QUICK), learn(noisy, split.fold_P, QUICK))
    other = with_noise(examples, ~split.tested_P)
    assert not is_same(learn(examples, split.fold_P, QUICK), learn(other, split.fold_P, QUICK))


def test_by_source_does_not_learn_from_sites_of_the_source_elsewhere() -> None:
    of = make_examples([*pages(), page("site0.com", 7, "readability"), page("new.com", 1, "readability")], QUICK)
    splits = {split.name: split for split in by_source(of)}
    assert set(splits) == {"without-cleaneval", "without-dragnet", "without-readability", "without-trafilatura"}
    split = splits["without-readability"]
    assert {of.pages[n].site for n in np.flatnonzero(split.tested_P)} == {"site0.com", "new.com"}
    not_learned = {of.pages[n].gold.uri for n in np.flatnonzero(split.fold_P == NOT_LEARNED)}
    assert not_learned == {
        "http://www.site0.com/0", "http://www.site0.com/1", "http://www.site0.com/7", "http://www.new.com/1",
    }  # fmt: skip


def test_learn_twice_gives_the_same_bytes(examples: Examples, tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        save_model(learn(make_examples(pages(), QUICK), examples.fold_P, QUICK), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    assert load_model(tmp_path / "one.npz").about["settings"]["seed"] == QUICK.seed


def test_learn_from_one_fold_is_refused(examples: Examples) -> None:
    with pytest.raises(DataError, match="gold pages of 1 folds"):
        learn(examples, np.zeros_like(examples.fold_P), QUICK)
