"""Matrices as 8-bit whole numbers, each output channel with a scale of its own: a quarter of float32's bytes.

Reads:  a model
Writes: a model that computes with the rounded matrices
Cost:   a quarter of the memory; each matrix is widened where it is used, so a forward pass takes longer, not shorter
Source: Dettmers et al. 2022 (vector-wise, absolute maximum), of weights only

Norms, a router and learned positions stay as they are: they are small, and a router's rounding would send tokens to
other experts. Shapes: O output channels, I inputs, E experts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain.feed_forward import Stack
from pretrain.model import Model, of_shape
from pretrain.shape import Shape

LARGEST = 127  # symmetric: -128 is not used
ROUTER = "router"


class Rounded(nn.Module):
    """Whole numbers (int8) with their scales."""

    weight: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)


class Int8Linear(Rounded):
    """y = scale * (weight x)."""

    def forward(self, x_BTI: Tensor) -> Tensor:
        return F.linear(x_BTI, self.weight.to(x_BTI.dtype)) * self.scale.to(x_BTI.dtype)


class Int8Stack(Rounded):
    """As Int8Linear, a matrix for each expert: weight [E, O, I], scale [E, O]."""

    def forward(self, x_NI: Tensor, expert: int) -> Tensor:
        return F.linear(x_NI, self.weight[expert].to(x_NI.dtype)) * self.scale[expert].to(x_NI.dtype)


class Int8Embedding(Rounded):
    """Rows with a scale each; as an output matrix these are its output channels."""

    def forward(self, ids_BT: Tensor) -> Tensor:
        return self.weight[ids_BT].to(self.scale.dtype) * self.scale[ids_BT][..., None]


def rounded(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Int8 of the weight's shape, and the scale of each output channel, without the last axis."""
    largest = weight.abs().amax(-1)
    scale = torch.where(largest > 0, largest / LARGEST, 1.0).to(weight.dtype)
    return (weight / scale[..., None]).round().clamp(-LARGEST, LARGEST).to(torch.int8), scale


@torch.no_grad()
def quantised(model: Model) -> Model:
    """A copy of the model with its matrices rounded, for evaluation only."""
    with torch.device("meta"):
        found = of_shape(model.shape)
    found.load_state_dict(model.state_dict(), assign=True)
    for name, module in list(found.named_modules()):
        parent, _, child = name.rpartition(".")
        if isinstance(module, nn.Linear) and child != ROUTER:
            setattr(found.get_submodule(parent), child, Int8Linear(*rounded(module.weight)))
        elif isinstance(module, Stack):
            setattr(found.get_submodule(parent), child, Int8Stack(*rounded(module.weight)))
    embedding = Int8Embedding(*rounded(found.embed_tokens.weight))
    if found.shape.tie_embeddings:  # the same numbers, once as rows and once as output channels
        found.lm_head = Int8Linear(embedding.weight, embedding.scale)  # type: ignore[assignment]
    found.embed_tokens = embedding  # type: ignore[assignment]
    for parameter in found.parameters():
        parameter.data = parameter.data.clone()
    return found.eval()


def stored(model: Model) -> dict[str, Tensor]:
    """What a file keeps of a quantised model: tied numbers once."""
    tied = model.shape.tie_embeddings
    return {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if not (tied and name.startswith("lm_head."))
    }


def restored(shape: Shape, weights: dict[str, Tensor]) -> Model:
    """The quantised model that `stored` was given."""
    with torch.device("meta"):
        model = quantised(of_shape(shape))
    if shape.tie_embeddings:
        tied = {name: tensor for name, tensor in weights.items() if name.startswith("embed_tokens.")}
        weights = weights | {name.replace("embed_tokens", "lm_head"): tensor for name, tensor in tied.items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()


@dataclass(frozen=True)
class Loss:
    """What rounding costs, in bits per byte of the same text."""

    before: float
    after: float

    @property
    def added(self) -> float:
        return self.after - self.before


def measured(model: Model, bits_per_byte: Callable[[nn.Module], float]) -> Loss:
    """`bits_per_byte` evaluates a model on a text; it is called with the model as it is, and as rounded."""
    return Loss(before=bits_per_byte(model), after=bits_per_byte(quantised(model)))
