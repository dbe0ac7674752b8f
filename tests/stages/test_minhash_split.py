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


def _mutants(rng: np.random.Generator, signature_NK: np.ndarray, num_rows: int) -> np.ndarray:
    """The signatures, up to `num_rows` rows of each changed."""
    changed_NK = rng.permuted(np.tile(np.arange(K), (len(signature_NK), 1)), axis=1) < rng.integers(0, num_rows + 1)
    return np.where(changed_NK, rng.integers(1, 1 << 32, signature_NK.shape, dtype=np.uint32), signature_NK)


def _copied_chain(seed: int, length: int, copies: int, near: int = 0) -> np.ndarray:
    """A drifting chain of which each page stands up to `copies` times, and `near` times somewhat changed."""
    rng = np.random.default_rng(seed)
    chain = _drifting_chain(length, seed)
    equal = np.repeat(chain, rng.integers(1, copies + 1, length), axis=0)
    return np.concatenate([equal, _mutants(rng, np.repeat(chain, near, axis=0), 4)])


def _leader_clustering(table: pa.Table) -> dict[bytes, bytes | None]:
    """Each page joins the first leader it agrees with in enough rows, in order of preference, or leads itself."""
    ids = table["id"].to_pylist()
    signatures = np.array(table["signature"].to_pylist())
    leaders: list[int] = []
    fates: dict[bytes, bytes | None] = {}
    for i in _preferred_first(table):
        like = np.flatnonzero((signatures[leaders] == signatures[i]).sum(axis=1) / K >= 0.7) if leaders else []
        fates[ids[i]] = ids[leaders[like[0]]] if len(like) else None
        if not len(like):
            leaders.append(i)
    return fates


def _split_by_hand(table: pa.Table, whole: dict[bytes, bytes | None]) -> dict[bytes, bytes | None]:
    """The fates of pages, given those with clusters left whole: those of 50 and more are taken apart."""
    fates = dict(whole)
    for representative in {of for of in whole.values() if of is not None}:
        members = [id_ for id_, of in whole.items() if representative in (id_, of)]
        if len(members) >= 50:
            fates |= _leader_clustering(table.filter(pa.compute.is_in(table["id"], pa.array(members, pa.binary(16)))))
    return fates


def _few_at_a_time(monkeypatch: pytest.MonkeyPatch, contenders: int, max_rounds: int = 10**6) -> None:
    monkeypatch.setattr(splitting, "CONTENDERS", contenders)
    monkeypatch.setattr(splitting, "LEAST_CONTENDERS", min(contenders, 3))
    monkeypatch.setattr(splitting, "MAX_ROUNDS", max_rounds)


@pytest.mark.parametrize("num_shards, contenders", [(1, 10**4), (3, 10**4), (3, 20), (2, 1)])
def test_split_large_chain_equals_leader_clustering_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, contenders: int
) -> None:
    _few_at_a_time(monkeypatch, contenders)
    monkeypatch.setattr(corpus, "TASK_DOCS", 100)
    table = _signed_table(_drifting_chain(200 if contenders == 1 else 400, 3))
    outcome = _run(_config(split_large=True), _layout(table, num_shards, 1), tmp_path)
    assert outcome.fates() == _leader_clustering(table)
    assert outcome.kept.num_rows > 25
    assert outcome.report.counters["large_clusters"] == 1
    assert outcome.report.counters["documents_in_large_clusters"] == table.num_rows
    assert outcome.report.counters["split_members_left_alone"] == 0
    assert min(outcome.dropped["value"].to_pylist()) >= 0.7


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("num_shards, contenders", [(1, 7), (4, 10**4), (4, 30), (9, 5)])
def test_split_large_chains_of_copies_equal_leader_clustering_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, contenders: int, seed: int
) -> None:
    """Chains whose pages have copies, equal ones and others, in several groups."""
    _few_at_a_time(monkeypatch, contenders)
    monkeypatch.setattr(corpus, "TASK_DOCS", 50)
    pages = [_copied_chain(2 * seed, 60, 1 + 4 * (seed % 3), near=seed % 4), _copied_chain(2 * seed + 1, 20, 9)]
    table = _signed_table(np.concatenate(pages))
    whole = _run(_config(), [table], tmp_path / "whole").fates()
    outcome = _run(_config(split_large=True), _layout(table, num_shards, seed), tmp_path / "split")
    assert outcome.report.counters["large_clusters"] >= 2
    assert outcome.report.counters["split_members_left_alone"] == 0
    assert outcome.fates() == _split_by_hand(table, whole)


def test_split_large_chain_of_many_copies_keeps_no_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 pages of which each has 70 equal copies: one round looks at 60 signatures, and no two of them are equal."""
    _few_at_a_time(monkeypatch, 60)
    table = _signed_table(np.repeat(_drifting_chain(60, 5), 70, axis=0), ["text"] * 4_200)
    outcome = _run(_config(split_large=True), _layout(table, 3, 0), tmp_path)
    assert outcome.fates() == _leader_clustering(table)
    assert outcome.kept.num_rows < 60
    assert outcome.report.counters["split_members_left_alone"] == 0
    assert outcome.report.counters["split_rounds"] == 1


def test_split_large_groups_preferred_to_others_take_two_rounds_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages of each shard are longer than those of all shards behind it, as where the latest are preferred."""
    _few_at_a_time(monkeypatch, 60)
    monkeypatch.setattr(corpus, "TASK_DOCS", 40)
    table = _signed_table(_drifting_chain(400, 6), [f"text {(10 - n // 40) * 'x'}" for n in range(400)])
    outcome = _run(_config(split_large=True), [table.slice(40 * n, 40) for n in range(10)], tmp_path)
    assert outcome.fates() == _leader_clustering(table)
    assert outcome.report.counters["split_rounds"] <= 20


@pytest.mark.parametrize("num_shards", [1, 4])
def test_split_large_members_beyond_the_rounds_join_their_copies_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int
) -> None:
    """The preferred member of equal ones stays, whatever it is like; nothing equal to what stays does."""
    _few_at_a_time(monkeypatch, 5, max_rounds=1)
    monkeypatch.setattr(corpus, "TASK_DOCS", 150)
    table = _signed_table(np.repeat(_drifting_chain(100, 4), 6, axis=0), ["text"] * 600)
    outcome = _run(_config(split_large=True), _layout(table, num_shards, 2), tmp_path)
    content = dict(zip(table["id"].to_pylist(), map(tuple, table["signature"].to_pylist()), strict=True))
    kept = outcome.kept["id"].to_pylist()
    assert len({content[id_] for id_ in kept}) == len(kept)
    assert 60 < len(kept) < 100
    assert 300 < outcome.report.counters["split_members_left_alone"] < 600
    assert outcome.report.counters["split_rounds"] == 1
    assert sum(outcome.kept["duplicate_count"].to_pylist()) == 600
    for id_, of in outcome.fates().items():
        if of is not None and content[id_] == content[of]:
            assert of < id_
        elif of is not None:
            assert sum(a == b for a, b in zip(content[id_], content[of], strict=True)) / K >= 0.7


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
