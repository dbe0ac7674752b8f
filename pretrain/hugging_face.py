"""Which architecture of transformers a model is to the letter, its config and the names of its weights there.

Reads:  a Shape, weights named as in pretrain.model
Writes: config fields and weights as transformers 4 and 5 and vLLM read them
Cost:   experts are cut out of their stacks, one matrix each
Source: modeling_llama, _qwen3, _mixtral, _qwen3_moe and _arcee of transformers; vLLM reads the same files
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor

from pretrain.shape import FeedForwardKind, Shape

PREFIX = "model."  # of all names but the output matrix; a tied one is not stored
HEAD = "lm_head."
OWN_TYPE = "crawlmill"  # model_type of what only pretrain.export reads
ModelType = Literal["llama", "qwen3", "mixtral", "qwen3_moe", "arcee"]
CLASSES: dict[ModelType, str] = {
    "llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM", "mixtral": "MixtralForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM", "arcee": "ArceeForCausalLM",
}  # fmt: skip
MATRICES = ("gate_proj", "up_proj", "down_proj")
ROUTER = ".mlp.router.weight"
ROUTERS = {"mixtral": ".block_sparse_moe.gate.weight", "qwen3_moe": ".mlp.gate.weight"}
EXPERTS = {"mixtral": ".block_sparse_moe.experts.", "qwen3_moe": ".mlp.experts."}
EXPERT_MATRICES = {"mixtral": ("w1", "w3", "w2"), "qwen3_moe": MATRICES}  # gate, up, down


def refusal(shape: Shape) -> str | None:
    """Why transformers has no model that computes the same, by the fields at fault; None where it has one."""
    reasons = []
    if shape.architecture != "decoder":
        reasons.append(f"architecture: {shape.architecture} (expected decoder)")
    if shape.positions != "rope":
        reasons.append(f"positions: {shape.positions} (expected rope)")
    if shape.norm != "rmsnorm":
        reasons.append(f"norm: {shape.norm} (expected rmsnorm)")
    if shape.feed_forward != "swiglu" and (shape.qk_norm or shape.num_experts):
        beside = "num_experts" if shape.num_experts else "qk_norm"
        reasons.append(f"feed_forward: {shape.feed_forward} beside {beside} (expected swiglu)")
    return ", ".join(reasons) or None


def model_type(shape: Shape) -> ModelType:
    assert refusal(shape) is None
    if shape.num_experts:
        return "qwen3_moe" if shape.qk_norm else "mixtral"
    if shape.feed_forward != "swiglu":
        return "arcee"
    return "qwen3" if shape.qk_norm else "llama"


def config(shape: Shape, length: int) -> dict[str, Any]:
    """config.json, but for the special ids."""
    kind = model_type(shape)
    fields: dict[str, Any] = {
        "architectures": [CLASSES[kind]],
        "model_type": kind,
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.dim,
        "intermediate_size": shape.ffn_dim,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu" if shape.feed_forward == "swiglu" else shape.feed_forward,
        "max_position_embeddings": length,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,  # transformers 4 reads this, 5 the next
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": shape.tie_embeddings,
        "torch_dtype": "float32",
    }
    if kind == "qwen3_moe":
        fields |= {
            "num_experts": shape.num_experts, "num_experts_per_tok": shape.experts_per_token, "norm_topk_prob": True,
            "moe_intermediate_size": shape.ffn_dim, "decoder_sparse_step": 1, "mlp_only_layers": [],
        }  # fmt: skip
    if kind == "mixtral":
        fields |= {"num_local_experts": shape.num_experts, "num_experts_per_tok": shape.experts_per_token}
        fields["sliding_window"] = None
    return fields


def own_config(shape: Shape, length: int) -> dict[str, Any]:
    """config.json of a model that transformers has not, but for the special ids."""
    return {"model_type": OWN_TYPE, "max_position_embeddings": length, "torch_dtype": "float32", "shape": asdict(shape)}


def shape_of(fields: Mapping[str, Any]) -> Shape:
    """The Shape of a config.json; what plays no part in computing logits has its default."""
    if fields["model_type"] == OWN_TYPE:
        return Shape(**fields["shape"])
    kind: ModelType = fields["model_type"]
    feed_forward: FeedForwardKind = fields["hidden_act"] if kind == "arcee" else "swiglu"
    experts = {}
    if kind in EXPERTS:
        num_experts = fields.get("num_local_experts") or fields["num_experts"]  # transformers renames it on saving
        experts = {"num_experts": num_experts, "experts_per_token": fields["num_experts_per_tok"]}
    return Shape(
        vocab_size=fields["vocab_size"], dim=fields["hidden_size"], num_layers=fields["num_hidden_layers"],
        num_heads=fields["num_attention_heads"], num_kv_heads=fields["num_key_value_heads"],
        ffn_dim=fields["intermediate_size"], rope_theta=fields["rope_parameters"]["rope_theta"],
        norm_eps=fields["rms_norm_eps"], tie_embeddings=fields["tie_word_embeddings"], feed_forward=feed_forward,
        qk_norm=kind in ("qwen3", "qwen3_moe"), **experts,
    )  # fmt: skip


def renamed(weights: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Weights named as in transformers, each expert's matrices by themselves."""
    kind = model_type(shape)
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        layer, _, matrix = name.removesuffix(".weight").rpartition(".mlp.")
        if name.endswith(ROUTER):
            found[PREFIX + name.removesuffix(ROUTER) + ROUTERS[kind]] = tensor
        elif shape.num_experts and matrix in MATRICES:
            own = EXPERT_MATRICES[kind][MATRICES.index(matrix)]
            for expert, part in enumerate(tensor.unbind()):
                found[f"{PREFIX}{layer}{EXPERTS[kind]}{expert}.{own}.weight"] = part
        else:
            found[name if name.startswith(HEAD) else PREFIX + name] = tensor
    return {name: tensor.contiguous() for name, tensor in found.items()}


def own_names(named: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """The inverse of `renamed`."""
    kind = model_type(shape)
    found: dict[str, Tensor] = {}
    stacks: dict[str, list[Tensor]] = {}
    for name, tensor in named.items():
        own = name.removeprefix(PREFIX)
        if kind in ROUTERS and own.endswith(ROUTERS[kind]):
            found[own.removesuffix(ROUTERS[kind]) + ROUTER] = tensor
        elif kind in EXPERTS and EXPERTS[kind] in own:
            layer, _, rest = own.partition(EXPERTS[kind])
            expert, matrix, _ = rest.split(".")
            stack = f"{layer}.mlp.{MATRICES[EXPERT_MATRICES[kind].index(matrix)]}.weight"
            stacks.setdefault(stack, [tensor] * shape.num_experts)[int(expert)] = tensor
        else:
            found[own] = tensor
    return found | {name: torch.stack(parts) for name, parts in stacks.items()}
