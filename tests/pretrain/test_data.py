from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import DataError, StoreError
from pipeline.schemas import tokens_schema
from pipeline.store import Folder
from pretrain import data, objectives
from stages.pack import Config, Packing, mode_of
from stages.packing.token_shard import TokenShard
from tests.pretrain.packed import EOT_ID, PAD_ID, VOCAB_SIZE, contract, pack, random_documents, write_shard

LENGTH = 32


def rows_of(folder: Path, num_documents: int = 40) -> tuple[data.Rows, list]:
    parts = [pack(random_documents(num_documents, 60, seed), LENGTH, 8) for seed in (1, 2)]
    paths = [write_shard(folder / f"train-{i}.arrow", part, LENGTH) for i, part in enumerate(parts)]
    return data.open_rows(paths, contract(LENGTH)), parts[0] + parts[1]


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
    rows = data.open_rows([path], contract(LENGTH))
    assert rows.num_rows == len(packed)
    assert pa.total_allocated_bytes() - before < Path(path).stat().st_size / 100
    assert not rows.blocks[0].ids_NT.flags.owndata


def test_open_rows_with_other_columns_than_it_says_is_refused_with_the_column(tmp_path: Path) -> None:
    metadata = {b"crawlmill": json.dumps(contract(64)).encode()}
    path = write_shard(tmp_path / "train.arrow", pack([[1, 2, 3]], LENGTH, 8), LENGTH, metadata=metadata)
    with pytest.raises(DataError, match=r"input_ids.*rows of 64 tokens"):
        data.open_rows([path], contract(64))


@pytest.mark.parametrize(
    "field, other",
    [("tokenizer_sha256", "0" * 64), ("length", 64), ("dtype", "uint32"), ("eot_id", 3), ("vocab_size", 70_000)],
)
def test_open_rows_packed_with_anything_else_is_refused_and_names_both(tmp_path: Path, field: str, other: Any) -> None:
    rows = pack([[1, 2, 3]], LENGTH, 8)
    good = write_shard(tmp_path / "train-0.arrow", rows, LENGTH)
    metadata = {b"crawlmill": json.dumps(contract(LENGTH) | {field: other}).encode()}
    bad = write_shard(tmp_path / "train-1.arrow", rows, LENGTH, metadata=metadata)
    with pytest.raises(DataError) as caught:
        data.open_rows([good, bad], contract(LENGTH))
    message = str(caught.value)
    assert message.startswith(f"{bad}: ")
    assert f"{field} {other};" in message
    assert f"expected {field} {contract(LENGTH)[field]}," in message


@pytest.mark.parametrize("metadata", [{}, {b"other": b"1"}, {b"crawlmill": b"{}"}, {b"crawlmill": b"[1]"}])
def test_open_rows_without_metadata_is_refused_with_what_is_missing(tmp_path: Path, metadata: dict) -> None:
    path = write_shard(tmp_path / "train.arrow", pack([[1, 2, 3]], LENGTH, 8), LENGTH, metadata=metadata)
    with pytest.raises(DataError, match=r"does not say its tokenizer_sha256, .*eot_id; .*run the step that packed it"):
        data.open_rows([path], contract(LENGTH))


def test_open_rows_with_metadata_that_is_no_json_is_refused(tmp_path: Path) -> None:
    rows = pack([[1, 2, 3]], LENGTH, 8)
    path = write_shard(tmp_path / "train.arrow", rows, LENGTH, metadata={b"crawlmill": b"\xff{"})
    with pytest.raises(DataError, match="no JSON"):
        data.open_rows([path], contract(LENGTH))


def test_open_rows_of_no_arrow_stream_or_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.arrow").write_text("this is no arrow stream, whatever its name says" * 10)
    with pytest.raises(DataError, match=r"text\.arrow"):
        data.open_rows([str(tmp_path / "text.arrow")], contract(LENGTH))
    with pytest.raises(StoreError, match=r"absent\.arrow"):
        data.open_rows([str(tmp_path / "absent.arrow")], contract(LENGTH))


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
    rows = data.open_rows([write_shard(tmp_path / "train.arrow", [row], LENGTH)], contract(LENGTH))
    with pytest.raises(DataError, match=message):
        data.read_batch(rows, np.array([0]))


def packed_shard(folder: Path, documents: list[list[int]], mode: Any) -> str:
    """A shard of stages.pack; documents' ids are their numbers."""
    schema = tokens_schema(LENGTH, VOCAB_SIZE, {b"crawlmill": json.dumps(contract(LENGTH)).encode()})
    offset_D = np.cumsum([0, *map(len, documents)])
    id_D16 = np.frombuffer(b"".join(i.to_bytes(16, "big") for i in range(len(documents))), np.uint8).reshape(-1, 16)
    chosen = np.flatnonzero(np.diff(offset_D))
    cutting = mode_of(Config(packing=mode, length=LENGTH, overlap=8 if mode == "overlap" else None))
    with TokenShard(Folder(str(folder)), "train.arrow", schema, PAD_ID, cutting) as shard:
        shard.add(chosen, np.concatenate(documents).astype(np.uint32), offset_D, id_D16, EOT_ID)
    return str(folder / "train.arrow")


@pytest.mark.parametrize("mode", get_args(Packing))
def test_read_batch_of_every_packing_has_each_token_as_target_once(tmp_path: Path, mode: str) -> None:
    random = np.random.default_rng(5)
    documents = [random.integers(0, 256, n).tolist() for n in (*random.integers(0, 60, 80), 1, 2, 29, 30, 31, 700)]
    path = packed_shard(tmp_path, documents, mode)
    rows = data.open_rows([path], contract(LENGTH))
    batch = data.read_batch(rows, np.arange(rows.num_rows))
    target_BT = objectives.next_token_targets(batch.ids_BT, batch.segment_BT, batch.loss_start_BT)
    streams = {i: [EOT_ID, *ids, EOT_ID] for i, ids in enumerate(documents) if ids}
    predicted: Counter[tuple[int, int]] = Counter()
    for r, row in enumerate(pa.ipc.open_stream(path).read_all().to_pylist()):
        for place in np.flatnonzero(target_BT[r] != objectives.IGNORED):
            segment, position = int(batch.segment_BT[r, place]), int(batch.position_BT[r, place])
            document = int.from_bytes(row["segment_docs"][segment], "big")
            at = row["segment_offsets"][segment] + position
            assert streams[document][at] == batch.ids_BT[r, place]
            assert streams[document][at + 1] == target_BT[r, place]
            predicted[document, at + 1] += 1
    assert predicted == Counter((i, at) for i, stream in streams.items() for at in range(1, len(stream)))
