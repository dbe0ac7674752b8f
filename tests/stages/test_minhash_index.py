"""Dedup against what earlier runs have seen: the clusters are those of one run over all, and the first copy stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError, FieldError, RunError
from pipeline.store import Folder
from stages import minhash
from stages.dedup import corpus, index_admin, index_folder, index_update
from tests.stages.test_minhash import BANDS, ROWS, K, _families, _layout, _preferred_first, _signed_table
from tests.wide_context import Outcome, run_wide

Partition = set[frozenset[bytes]]


def _config(index: Path, **fields: Any) -> minhash.Config:
    return minhash.Config(
        **{"num_bands": BANDS, "rows_per_band": ROWS, "threshold": 0.5, "index": str(index), **fields}
    )


@dataclass(frozen=True)
class _Crawls:
    """Crawls that are deduplicated one after another against one index, each by its name."""

    folder: Path
    num_shards: int = 2

    @property
    def index(self) -> Path:
        return self.folder / "index"

    def run(self, name: str, table: pa.Table, folder: str = "", **fields: Any) -> Outcome:
        shards = _layout(table, self.num_shards, len(name))
        return run_wide(
            "stages.minhash", _config(self.index, **fields), shards, self.folder / (folder or name),
            fingerprint=name.ljust(64, "0"),
        )  # fmt: skip


def _entries(index: Path) -> list[dict[str, Any]]:
    found = index_folder.read_index(Folder(str(index)))
    assert found is not None
    names = [file.name for update in found.updates for file in update.files]
    return [row for name in names for row in pq.read_table(index / name).to_pylist()]


def _clusters(edges: Iterable[tuple[bytes, bytes]], ids: Iterable[bytes]) -> Partition:
    component = {id_: {id_} for id_ in ids}
    for a, b in edges:
        merged = component.setdefault(a, {a}) | component.setdefault(b, {b})
        for id_ in merged:
            component[id_] = merged
    return {frozenset(members) for members in component.values() if len(members) > 1}


def _clusters_of(fates: Mapping[bytes, bytes | None]) -> Partition:
    return _clusters([(id_, of) for id_, of in fates.items() if of is not None], fates)


def _clusters_in(index: Path) -> Partition:
    rows = _entries(index)
    edges = [(row["id"], row["representative"]) for row in rows if row["id"]]
    edges += [(row["representative"], row["other"]) for row in rows if row["other"]]
    return _clusters(edges, [row["id"] for row in rows if row["id"]])


def _crawls(seed: int, num: int = 3) -> tuple[pa.Table, list[pa.Table]]:
    """Everything, and the same documents in `num` crawls: families are torn apart."""
    table = _signed_table(_families(seed))
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return table, [table.take(pa.array(part)) for part in np.array_split(order, num)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_index_crawls_in_any_order_give_the_clusters_of_one_run(tmp_path: Path, order: tuple[int, ...]) -> None:
    everything, crawls = _crawls(seed=11)
    whole = run_wide("stages.minhash", replace(_config(tmp_path), index=""), [everything], tmp_path / "whole")
    runs = _Crawls(tmp_path)
    kept = 0
    for number in order:
        outcome = runs.run(f"{number}", crawls[number])
        kept += outcome.kept.num_rows
        assert outcome.kept.num_rows + outcome.dropped.num_rows == crawls[number].num_rows
    assert _clusters_in(runs.index) == _clusters_of(whole.fates())
    assert kept >= whole.kept.num_rows, "two copies may stay that only a later crawl shows to be one"
    assert kept - whole.kept.num_rows < 0.1 * kept


def test_index_document_of_an_earlier_crawl_stays_whatever_the_policy_prefers(tmp_path: Path) -> None:
    signature = np.arange(1, K + 1, dtype=np.uint32)
    table = _signed_table(np.stack([signature, signature, signature + 1000]), ["short", "a longer text", "another"])
    runs = _Crawls(tmp_path, num_shards=1)
    first = runs.run("first", table.slice(0, 1))
    second = runs.run("second", table.slice(1))
    assert first.kept.num_rows == 1
    [dropped] = second.dropped.to_pylist()
    assert (dropped["id"], dropped["duplicate_of"]) == (table["id"][1].as_py(), table["id"][0].as_py())
    assert (dropped["reason"], dropped["value"]) == ("near_duplicate", 1.0)
    assert second.kept["duplicate_count"].to_pylist() == [1]
    counters = second.report.counters
    assert (counters["entries_in_index"], counters["duplicates_of_earlier_runs"]) == (1, 1)
    assert counters["documents_added_to_index"] == 2


def test_index_same_documents_with_other_settings_are_no_duplicates_of_themselves(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=5))
    runs = _Crawls(tmp_path)
    runs.run("crawl", table)
    again = runs.run("crawl", table, "again", threshold=0.8)
    alone = run_wide(
        "stages.minhash", replace(_config(tmp_path), index="", threshold=0.8), _layout(table, 2, 5), tmp_path / "alone"
    )
    assert again.kept.num_rows >= alone.kept.num_rows * 0.9
    ids = [row["id"] for row in _entries(runs.index) if row["id"]]
    assert len(ids) == 2 * table.num_rows, "both updates are there; the later one counts"
    third = runs.run("third", table.slice(0, 50), "third")
    assert third.report.counters["duplicates_of_earlier_runs"] < 50


def test_index_interrupted_update_leaves_the_index_whole_and_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, crawls = _crawls(seed=3, num=2)
    unbroken, broken = _Crawls(tmp_path / "unbroken"), _Crawls(tmp_path / "broken")
    for runs in (unbroken, broken):
        runs.run("first", crawls[0])
    before = (broken.index / "index.json").read_bytes()
    expected = unbroken.run("second", crawls[1])

    def fail(*arguments: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(index_update, "write_index", fail)
        with pytest.raises(RuntimeError):
            broken.run("second", crawls[1])
    assert (broken.index / "index.json").read_bytes() == before
    assert index_admin.info(Folder(str(broken.index)))["documents"] == crawls[0].num_rows
    outcome = broken.run("second", crawls[1], "resumed")
    assert outcome.kept.equals(expected.kept)
    assert outcome.dropped.equals(expected.dropped)
    files = {p.relative_to(unbroken.index): p.read_bytes() for p in unbroken.index.rglob("*.*") if p.is_file()}
    assert {p.relative_to(broken.index): p.read_bytes() for p in broken.index.rglob("*.*") if p.is_file()} == files


def test_index_run_repeated_after_its_update_gives_the_same_bytes(tmp_path: Path) -> None:
    _, crawls = _crawls(seed=8, num=2)
    runs = _Crawls(tmp_path)
    runs.run("first", crawls[0])
    once = runs.run("second", crawls[1])
    before = (runs.index / "index.json").read_bytes()
    twice = runs.run("second", crawls[1], "second again")
    assert twice.kept.equals(once.kept)
    assert twice.dropped.equals(once.dropped)
    assert (runs.index / "index.json").read_bytes() == before


def test_index_shard_layout_and_groups_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, crawls = _crawls(seed=6, num=2)
    whole, parts = _Crawls(tmp_path / "whole", 1), _Crawls(tmp_path / "parts", 5)
    expected = [whole.run(f"{n}", crawl) for n, crawl in enumerate(crawls)]
    monkeypatch.setattr(corpus, "TASK_DOCS", 30)
    for n, crawl in enumerate(crawls):
        outcome = parts.run(f"{n}", crawl)
        assert outcome.kept.equals(expected[n].kept)
        assert outcome.dropped.equals(expected[n].dropped)
    assert _clusters_in(parts.index) == _clusters_in(whole.index)


def test_index_that_changes_while_a_run_uses_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, crawls = _crawls(seed=9, num=3)
    runs = _Crawls(tmp_path)
    runs.run("first", crawls[0])
    update = index_update.update

    def update_after_another(*arguments: Any) -> None:
        monkeypatch.setattr(index_update, "update", update)
        runs.run("between", crawls[2])
        update(*arguments)

    monkeypatch.setattr(index_update, "update", update_after_another)
    with pytest.raises(RunError, match="has changed since this run began"):
        runs.run("second", crawls[1])


def test_index_of_other_signatures_names_both(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=2, num_families=5))
    _Crawls(tmp_path).run("first", table)
    with pytest.raises(DataError, match=r"seed 1; expected seed 2"):
        _Crawls(tmp_path).run("second", table, seed=2)


def test_index_damaged_json_is_named(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=2, num_families=5))
    runs = _Crawls(tmp_path)
    runs.run("first", table)
    (runs.index / "index.json").write_text('{"format": 1, "upd')
    with pytest.raises(DataError, match="a damaged index"):
        runs.run("second", table)


def test_index_same_id_for_another_url_is_named(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=2, num_families=5))
    at = table.schema.get_field_index("url")
    for crawl in ("first", "second"):
        urls = pa.array([f"https://{crawl}.example/{n}" for n in range(table.num_rows)])
        table = table.set_column(at, "url", urls)
        if crawl == "first":
            _Crawls(tmp_path).run(crawl, table)
    with pytest.raises(DataError, match=r"ids stand for other URLs.*give it `id_column`"):
        _Crawls(tmp_path).run("second", table)


def test_index_with_exact_verification_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="keeps signatures, and no texts"):
        _config(tmp_path, verify="exact")


def test_index_preference_among_documents_of_one_run_is_the_policy(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=4))
    outcome = _Crawls(tmp_path).run("only", table)
    ids = table["id"].to_pylist()
    place = {ids[i]: at for at, i in enumerate(_preferred_first(table))}
    assert all(place[of] < place[id_] for id_, of in outcome.fates().items() if of is not None)
