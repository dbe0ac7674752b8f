from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pipeline.errors import FieldError
from pretrain import presets
from pretrain.model import build, num_parameters
from pretrain.model_config import ModelConfig, Preset
from tests.pretrain.architectures import ALL, VOCAB_SIZE, packed, random_documents
from tests.shared_data import REPOSITORY

pytestmark = pytest.mark.usefixtures("one_thread")
OPTIONS: list[dict[str, Any]] = [
    {},
    {"tie_embeddings": True, "feed_forward": "gelu", "norm": "layernorm", "positions": "learned"},
    {"qk_norm": True, "num_experts": 4, "tie_embeddings": False},
    {"architecture": "encoder_decoder", "num_encoder_layers": 3, "qk_norm": True, "positions": "sinusoidal"},
]


@pytest.mark.parametrize("preset", get_args(Preset))
def test_num_parameters_by_formula_equal_the_built_models(preset: Preset) -> None:
    for options in OPTIONS:
        cfg = ModelConfig(preset=preset, **options)
        with torch.device("meta"):
            built = num_parameters(build(cfg, 32_000))
        assert presets.num_parameters(cfg, 32_000) == built, options


@pytest.mark.parametrize("name", ALL)
def test_num_parameters_and_flops_by_formula_equal_torchs_count(name: str) -> None:
    cfg = ALL[name]
    model: Any = build(cfg, VOCAB_SIZE)
    assert presets.num_parameters(cfg, VOCAB_SIZE) == num_parameters(model)
    read, written = packed(random_documents((40,))), packed(random_documents((24,)))
    rows = (*read, *written) if cfg.architecture == "encoder_decoder" else read
    with FlopCounterMode(display=False) as forward, sdpa_kernel(SDPBackend.MATH):
        loss = model(*rows).sum()
    with FlopCounterMode(display=False) as backward, sdpa_kernel(SDPBackend.MATH):
        loss.backward()
    num_tokens = sum(part.shape[1] for part in rows[::3])
    by_formula = presets.forward_flops_per_token(cfg, VOCAB_SIZE, 40, 24)
    assert by_formula * num_tokens == pytest.approx(forward.get_total_flops(), rel=1e-12)
    both = forward.get_total_flops() + backward.get_total_flops()
    assert presets.flops_per_token(cfg, VOCAB_SIZE, 40, 24) * num_tokens == pytest.approx(both, rel=1e-12)


def test_num_parameters_of_published_sizes_are_the_published_ones() -> None:
    published = {"7b": (32_000, 6_738_415_616), "13b": (32_000, 13_015_864_320), "70b": (32_000, 68_976_648_192)}
    published["8b"] = (128_256, 8_030_261_248)
    for preset, (vocab_size, expected) in published.items():
        assert presets.num_parameters(ModelConfig(preset=preset), vocab_size) == expected


@pytest.mark.parametrize("preset", get_args(Preset))
def test_num_parameters_of_a_preset_are_what_its_name_says(preset: str) -> None:
    vocab_size = {"1m": 8192, "10m": 8192, "25m": 8192, "8b": 128_256}.get(preset, 32_000)
    number = float(preset[:-1]) * {"m": 1e6, "b": 1e9}[preset[-1]]
    assert presets.num_parameters(ModelConfig(preset=preset), vocab_size) == pytest.approx(number, rel=0.05)


def test_num_active_parameters_leave_out_the_experts_a_token_is_not_sent_to() -> None:
    cfg = ALL["experts"]
    assert presets.num_parameters(cfg, 61) - presets.num_active_parameters(cfg, 61) == 2 * 2 * 3 * 48 * 40
    assert presets.num_active_parameters(ALL["llama"], 61) == presets.num_parameters(ALL["llama"], 61)


def test_preset_with_a_field_of_its_own_keeps_the_rest() -> None:
    shape = ModelConfig(preset="125m", num_kv_heads=12, tie_embeddings=False).shape(1000)
    plain = ModelConfig(preset="125m").shape(1000)
    assert shape == replace(plain, num_kv_heads=12, tie_embeddings=False)
    assert get_args(Preset) == tuple(presets.SIZES)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("dim", {"preset": "125m", "num_heads": 5}),
        ("num_kv_heads", {"preset": "125m", "num_kv_heads": 5}),
        ("experts_per_token", {"num_experts": 4, "experts_per_token": 5}),
        ("num_encoder_layers", {"num_encoder_layers": 2}),
        ("dropout", {"dropout": 1.0}),
        ("num_layers", {"num_layers": 0}),
        ("preset", {"preset": "6b"}),
    ],
)
def test_model_config_with_values_that_do_not_fit_names_the_field(field: str, values: dict[str, Any]) -> None:
    with pytest.raises(FieldError) as caught:
        ModelConfig(**values)
    assert caught.value.field == field


def test_check_length_beyond_the_learned_positions_is_refused() -> None:
    ModelConfig(positions="learned", max_positions=64).check_length(64)
    ModelConfig(max_positions=64).check_length(65)
    with pytest.raises(FieldError, match="max_positions"):
        ModelConfig(positions="learned", max_positions=64).check_length(65)


def test_presets_imported_bring_no_torch() -> None:
    code = "import sys, pretrain.presets, pretrain.model_config; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert found.stdout.strip() == "False"
