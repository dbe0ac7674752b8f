"""Losses of documents' pieces against sums over single positions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pretrain import segment_losses
from pretrain.example import IGNORED

B, T, V = 3, 11, 7
ROWS = np.array([40, 7, 7])  # a small corpus may have a row twice in a batch


def example() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, targets with some ignored, segments of unequal length, the last one without targets."""
    torch.manual_seed(1)
    logits_BTV = torch.randn(B, T, V, requires_grad=True)
    target_BT = torch.randint(0, V, (B, T))
    target_BT[torch.rand(B, T) < 0.3] = IGNORED
    segment_BT = torch.tensor([[0] * 4 + [1] * 5 + [2] * 2, [0] * 11, [0] * 1 + [1] * 3 + [2] * 7])
    target_BT[:, 9:] = IGNORED
    return logits_BTV, target_BT, segment_BT


def test_token_losses_sum_up_to_cross_entropy_with_its_gradient() -> None:
    logits_BTV, target_BT, _ = example()
    whole = F.cross_entropy(logits_BTV.mT, target_BT, ignore_index=IGNORED, reduction="sum")
    (expected,) = torch.autograd.grad(whole, logits_BTV)
    loss_BT = segment_losses.token_losses(logits_BTV, target_BT)
    (found,) = torch.autograd.grad(loss_BT.sum(), logits_BTV)
    torch.testing.assert_close(loss_BT.sum(), whole)
    torch.testing.assert_close(found, expected)
    assert not loss_BT[target_BT == IGNORED].any()


def test_measure_equals_sums_over_single_positions() -> None:
    logits_BTV, target_BT, segment_BT = example()
    loss_BT = segment_losses.token_losses(logits_BTV, target_BT)
    measured = segment_losses.measure(ROWS, loss_BT, target_BT, segment_BT)
    expected: dict[tuple[int, int], list[float]] = {}
    for b in range(B):
        for t in range(T):
            if target_BT[b, t] != IGNORED:
                log_p = logits_BTV[b, t].log_softmax(-1)
                expected.setdefault((b, int(segment_BT[b, t])), []).append(-log_p[target_BT[b, t]].item())
    assert list(zip(measured.row_N, measured.segment_N, strict=True)) == [(ROWS[b], s) for b, s in expected]
    assert measured.count_N.tolist() == [len(values) for values in expected.values()]
    assert measured.loss_N == pytest.approx([sum(values) for values in expected.values()], rel=1e-5)
    assert measured.loss_N.sum() == pytest.approx(loss_BT.sum().item(), rel=1e-6)


@pytest.mark.usefixtures("one_rank")
def test_gather_joins_microbatches_by_row_and_segment_and_takes_none() -> None:
    logits_BTV, target_BT, segment_BT = example()
    loss_BT = segment_losses.token_losses(logits_BTV, target_BT)
    parts = [
        segment_losses.measure(ROWS[b : b + 1], loss_BT[b : b + 1], target_BT[b : b + 1], segment_BT[b : b + 1])
        for b in range(B)
    ]
    whole = segment_losses.gather(parts)
    assert whole is not None
    assert whole.row_N.tolist() == sorted(whole.row_N.tolist())
    assert whole.loss_N.sum() == pytest.approx(loss_BT.sum().item(), rel=1e-6)
    nothing = segment_losses.gather([])
    assert nothing is not None
    assert not len(nothing.row_N)
