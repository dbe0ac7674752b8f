"""The sizes against a search over all sizes, the runs against the config they are of."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pipeline.errors import DagError
from pretrain import scaling_law
from pretrain.budget import tell
from pretrain.config import Config
from pretrain.scaling_law import BESIROGLU, HOFFMANN, Fit
from tests.pretrain.configs import changed

GOPHER_FLOPS = 5.76e23


@pytest.mark.parametrize("fit", scaling_law.FITS)
@pytest.mark.parametrize("flops", [1e18, GOPHER_FLOPS])
def test_parameters_for_flops_has_the_least_loss_of_all_sizes(fit: Fit, flops: float) -> None:
    sizes = np.geomspace(1e5, 1e13, 200_001)
    losses = fit.irreducible + fit.a / sizes**fit.alpha + fit.b / (flops / (6 * sizes)) ** fit.beta
    assert fit.parameters_for_flops(flops) == pytest.approx(sizes[losses.argmin()], rel=1e-3)


@pytest.mark.parametrize("fit", scaling_law.FITS)
def test_parameters_for_tokens_is_the_size_whose_operations_ask_for_these_tokens(fit: Fit) -> None:
    size = fit.parameters_for_tokens(3e11)
    assert fit.parameters_for_flops(6 * size * 3e11) == pytest.approx(size)


def test_fits_at_gophers_budget_are_what_the_papers_report() -> None:
    # Besiroglu et al. 2024: about 20 tokens per parameter, as Chinchilla (70 billion on 1.4 trillion) was trained;
    # Hoffmann et al. 2022, approach 3, asks for a much smaller model on more tokens
    size = BESIROGLU.parameters_for_flops(GOPHER_FLOPS)
    assert 15 < GOPHER_FLOPS / 6 / size**2 < 25
    assert 60e9 < size < 80e9
    assert HOFFMANN.parameters_for_flops(GOPHER_FLOPS) < 45e9
    assert HOFFMANN.loss(70e9, 1.4e12) == pytest.approx(1.937, abs=0.001)
    assert scaling_law.rule_for_flops(GOPHER_FLOPS) == pytest.approx(69.3e9, rel=1e-3)


def told(cfg: Config | None = None, rows: int | None = None, **options: Any) -> dict[str, Any]:
    return tell(cfg or Config(), 8192, 512, rows, options)


def test_tell_of_a_configured_run_counts_its_tokens_operations_and_epochs() -> None:
    found = told(changed(Config(), num_steps=100, batch_rows=16), rows=400)["configured"]
    assert found["tokens"] == 100 * 16 * 512
    assert found["epochs"] == 4
    assert found["tokens_per_epoch"] == 400 * 512
    assert found["flops"] == found["tokens"] * found["flops_per_token"]
    assert found["hours"] is None
    ways = found["memory_by_activation_checkpointing"]
    assert ways["full"] < ways["selective"] < ways["none"] == found["memory"]["total"]


def test_tell_of_hours_of_gpus_spends_all_they_compute() -> None:
    found = told(hours=10, gpus=4, peak_flops=1e15, mfu=0.5)
    flops = 10 * 3600 * 4 * 1e15 * 0.5
    for choice in found["optimal"]:
        assert choice["flops"] == pytest.approx(flops)
        assert 6 * choice["parameters"] * choice["tokens"] == pytest.approx(flops)
    assert found["presets"]
    for run in found["presets"]:
        assert run["hours"] == pytest.approx(10)
        assert run["batch_rows"] % (4 * 4) == 0
        assert run["steps"] * run["batch_tokens"] == pytest.approx(run["tokens"], rel=1e-2)


def test_tell_of_tokens_alone_asks_for_a_twentieth_as_many_parameters() -> None:
    by_rule = told(tokens=2e9)["optimal"][-1]
    assert by_rule["parameters"] == pytest.approx(1e8)
    assert by_rule["epochs"] == 1


def test_tell_of_tokens_and_operations_tells_how_often_they_would_be_repeated() -> None:
    found = told(tokens=1e9, flops=1e20)
    for choice in found["optimal"]:
        assert choice["epochs"] == pytest.approx(choice["tokens"] / 1e9)
    assert found["optimal"][-1]["epochs"] == pytest.approx(1)
    assert found["optimal"][0]["epochs"] > 10
    assert [choice["repeats_too_often"] for choice in found["optimal"]] == [True, True, True, False]


def test_tell_of_more_gpus_divides_the_state_among_them() -> None:
    two, eight = (told(gpus=gpus)["configured"]["memory"]["optimizer"] for gpus in (2, 8))
    assert eight == pytest.approx(two / 4, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"tokens": 0}, "--tokens"), ({"mfu": 1.2}, "--mfu"), ({"hours": 3}, "--peak-flops"),
     ({"flops": 1e20, "hours": 3, "peak_flops": 1e15}, "--hours"), ({"gpus": 0}, "--gpus"),
     ({"tokens": float("nan")}, "--tokens")],
)  # fmt: skip
def test_tell_of_a_budget_that_says_nothing_or_two_things_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DagError, match=message):
        told(**options)


def test_tell_of_gpus_that_the_mesh_does_not_divide_is_refused() -> None:
    cfg = changed(Config(), parallel__replicas=2, parallel__world_size=2)
    with pytest.raises(DagError, match="--gpus"):
        told(cfg, gpus=3)


def test_budget_needs_no_torch() -> None:
    check = "import sys, pretrain.budget; assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", check], check=True)
