from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from pipeline.errors import FieldError
from pretrain import seqlen
from pretrain.objectives import IGNORED, next_token_targets


def packed_rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, segments and loss starts of random rows [5, 64] of several documents, padded at the end."""
    generator = np.random.default_rng(1)
    segment = np.sort(generator.integers(0, 4, (5, 64)), axis=1)
    ids = generator.integers(0, 100, (5, 64))
    loss_start = np.where(segment == 3, 64, 5)
    return torch.from_numpy(ids), torch.from_numpy(segment), torch.from_numpy(loss_start)


def test_warmup_length_doubles_from_the_start_each_for_as_many_steps() -> None:
    found = [seqlen.warmup_length(step, 512, 64, 300) for step in range(400)]
    assert found == [64] * 100 + [128] * 100 + [256] * 100 + [512] * 100


def test_warmup_length_over_steps_that_do_not_divide_never_shrinks_and_has_every_length() -> None:
    found = [seqlen.warmup_length(step, 512, 64, 10) for step in range(12)]
    assert found == sorted(found)
    assert set(found) == {64, 128, 256, 512}
    counts = [len(list(steps)) for _, steps in itertools.groupby(found[:10])]
    assert max(counts) - min(counts) <= 1


def test_warmup_length_without_steps_is_the_rows_own() -> None:
    assert seqlen.warmup_length(0, 500, 0, 0) == 500


@pytest.mark.parametrize("start", [0, 3, 100, 1024, -64])
def test_a_start_that_does_not_double_up_to_the_row_is_refused(start: int) -> None:
    with pytest.raises(FieldError, match="doubles up to the rows' 512") as caught:
        seqlen.lengths(512, start)
    assert caught.value.field == "warmup_length"


@pytest.mark.parametrize("length", [1, 8, 32, 64])
def test_cut_targets_are_the_rows_targets_each_once_with_their_own_token_before(length: int) -> None:
    ids_BT, segment_BT, loss_start_BT = packed_rows()
    target_BT = next_token_targets(ids_BT, segment_BT, loss_start_BT)
    places_BT = torch.arange(ids_BT.numel()).reshape(ids_BT.shape)  # of each token in the batch
    target, place, segment = (seqlen.cut(plane, length) for plane in (target_BT, places_BT, segment_BT))
    assert target.shape == (5 * 64 // length, length)
    trained = target != IGNORED
    found = sorted(zip(place[trained].tolist(), target[trained].tolist(), strict=True))
    expected = [(i, t) for i, t in enumerate(target_BT.flatten().tolist()) if t != IGNORED]
    assert found == expected
    assert (place[:, 1:] == place[:, :-1] + 1).all()  # pieces are runs of the row
    assert (segment.flatten() == segment_BT.flatten()).all()


@pytest.mark.parametrize("length", [1, 8, 32, 64])
def test_num_lost_is_what_pieces_made_into_examples_of_their_own_lack(length: int) -> None:
    ids_BT, segment_BT, loss_start_BT = packed_rows()
    target_BT = next_token_targets(ids_BT, segment_BT, loss_start_BT)
    per_piece = 0
    for start in range(0, 64, length):
        piece = slice(start, start + length)
        shifted = torch.where(loss_start_BT == 64, length, (loss_start_BT - start).clamp(min=0))
        own = next_token_targets(ids_BT[:, piece], segment_BT[:, piece], shifted[:, piece])
        per_piece += int((own != IGNORED).sum())
    assert seqlen.num_lost(target_BT, length, IGNORED) == int((target_BT != IGNORED).sum()) - per_piece
