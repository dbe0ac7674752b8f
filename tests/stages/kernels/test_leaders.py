"""Leader clustering of signatures against NumPy over all pairs."""

from __future__ import annotations

import numpy as np
import pytest

from stages.kernels.leaders import first_equal, first_like, leading


def _signatures(seed: int, number: int, num_rows: int) -> np.ndarray:
    """Few values in each row, so that some agree in all rows and many in most."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 1 + seed % 3, (number, num_rows), dtype=np.uint32) << np.uint32(31 * (seed % 2))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("number, num_rows", [(0, 4), (1, 4), (200, 1), (200, 5), (60, 112)])
def test_first_equal_of_signatures_is_that_of_all_pairs(seed: int, number: int, num_rows: int) -> None:
    signature_NK = _signatures(seed, number, num_rows)
    expected = [int((signature_NK == row).all(axis=1).argmax()) for row in signature_NK]
    assert first_equal(signature_NK).tolist() == expected


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("least", [0, 1, 6, 9, 12])
def test_leading_and_first_like_of_signatures_are_those_of_all_pairs(seed: int, least: int) -> None:
    signature_NK = _signatures(seed, 150, 12)
    equal_NN = (signature_NK[:, None] == signature_NK[None]).sum(axis=2)
    leaders: list[int] = []
    for n in range(150):
        if not any(equal_NN[n, leader] >= least for leader in leaders):
            leaders.append(n)
    assert leading(signature_NK, least).tolist() == leaders
    leader_N, count_N = first_like(signature_NK, signature_NK[leaders[1:]], least)
    for n in range(150):
        like = [at for at, leader in enumerate(leaders[1:]) if equal_NN[n, leader] >= least]
        assert leader_N[n] == (like[0] if like else -1)
        assert count_N[n] == (equal_NN[n, leaders[1:][like[0]]] if like else 0)
