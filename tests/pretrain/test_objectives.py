from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain import data, objectives
from tests.pretrain.packed import contract, pack, random_documents, write_shard

LENGTH, OVERLAP = 32, 8


def targets_of(folder: Path, rows: list) -> torch.Tensor:
    opened = data.open_rows([write_shard(folder / "train.arrow", rows, LENGTH)], contract(LENGTH))
    batch = data.read_batch(opened, np.arange(opened.num_rows))
    return objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)


@pytest.mark.parametrize("longest", [20, 300])
def test_targets_over_packed_documents_are_each_token_but_the_first_exactly_once(tmp_path: Path, longest: int) -> None:
    documents = random_documents(30, longest, seed=longest)
    rows = pack(documents, LENGTH, OVERLAP)
    target_BT = targets_of(tmp_path, rows)
    predicted: Counter[tuple[int, int]] = Counter()
    for row, target_T in zip(rows, target_BT.tolist(), strict=True):
        ends = [*row["segment_starts"][1:], row["num_real"]]
        for start, end, doc, offset in zip(
            row["segment_starts"], ends, row["segment_docs"], row["segment_offsets"], strict=True
        ):
            number = int.from_bytes(doc, "big")
            for place in range(start, end):
                if target_T[place] != objectives.IGNORED:
                    assert place + 1 < end  # the target lies in the segment it is predicted from
                    assert documents[number][offset + place + 1 - start] == target_T[place]
                    predicted[number, offset + place + 1 - start] += 1
    expected = {(i, t) for i, ids in enumerate(documents) for t in range(1, len(ids))}
    assert set(predicted) == expected
    assert set(predicted.values()) == {1}
    assert objectives.num_targets(target_BT) == len(expected)


def test_targets_on_padding_and_across_segments_are_ignored() -> None:
    ids_BT = torch.tensor([[10, 11, 12, 13, 14, 15]])
    segment_BT = torch.tensor([[0, 0, 1, 1, 2, 2]])  # the last segment is padding
    loss_start_BT = torch.tensor([[0, 0, 2, 2, 6, 6]])
    none = objectives.IGNORED
    target_BT = objectives.next_token_targets(ids_BT, segment_BT, loss_start_BT)
    assert target_BT.tolist() == [[11, none, 13, none, none, none]]


def test_loss_sum_equals_float64_log_softmax_over_the_targets() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (2, 5, 7))
    target = np.array([[1, -100, 6, 0, -100], [-100, -100, 3, 3, 2]])
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -sum(log_p[b, t, target[b, t]] for b in range(2) for t in range(5) if target[b, t] >= 0)
    found = objectives.loss_sum(torch.tensor(logits, dtype=torch.float32), torch.tensor(target))
    assert found.item() == pytest.approx(expected, rel=1e-6)
