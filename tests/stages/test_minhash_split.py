"""Large clusters: counted, and taken apart as a leader clustering in plain Python takes them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages import minhash
from stages.dedup import corpus, splitting
from tests.stages.test_minhash import BANDS, ROWS, K, _layout, _preferred_first, _run, _signed_table


def _drifting_chain(length: int, seed: int) -> np.ndarray:
    """Each page is like the one before it in all but two rows, so that the ends have nothing in common."""
    rng = np.random.default_rng(seed)
    chain = rng.integers(1, 1 << 32, (length, K), dtype=np.uint32)
    for before, after in pairwise(range(length)):
        changed = chain[after, [(2 * after) % K, (2 * after + 1) % K]]
        chain[after] = chain[before]
        chain[after, [(2 * after) % K, (2 * after + 1) % K]] = changed
    return chain


def _config(**fields: object) -> minhash.Config:
    return minhash.Config(num_bands=BANDS, rows_per_band=ROWS, threshold=0.7, alarm_size=50, **fields)  # type: ignore[arg-type]


def _leader_clustering(table: pa.Table, max_leaders: int) -> dict[bytes, bytes | None]:
    """Each page joins the first leader it agrees with in enough rows, in order of preference, or leads itself."""
    ids = table["id"].to_pylist()
    signatures = np.array(table["signature"].to_pylist())
    leaders: list[int] = []
    fates: dict[bytes, bytes | None] = {}
    for i in _preferred_first(table):
        leader = next((j for j in leaders if (signatures[i] == signatures[j]).sum() / K >= 0.7), None)
        if leader is None and len(leaders) < max_leaders:
            leaders.append(i)
        fates[ids[i]] = None if leader is None else ids[leader]
    return fates


@pytest.mark.parametrize("num_shards, leaders_at_a_time", [(1, 64), (3, 64), (3, 7), (2, 1)])
def test_split_large_chain_equals_leader_clustering_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, leaders_at_a_time: int
) -> None:
    monkeypatch.setattr(splitting, "LEADERS", leaders_at_a_time)
    monkeypatch.setattr(splitting, "MAX_ROUNDS", 200)
    monkeypatch.setattr(corpus, "TASK_DOCS", 100)
    table = _signed_table(_drifting_chain(400, 3))
    outcome = _run(_config(split_large=True), _layout(table, num_shards, 1), tmp_path)
    assert outcome.fates() == _leader_clustering(table, max_leaders=400)
    assert outcome.kept.num_rows > 50
    assert outcome.report.counters["large_clusters"] == 1
    assert outcome.report.counters["documents_in_large_clusters"] == 400
    assert outcome.report.counters["split_members_left_alone"] == 0
    assert min(outcome.dropped["value"].to_pylist()) >= 0.7


def test_split_large_members_beyond_the_rounds_stand_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "LEADERS", 5)
    monkeypatch.setattr(splitting, "MAX_ROUNDS", 1)
    table = _signed_table(_drifting_chain(200, 4))
    outcome = _run(_config(split_large=True), [table], tmp_path)
    led = {of for of in outcome.fates().values() if of is not None}
    assert 1 <= len(led) <= 5
    assert outcome.report.counters["split_members_left_alone"] > 100
    assert outcome.kept.num_rows + outcome.dropped.num_rows == 200


def test_split_large_leaves_smaller_clusters_as_they_are(tmp_path: Path) -> None:
    table = _signed_table(np.concatenate([_drifting_chain(40, seed) for seed in range(3)]))
    split = _run(_config(split_large=True), [table], tmp_path / "split")
    whole = _run(_config(), [table], tmp_path / "whole")
    assert split.kept.equals(whole.kept)
    assert split.dropped.equals(whole.dropped)
    assert split.kept["duplicate_count"].to_pylist() == [40, 40, 40]


def test_split_large_boilerplate_page_stays_one_cluster(tmp_path: Path) -> None:
    page = np.arange(1, K + 1, dtype=np.uint32)
    table = _signed_table(np.tile(page, (3_000, 1)), ["same"] * 3_000)
    outcome = _run(_config(split_large=True), _layout(table, 2, 0), tmp_path)
    assert outcome.kept["duplicate_count"].to_pylist() == [3_000]
    assert outcome.report.counters["large_clusters"] == 1
