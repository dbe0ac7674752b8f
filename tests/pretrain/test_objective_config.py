from __future__ import annotations

from typing import Any, get_args

import pytest

from pipeline.errors import FieldError
from pretrain.config import Config
from pretrain.model_config import ModelConfig
from pretrain.objective_config import ARCHITECTURES, Kind, ObjectiveConfig, check_architecture
from pretrain.shape import Architecture


@pytest.mark.parametrize(
    "field, settings",
    [
        ("mask_rate", {"mask_rate": 0.0}), ("mask_rate", {"mask_rate": 1.5}), ("density", {"density": 0.0}),
        ("density", {"density": float("nan")}), ("mean_span", {"mean_span": 0.5}), ("fim_rate", {"fim_rate": -0.1}),
        ("spm_share", {"spm_share": 2.0}), ("r_weight", {"r_weight": 0.0, "s_weight": 0.0, "x_weight": 0.0}),
        ("s_weight", {"s_weight": -1.0}), ("random_token_share", {"mask_token_share": 0.95}),
    ],
)  # fmt: skip
def test_config_of_impossible_values_names_the_field(field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(FieldError, match=f"^{field}"):
        ObjectiveConfig(**settings)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_objective_of_another_architecture_is_refused_naming_both(kind: Kind, architecture: Architecture) -> None:
    objective, model = ObjectiveConfig(kind=kind), ModelConfig(architecture=architecture)
    if architecture in ARCHITECTURES[kind]:
        check_architecture(objective, architecture)
        assert Config(objective=objective, model=model).objective is objective
        return
    with pytest.raises(FieldError, match=rf"^objective: .*kind: {kind} with model\.architecture: {architecture}"):
        Config(objective=objective, model=model)


def test_every_architecture_has_an_objective() -> None:
    assert {a for fitting in ARCHITECTURES.values() for a in fitting} == set(get_args(Architecture))
