"""A text longer than a model's window, cut so that each of its tokens is predicted once, with context before it.

Reads:  token ids of documents
Writes: windows: what the model reads, and which of its predictions count
Cost:   a window per `stride` tokens; with half the window as stride, each token is read twice
Source: Baevski and Auli 2019, section 5.1: predictions late in a window have the context they would have in use

A document is the stream `begin, its tokens`; the targets are its tokens, all of them. The first window predicts as many
as it can. Each later one ends at most `stride` tokens further on and predicts those only: at least `length - stride`
tokens stand before each. The last one ends with the document.
Shapes: B windows, T positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pretrain.example import IGNORED


@dataclass(frozen=True, kw_only=True)
class Window:
    """`ids[i]` predicts `targets[i]`; those before `first` are context."""

    ids: np.ndarray
    targets: np.ndarray
    first: int


def windows(stream: np.ndarray, length: int, stride: int) -> Iterator[Window]:
    """Windows of at most `length` tokens over a stream of two tokens or more."""
    num_targets = len(stream) - 1
    done = 0
    while done < num_targets:
        end = min(num_targets, done + (stride if done else length))
        start = max(0, end - length)
        yield Window(ids=stream[start:end], targets=stream[start + 1 : end + 1], first=done - start)
        done = end


@dataclass(frozen=True, kw_only=True)
class WindowBatch:
    """Int64 tensors [B, T]. What fills up a shorter window is a segment of its own, and no target."""

    ids_BT: Tensor
    segment_BT: Tensor
    position_BT: Tensor
    target_BT: Tensor


def batched(found: Sequence[Window], batch_rows: int) -> Iterator[WindowBatch]:
    """Batches of windows of similar length, the longest first."""
    by_length = sorted(found, key=lambda window: -len(window.ids))
    for i in range(0, len(by_length), batch_rows):
        yield _batch(by_length[i : i + batch_rows])


def _batch(found: Sequence[Window]) -> WindowBatch:
    longest = max(len(window.ids) for window in found)
    ids_BT = torch.zeros((len(found), longest), dtype=torch.int64)
    segment_BT = torch.ones_like(ids_BT)
    position_BT = torch.zeros_like(ids_BT)
    target_BT = torch.full_like(ids_BT, IGNORED)
    for row, window in enumerate(found):
        size = len(window.ids)
        ids_BT[row, :size] = torch.from_numpy(window.ids.astype(np.int64))
        segment_BT[row, :size] = 0
        position_BT[row, :size] = torch.arange(size)
        position_BT[row, size:] = torch.arange(longest - size)
        target_BT[row, window.first : size] = torch.from_numpy(window.targets[window.first :].astype(np.int64))
    return WindowBatch(ids_BT=ids_BT, segment_BT=segment_BT, position_BT=position_BT, target_BT=target_BT)
