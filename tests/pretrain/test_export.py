from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from pipeline.errors import RunError
from pretrain import export
from pretrain.model import Shape, Transformer
from tests.pretrain.packed import EOT_ID, PAD_ID, VOCAB_SIZE, byte_tokenizer

SHAPE = Shape(
    vocab_size=VOCAB_SIZE, dim=32, num_layers=2, num_heads=4, num_kv_heads=2, ffn_dim=48, rope_theta=3e4, norm_eps=1e-6
)
CONTRACT = {"length": 128, "eot_id": EOT_ID, "bos_id": EOT_ID, "pad_id": PAD_ID}
IDS = torch.randint(0, 256, (100,), generator=torch.Generator().manual_seed(4))


def write_export(folder: Path, contract: dict[str, Any] | None = None) -> Transformer:
    """An export of random weights, large ones, so that logits vary."""
    model = Transformer(SHAPE).eval()
    torch.manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    export.write(folder, model.state_dict(), SHAPE, contract or CONTRACT, byte_tokenizer())
    return model


@torch.no_grad()
def test_export_opened_by_transformers_gives_our_logits(tmp_path: Path) -> None:
    model = write_export(tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert isinstance(peer, transformers.LlamaForCausalLM)
    ids = IDS[None]
    ours = model(ids, torch.zeros_like(ids), torch.arange(100)[None])
    assert ours.std() > 0.5
    torch.testing.assert_close(peer(ids).logits, ours, atol=1e-4, rtol=0)
    assert peer.generation_config.eos_token_id == EOT_ID
    assert peer.generation_config.pad_token_id == PAD_ID


def test_export_tokenizer_opened_by_transformers_encodes_and_knows_its_special_tokens(tmp_path: Path) -> None:
    write_export(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "plain, \u4e2d\u6587 and \U0001f600"
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == len(text.encode())
    assert tokenizer.decode(ids) == text
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (EOT_ID, EOT_ID, PAD_ID)


def test_export_without_bos_has_none(tmp_path: Path) -> None:
    write_export(tmp_path, CONTRACT | {"bos_id": None})
    assert transformers.AutoConfig.from_pretrained(tmp_path).bos_token_id is None
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).bos_token is None


def test_read_back_has_the_weights_bit_for_bit(tmp_path: Path) -> None:
    model = write_export(tmp_path)
    again = export.read((tmp_path / "config.json").read_bytes(), (tmp_path / "model.safetensors").read_bytes())
    assert again.shape == SHAPE
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


def test_check_of_a_sound_export_measures_less_than_the_limit(tmp_path: Path) -> None:
    write_export(tmp_path)
    difference = export.check(tmp_path, IDS)
    assert difference is not None
    assert 0 <= difference < export.MAX_LOGIT_DIFFERENCE


@pytest.mark.parametrize(
    "change", [{"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}, {"hidden_act": "gelu"}]
)
def test_check_where_transformers_computes_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    write_export(tmp_path)
    config = (tmp_path / "config.json").read_bytes()
    (tmp_path / "config.json").write_text(json.dumps(json.loads(config) | change))
    read = export.read
    monkeypatch.setattr(export, "read", lambda _, weights: read(config, weights))  # ours keeps the true config
    with pytest.raises(RunError, match="logits that differ"):
        export.check(tmp_path, IDS)
