"""Rows with equal keys meet in one partition, none is lost, and the order is that of the producing items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import exchange
from pipeline.exchange import opened, partition_of, write_partitions
from pipeline.store import Folder


def batches(seed: int, num_batches: int) -> list[pa.RecordBatch]:
    rng = np.random.default_rng(seed)
    keys = [rng.integers(0, 1 << 64, 500, dtype=np.uint64) for _ in range(num_batches)]
    return [
        pa.record_batch({"key": pa.array(key_N), "row": pa.array(np.arange(500) + 500 * i + 10_000 * seed)})
        for i, key_N in enumerate(keys)
    ]


@pytest.mark.parametrize("buffer_bytes", [1, 20_000, 1 << 25])
def test_exchange_rows_meet_by_key_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer_bytes: int
) -> None:
    monkeypatch.setattr(exchange, "BUFFER_BYTES", buffer_bytes)
    folder = Folder(str(tmp_path))
    produced = [batches(seed, 5) for seed in range(3)]
    results = [write_partitions(folder, "rows", i, items, 7) for i, items in enumerate(produced)]
    reader = opened(folder, "rows", 7, results)
    got = [pa.Table.from_batches(list(reader.read(p))) for p in range(7)]
    for partition, table in enumerate(got):
        assert (partition_of(table["key"].to_numpy(), 7) == partition).all()
        rows = table["row"].to_numpy()
        assert (rows == np.sort(rows)).all(), "items in order, rows of an item in order"
    everything = pa.Table.from_batches([b for items in produced for b in items])
    together = pa.concat_tables(got).sort_by("row")
    assert together.equals(everything.sort_by("row").combine_chunks())


def test_exchange_item_that_yields_nothing_writes_no_file(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    result = write_partitions(folder, "rows", 0, [batches(0, 1)[0].slice(0, 0)], 4)
    assert list(tmp_path.iterdir()) == []
    assert list(opened(folder, "rows", 4, [result]).read(2)) == []


def test_exchange_partitions_without_rows_are_empty(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    one = pa.record_batch({"key": pa.array([5 << 60], pa.uint64()), "row": pa.array([7])})
    reader = opened(folder, "rows", 16, [write_partitions(folder, "rows", 0, [one], 16)])
    assert [[b.to_pylist() for b in reader.read(p)] for p in (4, 5, 6)] == [[], [one.to_pylist()], []]


def test_partition_of_hashed_keys_is_even() -> None:
    key_N = np.random.default_rng(0).integers(0, 1 << 64, 100_000, dtype=np.uint64)
    counts = np.bincount(partition_of(key_N, 10), minlength=10)
    assert counts.min() > 9_000
    assert partition_of(np.array([0, 2**64 - 1], np.uint64), 10).tolist() == [0, 9]
