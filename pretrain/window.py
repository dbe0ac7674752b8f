"""What a model sees while it continues a text: its last tokens, as many as it was trained on, read once each.

Reads:  a decoder, and token ids of rows of equal length
Writes: logits of the next token
Cost:   one pass over the prompt, then one over a single token per row; where the window is full, its second half is
        read again, once in length / 2 tokens. Memory: the keys and values of `length` tokens per row
Source: -

A model cannot see further than the length it was trained on: positions beyond it are new to it. Where the window is
full, its older half goes, and the rest is read anew from position 0: what the dropped tokens left in the keys and
values of later ones goes with them. What a window holds depends on the tokens alone, not on whether they are cached.
Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Window:
    """Rows of tokens of equal length, of which the model sees the last ones, at most `length`. One row at first."""

    def __init__(self, model: nn.Module, length: int, prompt_ids: Sequence[int], cached: bool = True) -> None:
        assert prompt_ids, "nothing to go on from"
        self._model, self._length, self._cached = model, length, cached
        self._device = next(model.parameters()).device
        self.ids_BT = torch.tensor([prompt_ids], device=self._device)
        """All tokens so far, those the model no longer sees included."""
        self._first = max(0, len(prompt_ids) - length)
        self._num_read = 0
        self._cache: Any = None

    @torch.no_grad()
    def next_logits(self) -> Tensor:
        """Float32 [B, V]."""
        num_rows, num_tokens = self.ids_BT.shape
        if num_tokens - self._first > self._length:
            self._first = num_tokens - max(1, self._length // 2)
            self._cache = None
        if self._cache is None:
            self._num_read = self._first
            self._cache = self._new_cache(num_rows)
        new_BT = self.ids_BT[:, self._num_read :]
        place_BT = torch.arange(self._num_read - self._first, num_tokens - self._first, device=self._device)
        seen = {} if self._cache is None else {"cache": self._cache}
        logits_BTV = self._model(new_BT, torch.zeros_like(new_BT), place_BT.expand_as(new_BT), **seen)
        self._num_read = num_tokens
        return logits_BTV[:, -1].float()

    def _new_cache(self, num_rows: int) -> Any:
        return self._model.new_cache(num_rows, self._length) if self._cached else None  # type: ignore[operator]

    def append(self, id_B: Tensor) -> None:
        """Add a token to every row."""
        self.ids_BT = torch.cat((self.ids_BT, id_B[:, None]), dim=1)

    def take_rows(self, row_N: Tensor) -> None:
        """From now on row n is the one that was `row_N[n]` (int64): rows can be copied, left out and change places."""
        same_number = len(row_N) == len(self.ids_BT)
        self.ids_BT = self.ids_BT[row_N]
        if self._cache is not None and same_number:
            self._cache.reorder(row_N)
        else:
            self._cache = None  # it keeps its number of rows: what they hold is read again
