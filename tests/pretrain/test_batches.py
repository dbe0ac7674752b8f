from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import DataError, FieldError
from pretrain import batches, data, objectives
from pretrain.config import Config
from pretrain.job import TOKENIZER, Job
from pretrain.provenance import Source
from tests.pretrain.configs import changed
from tests.pretrain.packed import byte_tokenizer, contract, pack, random_documents, write_shard

LENGTH = 32
PLAIN = changed(Config(), batch_rows=8, parallel__microbatch_rows=2, parallel__world_size=1, num_steps=40)


def reader(folder: Path, cfg: Config, sizes: tuple[int, ...] = (60,)) -> batches.Reader:
    """Of as many sources as there are sizes, with as many documents."""
    (folder / TOKENIZER).write_bytes(byte_tokenizer())
    sources = []
    for i, size in enumerate(sizes):
        path = folder / f"{i}.arrow"
        write_shard(path, pack(random_documents(size, 70, i), LENGTH, 8), LENGTH)
        sources.append(Source(name=f"source {i}", shards=(str(path),)))
    return batches.open_reader(
        Job(
            config=cfg,
            tokens=contract(LENGTH),
            sources=tuple(sources),
            validation_sources=tuple(sources[:1]),
            work=str(folder),
        )
    )


@pytest.mark.parametrize("data_ranks", [1, 2, 3, 4, 16])
def test_step_divided_over_any_number_of_ranks_holds_every_row_once(tmp_path: Path, data_ranks: int) -> None:
    source = reader(tmp_path, PLAIN)
    shares = [source.step(1, 8, (rank, data_ranks)) for rank in range(data_ranks)]
    assert len({len(share) for share in shares}) == 1  # as many passes on every rank
    taken = [m for share in shares for m in share if m.num_targets]
    row_N = np.concatenate([m.row_N for m in taken])
    assert row_N.tolist() == data.rows_at(8, 8, source.train.num_rows, PLAIN.seed).tolist()
    whole = source.step(1, 8, (0, 1))
    assert sum(m.num_targets for share in shares for m in share) == sum(m.num_targets for m in whole)
    for share in shares:
        for m in share:
            assert m.num_targets == objectives.num_targets(m.example.target_BT)


def test_step_in_the_warm_up_has_shorter_rows_and_all_targets(tmp_path: Path) -> None:
    cfg = changed(PLAIN, data__warmup_length=8, data__warmup_length_steps=20)
    source = reader(tmp_path, cfg)
    for step, length in ((0, 8), (9, 8), (10, 16), (19, 16), (20, 32)):
        [first, *_] = source.step(step, 8 * step, (0, 1))
        plane = first.example.ids_BT
        assert plane.shape == (2 * LENGTH // length, length)
        whole = data.read_batch(source.train, first.row_N)
        assert plane.reshape(2, LENGTH).tolist() == whole.ids_BT.tolist()
        target_BT = objectives.causal_example(whole).target_BT
        assert first.num_targets == objectives.num_targets(target_BT)
        by_row = batches.by_row(torch.zeros(plane.shape), first)
        assert [x.shape for x in by_row] == [(2, LENGTH)] * 3
        assert by_row[1].tolist() == target_BT.tolist()


def test_open_reader_of_a_warm_up_that_does_not_double_to_the_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="warmup_length"):
        reader(tmp_path, changed(PLAIN, data__warmup_length=12, data__warmup_length_steps=5))


def test_open_reader_of_learned_positions_for_shorter_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="max_positions"):
        reader(tmp_path, changed(PLAIN, model__positions="learned", model__max_positions=16))


def test_rows_of_two_sources_come_by_their_weights_and_not_by_their_size(tmp_path: Path) -> None:
    cfg = changed(PLAIN, data__weights={"source 0": 1.0, "source 1": 3.0})
    source = reader(tmp_path, cfg, (60, 20))
    row_N = source.rows_at(0, 320)
    of_second = row_N >= source.first_rows[1]
    assert of_second.sum() == pytest.approx(240, abs=3)
    rows = [data.open_rows([str(tmp_path / f"{i}.arrow")], contract(LENGTH)) for i in (0, 1)]
    assert source.train.num_rows == rows[0].num_rows + rows[1].num_rows
    counts = Counter(row_N[of_second].tolist())
    assert set(counts) == set(range(rows[0].num_rows, source.train.num_rows))  # all of them, again and again
    assert max(counts.values()) - min(counts.values()) <= 1


def test_open_reader_of_sources_used_up_before_the_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="used up"):
        reader(tmp_path, changed(PLAIN, data__max_epochs=1.0))


def test_validation_batches_of_all_ranks_are_the_rows_that_are_measured(tmp_path: Path) -> None:
    source = reader(tmp_path, changed(PLAIN, evaluation__rows=11))
    parts = [list(source.validation_batches((rank, 3))) for rank in range(3)]
    assert len({len(part) for part in parts}) == 1
    measured = sorted(row for part in parts for m in part if m.num_targets for row in m.row_N.tolist())
    assert measured == sorted(batches.validation_rows(source.validation, source.config).tolist())
