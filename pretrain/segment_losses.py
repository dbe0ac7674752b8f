"""The loss of each document's piece in a batch, from the same forward pass that trains.

Reads:  logits and targets, the segment of each position, the numbers of the rows
Writes: per segment of each row: the sum of its targets' losses (nats) and how many targets it has
Cost:   token_losses: what the loss costs anyway. measure: one pass over B * T numbers
Source: -

Shapes: B rows, T positions, V vocabulary, N segments with a target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from pretrain.example import IGNORED


@dataclass(frozen=True, kw_only=True)
class SegmentLosses:
    """Segments that have a target, by the row's number and their index in it: int64, float64 and int64 [N]."""

    row_N: np.ndarray
    segment_N: np.ndarray
    loss_N: np.ndarray
    count_N: np.ndarray


def token_losses(logits_BTV: Tensor, target_BT: Tensor) -> Tensor:
    """Float32 [B, T]: -log p(target), 0 where there is none. Its sum is the batch's loss, and differentiable."""
    loss_N = F.cross_entropy(
        logits_BTV.flatten(0, 1).float(), target_BT.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return loss_N.view_as(target_BT)


@torch.no_grad()
def measure(row_N: np.ndarray, token_loss_BT: Tensor, target_BT: Tensor, segment_BT: Tensor) -> SegmentLosses:
    """Sums by segment. `segment_BT` is the index in the row, from 0, of the segment at each position of the targets.

    What is predicted from a segment's last position would be of the next one; no objective has a target there.
    """
    num_segments = int(segment_BT.max()) + 1 if segment_BT.numel() else 0
    is_target_BT = target_BT != IGNORED
    place_BT = torch.arange(len(row_N), device=segment_BT.device)[:, None] * num_segments + segment_BT
    place_N, loss_N = place_BT[is_target_BT].cpu().numpy(), token_loss_BT[is_target_BT].double().cpu().numpy()
    size = len(row_N) * num_segments
    loss_S, count_S = np.bincount(place_N, loss_N, size), np.bincount(place_N, minlength=size)
    there = np.flatnonzero(count_S)
    return SegmentLosses(
        row_N=np.asarray(row_N, np.int64)[there // max(1, num_segments)],
        segment_N=there % max(1, num_segments),
        loss_N=loss_S[there],
        count_N=count_S[there],
    )


def join(parts: Sequence[SegmentLosses]) -> SegmentLosses:
    """All of them, by row and segment; a row that is in the batch twice stays there twice, in the order given."""
    row_N, segment_N, loss_N, count_N = (
        np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
        for name, dtype in (("row_N", np.int64), ("segment_N", np.int64), ("loss_N", np.float64), ("count_N", np.int64))
    )
    order = np.lexsort((segment_N, row_N))  # stable
    return SegmentLosses(row_N=row_N[order], segment_N=segment_N[order], loss_N=loss_N[order], count_N=count_N[order])


def gather(parts: Sequence[SegmentLosses]) -> SegmentLosses | None:
    """What all ranks measured, on rank 0; None on the others. All ranks call it together."""
    mine = join(parts)
    found: list[SegmentLosses | None] | None = [None] * dist.get_world_size() if dist.get_rank() == 0 else None
    dist.gather_object(mine, found)
    return None if found is None else join([part for part in found if part is not None])
