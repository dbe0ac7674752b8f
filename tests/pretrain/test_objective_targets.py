"""Every objective: what goes in and what is to be said make up the packed text again, and context is never a target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pretrain import data
from pretrain.example import IGNORED, Example
from pretrain.objective_config import ObjectiveConfig, widths
from pretrain.shape import Architecture
from pretrain.special_ids import SpecialIds
from tests.pretrain.objective_rows import LENGTH, Packed, example_of, opened, packed_segments, special_for

MASKED, MASKED_WORDS = ObjectiveConfig(kind="masked"), ObjectiveConfig(kind="masked", whole_words=True)
PAIRS = ObjectiveConfig(kind="masked", next_sentence=True)
PREFIX, UL2 = ObjectiveConfig(kind="prefix"), ObjectiveConfig(kind="ul2")
SPANS, MANY_SPANS = ObjectiveConfig(kind="spans"), ObjectiveConfig(kind="spans", density=0.5, mean_span=2)
FIM = ObjectiveConfig(kind="fim", fim_rate=0.9)
EVERY: list[tuple[ObjectiveConfig, Architecture]] = [
    (ObjectiveConfig(), "decoder"), (FIM, "decoder"),
    (MASKED, "encoder"), (MASKED_WORDS, "encoder"), (PAIRS, "encoder"),
    *((cfg, a) for cfg in (PREFIX, SPANS, MANY_SPANS, UL2) for a in ("decoder", "encoder_decoder")),
]  # fmt: skip


class Said(NamedTuple):
    """Of one segment: the ids that go in, which of them are prefix, and (place, token) of what is to be said."""

    ids: list[int]
    is_prefix: list[bool]
    targets: list[tuple[int, int]]


def said(example: Example) -> list[dict[int, Said]]:
    """Of every row, by segment number, padding included."""
    has_decoder = example.decoder_segment_BS is not None
    target_segment = example.decoder_segment_BS if has_decoder else example.segment_BT
    assert target_segment is not None
    prefix = torch.zeros_like(example.ids_BT).bool() if example.prefix_BT is None else example.prefix_BT
    found = []
    for row in range(len(example.ids_BT)):
        ids, numbers = example.ids_BT[row].tolist(), example.segment_BT[row].tolist()
        here = {}
        for number in {*numbers, *target_segment[row].tolist()}:
            inside = [i for i, n in enumerate(numbers) if n == number]
            places = [i for i, n in enumerate(target_segment[row].tolist()) if n == number]
            targets = example.target_BT[row].tolist()
            here[number] = Said(
                [ids[i] for i in inside], [bool(prefix[row, i]) for i in inside],
                [(k, targets[i]) for k, i in enumerate(places) if targets[i] != IGNORED],
            )  # fmt: skip
        found.append(here)
    return found


def spans_put_back(text: list[int], answer: list[int], special: SpecialIds) -> list[int]:
    """The text with what follows each sentinel in the answer, up to the next one, in the sentinel's place."""
    assert not answer or answer[-1] == special.eot
    after: dict[int, list[int]] = {}
    for token in answer[:-1]:
        if token in special.sentinels:
            assert token not in after
            after[token] = []
        else:
            after[list(after)[-1]].append(token)
    assert [t for t in text if t in special.sentinels] == list(after) == list(special.sentinels[: len(after)])
    assert all(after.values())
    return [t for token in text for t in after.get(token, [token])]


def of_masked(said: Said, packed: Packed, special: SpecialIds) -> tuple[list[int], int]:
    ids = list(said.ids)
    for place, token in said.targets:
        ids[place] = token
    return ids, min((place for place, _ in said.targets), default=len(ids))


def of_left_to_right(said: Said, packed: Packed, special: SpecialIds) -> tuple[list[int], int]:
    assert all(said.ids[place + 1] == token for place, token in said.targets)
    return said.ids, min((place + 1 for place, _ in said.targets), default=len(said.ids))


def of_fim(said: Said, packed: Packed, special: SpecialIds) -> tuple[list[int], int]:
    same, first = of_left_to_right(said, packed, special)
    if special.fim[0] not in same:
        assert len(said.targets) == len(same) - packed.num_context
        return same, first
    before_prefix, before_suffix, before_middle = (same.index(id) for id in special.fim)
    assert len(said.targets) == len(same) - packed.num_context - 3
    assert not set(special.fim) & {token for _, token in said.targets}
    head, end = same[:before_prefix], same[-1:] if same[-1] == special.eot else []
    suffix = same[before_suffix + 1 : before_middle]
    last = same[before_middle + 1 : len(same) - len(end)]
    # with P and S side by side, the prefix is empty or comes before the middle: the text is the same
    return [*head, *same[before_prefix + 1 : before_suffix], *last, *suffix, *end], before_prefix


def of_denoised(said: Said, packed: Packed, special: SpecialIds) -> tuple[list[int], int]:
    """Of a decoder and of an encoder-decoder alike: the text is the prefix, or all that goes in."""
    inside = said.is_prefix if any(said.is_prefix) else [True] * len(said.ids)
    text = [token for token, is_inside in zip(said.ids, inside, strict=True) if is_inside]
    answer = [token for _, token in said.targets]
    if special.modes and answer:
        assert text[0] in special.modes
        is_sequential = text[0] == special.modes[1]
        text = text[1:]
        if is_sequential:
            return [*text, *answer], len(text)
    if not special.sentinels:
        return [*text, *answer], len(text)
    first = next((k for k, token in enumerate(text) if token in special.sentinels), len(text))
    return spans_put_back(text, answer, special), first


RESTORED: dict[str, Callable[[Said, Packed, SpecialIds], tuple[list[int], int]]] = {
    "causal": of_left_to_right, "masked": of_masked, "prefix": of_denoised, "spans": of_denoised, "ul2": of_denoised,
    "fim": of_fim,
}  # fmt: skip


@pytest.mark.parametrize("cfg, architecture", [pair for pair in EVERY if pair[0] is not PAIRS])
def test_input_and_targets_make_up_the_packed_segments_and_context_is_no_target(
    tmp_path: Path, cfg: ObjectiveConfig, architecture: Architecture
) -> None:
    rows = opened(tmp_path)
    special, num_with_targets, num_segments = special_for(cfg), 0, 0
    for segments, here in zip(packed_segments(rows), said(example_of(rows, cfg, architecture)), strict=True):
        for number, packed in enumerate(segments):
            tokens, first_target = RESTORED[cfg.kind](here[number], packed, special)
            assert tokens == packed.tokens
            assert first_target >= packed.num_context
            num_with_targets += bool(here[number].targets)
            num_segments += 1
        assert not any(s.targets for number, s in here.items() if number >= len(segments))
    assert num_with_targets > 0.7 * num_segments


def test_next_sentence_pairs_hold_a_half_of_the_partner_where_the_answer_says_so(tmp_path: Path) -> None:
    rows = opened(tmp_path, num_documents=400, longest=50)
    special = special_for(PAIRS)
    before_pair, between, apart, neighbours = special.pair
    answers = []
    for segments, here in zip(packed_segments(rows), said(example_of(rows, PAIRS, "encoder")), strict=True):
        halves: list[tuple[int, int, list[int], list[int]]] = []
        for number, packed in enumerate(segments):
            answer = [token for place, token in here[number].targets if place == 0]
            tokens, _ = of_masked(here[number], packed, special)
            if not answer:
                assert tokens == packed.tokens
                continue
            assert here[number].ids[0] == before_pair
            cut = tokens.index(between)
            halves.append((number, answer[0], tokens[1:cut], tokens[cut + 1 :]))
            assert tokens[1 : 1 + packed.num_context] == packed.tokens[: packed.num_context]
        assert len(halves) % 2 == 0
        for one, other in zip(halves[::2], halves[1::2], strict=True):
            assert one[1] == other[1] in (apart, neighbours)
            seconds = (one[3], other[3]) if one[1] == neighbours else (other[3], one[3])
            assert [*one[2], *seconds[0]] == segments[one[0]].tokens
            assert [*other[2], *seconds[1]] == segments[other[0]].tokens
            answers.append(one[1] == neighbours)
    assert len(answers) > 60
    assert abs(np.mean(answers) - 0.5) < 4 * 0.5 / len(answers) ** 0.5


@pytest.mark.parametrize("cfg, architecture", EVERY)
def test_examples_of_a_row_depend_on_its_place_and_seed_and_not_on_its_batch(
    tmp_path: Path, cfg: ObjectiveConfig, architecture: Architecture
) -> None:
    rows = opened(tmp_path, num_documents=30)
    whole = example_of(rows, cfg, architecture)
    for row in range(rows.num_rows):
        alone = example_of(rows, cfg, architecture, row_N=np.array([row]))
        for name, value in vars(whole).items():
            assert value is None or torch.equal(value[row], getattr(alone, name)[0])
    for other in (
        example_of(rows, cfg, architecture, first_place=rows.num_rows), example_of(rows, cfg, architecture, seed=4)
    ):  # fmt: skip
        assert torch.equal(other.target_BT, whole.target_BT) == (cfg.kind == "causal")


@pytest.mark.parametrize("cfg, architecture", EVERY)
def test_rows_have_the_promised_width_and_padding_the_encoder_always_shares(
    tmp_path: Path, cfg: ObjectiveConfig, architecture: Architecture
) -> None:
    rows = opened(tmp_path, num_documents=100, longest=40)
    example = example_of(rows, cfg, architecture)
    size = widths(cfg, LENGTH, architecture)
    assert example.ids_BT.shape == example.segment_BT.shape == example.position_BT.shape == (rows.num_rows, size.ids)
    if example.decoder_segment_BS is not None and example.decoder_position_BS is not None:
        assert example.target_BT.shape == example.decoder_segment_BS.shape == (rows.num_rows, size.decoder)
        for read, answered in zip(example.segment_BT.tolist(), example.decoder_segment_BS.tolist(), strict=True):
            assert set(answered) <= set(read)
    planes = [(example.segment_BT, example.position_BT)]
    if example.decoder_segment_BS is not None and example.decoder_position_BS is not None:
        planes.append((example.decoder_segment_BS, example.decoder_position_BS))
    for segment_BT, position_BT in planes:
        for segment_T, position_T in zip(segment_BT.tolist(), position_BT.tolist(), strict=True):
            assert segment_T == sorted(segment_T)
            assert position_T == [i - segment_T.index(number) for i, number in enumerate(segment_T)]


def test_causal_examples_are_the_batch_itself(tmp_path: Path) -> None:
    rows = opened(tmp_path)
    batch = data.read_batch(rows, np.arange(rows.num_rows))
    example = example_of(rows, ObjectiveConfig())
    assert torch.equal(example.ids_BT, batch.ids_BT) and torch.equal(example.segment_BT, batch.segment_BT)
    assert torch.equal(example.position_BT, batch.position_BT) and example.prefix_BT is None


def test_fim_predicts_every_token_that_causal_does(tmp_path: Path) -> None:
    rows = opened(tmp_path)
    causal, fim = example_of(rows, ObjectiveConfig()), example_of(rows, FIM)
    assert torch.equal(*(torch.sort(e.target_BT[e.target_BT != IGNORED]).values for e in (causal, fim)))
