"""What a model is trained to predict from a batch of packed rows.

Reads:  token ids, the segment of each position, and the first position its segment trains on
Writes: examples; the sum of token losses (nats) and the number of tokens in it; the mean is taken over all ranks'
        tokens
Cost:   under 1 ms per row of 512 tokens; one float32 copy of the logits
Source: docs/design.md, "Overlap and loss"; the objectives' own files: denoising.py, infilling.py, masking.py

Causal: a token at position t is a target when t >= its segment's loss start and position t - 1 lies in the same
segment: the first token of a segment has nothing to be predicted from, an overlapped prefix was a target in the chunk
before. In every other objective too, tokens before the loss start are context only, and nothing is predicted across
segments.

Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain import denoising, infilling, masking
from pretrain.data import Batch
from pretrain.example import IGNORED, Example, shifted
from pretrain.layout import segments_of
from pretrain.objective_config import ObjectiveConfig, widths
from pretrain.shape import Architecture
from pretrain.special_ids import SpecialIds

__all__ = [
    "IGNORED", "Example", "causal_example", "logits", "loss_sum", "make_example", "next_token_targets", "num_targets"
]  # fmt: skip


def make_example(
    cfg: ObjectiveConfig, batch: Batch, place_B: np.ndarray, seed: int, special: SpecialIds,
    architecture: Architecture = "decoder",
) -> Example:  # fmt: skip
    """A pure function of its arguments, row by row.

    `place_B`, int64, are the places of the batch's rows in the endless stream of epochs: with the seed they decide what
    is drawn, so that a row is drawn anew in every epoch, and alike in whichever batch and on whichever rank.
    """
    if cfg.kind == "causal":
        return causal_example(batch)
    size = widths(cfg, batch.ids_BT.shape[1], architecture)
    segments = segments_of(batch, place_B, seed, special.eot)
    match cfg.kind:
        case "masked":
            return masking.example(cfg, segments, size.ids, special)
        case "prefix":
            return denoising.prefix_example(segments, size, architecture, special)
        case "spans" | "ul2":
            return denoising.spans_example(cfg, segments, size, architecture, special)
        case "fim":
            return infilling.example(cfg, segments, size.ids, special)


def causal_example(batch: Batch) -> Example:
    target_BT = next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
    return Example(
        ids_BT=batch.ids_BT, segment_BT=batch.segment_BT, position_BT=batch.position_BT, target_BT=target_BT
    )  # fmt: skip


def next_token_targets(ids_BT: Tensor, segment_BT: Tensor, loss_start_BT: Tensor) -> Tensor:
    """Int64 [B, T]: at each position the token to predict from it, or IGNORED.

    `loss_start_BT` is the loss start of each position's segment (T or more on padding, which is no target).
    """
    place_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
    return shifted(ids_BT, segment_BT, place_T >= loss_start_BT)


def logits(model: nn.Module, example: Example) -> Tensor:
    """What the model says of every position of `example.target_BT`, [B, T, V]."""
    inputs = (example.ids_BT, example.segment_BT, example.position_BT)
    if example.decoder_ids_BS is not None:
        decoder = (example.decoder_ids_BS, example.decoder_segment_BS, example.decoder_position_BS)
        logits_BTV: Tensor = model(*inputs, *decoder)
        return logits_BTV
    logits_BTV = model(*inputs) if example.prefix_BT is None else model(*inputs, prefix_BT=example.prefix_BT)
    return logits_BTV


def num_targets(target_BT: Tensor) -> int:
    return int((target_BT != IGNORED).sum())


def loss_sum(logits_BTV: Tensor, target_BT: Tensor) -> Tensor:
    """Sum over all targets of -log p(target), float32."""
    return F.cross_entropy(logits_BTV.flatten(0, 1).float(), target_BT.flatten(), ignore_index=IGNORED, reduction="sum")
