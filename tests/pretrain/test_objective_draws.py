"""How often objectives do what they draw: shares within four standard deviations, compositions evenly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pretrain import data, denoising, draws
from pretrain.example import IGNORED
from pretrain.objective_config import UL2_DENOISERS, ObjectiveConfig, num_sentinels
from tests.pretrain.objective_rows import OVERLAP, example_of, opened, packed_segments, special_for
from tests.pretrain.packed import EOT_ID, PAD_ID


def assert_share(found: int, of: int, share: float) -> None:
    assert abs(found / of - share) < 4 * (share * (1 - share) / of) ** 0.5


def test_masked_hides_its_share_as_mask_random_token_and_itself(tmp_path: Path) -> None:
    rows, cfg = opened(tmp_path, num_documents=400), ObjectiveConfig(kind="masked")
    example = example_of(rows, cfg, "encoder")
    batch = data.read_batch(rows, np.arange(rows.num_rows))
    place_T = np.arange(rows.length)
    can_be = (place_T >= batch.loss_start_BT.numpy()) & (batch.position_BT.numpy() > 0)
    can_be &= (batch.ids_BT.numpy() != EOT_ID) & (batch.ids_BT.numpy() != PAD_ID)
    is_target = example.target_BT.numpy() != IGNORED
    assert not (is_target & ~can_be).any()
    assert_share(is_target.sum(), can_be.sum(), 0.15)
    shown, was = example.ids_BT.numpy()[is_target], example.target_BT.numpy()[is_target]
    [mask] = special_for(cfg).mask
    assert (example.ids_BT.numpy() == batch.ids_BT.numpy())[~is_target].all()
    same_by_chance = 0.1 * np.bincount(was, minlength=256)[:256].sum() / len(was) / 256
    assert_share((shown == mask).sum(), len(was), 0.8)
    assert_share((shown == was).sum(), len(was), 0.1 + same_by_chance)
    others = shown[(shown != mask) & (shown != was)]
    assert_share(len(others), len(was), 0.1 - same_by_chance)
    assert others.max() < 256
    assert len(set(others.tolist())) > 200  # not as often as the corpus has them: from the whole vocabulary


def test_every_composition_is_as_likely() -> None:
    trials, total, parts = 20_000, 6, 3
    keys = draws.row_keys(1, np.arange(trials))
    sizes = denoising.composition(np.full(trials, total), np.full(trials, parts), keys, 5).reshape(trials, parts)
    counts = Counter(map(tuple, sizes.tolist()))
    expected = {(a, b, total - a - b) for a in range(1, total) for b in range(1, total - a)}
    assert set(counts) == expected
    for count in counts.values():
        assert_share(count, trials, 1 / len(expected))


def test_compositions_of_different_totals_side_by_side_add_up() -> None:
    random = np.random.default_rng(0)
    total = random.integers(1, 50, 500)
    parts = random.integers(1, total + 1)
    sizes = denoising.composition(total, parts, draws.row_keys(2, np.arange(500)), 5)
    ends = np.cumsum(parts)
    assert len(sizes) == ends[-1]
    assert sizes.min() >= 1
    assert np.add.reduceat(sizes, ends - parts).tolist() == total.tolist()


@pytest.mark.parametrize("density, mean_span", [(0.15, 3.0), (0.5, 8.0), (0.3, 1.0)])
def test_spans_take_out_their_share_in_spans_of_their_mean_length(
    tmp_path: Path, density: float, mean_span: float
) -> None:
    cfg = ObjectiveConfig(kind="spans", density=density, mean_span=mean_span)
    rows = opened(tmp_path, num_documents=60, longest=900)
    first = special_for(cfg).sentinels[0]
    target_BT = example_of(rows, cfg).target_BT.numpy()
    is_sentinel = target_BT >= first
    num_spans = is_sentinel.sum()
    noise = ((target_BT != IGNORED) & ~is_sentinel & (target_BT != EOT_ID)).sum()
    bodies = [
        len(s.tokens) - s.num_context - (s.tokens[-1] == EOT_ID) for row in packed_segments(rows) for s in row
    ]  # fmt: skip
    assert noise / sum(bodies) == pytest.approx(density, rel=0.05)
    assert noise / num_spans == pytest.approx(mean_span, rel=0.1)
    longest = Counter(np.diff(np.flatnonzero(np.append(is_sentinel[0], True))).tolist())
    assert mean_span == 1 or len(longest) > 1  # lengths vary


def test_spans_lie_anywhere_in_the_text(tmp_path: Path) -> None:
    cfg = ObjectiveConfig(kind="spans", density=0.2, mean_span=5)
    rows = opened(tmp_path, num_documents=300, longest=900)
    batch = data.read_batch(rows, np.arange(rows.num_rows))
    example, first = example_of(rows, cfg), special_for(cfg).sentinels[0]
    num_full, num_at_begin, num_at_end = 0, 0, 0
    assert example.prefix_BT is not None
    for row in range(rows.num_rows):
        context = int(batch.loss_start_BT[row, 0])
        if context != OVERLAP or int(batch.segment_BT[row, -1]) or int(batch.ids_BT[row, -1]) == EOT_ID:
            continue  # only pieces from the middle of a document: as long as the row, with context in front
        ids = example.ids_BT[row].tolist()
        num_full += 1
        num_at_begin += ids[context] == first
        num_at_end += ids[int(example.prefix_BT[row].sum()) - 1] >= first
    # 19 tokens out of 96 in 4 spans: the text before is empty where a composition of 79 into 5 parts begins with 1
    assert_share(num_at_begin, num_full, 4 / 78)
    assert_share(num_at_end, num_full, 4 / 78)


def test_ul2_draws_each_of_its_seven_denoisers_as_often(tmp_path: Path) -> None:
    cfg = ObjectiveConfig(kind="ul2")
    rows = opened(tmp_path, num_documents=1500, longest=200)
    special = special_for(cfg)
    example = example_of(rows, cfg)
    ids = example.ids_BT.numpy()
    found = Counter(ids[np.isin(ids, special.modes)].tolist())
    total = sum(found.values())
    for mode, share in zip(special.modes, (2 / 7, 1 / 7, 4 / 7), strict=True):
        assert_share(found[mode], total, share)


def test_ul2_weights_choose_among_modes(tmp_path: Path) -> None:
    cfg = ObjectiveConfig(kind="ul2", r_weight=0, s_weight=1, x_weight=3)
    rows = opened(tmp_path, num_documents=1500, longest=100)
    special, ids = special_for(cfg), example_of(rows, cfg).ids_BT.numpy()
    found = [int((ids == mode).sum()) for mode in special.modes]
    assert found[0] == 0
    assert_share(found[1], sum(found), 0.25)


def test_ul2_denoisers_are_those_of_the_paper() -> None:
    assert {(d.mean_span, d.density) for d in UL2_DENOISERS if d.mode == "R"} == {(3, 0.15), (8, 0.15)}
    assert {(d.mean_span, d.density) for d in UL2_DENOISERS if d.mode == "X"} == {
        (3, 0.5), (8, 0.5), (64, 0.15), (64, 0.5)
    }  # fmt: skip
    assert num_sentinels(ObjectiveConfig(kind="ul2"), 512) == 85
    assert num_sentinels(ObjectiveConfig(kind="spans"), 512) == 26


def test_ul2_sequential_denoiser_says_a_quarter_of_the_text_in_the_mean(tmp_path: Path) -> None:
    cfg = ObjectiveConfig(kind="ul2", r_weight=0, x_weight=0)
    rows = opened(tmp_path, num_documents=300, longest=900)
    example = example_of(rows, cfg)
    bodies = sum(len(s.tokens) - s.num_context for row in packed_segments(rows) for s in row)
    assert int((example.target_BT != IGNORED).sum()) / bodies == pytest.approx(0.25, abs=0.02)


def test_prefix_is_cut_anywhere(tmp_path: Path) -> None:
    rows = opened(tmp_path, num_documents=300, longest=900)
    example = example_of(rows, ObjectiveConfig(kind="prefix"))
    bodies = sum(len(s.tokens) - s.num_context for row in packed_segments(rows) for s in row)
    assert int((example.target_BT != IGNORED).sum()) / bodies == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("rate, spm_share", [(0.5, 0.5), (0.9, 0.2)])
def test_fim_rearranges_its_share_of_segments_in_each_order(tmp_path: Path, rate: float, spm_share: float) -> None:
    cfg = ObjectiveConfig(kind="fim", fim_rate=rate, spm_share=spm_share)
    rows = opened(tmp_path, num_documents=300, longest=600)
    before_prefix, before_suffix, _ = special_for(cfg).fim
    ids = example_of(rows, cfg).ids_BT.numpy()
    bodies = [
        len(s.tokens) - s.num_context - (s.tokens[-1] == EOT_ID) for row in packed_segments(rows) for s in row
    ]  # fmt: skip
    places = np.argwhere(ids == before_prefix)
    assert_share(len(places), sum(size > 0 for size in bodies), rate)
    is_spm = ids[places[:, 0], places[:, 1] + 1] == before_suffix
    # a prefix-suffix-middle order whose prefix is empty looks the same
    empty = float(np.mean([1 - (size / (size + 1)) ** 2 for size in bodies if size > 0]))
    assert_share(is_spm.sum(), len(places), spm_share + (1 - spm_share) * empty)


def test_uniform_is_even_and_below_one_and_differs_by_purpose() -> None:
    keys = draws.row_keys(7, np.arange(1000))
    values = draws.uniform(keys[:, None], np.arange(100), 1)
    assert values.min() >= 0 and values.max() < 1
    counts = np.histogram(values, bins=50, range=(0, 1))[0]
    assert ((counts - 2000) ** 2 / 2000).sum() < 100  # chi-square with 49 degrees of freedom: 1 in 100,000 above
    assert abs(np.corrcoef(values.ravel(), draws.uniform(keys[:, None], np.arange(100), 2).ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(values[:, 1:].ravel(), values[:, :-1].ravel())[0, 1]) < 0.02
