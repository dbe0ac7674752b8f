from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from pipeline.errors import FieldError
from pretrain.config import Config
from pretrain.schedule import learning_rate
from tests.pretrain.configs import changed


def rates(**values: Any) -> list[float]:
    """Of all steps of a run of 101 steps with a peak of 2 after 20 steps of warm-up."""
    common = {"num_steps": 101, "schedule__warmup_steps": 20, "optimizer__learning_rate": 2.0}
    cfg = changed(Config(), **(common | values))
    return [learning_rate(cfg, step) for step in range(cfg.num_steps)]


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd", "constant"])
def test_learning_rate_of_every_kind_rises_in_a_line_to_the_peak_and_never_again(kind: str) -> None:
    found = rates(schedule__kind=kind)
    rises = [b - a for a, b in itertools.pairwise(found[:21])]
    assert rises == pytest.approx([rises[0]] * 20)
    assert found[0] == pytest.approx(2 / 21)
    assert max(found) == found[20] == 2.0
    assert found[20:] == sorted(found[20:], reverse=True)


def test_learning_rate_along_a_cosine_is_halfway_down_in_the_middle_and_at_its_least_at_the_end() -> None:
    found = rates()
    assert found[20:] == pytest.approx([1.1 + 0.9 * math.cos(math.pi * i / 80) for i in range(81)])
    assert found[60] == pytest.approx(1.1)
    assert found[-1] == pytest.approx(0.2)


def test_learning_rate_along_a_line_falls_by_the_same_every_step() -> None:
    found = rates(schedule__kind="linear", schedule__min_ratio=0.0)
    assert found[20:] == pytest.approx([2 * (1 - i / 80) for i in range(81)])


def test_learning_rate_of_constant_stays_at_the_peak() -> None:
    assert rates(schedule__kind="constant")[20:] == [2.0] * 81


def test_learning_rate_of_wsd_is_the_peak_until_the_decay_and_then_a_line() -> None:
    found = rates(schedule__kind="wsd", schedule__decay_share=0.3, schedule__min_ratio=0.1)
    assert found[20:71] == [2.0] * 51
    assert found[71:] == pytest.approx([2 * (1 - 0.9 * (i + 1) / 30) for i in range(30)])


def test_learning_rate_of_wsd_along_a_root_falls_fast_first() -> None:
    found = rates(
        schedule__kind="wsd", schedule__decay_share=0.3, schedule__min_ratio=0.0, schedule__decay_shape="sqrt"
    )
    assert found[71:] == pytest.approx([2 * (1 - math.sqrt((i + 1) / 30)) for i in range(30)])
    falls = [a - b for a, b in itertools.pairwise(found[70:])]
    assert falls == sorted(falls, reverse=True)


def test_learning_rate_of_wsd_before_its_decay_is_that_of_a_longer_run() -> None:
    longer = rates(schedule__kind="wsd", num_steps=301)
    assert rates(schedule__kind="wsd")[:81] == longer[:81]


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_learning_rate_of_the_shortest_run_is_the_peak(kind: str) -> None:
    single = changed(Config(), num_steps=1, schedule__warmup_steps=0, schedule__kind=kind)
    assert learning_rate(single, 0) == single.optimizer.learning_rate


def test_config_whose_decay_leaves_no_step_at_the_peak_is_refused() -> None:
    with pytest.raises(FieldError, match="warmup_steps 20 and a decay of 81 steps"):
        rates(schedule__kind="wsd", schedule__decay_share=0.8)
