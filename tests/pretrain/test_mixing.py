"""Mixtures against counting, row by row, of what a stream gives out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.errors import DataError, FieldError
from pretrain import data, mixing
from pretrain.mixing import Mixture, SourceRows

THREE = (("web", 5000, 0.6), ("books", 300, 0.3), ("code", 700, 0.1))


def sources(*given: tuple[str, int, float]) -> list[SourceRows]:
    return [SourceRows(name=name, num_rows=num_rows, weight=weight) for name, num_rows, weight in given]


def stream(mixture: Mixture, count: int) -> list[tuple[int, int]]:
    source_N, row_N = mixture.rows_at(0, count)
    return list(zip(source_N.tolist(), row_N.tolist(), strict=True))


def test_one_source_is_todays_order_of_its_rows() -> None:
    mixture = mixing.plan(sources(("web", 37, 2.0)), 200, seed=5)
    source_N, row_N = mixture.rows_at(11, 150)
    assert not source_N.any()
    assert np.array_equal(row_N, data.rows_at(11, 150, 37, 5))


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.7, 0.3), (0.6, 0.3, 0.1), (1, 1, 1, 1e-3), tuple(range(1, 11))])
def test_every_window_has_each_source_at_its_share(weights: Sequence[float]) -> None:
    num_rows = 3 * mixing.PERIOD // 2  # with the seam of two periods in it
    mixture = mixing.plan(sources(*((str(i), 1000, float(w)) for i, w in enumerate(weights))), num_rows, seed=3)
    source_N, _ = mixture.rows_at(0, num_rows)
    for source, weight in enumerate(weights):
        share = weight / sum(weights)
        so_far = np.concatenate([[0], np.cumsum(source_N == source)])
        for window in (1, 2, 8, 63, 1000, 40_000):
            found = so_far[window:] - so_far[:-window]
            rounding = 1.5 * window / mixing.PERIOD
            assert np.abs(found - share * window).max() < 1 + share * len(weights) + rounding


def test_shares_hold_exactly_over_a_period() -> None:
    mixture = mixing.plan(sources(("a", 9000, 3.0), ("b", 9000, 1.0)), 4 * mixing.PERIOD, seed=1)
    for start in (0, 1, 12_345):
        counts = np.bincount(mixture.rows_at(start, mixing.PERIOD)[0])
        assert counts.tolist() == [mixing.PERIOD * 3 // 4, mixing.PERIOD // 4]


def test_each_source_gives_all_its_rows_once_before_any_twice() -> None:
    mixture = mixing.plan(sources(*THREE), 10_000, seed=1)
    found = stream(mixture, 10_000)
    for source, (_, num_rows, _) in enumerate(THREE):
        rows = [row for s, row in found if s == source]
        for epoch in range(len(rows) // num_rows):
            assert sorted(rows[epoch * num_rows :][:num_rows]) == list(range(num_rows))


def test_any_cut_of_the_stream_gives_the_same_rows() -> None:
    mixture = mixing.plan(sources(*THREE), 9000, seed=7, max_epochs=2.5)
    assert len(mixture.phases) > 1
    expected = stream(mixture, 9000)
    generator = np.random.default_rng(0)
    cuts = [0, *sorted(generator.integers(0, 9000, 40).tolist()), 9000]
    parts = [mixture.rows_at(a, b - a) for a, b in itertools.pairwise(cuts)]
    source_N, row_N = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert list(zip(source_N.tolist(), row_N.tolist(), strict=True)) == expected
    for world_size in (1, 2, 4, 8):  # ranks of a step of 1000 rows from 3000 on
        share = 1000 // world_size
        ranks = [mixture.rows_at(3000 + rank * share, share)[1] for rank in range(world_size)]
        assert np.concatenate(ranks).tolist() == [row for _, row in expected[3000:4000]]


def test_a_source_stops_at_its_cap_and_its_weight_goes_to_the_others() -> None:
    mixture = mixing.plan(sources(*THREE), 6000, seed=2, max_epochs=2)
    found = np.array([s for s, _ in stream(mixture, 6000)])
    ((name, position), *_) = mixture.used_up
    assert name == "books"
    assert (found[:position] == 1).sum() == 600  # two epochs, exactly
    assert found[position - 1] == 1
    assert not (found[position:] == 1).any()
    after = np.bincount(found[position : position + 700], minlength=3)
    assert abs(after[0] - 600) < 4  # 0.6 of 0.7
    assert abs(after[2] - 100) < 4
    assert mixture.rows_taken(6000) == np.bincount(found, minlength=3).tolist()


def test_all_rows_are_taken_as_often_as_the_cap_allows_and_no_more() -> None:
    given = (("a", 11, 5.0), ("b", 23, 0.1), ("c", 7, 1.0), ("left out", 50, 0.0))
    total = 3 * (11 + 23 + 7)
    mixture = mixing.plan(sources(*given), total, seed=9, max_epochs=3)
    found = stream(mixture, total)
    for source, num_rows in enumerate((11, 23, 7)):
        assert sorted(row for s, row in found if s == source) == sorted(list(range(num_rows)) * 3)
    with pytest.raises(DataError, match=f"used up after {total} rows"):
        mixing.plan(sources(*given), total + 1, seed=9, max_epochs=3)


@pytest.mark.parametrize("trial", range(20))
def test_counts_before_any_position_equal_those_of_the_stream(trial: int) -> None:
    generator = np.random.default_rng(trial)
    given = [
        (str(i), int(generator.integers(1, 400)), float(generator.random())) for i in range(generator.integers(1, 6))
    ]
    total = sum(num_rows for _, num_rows, _ in given) * 2
    mixture = mixing.plan(sources(*given), total, seed=trial, max_epochs=2)
    found = np.array([s for s, _ in stream(mixture, total)])
    for position in generator.integers(0, total + 1, 30):
        assert mixture.rows_taken(position) == np.bincount(found[:position], minlength=len(given)).tolist()


def test_another_seed_is_another_order_of_sources_and_rows() -> None:
    streams = [stream(mixing.plan(sources(*THREE), 100, seed=seed), 100) for seed in range(5)]
    assert len({tuple(s for s, _ in found) for found in streams}) == 5
    assert len({tuple(row for _, row in found) for found in streams}) == 5


def test_summary_says_shares_rows_epochs_and_who_was_used_up() -> None:
    mixture = mixing.plan(sources(("a", 100, 3.0), ("b", 10, 1.0)), 300, seed=1, max_epochs=4)
    a, b = mixture.summary(300)
    assert (a["weight"], b["weight"]) == (0.75, 0.25)
    assert (b["rows"], b["epochs"], b["used_up_at"]) == (40, 4.0, dict(mixture.used_up)["b"])
    assert (a["rows"], a["epochs"], a["used_up_at"]) == (260, 2.6, None)
    assert mixture.summary(50)[1]["used_up_at"] is None


def test_a_far_position_is_as_near_as_any() -> None:
    mixture = mixing.plan(sources(*THREE), 1 << 50, seed=1)
    source_N, row_N = mixture.rows_at((1 << 50) - 100, 100)
    assert (row_N < np.array([5000, 300, 700])[source_N]).all()


@pytest.mark.parametrize(
    ("given", "max_epochs", "error", "words"),
    [
        ([("a", 10, -1.0)], None, FieldError, "a: -1.0"),
        ([("a", 10, float("nan"))], None, FieldError, "a: nan"),
        ([("a", 10, 0.0)], None, FieldError, "weights"),
        ([("a", 10, 1.0)], 0.0, FieldError, "max_epochs"),
        ([("a", 10, 1.0), ("b", 0, 1.0)], None, DataError, "no training rows in 'b'"),
        ([("a", 10, 1.0)], 5.0, DataError, r"all sources \(a 10 rows\) are used up after 50 rows"),
    ],
)
def test_plan_of_sources_that_cannot_be_mixed_says_why(
    given: list[tuple[str, int, float]], max_epochs: float | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        mixing.plan(sources(*given), 100, seed=1, max_epochs=max_epochs)
