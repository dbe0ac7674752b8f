"""Where a token stands in its document: as a rotation of queries and keys, or as waves added to the embedding.

Reads:  positions, counted from 0 in every document
Writes: cosines and sines; rotated heads; waves
Cost:   one pass over queries and keys per block, six multiply-adds a number
Source: RoPE: Su et al. 2021, with halves rotated as in transformers; waves: Vaswani et al. 2017, section 3.5, with all
        sines before all cosines

Shapes: B rows, T positions, H heads, D width of a head, C width of the residual stream.
"""

from __future__ import annotations

import torch
from torch import Tensor

Rotation = tuple[Tensor, Tensor]
WAVE_BASE = 10_000.0


def rotation(position_BT: Tensor, head_dim: int, theta: float, dtype: torch.dtype) -> Rotation:
    """Cosines and sines, each [B, T, 1, D]; the two halves of D hold the same angles, the sines' first half negated."""
    angle = _angles(position_BT, head_dim, theta)[:, :, None]
    cos, sin = angle.cos(), angle.sin()
    return torch.cat((cos, cos), dim=-1).to(dtype), torch.cat((-sin, sin), dim=-1).to(dtype)


def rotate(x_BTHD: Tensor, rotated: Rotation) -> Tensor:
    cos, sin = rotated
    first, second = x_BTHD.chunk(2, dim=-1)
    return torch.addcmul(x_BTHD * cos, torch.cat((second, first), dim=-1), sin)


def waves(position_BT: Tensor, dim: int) -> Tensor:
    """Float32 [B, T, C]."""
    angle = _angles(position_BT, dim, WAVE_BASE)
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def _angles(position_BT: Tensor, width: int, base: float) -> Tensor:
    """Float32 [B, T, width / 2], in wavelengths from 2 pi up to nearly 2 pi * base."""
    frequency = 1.0 / base ** (torch.arange(0, width, 2, dtype=torch.float32, device=position_BT.device) / width)
    return position_BT[:, :, None].float() * frequency
