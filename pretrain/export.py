"""The trained model as a Hugging Face folder, checked before anyone is offered it.

Reads:  the weights a run gathered, the vocabulary's tokenizer.json, the tokenizer contract
Writes: config.json, generation_config.json, model.safetensors, tokenizer.json, tokenizer_config.json
Cost:   the model in memory three times: as trained, as read back, and as transformers reads it
Source: the file formats of transformers 4 and 5; the architecture is LlamaForCausalLM's
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from pipeline.errors import RunError
from pretrain.model import Shape, Transformer

MAX_LOGIT_DIFFERENCE = 1e-4  # float32 sums in another order; a wrong architecture is off by far more
PREFIX = "model."  # of the names in transformers; the tied output matrix is not stored
CHECK_TOKENS = 64


def write(
    folder: Path, weights: Mapping[str, Tensor], shape: Shape, contract: Mapping[str, Any], tokenizer: bytes
) -> None:
    """Write the export into the local `folder`. `contract` is the tokens artifact's; `weights` as in pretrain.model."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", _model_config(shape, contract))
    _write_json(folder / "generation_config.json", _special_ids(contract))
    named = {PREFIX + name: tensor.contiguous() for name, tensor in weights.items()}
    safetensors.torch.save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "tokenizer.json").write_bytes(tokenizer)
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(json.loads(tokenizer), contract))


def _model_config(shape: Shape, contract: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.dim,
        "intermediate_size": shape.ffn_dim,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": contract["length"],
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,  # transformers 4 reads this, 5 the next
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        **_special_ids(contract),
    }


def _special_ids(contract: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bos_token_id": contract.get("bos_id"),
        "eos_token_id": contract["eot_id"],
        "pad_token_id": contract.get("pad_id"),
    }


def _tokenizer_config(tokenizer: Mapping[str, Any], contract: Mapping[str, Any]) -> dict[str, Any]:
    text_of = {id: text for text, id in tokenizer["model"]["vocab"].items()}
    text_of |= {added["id"]: added["content"] for added in tokenizer.get("added_tokens", ())}
    ids = {"bos_token": contract.get("bos_id"), "eos_token": contract["eot_id"], "pad_token": contract.get("pad_id")}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": contract["length"],
        "clean_up_tokenization_spaces": False,
        **{name: text_of[id] for name, id in ids.items() if id is not None},
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read(config: bytes, weights: bytes) -> Transformer:
    """The model of an export, from its config.json and model.safetensors."""
    fields = json.loads(config)
    shape = Shape(
        vocab_size=fields["vocab_size"], dim=fields["hidden_size"], num_layers=fields["num_hidden_layers"],
        num_heads=fields["num_attention_heads"], num_kv_heads=fields["num_key_value_heads"],
        ffn_dim=fields["intermediate_size"], rope_theta=fields["rope_parameters"]["rope_theta"],
        norm_eps=fields["rms_norm_eps"],
    )  # fmt: skip
    model = Transformer(shape)
    named = safetensors.torch.load(weights)
    model.load_state_dict({name.removeprefix(PREFIX): tensor for name, tensor in named.items()})
    return model.eval()


@torch.no_grad()
def check(folder: Path, ids_T: Tensor) -> float | None:
    """The largest difference between our logits and transformers' on the tokens `ids_T` (int64 [T]).

    RunError where it is MAX_LOGIT_DIFFERENCE or more; None where transformers is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        return None
    import transformers

    transformers.utils.logging.disable_progress_bar()
    ids_BT = ids_T[None, :CHECK_TOKENS]
    ours = read((folder / "config.json").read_bytes(), (folder / "model.safetensors").read_bytes())
    position_BT = torch.arange(ids_BT.shape[1])[None]
    ours_BTV = ours(ids_BT, torch.zeros_like(ids_BT), position_BT)
    theirs = transformers.LlamaForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    difference = float((theirs.eval()(ids_BT).logits - ours_BTV).abs().max())
    if not difference < MAX_LOGIT_DIFFERENCE:
        raise RunError(
            f"transformers computes logits that differ by {difference:.3g}", where=str(folder),
            expected=f"less than {MAX_LOGIT_DIFFERENCE}",
        )  # fmt: skip
    return difference
