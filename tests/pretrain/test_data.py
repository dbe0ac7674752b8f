from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError, StoreError
from pretrain import data
from tests.pretrain.packed import VOCAB_SIZE, pack, random_documents, write_shard

LENGTH = 32


def rows_of(folder: Path, num_documents: int = 40) -> tuple[data.Rows, list]:
    parts = [pack(random_documents(num_documents, 60, seed), LENGTH, 8) for seed in (1, 2)]
    paths = [write_shard(folder / f"train-{i}.arrow", part, LENGTH) for i, part in enumerate(parts)]
    return data.open_rows(paths, LENGTH, VOCAB_SIZE), parts[0] + parts[1]


@given(num_rows=st.integers(1, 700), seed=st.integers(0, 2**40), epoch=st.integers(0, 1000))
def test_permuted_any_seed_and_epoch_is_a_permutation(num_rows: int, seed: int, epoch: int) -> None:
    row_N = data.permuted(np.arange(num_rows), num_rows, seed, epoch)
    assert sorted(row_N.tolist()) == list(range(num_rows))


def test_permuted_of_one_index_alone_equals_it_among_others() -> None:
    together = data.permuted(np.arange(1000), 1000, 7, 3)
    alone = [int(data.permuted(np.array([i]), 1000, 7, 3)[0]) for i in range(0, 1000, 37)]
    assert alone == together[::37].tolist()


def test_permuted_over_seeds_sends_every_index_everywhere_equally_often() -> None:
    counts = np.zeros((10, 10))
    for seed in range(2000):
        counts[np.arange(10), data.permuted(np.arange(10), 10, seed, 0)] += 1
    assert (np.abs(counts - 200) < 75).all()  # five and a half standard deviations of a binomial(2000, 0.1)


def test_permuted_neighbours_epochs_and_seeds_are_unlike() -> None:
    orders = [data.permuted(np.arange(512), 512, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    orders.append(np.arange(512))
    for i, first in enumerate(orders):
        for second in orders[:i]:
            assert (first == second).mean() < 0.02
    assert np.abs(np.corrcoef(orders[0][:-1], orders[0][1:])[0, 1]) < 0.15


def test_rows_at_any_cut_of_the_stream_is_the_same_stream() -> None:
    whole = data.rows_at(0, 100, 30, seed=5)
    pieces = [data.rows_at(start, 7, 30, seed=5) for start in range(0, 98, 7)]
    assert np.concatenate(pieces).tolist() == whole[:98].tolist()
    for epoch in range(3):
        assert sorted(whole[epoch * 30 : epoch * 30 + 30].tolist()) == list(range(30))


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_rank_rows_of_all_ranks_are_disjoint_and_make_up_the_batch(world_size: int) -> None:
    shares = [data.rank_rows(16, 8, rank, world_size, 50, 1).tolist() for rank in range(world_size)]
    together = [row for share in shares for row in share]
    assert together == data.rows_at(16, 8, 50, 1).tolist()
    assert len(set(together)) == 8


def test_read_batch_rows_hold_what_arrow_reads(tmp_path: Path) -> None:
    rows, expected = rows_of(tmp_path)
    assert rows.num_rows == len(expected)
    row_N = np.random.default_rng(0).permutation(rows.num_rows)
    batch = data.read_batch(rows, row_N)
    for i, row in enumerate(row_N):
        wanted = expected[row]
        num_real = wanted["num_real"]
        assert batch.ids_BT[i].tolist() == wanted["input_ids"]
        ends = [*wanted["segment_starts"][1:], num_real]
        segment, position, loss_start = [], [], []
        for s, (start, end) in enumerate(zip(wanted["segment_starts"], ends, strict=True)):
            segment += [s] * (end - start)
            position += range(end - start)
            loss_start += [wanted["loss_starts"][s]] * (end - start)
        assert batch.segment_BT[i, :num_real].tolist() == segment
        assert batch.position_BT[i, :num_real].tolist() == position
        assert batch.loss_start_BT[i, :num_real].tolist() == loss_start
        assert set(batch.segment_BT[i, num_real:].tolist()) <= {len(ends)}
        assert (batch.loss_start_BT[i, num_real:] >= LENGTH).all()


def test_open_rows_of_a_large_shard_allocates_next_to_nothing(tmp_path: Path) -> None:
    packed = pack(random_documents(3000, 60, 1), LENGTH, 8)
    path = write_shard(tmp_path / "train.arrow", packed, LENGTH, batch_rows=1000)
    before = pa.total_allocated_bytes()
    rows = data.open_rows([path], LENGTH, VOCAB_SIZE)
    assert rows.num_rows == len(packed)
    assert pa.total_allocated_bytes() - before < Path(path).stat().st_size / 100
    assert not rows.blocks[0].ids_NT.flags.owndata


def test_open_rows_with_another_length_is_refused_with_the_column(tmp_path: Path) -> None:
    path = write_shard(tmp_path / "train.arrow", pack([[1, 2, 3]], LENGTH, 8), LENGTH)
    with pytest.raises(DataError, match=r"input_ids.*rows of 64 tokens"):
        data.open_rows([path], 64, VOCAB_SIZE)


def test_open_rows_of_no_arrow_stream_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.arrow").write_text("this is no arrow stream, whatever its name says" * 10)
    with pytest.raises(DataError, match=r"text\.arrow"):
        data.open_rows([str(tmp_path / "text.arrow")], LENGTH, VOCAB_SIZE)
    with pytest.raises(StoreError, match=r"absent\.arrow"):
        data.open_rows([str(tmp_path / "absent.arrow")], LENGTH, VOCAB_SIZE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segment_starts": [0, 9, 5]}, "rising starts"),
        ({"segment_starts": [2, 5, 9]}, "rising starts"),
        ({"num_real": 40}, "at most 32"),
        ({"input_ids": [VOCAB_SIZE] * LENGTH}, "token id 258"),
    ],
)
def test_read_batch_of_a_damaged_row_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    row = pack([[1] * 10, [2] * 10, [3] * 10], LENGTH, 8)[0] | change
    rows = data.open_rows([write_shard(tmp_path / "train.arrow", [row], LENGTH)], LENGTH, VOCAB_SIZE)
    with pytest.raises(DataError, match=message):
        data.read_batch(rows, np.array([0]))
