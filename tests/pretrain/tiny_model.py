"""A decoder of a few thousand random weights, large ones, so that its logits vary."""

from __future__ import annotations

import torch
from torch import nn

from pretrain.model import Shape, Transformer


def tiny_model(vocab_size: int, seed: int) -> nn.Module:
    shape = Shape(
        vocab_size=vocab_size, dim=32, num_layers=2, num_heads=4, num_kv_heads=2, ffn_dim=48, rope_theta=1e3,
        norm_eps=1e-6,
    )  # fmt: skip
    model = Transformer(shape).eval()
    torch.manual_seed(seed)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model
