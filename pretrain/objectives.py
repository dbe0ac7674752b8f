"""The training objective: causal language modelling on packed rows, each token of a document predicted exactly once.

Reads:  token ids, the segment of each position, and the first position its segment trains on
Writes: the sum of token losses (nats) and the number of tokens in it; the mean is taken over all ranks' tokens
Cost:   one float32 copy of the logits
Source: docs/design.md, "Overlap and loss"

A token at position t is a target when t >= its segment's loss start and position t - 1 lies in the same segment: the
first token of a segment has nothing to be predicted from, an overlapped prefix was a target in the chunk before.
Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # torch's own default for cross_entropy


def next_token_targets(ids_BT: Tensor, segment_BT: Tensor, loss_start_BT: Tensor) -> Tensor:
    """Int64 [B, T]: at each position the token to predict from it, or IGNORED.

    `loss_start_BT` is the loss start of each position's segment (T or more on padding, which is no target).
    """
    place_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
    is_target_BT = place_T >= loss_start_BT
    continues_BT = segment_BT[:, 1:] == segment_BT[:, :-1]
    target_BT = torch.full_like(ids_BT, IGNORED)
    target_BT[:, :-1] = torch.where(is_target_BT[:, 1:] & continues_BT, ids_BT[:, 1:], IGNORED)
    return target_BT


def num_targets(target_BT: Tensor) -> int:
    return int((target_BT != IGNORED).sum())


def loss_sum(logits_BTV: Tensor, target_BT: Tensor) -> Tensor:
    """Sum over all targets of -log p(target), float32."""
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), target_BT.flatten(), ignore_index=IGNORED, reduction="sum")
