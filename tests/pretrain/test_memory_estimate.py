"""The estimate against what a step really holds, counted tensor by tensor."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pretrain import loop
from pretrain.checkpoint import Progress
from pretrain.config import Config
from pretrain.job import TOKENIZER, Job
from pretrain.memory_estimate import per_rank
from pretrain.provenance import Source
from pretrain.trainer import following, prepare
from tests.pretrain.configs import changed
from tests.pretrain.live_tensors import LiveTensors
from tests.pretrain.packed import VOCAB_SIZE, byte_tokenizer, contract, pack, random_documents, write_shard

ONE_RANK = changed(
    Config(), parallel__world_size=1, batch_rows=4, parallel__microbatch_rows=2, model__num_layers=3, model__dim=64,
    model__ffn_dim=192,
)  # fmt: skip


def job_of(folder: Path, cfg: Config, length: int) -> Job:
    path = write_shard(folder / "train.arrow", pack(random_documents(40, 2 * length, 1), length, 8), length)
    (folder / TOKENIZER).write_bytes(byte_tokenizer())
    source = Source(name="chunks", shards=(path,))
    return Job(
        config=cfg, tokens=contract(length), sources=(source,), validation_sources=(source,), work=str(folder)
    )  # fmt: skip


def peak_bytes(job: Job) -> int:
    """Of three steps of the trainer; from the second on it has its optimiser's state."""
    with closing(prepare(job)) as trainer:
        held = [tensor for part in trainer.state.values() for tensor in part.values()]
        progress = Progress()
        with LiveTensors(held) as live:
            for _ in range(3):
                loop.train_step(trainer, progress)
                progress = following(progress, job.config)
    return live.peak_bytes


@pytest.mark.usefixtures("one_rank", "one_thread")
@pytest.mark.parametrize(
    ("change", "length"),
    [
        ({}, 256),
        ({"batch_rows": 2}, 256),
        ({"model__dim": 256, "model__ffn_dim": 704, "batch_rows": 2}, 16),  # gradients are most of it
        ({"model__dim": 16, "model__ffn_dim": 32, "model__num_layers": 1}, 128),  # logits are
        ({"parallel__activation_checkpointing": "full"}, 256),
        ({"parallel__activation_checkpointing": "selective"}, 256),
        ({"model__feed_forward": "gelu", "model__norm": "layernorm", "model__qk_norm": True}, 256),
        ({"model__num_experts": 4, "model__tie_embeddings": False}, 128),
        ({"optimizer__kind": "muon", "model__dim": 128, "model__ffn_dim": 512}, 32),
        ({"average__decay": 0.99, "model__dim": 128, "model__ffn_dim": 512}, 32),
        ({"model__architecture": "encoder_decoder", "objective__kind": "prefix"}, 256),
        ({"objective__kind": "prefix", "model__dropout": 0.1}, 256),
    ],
)
def test_per_rank_total_is_within_a_tenth_of_what_a_step_holds(
    tmp_path: Path, change: dict[str, Any], length: int
) -> None:
    cfg = changed(ONE_RANK, **change)
    found = peak_bytes(job_of(tmp_path, cfg, length))
    assert per_rank(cfg, VOCAB_SIZE, length, "cpu").total == pytest.approx(found, rel=0.1)


def test_per_rank_of_a_quarter_of_the_model_holds_a_quarter_of_its_state() -> None:
    one = per_rank(changed(ONE_RANK, batch_rows=8), 300, 64)
    four = per_rank(changed(ONE_RANK, parallel__world_size=4, batch_rows=8), 300, 64)
    for name in ("parameters", "gradients", "optimizer"):
        assert getattr(four, name) == pytest.approx(getattr(one, name) / 4, rel=1e-3)
    assert four.activations == one.activations
    assert four.gathered > 0 == one.gathered


def test_per_rank_of_llama_2_7b_on_eight_gpus_is_16_bytes_a_parameter_over_eight() -> None:
    cfg = changed(
        Config(), model__preset="7b", parallel__world_size=8, parallel__microbatch_rows=1, batch_rows=8,
        parallel__dtype="bf16", parallel__activation_checkpointing="full",
    )  # fmt: skip
    found = per_rank(cfg, 32_000, 4096)
    state = found.parameters + found.gradients + found.optimizer
    assert state == pytest.approx(16 * 6_738_415_616 / 8, rel=1e-6)
    assert found.activations == pytest.approx(4096 * (32 + 2) * 4096 * 2, rel=0.01)  # the blocks' inputs, last norm
    assert found.total < 30e9
