"""Each limit against its definition, token by token, and all of them against transformers' own."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DagError
from pretrain.sampling import Sampling, draw, limited, penalised

LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=12)


def probabilities(logits: list[float]) -> list[float]:
    total = math.fsum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits]


def left(logits: list[float], sampling: Sampling) -> set[int]:
    limited_V = limited(torch.tensor([logits]), sampling)[0]
    return {i for i, x in enumerate(limited_V.tolist()) if x > -math.inf}


@given(LOGITS, st.integers(1, 15))
def test_limited_by_top_k_keeps_what_fewer_than_k_others_exceed(logits: list[float], top_k: int) -> None:
    expected = {i for i, x in enumerate(logits) if sum(y > x for y in logits) < top_k}
    assert left(logits, Sampling(top_k=top_k)) == expected


@given(LOGITS, st.floats(0.01, 0.99))
def test_limited_by_top_p_keeps_the_fewest_tokens_of_that_mass(logits: list[float], top_p: float) -> None:
    probability = probabilities(logits)
    kept = left(logits, Sampling(top_p=top_p))
    mass = math.fsum(probability[i] for i in kept)
    assert mass >= top_p - 1e-6
    # without the least likely of them they are too few, and no other set of that size weighs more
    assert mass - min(probability[i] for i in kept) < top_p + 1e-6
    assert mass >= math.fsum(sorted(probability)[-len(kept) :]) - 1e-6


@given(LOGITS, st.floats(0.01, 1))
def test_limited_by_min_p_keeps_what_is_that_share_as_likely_as_the_likeliest(
    logits: list[float], min_p: float
) -> None:
    ratio = [math.exp(x - max(logits)) for x in logits]
    kept = left(logits, Sampling(min_p=min_p))
    assert {i for i, r in enumerate(ratio) if r > min_p * 1.00001} <= kept
    assert kept <= {i for i, r in enumerate(ratio) if r > min_p * 0.99999}
    assert logits.index(max(logits)) in kept


@given(LOGITS, st.floats(0.1, 3))
def test_limited_by_nothing_has_the_probabilities_of_the_temperature(logits: list[float], temperature: float) -> None:
    found = limited(torch.tensor([logits]), Sampling(temperature=temperature)).softmax(-1)[0].tolist()
    assert found == pytest.approx(probabilities([x / temperature for x in logits]), abs=1e-5)


def test_draw_at_temperature_zero_takes_the_likeliest_whatever_the_limits() -> None:
    logits_BV = torch.randn(50, 20, generator=torch.Generator().manual_seed(1))
    sampling = Sampling(temperature=0, top_k=3, top_p=0.1, min_p=0.5)
    random_B = [torch.Generator() for _ in range(50)]
    seen_BT = torch.zeros(50, 0, dtype=torch.int64)
    assert torch.equal(draw(logits_BV, seen_BT, sampling, random_B), logits_BV.argmax(-1))


def test_limited_and_penalised_equal_transformers_processors() -> None:
    random = torch.Generator().manual_seed(2)
    logits_BV = 3 * torch.randn(30, 40, generator=random)
    seen_BT = torch.randint(0, 40, (30, 9), generator=random)
    sampling = Sampling(temperature=0.7, top_k=20, top_p=0.9, min_p=0.02, repetition_penalty=1.4)
    processors = transformers.LogitsProcessorList([
        transformers.RepetitionPenaltyLogitsProcessor(1.4), transformers.TemperatureLogitsWarper(0.7),
        transformers.TopKLogitsWarper(20), transformers.TopPLogitsWarper(0.9), transformers.MinPLogitsWarper(0.02),
    ])  # fmt: skip
    ours = limited(penalised(logits_BV, seen_BT, 1.4), sampling)
    assert (ours == -torch.inf).any() and (ours > -torch.inf).sum() > 30
    torch.testing.assert_close(ours, processors(seen_BT, logits_BV))


def test_draw_of_one_row_among_others_is_the_one_it_is_alone() -> None:
    logits_BV = torch.randn(4, 30, generator=torch.Generator().manual_seed(3))
    seen_BT = torch.zeros(4, 0, dtype=torch.int64)
    together = draw(logits_BV, seen_BT, Sampling(), [torch.Generator().manual_seed(s) for s in range(4)])
    for b in range(4):
        alone = draw(logits_BV[b : b + 1], seen_BT[:1], Sampling(), [torch.Generator().manual_seed(b)])
        assert alone == together[b]


def test_draw_many_times_comes_as_often_as_the_probabilities_say() -> None:
    logits_V = torch.tensor([1.0, 0.0, -1.0, 2.0])
    seen_BT = torch.zeros(4000, 0, dtype=torch.int64)
    random_B = [torch.Generator().manual_seed(seed) for seed in range(4000)]
    drawn = draw(logits_V.expand(4000, -1), seen_BT, Sampling(top_k=3), random_B)
    expected = limited(logits_V[None], Sampling(top_k=3)).softmax(-1)[0]
    share_V = drawn.bincount(minlength=4) / 4000
    assert share_V[2] == 0
    assert (share_V - expected).abs().max() < 0.03  # four standard deviations


@pytest.mark.parametrize(
    ("field", "value", "flag"),
    [("temperature", -0.1, "--temperature"), ("temperature", float("inf"), "--temperature"), ("top_k", -1, "--top-k"),
     ("top_p", 0.0, "--top-p"), ("top_p", 1.1, "--top-p"), ("min_p", -0.1, "--min-p"),
     ("temperature", float("nan"), "--temperature"), ("repetition_penalty", 0.0, "--repetition-penalty")],
)  # fmt: skip
def test_sampling_with_a_value_out_of_range_is_refused_by_its_flag(field: str, value: float, flag: str) -> None:
    with pytest.raises(DagError, match=flag):
        Sampling(**{field: value})  # type: ignore[arg-type]
