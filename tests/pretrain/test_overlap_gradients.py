"""Gradients of packed rows, whose overlaps are context only, against those of the same documents one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain import data, objectives
from pretrain.model import build
from tests.pretrain.architectures import DECODERS
from tests.pretrain.packed import VOCAB_SIZE, contract, pack, random_documents, write_shard

pytestmark = pytest.mark.usefixtures("one_thread")
LENGTH, OVERLAP = 160, 40  # rows of two query blocks
DOCUMENTS = random_documents(14, 400, seed=6)


def double_model(name: str) -> Any:
    """In float64, so that sums in another order agree to far more places than a wrong mask could."""
    torch.manual_seed(1)
    model = build(replace(DECODERS[name], num_layers=1, max_positions=LENGTH), VOCAB_SIZE).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def prefix_of(position: Tensor, num_prefix: int) -> Tensor | None:
    return position < num_prefix if num_prefix else None


def loss_of_packed(folder: Path, model: Any, documents: Sequence[Sequence[int]], num_prefix: int) -> Tensor:
    shard = write_shard(folder / "train.arrow", pack(documents, LENGTH, OVERLAP), LENGTH)
    rows = data.open_rows([shard], contract(LENGTH))
    batch = data.read_batch(rows, np.arange(rows.num_rows))
    target_BT = objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
    logits_BTV = model(batch.ids_BT, batch.segment_BT, batch.position_BT, prefix_of(batch.position_BT, num_prefix))
    return F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), ignore_index=-100, reduction="sum")


def loss_of_pieces(model: Any, documents: Sequence[Sequence[int]], num_prefix: int) -> Tensor:
    """Every document by itself, in pieces of at most LENGTH tokens; a piece's first OVERLAP tokens were predicted in
    the piece before."""
    total = torch.zeros((), dtype=torch.float64)
    for document in documents:
        start = 0
        while True:
            piece = torch.tensor([document[start : start + LENGTH]])
            position = torch.arange(piece.shape[1])[None]
            logits = model(piece, torch.zeros_like(piece), position, prefix_of(position, num_prefix))[0]
            first = OVERLAP if start else 1
            total = total + F.cross_entropy(logits[first - 1 : -1], piece[0, first:], reduction="sum")
            if start + LENGTH >= len(document):
                break
            start += LENGTH - OVERLAP
    return total


@pytest.mark.parametrize(
    ("name", "num_prefix"), [("llama", 0), ("llama", 9), ("gpt", 0), ("waves", 0), ("experts", 0), ("qk_norm", 9)]
)
def test_gradients_of_packed_rows_equal_those_of_the_documents_one_by_one(
    tmp_path: Path, name: str, num_prefix: int
) -> None:
    packed, alone = double_model(name), double_model(name)
    loss, expected = (
        loss_of_packed(tmp_path, packed, DOCUMENTS, num_prefix),
        loss_of_pieces(alone, DOCUMENTS, num_prefix),
    )
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-9)
    theirs = dict(alone.named_parameters())
    for parameter_name, parameter in packed.named_parameters():
        gradient = theirs[parameter_name].grad
        assert gradient.norm() > 0
        assert (parameter.grad - gradient).norm() <= 1e-5 * gradient.norm(), parameter_name
