from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrain.adamp import AdamP
from tests.pretrain.sharded_steps import Model, gradients

RATE, DECAY, BETAS, EPS, THRESHOLD, DECAY_RATIO = 0.05, 0.5, (0.9, 0.95), 1e-8, 0.1, 0.1


class Reference:
    """Algorithm 1 of the paper in float64: one parameter."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights, self.mean, self.square, self.count = weights, 0.0 * weights, 0.0 * weights, 0
        self.was_cut = ""

    def step(self, grad: np.ndarray) -> None:
        self.count += 1
        self.mean = BETAS[0] * self.mean + (1 - BETAS[0]) * grad
        self.square = BETAS[1] * self.square + (1 - BETAS[1]) * grad**2
        mean, square = self.mean / (1 - BETAS[0] ** self.count), self.square / (1 - BETAS[1] ** self.count)
        step, decay = mean / (np.sqrt(square) + EPS), DECAY
        self.was_cut = ""
        if self.weights.ndim > 1:
            rows = [self.weights.reshape(-1, self.weights.shape[-1]), self.weights.reshape(1, -1)]
            for which, w in zip(("rows", "matrix"), rows, strict=True):
                g, s = grad.reshape(w.shape), step.reshape(w.shape)
                cosines = [abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in zip(g, w, strict=True)]
                if max(cosines) < THRESHOLD / np.sqrt(w.shape[1]):
                    cut = [b - a * (a @ b) / (a @ a) for a, b in zip(w, s, strict=True)]
                    step, decay = np.array(cut).reshape(step.shape), DECAY * DECAY_RATIO
                    self.was_cut = which
                    break
        self.weights = self.weights * (1 - RATE * decay) - RATE * step


def adamp(parameters: list[torch.nn.Parameter]) -> AdamP:
    groups = [{"params": parameters, "weight_decay": DECAY}]
    return AdamP(groups, lr=RATE, betas=BETAS, eps=EPS, threshold=THRESHOLD, decay_ratio=DECAY_RATIO)


def test_steps_equal_those_of_the_papers_algorithm() -> None:
    model = Model()
    references = {name: Reference(p.detach().double().numpy().copy()) for name, p in model.named_parameters()}
    optimizer = adamp(list(model.parameters()))
    cut: dict[str, set[str]] = {}
    for step in range(6):
        for name, grad in gradients(model, step).items():
            model.get_parameter(name).grad = grad.clone()
            references[name].step(grad.double().numpy())
        optimizer.step()
        for name, reference in references.items():
            cut.setdefault(name, set()).add(reference.was_cut)
        for name, parameter in model.named_parameters():
            np.testing.assert_allclose(
                parameter.detach().numpy(), references[name].weights, atol=2e-6, err_msg=f"{name} in step {step}"
            )
    assert (cut["layer.up.weight"], cut["layer.down.weight"]) == ({"rows"}, {"matrix"})
    assert "" in cut["lm_head.weight"]  # gradients as they come


@pytest.mark.parametrize("dims", [(1,), (0, 1)])
def test_step_at_a_right_angle_keeps_the_length_but_for_second_order(dims: tuple[int, ...]) -> None:
    weights = torch.nn.Parameter(torch.randn(5, 8, generator=torch.Generator().manual_seed(3)))
    optimizer = AdamP([{"params": [weights]}], lr=1e-4, betas=BETAS, eps=EPS, threshold=0.1, decay_ratio=0.1)
    for step in range(10):
        before = weights.detach().clone()
        grad = torch.randn(5, 8, generator=torch.Generator().manual_seed(step))
        along = (grad * before).sum(dims, keepdim=True) / before.square().sum(dims, keepdim=True)
        weights.grad = grad - before * along
        optimizer.step()
        grown = weights.detach().square().sum(dims) / before.square().sum(dims) - 1
        moved = (weights.detach() - before).square().sum(dims) / before.square().sum(dims)
        torch.testing.assert_close(grown, moved, rtol=0, atol=5e-7)  # what Pythagoras adds, and no more
