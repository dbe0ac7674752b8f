from __future__ import annotations

import torch
from torch import nn

from pretrain import ema
from pretrain.ema import Average
from pretrain.optim_config import AverageConfig


def started(decay: float = 0.9) -> tuple[nn.Linear, Average]:
    model = nn.Linear(4, 3)
    average = ema.make_average(model, AverageConfig(decay=decay))
    assert average is not None
    return model, average


def change(model: nn.Module, step: int) -> None:
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(step)))


def test_average_equals_the_recursion_in_float64() -> None:
    model, average = started()
    expected = model.weight.detach().double()
    for step in range(200):
        change(model, step)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach().double()
    torch.testing.assert_close(average.values["weight"].double(), expected, rtol=0, atol=1e-5)


def test_in_place_swaps_average_and_weights_and_back_exactly_even_after_an_error() -> None:
    model, average = started()
    change(model, 0)
    average.update(0)
    weights, values = model.weight.detach().clone(), average.values["weight"].clone()
    seen = torch.empty(0)
    try:
        with average.in_place():
            seen = model.weight.detach().clone()
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    assert torch.equal(seen, values)
    assert torch.equal(model.weight, weights)
    assert torch.equal(average.values["weight"], values)


def test_state_tensors_put_into_another_average_go_on_bit_for_bit() -> None:
    model, average = started()
    for step in range(3):
        change(model, step)
        average.update(step)
    _, other = started()
    for name, tensor in other.state_tensors().items():
        tensor.copy_(average.state_tensors()[name])
    other.parameters.update(model.named_parameters())
    change(model, 3)
    average.update(3)
    other.update(3)
    assert all(torch.equal(other.values[name], value) for name, value in average.values.items())


def test_no_decay_is_no_average() -> None:
    assert ema.make_average(nn.Linear(2, 2), AverageConfig()) is None
