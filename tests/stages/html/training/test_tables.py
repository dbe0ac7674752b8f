"""Labels of what follows beside a loop over blocks; steps of weights; tables that tell menus from articles."""

from __future__ import annotations

import numpy as np
import pytest

from stages.html.model import TABLES
from stages.html.training.examples import Examples, make_examples
from stages.html.training.tables import following_labels, in_steps, learn_tables
from stages.kernels.html_attributes import token_hash
from tests.stages.html.training.gold_site import QUICK, pages


@pytest.fixture(scope="module")
def examples() -> Examples:
    return make_examples(pages(), QUICK)


def test_following_labels_are_means_over_the_next_blocks_of_the_page(examples: Examples) -> None:
    found = following_labels(examples, 3)
    for b in range(len(found)):
        mass = length = 0.0
        for other in range(b + 1, min(b + 4, len(found))):
            if examples.page_B[other] == examples.page_B[b] and not np.isnan(examples.label_B[other]):
                weight = max(int(examples.half_words_B[other]), 1)
                mass, length = mass + weight * float(examples.label_B[other]), length + weight
        assert found[b] == pytest.approx(mass / length if length else 0.0, abs=1e-9)


def test_in_steps_rounds_to_sixteenths_and_ends_at_a_byte() -> None:
    assert in_steps(np.array([0.0, 1.0, -0.5, 0.04, 100.0, -100.0])).tolist() == [0, 16, -8, 1, 127, -127]


def test_learn_tables_of_made_up_sites_tell_articles_from_menus(examples: Examples) -> None:
    rows = np.flatnonzero(~np.isnan(examples.label_B))
    tables = learn_tables(examples, rows, QUICK)
    assert [len(table) for table in tables] == [TABLES[name] for name in tables._fields]
    weight = {word: tables.structure[token_hash(word) % TABLES["structure"]] for word in ("article", "menu", "footer")}
    assert weight["article"] > 0 > max(weight["menu"], weight["footer"])
    vocabulary = {word: tables.vocabulary[token_hash(word) % TABLES["vocabulary"]] for word in ("slowly", "rights")}
    assert vocabulary["slowly"] > 0 > vocabulary["rights"]
