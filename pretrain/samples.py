"""Several continuations of one prompt, drawn side by side, a token at a time.

Reads:  a window with the prompt
Writes: token ids
Cost:   the prompt once, however many samples; then one pass over as many tokens as samples go on
Source: -

Shapes: B rows, one per sample that goes on.
"""

from __future__ import annotations

from collections.abc import Set

import torch
from torch import Tensor

from pretrain.sampling import Sampling, draw
from pretrain.window import Window


class Samples:
    """`running` holds the numbers of the samples that go on, in the order of the window's rows."""

    def __init__(self, window: Window, sampling: Sampling, num_samples: int, seed: int) -> None:
        self._window, self._sampling = window, sampling
        self._random = [torch.Generator().manual_seed(seed + sample) for sample in range(num_samples)]
        self._prompt_logits_V: Tensor | None = window.next_logits()[0]
        self.running = list(range(num_samples))
        self._take_rows([0] * num_samples)

    def step(self) -> dict[int, int]:
        """The next token of each running sample."""
        if self._prompt_logits_V is not None:
            logits_BV = self._prompt_logits_V.expand(len(self.running), -1)
            self._prompt_logits_V = None
        else:
            logits_BV = self._window.next_logits()
        random_B = [self._random[sample] for sample in self.running]
        id_B = draw(logits_BV.cpu(), self._window.ids_BT.cpu(), self._sampling, random_B)
        self._window.append(id_B.to(self._window.ids_BT.device))
        return dict(zip(self.running, id_B.tolist(), strict=True))

    def end(self, samples: Set[int]) -> None:
        """Leave these out from now on."""
        if not samples:
            return
        rows = [row for row, sample in enumerate(self.running) if sample not in samples]
        self._take_rows(rows)
        self.running = [self.running[row] for row in rows]

    def _take_rows(self, rows: list[int]) -> None:
        self._window.take_rows(torch.tensor(rows, dtype=torch.int64, device=self._window.ids_BT.device))
