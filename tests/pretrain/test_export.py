from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from pipeline.errors import DataError, RunError
from pipeline.store import Folder
from pretrain import export
from pretrain.model import Model, Shape, of_shape
from tests.pretrain.architectures import ENCODER_DECODERS, packed, random_documents
from tests.pretrain.packed import EOT_ID, PAD_ID, VOCAB_SIZE, byte_tokenizer

SHAPE = Shape(
    vocab_size=VOCAB_SIZE, dim=32, num_layers=2, num_heads=4, num_kv_heads=2, ffn_dim=48, rope_theta=3e4, norm_eps=1e-6
)
CONTRACT = {"length": 128, "eot_id": EOT_ID, "bos_id": EOT_ID, "pad_id": PAD_ID}
IDS = torch.randint(0, 256, (100,), generator=torch.Generator().manual_seed(4))


SHAPES = {
    "llama": SHAPE,
    "llama_untied": replace(SHAPE, tie_embeddings=False),
    "qwen3": replace(SHAPE, qk_norm=True),
    "mixtral": replace(SHAPE, num_experts=4, tie_embeddings=False),
    "qwen3_moe": replace(SHAPE, num_experts=4, experts_per_token=3, qk_norm=True),
    "arcee": replace(SHAPE, feed_forward="relu2"),
    "arcee_gelu": replace(SHAPE, feed_forward="gelu", num_kv_heads=1, tie_embeddings=False),
}
OWN = {
    "encoder": (replace(SHAPE, architecture="encoder"), "architecture: encoder (expected decoder)"),
    "learned": (replace(SHAPE, positions="learned"), "positions: learned (expected rope)"),
    "layernorm": (replace(SHAPE, norm="layernorm"), "norm: layernorm (expected rmsnorm)"),
    "relu2_experts": (
        replace(SHAPE, feed_forward="relu2", num_experts=2), "feed_forward: relu2 beside num_experts (expected swiglu)"
    ),
}  # fmt: skip
pytestmark = pytest.mark.usefixtures("one_thread")


def random_model(shape: Shape) -> Any:
    """Random weights, large ones, so that logits vary."""
    model: Model = of_shape(shape).eval()
    torch.manual_seed(5)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def write_export(
    folder: Path, contract: dict[str, Any] | None = None, shape: Shape = SHAPE, max_file_bytes: int = 10**9
) -> Any:
    model = random_model(shape)
    export.write(folder, model.state_dict(), shape, contract or CONTRACT, byte_tokenizer(), max_file_bytes)
    return model


def logits(model: Any, ids: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = model(ids, torch.zeros_like(ids), torch.arange(ids.shape[1])[None])
    return found


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_export_opened_by_transformers_gives_our_logits_and_our_greedy_text(tmp_path: Path, name: str) -> None:
    model = write_export(tmp_path, shape=SHAPES[name])
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert peer.config.model_type == name.removesuffix("_untied").removesuffix("_gelu")
    ours = logits(model, IDS[None])
    assert ours.std() > 0.5
    torch.testing.assert_close(peer(IDS[None]).logits, ours, atol=1e-4, rtol=0)
    assert peer.generation_config.eos_token_id == EOT_ID
    assert peer.generation_config.pad_token_id == PAD_ID
    written = peer.generate(IDS[None, :20], max_new_tokens=24, do_sample=False, attention_mask=torch.ones(1, 20))
    ids = IDS[None, :20]
    while ids.shape[1] < 44 and ids[0, -1] != EOT_ID:
        ids = torch.cat((ids, logits(model, ids)[:, -1:].argmax(-1)), 1)
    assert written.tolist() == ids.tolist()


@pytest.mark.parametrize("name", SHAPES)
def test_export_saved_again_by_transformers_is_unchanged(tmp_path: Path, name: str) -> None:
    write_export(tmp_path / "ours", shape=SHAPES[name])
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    assert model.dtype == torch.float32
    model.save_pretrained(tmp_path / "theirs")
    ours = safetensors.torch.load_file(tmp_path / "ours" / "model.safetensors")
    theirs = safetensors.torch.load_file(tmp_path / "theirs" / "model.safetensors")
    assert sorted(theirs) == sorted(ours)
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    again = export.load(Folder(str(tmp_path / "theirs")))
    assert again.shape == SHAPES[name]


@torch.no_grad()
@pytest.mark.parametrize("name", SHAPES)
def test_export_in_several_files_is_opened_by_transformers_and_by_us(tmp_path: Path, name: str) -> None:
    model = write_export(tmp_path, shape=SHAPES[name], max_file_bytes=20_000)
    files = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    assert files[0] == f"model-00001-of-{len(files):05}.safetensors"
    assert len(files) > 2
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    sizes = [safetensors.torch.load_file(tmp_path / file) for file in files]
    assert index["metadata"]["total_size"] == sum(t.nbytes for part in sizes for t in part.values())
    assert index["weight_map"] == {name: file for file, part in zip(files, sizes, strict=True) for name in part}
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    torch.testing.assert_close(peer(IDS[None]).logits, logits(model, IDS[None]), atol=1e-4, rtol=0)
    again = export.load(Folder(str(tmp_path)))
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())
    assert export.check(tmp_path, IDS) is not None


@torch.no_grad()
@pytest.mark.parametrize("name", OWN)
def test_export_of_what_transformers_has_not_says_why_and_is_read_back(tmp_path: Path, name: str) -> None:
    shape, reason = OWN[name]
    assert export.refusal(shape) == reason
    model = write_export(tmp_path, shape=shape)
    assert export.check(tmp_path, IDS) is None
    again = export.load(Folder(str(tmp_path)))
    assert again.shape == shape
    assert torch.equal(logits(again, IDS[None]), logits(model, IDS[None]))
    with pytest.raises(ValueError, match="crawlmill"):  # transformers does not take it for something else
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path)


@torch.no_grad()
def test_export_of_an_encoder_decoder_is_read_back(tmp_path: Path) -> None:
    shape = ENCODER_DECODERS["encoder_decoder_experts"].shape(VOCAB_SIZE)
    model = write_export(tmp_path, shape=shape)
    rows = packed(random_documents((7, 9)))
    assert torch.equal(export.load(Folder(str(tmp_path)))(*rows, *rows), model(*rows, *rows))


@pytest.mark.parametrize("name", SHAPES)
def test_refusal_of_what_transformers_has_is_none(name: str) -> None:
    assert export.refusal(SHAPES[name]) is None


def test_read_of_weights_that_lack_a_tensor_is_refused(tmp_path: Path) -> None:
    write_export(tmp_path)
    weights = safetensors.torch.load_file(tmp_path / "model.safetensors")
    del weights["model.norm.weight"]
    with pytest.raises(DataError, match=r"norm\.weight"):
        export.read((tmp_path / "config.json").read_bytes(), safetensors.torch.save(weights))


def test_read_of_another_architecture_is_refused() -> None:
    with pytest.raises(DataError, match="gpt2"):
        export.read(b'{"model_type": "gpt2"}', b"")


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


@pytest.mark.parametrize("name", SHAPES)
def test_check_of_a_sound_export_measures_less_than_the_limit_and_its_weights_are_ours(
    tmp_path: Path, name: str
) -> None:
    model = write_export(tmp_path, shape=SHAPES[name])
    difference = export.check(tmp_path, IDS)
    assert difference is not None
    assert 0 <= difference < export.MAX_LOGIT_DIFFERENCE
    again = export.read((tmp_path / "config.json").read_bytes(), (tmp_path / "model.safetensors").read_bytes())
    assert again.shape == SHAPES[name]
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)


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
