"""One small config of every architecture and option, and random inputs for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pretrain.model import Model, build
from pretrain.model_config import ModelConfig

VOCAB_SIZE = 61
SMALL = ModelConfig(dim=48, num_layers=2, num_heads=6, num_kv_heads=2, ffn_dim=80)
DECODERS: dict[str, ModelConfig] = {
    "llama": SMALL,
    "untied": replace(SMALL, tie_embeddings=False),
    "gpt": replace(SMALL, norm="layernorm", positions="learned", feed_forward="gelu", num_kv_heads=6, max_positions=64),
    "waves": replace(SMALL, positions="sinusoidal", feed_forward="relu2", num_kv_heads=1),
    "qk_norm": replace(SMALL, qk_norm=True),
    "silu": replace(SMALL, feed_forward="silu", norm="layernorm"),
    "experts": replace(SMALL, num_experts=4, ffn_dim=40),
    "experts_of_one": replace(SMALL, num_experts=3, experts_per_token=1, feed_forward="relu2", qk_norm=True),
}
ENCODERS = {
    "encoder": replace(SMALL, architecture="encoder"),
    "encoder_gpt": replace(DECODERS["gpt"], architecture="encoder"),
}
ENCODER_DECODERS = {
    "encoder_decoder": replace(SMALL, architecture="encoder_decoder", num_encoder_layers=1),
    "encoder_decoder_experts": replace(DECODERS["experts"], architecture="encoder_decoder", positions="learned"),
}
ALL = DECODERS | ENCODERS | ENCODER_DECODERS


def random_model(cfg: ModelConfig, std: float = 0.3) -> Any:
    """Random gains too: gains of 1 would hide a missing one."""
    model: Model = build(cfg, VOCAB_SIZE).eval()
    torch.manual_seed(3)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=std)
    return model


def random_documents(lengths: tuple[int, ...], seed: int = 2) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randint(0, VOCAB_SIZE, (n,), generator=random) for n in lengths]


def packed(documents: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, segments and positions, each [1, T], of one row."""
    segment = torch.cat([torch.full((len(d),), i) for i, d in enumerate(documents)])
    position = torch.cat([torch.arange(len(d)) for d in documents])
    return torch.cat(documents)[None], segment[None], position[None]
