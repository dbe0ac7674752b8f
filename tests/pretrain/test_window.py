from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pretrain.window import Window
from tests.pretrain.tiny_model import tiny_model

LENGTH = 12
pytestmark = pytest.mark.usefixtures("one_thread")


@torch.no_grad()
def plain_logits(model: nn.Module, ids: list[int]) -> Tensor:
    """Of the token after `ids`, all read at once."""
    ids_BT = torch.tensor([ids])
    logits_BTV: Tensor = model(ids_BT, torch.zeros_like(ids_BT), torch.arange(len(ids))[None])
    return logits_BTV[0, -1]


@pytest.mark.parametrize("cached", [True, False])
def test_window_logits_are_those_of_all_tokens_it_holds_read_at_once(cached: bool) -> None:
    model = tiny_model(20, 1)
    ids = torch.randint(0, 20, (40,), generator=torch.Generator().manual_seed(2)).tolist()
    window = Window(model, LENGTH, ids[:3], cached)
    first = 0
    for num_tokens in range(3, 40):
        if num_tokens - first > LENGTH:
            first = num_tokens - LENGTH // 2
        expected = plain_logits(model, ids[first:num_tokens])
        torch.testing.assert_close(window.next_logits()[0], expected, atol=1e-5, rtol=0)
        window.append(torch.tensor([ids[num_tokens]]))
    assert first > 3 * LENGTH // 2  # it slid more than once
    assert window.ids_BT[0].tolist() == ids


def test_window_of_a_long_prompt_sees_its_last_tokens() -> None:
    model = tiny_model(20, 1)
    ids = torch.randint(0, 20, (30,), generator=torch.Generator().manual_seed(3)).tolist()
    expected = plain_logits(model, ids[-LENGTH:])
    torch.testing.assert_close(Window(model, LENGTH, ids).next_logits()[0], expected, atol=1e-5, rtol=0)


def test_window_rows_taken_are_read_as_if_each_were_alone() -> None:
    model = tiny_model(20, 1)
    window = Window(model, LENGTH, [1, 2, 3])
    window.next_logits()
    window.take_rows(torch.tensor([0, 0, 0]))
    window.append(torch.tensor([4, 5, 6]))
    window.next_logits()
    window.take_rows(torch.tensor([2, 0]))
    window.append(torch.tensor([7, 8]))
    assert window.ids_BT.tolist() == [[1, 2, 3, 6, 7], [1, 2, 3, 4, 8]]
    found_BV = window.next_logits()
    for row_V, ids in zip(found_BV, window.ids_BT.tolist(), strict=True):
        torch.testing.assert_close(row_V, plain_logits(model, ids), atol=1e-5, rtol=0)


def test_window_of_length_one_sees_the_last_token_only() -> None:
    model = tiny_model(20, 1)
    window = Window(model, 1, [3])
    window.append(torch.tensor([5]))
    torch.testing.assert_close(window.next_logits()[0], plain_logits(model, [5]), atol=1e-5, rtol=0)
