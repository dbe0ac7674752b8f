from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.store import Folder
from pretrain import export, quantise
from pretrain.model import build, initialise
from tests.pretrain.architectures import ALL, SMALL, packed, random_documents, random_model
from tests.pretrain.packed import EOT_ID, VOCAB_SIZE, byte_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
CONTRACT = {"length": 128, "eot_id": EOT_ID, "bos_id": EOT_ID, "pad_id": None}
TEXT = "The cat sat on the mat, and the dog lay by the door. Nobody said a word about it.\n"


def inputs(model: Any) -> tuple[Tensor, ...]:
    row = packed(random_documents((9, 14)))
    return row * (2 if model.shape.architecture == "encoder_decoder" else 1)


@pytest.mark.parametrize("shape", [(7, 5), (3, 7, 5)])
def test_rounded_is_within_half_a_step_of_each_output_channel(shape: tuple[int, ...]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 7)[:, None]
    weight[..., 2, :] = 0
    number, scale = quantise.rounded(weight)
    assert number.dtype == torch.int8 and number.shape == weight.shape and scale.shape == weight.shape[:-1]
    error = (number * scale[..., None] - weight).abs()
    assert (error <= weight.abs().amax(-1, keepdim=True) / 127 / 2 * 1.0001).all()
    assert sorted({int(n) for n in number.abs().amax(-1).flatten()}) == [0, 127]


@torch.no_grad()
@pytest.mark.parametrize("name", ALL)
def test_quantised_computes_as_the_model_with_every_matrix_rounded(name: str) -> None:
    model = random_model(ALL[name])
    found = quantise.quantised(model)
    expected = random_model(ALL[name])
    for parameter_name, parameter in expected.named_parameters():
        if parameter.ndim > 1 and "router" not in parameter_name and "embed_positions" not in parameter_name:
            number, scale = quantise.rounded(parameter)
            parameter.copy_(number * scale[..., None])
    row = inputs(model)
    torch.testing.assert_close(found(*row), expected(*row), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(found(*row), model(*row), atol=1e-4, rtol=1e-4)  # the model itself was left alone
    assert not [p for n, p in found.named_parameters() if p.ndim > 1 and "router" not in n and "positions" not in n]


def test_quantised_in_the_middle_of_training_stays_as_it_was_then() -> None:
    model = random_model(ALL["experts"])
    row = inputs(model)
    model(*row).sum().backward()  # the forward pass leaves the balance's graph behind
    found = quantise.quantised(model)
    with torch.no_grad():
        before = found(*row)
        for parameter in model.parameters():
            parameter.add_(1.0)
        assert torch.equal(found(*row), before)


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "untied", "gpt", "experts", "encoder_decoder"])
def test_int8_export_read_back_gives_the_same_logits_in_a_quarter_of_the_bytes(tmp_path: Path, name: str) -> None:
    model = random_model(ALL[name])
    export.write(tmp_path / "full", model.state_dict(), model.shape, CONTRACT, byte_tokenizer())
    export.write_int8(tmp_path / "int8", model.state_dict(), model.shape, CONTRACT, byte_tokenizer())
    again = export.load(Folder(str(tmp_path / "int8")))
    row = inputs(model)
    assert torch.equal(again(*row), quantise.quantised(model)(*row))
    assert again.shape == model.shape
    full, int8 = (
        sum(p.stat().st_size for p in (tmp_path / kind).glob("*.safetensors")) for kind in ("full", "int8")
    )  # fmt: skip
    assert int8 < (0.5 if name == "gpt" else 0.42) * full  # at this width, scales and headers weigh as much as they can
    assert export.check(tmp_path / "int8", torch.zeros(5, dtype=torch.int64)) is None


def bits_per_byte(model: nn.Module) -> float:
    """Of TEXT, with a byte-level vocabulary."""
    ids = torch.tensor([list(TEXT.encode())])
    with torch.no_grad():
        logits = model(ids, torch.zeros_like(ids), torch.arange(ids.shape[1])[None])
    return F.cross_entropy(logits[0, :-1], ids[0, 1:]).item() / math.log(2)


def test_loss_measured_of_a_trained_model_is_small_and_of_coarser_numbers_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: Any = build(SMALL, VOCAB_SIZE)
    initialise(model, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.95))
    ids = torch.tensor([list(TEXT.encode())])
    for _ in range(120):
        logits = model(ids, torch.zeros_like(ids), torch.arange(ids.shape[1])[None])
        F.cross_entropy(logits[0, :-1], ids[0, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    loss = quantise.measured(model, bits_per_byte)
    assert loss.before == bits_per_byte(model) < 1
    assert 0 < abs(loss.added) < 0.02
    monkeypatch.setattr(quantise, "LARGEST", 3)  # 3 bits
    assert quantise.measured(model, bits_per_byte).added > 5 * abs(loss.added)
