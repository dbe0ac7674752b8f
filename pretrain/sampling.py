"""Which token comes next: the likeliest, or one drawn from those that the settings leave.

Reads:  logits [B, V] of the next token, and the tokens so far
Writes: token ids [B]
Cost:   one sort of V numbers per row where `top_p` is set, else O(V)
Source: top-k: Fan et al. 2018; top-p: Holtzman et al. 2020; min-p: Nguyen et al. 2024; repetition penalty: Keskar et
        al. 2019. In transformers' order: penalty, temperature, top-k, top-p, min-p

Row b is drawn with a generator of its own, so that a sample does not depend on which others are drawn beside it.
Shapes: B rows, T positions, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from pipeline.errors import DagError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn. The defaults change nothing: the model's own distribution."""

    temperature: float = 1.0
    """Logits are divided by it; 0 takes the likeliest token, and the limits below say nothing then."""
    top_k: int = 0
    """Only the k likeliest tokens, and those as likely as the last of them; 0: all."""
    top_p: float = 1.0
    """Only the fewest tokens that together have this probability."""
    min_p: float = 0.0
    """Only tokens at least this share as likely as the likeliest."""
    repetition_penalty: float = 1.0
    """Logits of tokens seen before, prompt included, are divided by it where positive, multiplied where negative."""

    def __post_init__(self) -> None:
        zero_to_one = "from 0 to 1"
        _within(self, "temperature", self.temperature >= 0, "0 or more")
        _within(self, "top_k", self.top_k >= 0, "0 (all tokens) or more")
        _within(self, "top_p", 0 < self.top_p <= 1, "more than 0, and at most 1")
        _within(self, "min_p", 0 <= self.min_p <= 1, zero_to_one)
        _within(self, "repetition_penalty", self.repetition_penalty > 0, "more than 0; 1 changes nothing")


def _within(sampling: Sampling, name: str, holds: bool, expected: str) -> None:
    assert name in {field.name for field in fields(sampling)}, name
    value = getattr(sampling, name)
    if not holds or value == float("inf"):
        raise DagError(f"{value}", where=f"--{name.replace('_', '-')}", expected=expected)


def penalised(logits_BV: Tensor, seen_BT: Tensor, penalty: float) -> Tensor:
    """The logits, with those of each row's tokens `seen_BT` (int64) made less likely; `penalty` 1 changes nothing."""
    if penalty == 1:
        return logits_BV
    seen_logits_BT = logits_BV.gather(1, seen_BT)
    lowered_BT = torch.where(seen_logits_BT > 0, seen_logits_BT / penalty, seen_logits_BT * penalty)
    return logits_BV.scatter(1, seen_BT, lowered_BT)


def limited(logits_BV: Tensor, sampling: Sampling) -> Tensor:
    """The logits over the temperature (not 0), -inf for tokens that the limits leave out."""
    logits_BV = logits_BV.float() / sampling.temperature
    if 0 < sampling.top_k < logits_BV.shape[1]:
        least_B1 = logits_BV.topk(sampling.top_k).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < least_B1, -torch.inf)
    if sampling.top_p < 1:
        logits_BV = _fewest_of_mass(logits_BV, sampling.top_p)
    if sampling.min_p > 0:
        probability_BV = logits_BV.softmax(-1)
        least_B1 = sampling.min_p * probability_BV.amax(-1, keepdim=True)
        logits_BV = logits_BV.masked_fill(probability_BV < least_B1, -torch.inf)
    return logits_BV


def _fewest_of_mass(logits_BV: Tensor, mass: float) -> Tensor:
    sorted_BV, order_BV = logits_BV.sort(descending=True, stable=True)
    probability_BV = sorted_BV.double().softmax(-1)
    before_BV = probability_BV.cumsum(-1) - probability_BV  # of all tokens likelier than this one
    left_out_BV = (before_BV >= mass).scatter(1, order_BV, before_BV >= mass)
    return logits_BV.masked_fill(left_out_BV, -torch.inf)


def draw(logits_BV: Tensor, seen_BT: Tensor, sampling: Sampling, random_B: Sequence[torch.Generator]) -> Tensor:
    """Int64 [B]: the next token of each row."""
    logits_BV = penalised(logits_BV, seen_BT, sampling.repetition_penalty)
    if sampling.temperature == 0:
        return logits_BV.argmax(-1)
    probability_BV = limited(logits_BV, sampling).softmax(-1)
    drawn = [torch.multinomial(row_V, 1, generator=g) for row_V, g in zip(probability_BV, random_B, strict=True)]
    return torch.cat(drawn)
