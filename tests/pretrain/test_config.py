from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import FieldError
from pretrain.config import Config


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("dim", {"dim": 100, "num_heads": 8}),
        ("dim", {"dim": 12, "num_heads": 4, "num_kv_heads": 4}),  # heads of odd width cannot be rotated by halves
        ("num_kv_heads", {"num_heads": 4, "num_kv_heads": 3}),
        ("batch_rows", {"batch_rows": 6, "microbatch_rows": 2, "world_size": 2}),
        ("num_layers", {"num_layers": 0}),
        ("learning_rate", {"learning_rate": -1.0}),
        ("learning_rate", {"learning_rate": float("nan")}),
        ("warmup_steps", {"warmup_steps": 60, "num_steps": 60}),
        ("beta2", {"beta2": 1.0}),
        ("min_learning_rate_ratio", {"min_learning_rate_ratio": 1.5}),
    ],
)
def test_config_with_a_value_it_cannot_use_names_the_field(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as caught:
        Config(**change)
    assert caught.value.field == field
