"""A small model of each architecture learns a few rows by heart, by every objective it can be trained with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from pretrain import model, objectives
from pretrain.example import IGNORED
from pretrain.inspection import describe
from pretrain.model_config import ModelConfig
from pretrain.objective_config import Kind, ObjectiveConfig
from pretrain.shape import Architecture
from tests.pretrain.objective_rows import NUM_RESERVED, example_of, opened, special_for
from tests.pretrain.packed import VOCAB_SIZE

pytestmark = pytest.mark.usefixtures("one_thread")
NUM_STEPS, NUM_ROWS, ROW = 100, 4, 64
PAIRS = ObjectiveConfig(kind="masked", next_sentence=True)
DENOISING: tuple[Kind, ...] = ("prefix", "spans", "ul2")


def small(architecture: Architecture) -> model.Model:
    cfg = ModelConfig(architecture=architecture, dim=64, num_layers=2, num_heads=4, num_kv_heads=2, ffn_dim=128)
    found = model.build(cfg, VOCAB_SIZE + NUM_RESERVED)
    model.initialise(found, 1)
    return found


@pytest.mark.parametrize(
    "cfg, architecture",
    [
        (ObjectiveConfig(), "decoder"), (ObjectiveConfig(kind="fim", fim_rate=0.8), "decoder"),
        (ObjectiveConfig(kind="masked"), "encoder"), (PAIRS, "encoder"),
        *((ObjectiveConfig(kind=kind), a) for kind in DENOISING for a in ("decoder", "encoder_decoder")),
    ],
)  # fmt: skip
def test_model_overfits_a_few_rows_of_every_objective(
    tmp_path: Path, cfg: ObjectiveConfig, architecture: Architecture
) -> None:
    rows = opened(tmp_path, num_documents=12, longest=60, length=ROW)
    example = example_of(rows, cfg, architecture, row_N=np.arange(NUM_ROWS))
    answers = torch.isin(example.target_BT, torch.tensor(special_for(cfg).pair, dtype=torch.int64))
    assert answers.any() == (cfg is PAIRS)
    trained = small(architecture)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-2)
    num_targets = objectives.num_targets(example.target_BT)
    losses = []
    for step in range(NUM_STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min(1, (step + 1) / 5, 2 * (NUM_STEPS - step) / NUM_STEPS)
        loss = objectives.loss_sum(objectives.logits(trained, example), example.target_BT) / num_targets
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        said_BT = objectives.logits(trained, example).argmax(-1)
    is_target_BT = example.target_BT != IGNORED
    right = (said_BT == example.target_BT)[is_target_BT].float().mean().item()
    assert losses[0] == pytest.approx(np.log(VOCAB_SIZE + NUM_RESERVED), abs=0.3)
    assert losses[-1] < 0.3
    assert right > 0.9


@pytest.mark.parametrize("kind", ["causal", "fim", "prefix", "spans", "ul2"])
def test_decoder_does_not_see_what_it_is_to_say(tmp_path: Path, kind: Kind) -> None:
    rows = opened(tmp_path, num_documents=12, longest=60, length=ROW)
    cfg = ObjectiveConfig(kind=kind, fim_rate=0.8)
    example = example_of(rows, cfg, row_N=np.arange(NUM_ROWS))
    random = np.random.default_rng(1)
    untrained = small("decoder")
    with torch.no_grad():
        before = objectives.logits(untrained, example)
        for row, place in random.permutation(np.argwhere(example.target_BT.numpy() != IGNORED))[:20].tolist():
            ids_BT = example.ids_BT.clone()
            ids_BT[row, place + 1 :] = 1 + (ids_BT[row, place + 1 :] % 50)  # all that follows
            changed = vars(example) | {"ids_BT": ids_BT}
            after = objectives.logits(untrained, objectives.Example(**changed))
            assert torch.allclose(after[row, place], before[row, place], atol=1e-5)


def test_describe_shows_each_segment_with_what_is_to_be_said(tmp_path: Path) -> None:
    rows = opened(tmp_path, num_documents=12, longest=60, length=ROW)

    def decode(ids: Sequence[int]) -> str:
        return " ".join(map(str, ids))

    both: tuple[Architecture, ...] = ("decoder", "encoder_decoder")
    for architecture in both:
        example = example_of(rows, ObjectiveConfig(kind="spans"), architecture)
        shown = describe(example, decode)
        assert sum(len(s["target"].split()) for s in shown) == objectives.num_targets(example.target_BT)
        for one in shown:
            sentinels = [t for t in one["input"].split() if int(t) >= VOCAB_SIZE]
            assert sentinels == [t for t in one["target"].split() if int(t) >= VOCAB_SIZE]
            assert one["target"].split()[-1] == "256"
    masked = example_of(rows, ObjectiveConfig(kind="masked"), "encoder")
    [first, *_] = describe(masked, decode)
    targets = [t for t in first["target"].split() if t != "…"]
    is_first_T = (masked.segment_BT[0] == 0) & (masked.target_BT[0] != IGNORED)
    assert targets == [str(t) for t in masked.target_BT[0][is_first_T].tolist()]
