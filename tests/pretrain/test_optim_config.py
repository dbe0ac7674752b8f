from __future__ import annotations

import math
from typing import Any

import pytest

from pipeline.errors import FieldError
from pretrain.optim_config import AverageConfig, OptimizerConfig, ScheduleConfig, check_schedule


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (OptimizerConfig, "learning_rate", 0.0),
        (OptimizerConfig, "weight_decay", -0.1),
        (OptimizerConfig, "beta1", 1.0),
        (OptimizerConfig, "eps", 0.0),
        (OptimizerConfig, "muon_momentum", 1.0),
        (OptimizerConfig, "muon_iterations", 0),
        (OptimizerConfig, "muon_rate_ratio", math.nan),
        (OptimizerConfig, "adamp_threshold", -1.0),
        (OptimizerConfig, "adamp_decay_ratio", 1.1),
        (ScheduleConfig, "warmup_steps", -1),
        (ScheduleConfig, "min_ratio", 1.1),
        (ScheduleConfig, "decay_share", 1.5),
        (AverageConfig, "decay", 1.0),
    ],
)
def test_a_value_out_of_its_range_names_the_field(config: type, field: str, value: Any) -> None:
    with pytest.raises(FieldError) as caught:
        config(**{field: value})
    assert caught.value.field == field


def test_a_decay_needs_a_step_at_the_peak_before_it() -> None:
    wsd = ScheduleConfig(kind="wsd", warmup_steps=3, decay_share=0.5)
    check_schedule(wsd, 8)  # three, one, four
    with pytest.raises(FieldError, match="warmup_steps 3 and a decay of 3 steps"):
        check_schedule(wsd, 6)
    check_schedule(ScheduleConfig(warmup_steps=3), 6)
