"""Beam search against all continuations there are, and against transformers' on the same weights."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
import transformers
from torch import nn

from pretrain.beam import Hypothesis, search
from pretrain.window import Window
from tests.pretrain.packed import EOT_ID, encode
from tests.pretrain.test_export import write_export
from tests.pretrain.tiny_model import tiny_model

VOCAB_SIZE, EOT, PROMPT, MAX_NEW = 5, 4, [0, 1], 3


def all_continuations(model: nn.Module, penalty: float) -> list[Hypothesis]:
    """Every one that ends in EOT within MAX_NEW tokens or has as many, the best first."""
    found = []
    for length in range(1, MAX_NEW + 1):
        for ids in itertools.product(range(VOCAB_SIZE), repeat=length):
            ends = EOT in ids and ids.index(EOT) == length - 1
            if not ends and (length < MAX_NEW or EOT in ids):
                continue
            row_BT = torch.tensor([[*PROMPT, *ids]])
            place_BT = torch.arange(row_BT.shape[1])[None]
            with torch.no_grad():
                log_probability_TV = model(row_BT, torch.zeros_like(row_BT), place_BT)[0].log_softmax(-1)
            total = sum(float(log_probability_TV[len(PROMPT) - 1 + i, id]) for i, id in enumerate(ids))
            found.append(Hypothesis(ids=ids[:-1] if ends else ids, score=total / length**penalty))
    return sorted(found, key=lambda one: -one.score)


@pytest.mark.parametrize("penalty", [0.0, 1.0, 2.0, -1.0])
def test_search_with_a_beam_for_every_continuation_finds_all_in_order(penalty: float) -> None:
    model = tiny_model(VOCAB_SIZE, 7)
    expected = all_continuations(model, penalty)
    found = search(Window(model, 16, PROMPT), EOT, MAX_NEW, len(expected), penalty)
    assert [one.ids for one in found] == [one.ids for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)


def test_search_with_one_beam_is_greedy() -> None:
    model = tiny_model(30, 8)
    window = Window(model, 16, PROMPT)
    greedy = []
    for _ in range(12):
        greedy.append(int(window.next_logits().argmax()))
        window.append(torch.tensor(greedy[-1:]))
    [found] = search(Window(model, 16, PROMPT), 10**6, 12, 1)
    assert list(found.ids) == greedy


@pytest.mark.parametrize("num_beams", [2, 5])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_search_finds_what_transformers_finds(tmp_path: Path, num_beams: int, penalty: float) -> None:
    model = write_export(tmp_path)
    prompt = encode("Once upon a time")[:-1]
    peer = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    theirs = peer.generate(
        torch.tensor([prompt]), max_new_tokens=30, num_beams=num_beams, do_sample=False, length_penalty=penalty,
        early_stopping="never", num_return_sequences=num_beams, return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    ours = search(Window(model, 128, prompt), EOT_ID, 30, num_beams, penalty)
    for one, row_T in zip(ours, theirs.sequences[:, len(prompt) :].tolist(), strict=True):
        assert list(one.ids) == row_T[: row_T.index(EOT_ID) if EOT_ID in row_T else len(row_T)]
    scores = [one.score for one in ours]
    assert scores == pytest.approx(theirs.sequences_scores.tolist(), abs=1e-4)
