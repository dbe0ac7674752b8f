from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.optim._muon import _zeropower_via_newtonschulz

from pretrain import muon
from pretrain.muon import Muon, orthogonalised


def random_matrix(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(12, 12), (40, 7), (7, 40), (1, 9)])
def test_orthogonalised_equals_torchs_own_in_bfloat16(shape: tuple[int, int]) -> None:
    matrix = random_matrix(*shape)
    theirs = _zeropower_via_newtonschulz(matrix, muon.COEFFICIENTS, 5, muon.LEAST_NORM)
    assert torch.equal(orthogonalised(matrix.bfloat16(), 5), theirs)


@pytest.mark.parametrize("shape", [(12, 12), (40, 7), (7, 40), (1, 9)])
def test_orthogonalised_in_float32_applies_the_polynomial_to_the_singular_values(shape: tuple[int, int]) -> None:
    matrix = random_matrix(*shape)
    u, s, vt = np.linalg.svd(matrix.double().numpy(), full_matrices=False)
    s = s / np.linalg.norm(s)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    np.testing.assert_allclose(orthogonalised(matrix, 5).numpy(), (u * s) @ vt, atol=2e-5)


def test_orthogonalised_brings_singular_values_near_one_and_keeps_directions() -> None:
    matrix = random_matrix(30, 20)
    found = orthogonalised(matrix, 5)
    values = torch.linalg.svdvals(found)
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    assert (found * (u @ vt)).sum() / (found.norm() * (u @ vt).norm()) > 0.95


def test_orthogonalised_stack_is_each_of_its_matrices() -> None:
    stack = random_matrix(3, 8, 5)
    found = orthogonalised(stack, 5)
    for matrix, expected in zip(found, stack, strict=True):
        torch.testing.assert_close(matrix, orthogonalised(expected, 5))


def test_orthogonalised_zeros_are_zeros() -> None:
    assert not orthogonalised(torch.zeros(4, 6), 5).any()


@pytest.mark.parametrize(("scale", "theirs"), [("adamw", "match_rms_adamw"), ("original", "original")])
def test_steps_equal_those_of_torchs_muon(scale: str, theirs: str) -> None:
    ours, other = (torch.nn.Parameter(random_matrix(24, 10)) for _ in range(2))
    optimizer = Muon(
        [{"params": [ours], "weight_decay": 0.1}], lr=0.02, momentum=0.95, num_iterations=5,
        scale="adamw" if scale == "adamw" else "original", dtype=torch.bfloat16,
    )  # fmt: skip
    reference = torch.optim.Muon([other], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn=theirs)
    for step in range(6):
        ours.grad = random_matrix(24, 10, seed=step)
        other.grad = ours.grad.clone()
        optimizer.step()
        reference.step()
        assert torch.equal(ours, other)
        assert torch.equal(optimizer.state[ours]["momentum_buffer"], reference.state[other]["momentum_buffer"])


def test_step_scale_gives_entries_of_adamws_size_whatever_the_shape() -> None:
    for shape in ((64, 16), (16, 64), (32, 32)):
        step = orthogonalised(random_matrix(*shape), 5) * muon.step_scale(shape, "adamw")
        assert 0.15 < step.square().mean().sqrt() < 0.25
