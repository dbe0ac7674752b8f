"""The guard against constructed losses, and its statistics against scipy's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from pipeline.errors import RunError
from pretrain import guard
from pretrain.guard_config import GuardConfig

CFG = GuardConfig(action="skip")
STEPS = np.arange(600)
FALLING = 2.5 + 6 * np.exp(-STEPS / 60) + 2 * (STEPS + 10.0) ** -0.3  # from 9.5, half of the fall in 40 steps


def noisy(curve: np.ndarray, deviation: float, seed: int) -> list[float]:
    noise: np.ndarray = np.random.default_rng(seed).normal(size=len(curve))
    return list(curve + deviation * noise)


def spikes(losses: list[float], cfg: GuardConfig = CFG) -> list[int]:
    """The steps that are judged to be spikes."""
    return [i for i in range(len(losses)) if guard.judge(cfg, losses[:i], losses[i], 1.0).kind == "spike"]


@pytest.mark.parametrize("deviation", [0.01, 0.3])
@pytest.mark.parametrize("curve", [FALLING, np.full(600, 3.0)], ids=["falling", "flat"])
def test_losses_with_normal_noise_raise_no_alarm(curve: np.ndarray, deviation: float) -> None:
    assert [step for seed in range(2) for step in spikes(noisy(curve, deviation, seed))] == []


def test_losses_without_noise_raise_no_alarm() -> None:
    assert spikes(list(FALLING)) == []
    assert spikes([3.0] * 200) == []


@pytest.mark.parametrize("step", [40, 70, 150, 500])
def test_a_spike_is_found_while_the_loss_falls_and_later(step: int) -> None:
    losses = noisy(FALLING, 0.05, 1)
    losses[step] = FALLING[step] + 1.0
    assert spikes(losses[: step + 9]) == [step]
    window = np.array(losses[max(0, step - CFG.window) : step])
    if step <= 70:  # the mean and deviation of the window would not see it
        assert losses[step] < window.mean() + 6 * window.std()


def test_a_spike_leaves_the_next_one_visible() -> None:
    losses = noisy(FALLING, 0.05, 2)
    for step in (300, 302, 310):
        losses[step] += 1.0
    assert spikes(losses[:340]) == [300, 302, 310]


def test_a_loss_that_rose_for_good_is_believed_after_five_steps() -> None:
    losses = noisy(np.where(STEPS < 300, 3.0, 5.0), 0.02, 3)
    assert spikes(losses[:400]) == [300, 301, 302, 303, 304]


def test_a_rise_below_min_rise_is_no_spike_however_quiet_the_losses() -> None:
    losses = [*[3.0] * 100, 3.0 + 0.9 * CFG.min_rise]
    assert spikes(losses) == []
    assert spikes([*losses[:-1], 3.0 + 1.1 * CFG.min_rise]) == [100]


def test_nothing_is_judged_before_min_history() -> None:
    assert spikes([3.0] * (CFG.min_history - 1) + [300.0]) == []
    assert spikes([3.0] * CFG.min_history + [300.0]) == [CFG.min_history]


def test_expected_agrees_with_scipy() -> None:
    window = np.array(noisy(FALLING[80:208], 0.1, 4))
    slope, _, _, _ = scipy.stats.theilslopes(window)
    trend = np.median(window - slope * np.arange(128)) + slope * 128
    deviation = scipy.stats.median_abs_deviation(np.diff(window), scale="normal") / 2**0.5
    forecast = max(trend, np.median(window[-guard.RECENT :]))
    assert guard.expected(window) == pytest.approx((forecast, deviation), rel=1e-4)


def test_verdict_is_a_function_of_the_last_losses_of_the_log() -> None:
    losses = noisy(FALLING, 0.05, 5)
    log = "".join(json.dumps({"step": i + 1, "loss": loss}) + "\n" for i, loss in enumerate(losses))
    records = [{"step": 0, "validation_loss": 9.0}, *map(json.loads, log.splitlines())]
    history = guard.losses_of(records, 400)
    assert history == losses[:400]
    unbroken = guard.judge(CFG, losses[:400], 4.0, 1.0)
    assert guard.judge(CFG, history, 4.0, 1.0) == unbroken
    assert guard.judge(CFG, history[-CFG.window :], 4.0, 1.0) == unbroken
    assert unbroken.fields()["spike"]["action"] == "skip"
    assert guard.judge(CFG, history, FALLING[400], 1.0).fields() == {}


@pytest.mark.parametrize(("loss", "grad_norm", "words"), [
    (float("nan"), 1.0, "the loss is nan at step 7"), (float("inf"), 1.0, "the loss is inf at step 7"),
    (3.0, float("nan"), "the gradient norm is nan at step 7"),
])  # fmt: skip
def test_what_is_not_finite_stops_the_run_even_without_history_and_with_action_off(
    loss: float, grad_norm: float, words: str
) -> None:
    verdict = guard.judge(replace(CFG, action="off"), [], loss, grad_norm)
    assert (verdict.kind, verdict.action) == ("not_finite", "stop")
    error = guard.stopped(verdict, 7, Path("spikes/step-000007.json"))
    assert isinstance(error, RunError)
    assert words in str(error)
    assert "step-000007.json" in str(error)


def test_rewind_needs_a_checkpoint_and_ends_after_max_rewinds() -> None:
    cfg = GuardConfig(action="rewind", max_rewinds=2)
    flat = [3.0] * 50

    def action(num_rewinds: int, has_checkpoint: bool) -> str:
        return guard.judge(cfg, flat, 9.0, 1.0, num_rewinds=num_rewinds, has_checkpoint=has_checkpoint).action

    assert [action(n, True) for n in range(4)] == ["rewind", "rewind", "report", "report"]
    assert action(0, False) == "skip"
    assert guard.judge(replace(cfg, action="off"), flat, 9.0, 1.0).kind == "fine"
    assert guard.judge(replace(cfg, action="report"), flat, 9.0, 1.0).action == "report"
