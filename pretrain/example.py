"""What a model is given and what it must say.

Reads:  -
Writes: -
Cost:   -
Source: -

Shapes: B rows, T positions, S positions of a decoder beside an encoder, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pretrain.layout import Rows

IGNORED = -100  # torch's own default for cross_entropy


@dataclass(frozen=True, kw_only=True)
class Example:
    """Int64 tensors; padding is a segment of its own without targets, numbered behind the row's others.

    `target` is [B, T] where there is no decoder, else [B, S]: at each position what is to be predicted there, or
    IGNORED. `prefix_BT`, bool, marks positions that all of their segment may attend to.
    """

    ids_BT: Tensor
    segment_BT: Tensor
    position_BT: Tensor
    target_BT: Tensor
    prefix_BT: Tensor | None = None
    decoder_ids_BS: Tensor | None = None
    decoder_segment_BS: Tensor | None = None
    decoder_position_BS: Tensor | None = None


def predicting_next(rows: Rows) -> Tensor:
    """At each position the token behind it, where it is a target and in the same segment."""
    ids_BT, segment_BT = torch.from_numpy(rows.ids_BT), torch.from_numpy(rows.segment_BT)
    return shifted(ids_BT, segment_BT, torch.from_numpy(rows.is_target_BT))


def shifted(ids_BT: Tensor, segment_BT: Tensor, is_target_BT: Tensor) -> Tensor:
    target_BT = torch.full_like(ids_BT, IGNORED)
    continues_BT = segment_BT[:, 1:] == segment_BT[:, :-1]
    target_BT[:, :-1] = torch.where(is_target_BT[:, 1:] & continues_BT, ids_BT[:, 1:], IGNORED)
    return target_BT


def left_to_right(rows: Rows) -> Example:
    """Every target is predicted from the tokens before it."""
    return Example(
        ids_BT=torch.from_numpy(rows.ids_BT), segment_BT=torch.from_numpy(rows.segment_BT),
        position_BT=torch.from_numpy(rows.position_BT), target_BT=predicting_next(rows),
    )  # fmt: skip
