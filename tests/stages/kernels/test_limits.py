"""limits: the first violated check drops a row."""

from __future__ import annotations

import numpy as np

from stages.kernels.limits import Flag, Limit, drops, measures, ratio

NAN = float("nan")


def test_drops_several_violations_name_the_first() -> None:
    checks: list[Limit | Flag] = [
        Flag(reason="empty", violated_N=np.array([True, False, False, False, False])),
        Limit(
            measure="a", value_N=np.array([1.0, 1, 9, 5, NAN]), low=0, high=9, at_least=2, too_low="low", at_most=8,
            too_high="high",
        ),
        Limit(measure="b", value_N=np.array([9.0, 9, 9, 9, 2]), low=0, high=9, at_most=8, too_high="b_high"),
    ]  # fmt: skip
    found = drops(checks, 5)
    assert [found.reasons[c] if c >= 0 else None for c in found.code_N] == ["empty", "low", "high", "b_high", None]
    np.testing.assert_array_equal(found.value_N, [NAN, 1, 9, 9, NAN])
    np.testing.assert_array_equal(found.threshold_N, [NAN, 2, 8, 8, NAN])


def test_drops_value_on_the_threshold_is_kept() -> None:
    check = Limit(measure="a", value_N=np.array([2.0, 8.0]), low=0, high=9, at_least=2, at_most=8)
    assert drops([check], 2).code_N.tolist() == [-1, -1]


def test_drops_reason_given_twice_has_one_code() -> None:
    one = Limit(measure="a", value_N=np.array([1.0, NAN]), low=0, high=9, at_least=2, too_low="low")
    two = Limit(measure="b", value_N=np.array([NAN, 1.0]), low=0, high=9, at_least=3, too_low="low")
    found = drops([one, two], 2)
    assert found.reasons == ("low",)
    assert found.code_N.tolist() == [0, 0]
    assert found.threshold_N.tolist() == [2, 3]


def test_measures_limit_off_has_no_threshold() -> None:
    found = measures([Limit(measure="a", value_N=np.array([1.0]), low=0, high=9, at_most=8, too_high="high")])
    assert found["a"].drop_below is None
    assert found["a"].drop_above == 8


def test_ratio_nothing_to_divide_by_is_not_a_number() -> None:
    np.testing.assert_array_equal(ratio(np.array([1, 0]), np.array([4, 0])), [0.25, NAN])
