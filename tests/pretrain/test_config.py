from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import FieldError
from pretrain.config import Config
from tests.pretrain.configs import changed


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("dim", {"model__dim": 100, "model__num_heads": 8}),
        # heads of odd width cannot be rotated by halves
        ("dim", {"model__dim": 12, "model__num_heads": 4, "model__num_kv_heads": 4}),
        ("num_kv_heads", {"model__num_heads": 4, "model__num_kv_heads": 3}),
        ("batch_rows", {"batch_rows": 6, "parallel__microbatch_rows": 2, "parallel__world_size": 2}),
        ("num_layers", {"model__num_layers": 0}),
        ("learning_rate", {"optimizer__learning_rate": -1.0}),
        ("learning_rate", {"optimizer__learning_rate": float("nan")}),
        ("schedule", {"schedule__warmup_steps": 60, "num_steps": 60}),
        ("beta2", {"optimizer__beta2": 1.0}),
        ("min_ratio", {"schedule__min_ratio": 1.5}),
    ],
)
def test_config_with_a_value_it_cannot_use_names_the_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as caught:
        changed(Config(), **change)
    assert caught.value.field == field


def test_config_with_half_of_a_length_warm_up_names_both_fields() -> None:
    with pytest.raises(FieldError, match="warmup_length 64, warmup_length_steps 0"):
        changed(Config(), data__warmup_length=64)
