"""Dedup against what earlier runs have seen: the clusters are those of one run over all, and the first copy stays."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DataError, FieldError, RunError
from pipeline.store import Folder
from stages.dedup import corpus, index_admin, index_update
from tests.stages.index_crawls import (
    Crawls,
    allow_drawn_signatures,
    clusters_in,
    clusters_of,
    config,
    entries,
)
from tests.stages.index_crawls import crawls as drawn_crawls
from tests.stages.test_minhash import K, _families, _layout, _preferred_first, _signed_table
from tests.wide_context import run_wide

pytestmark = pytest.mark.usefixtures("drawn_signatures")


@pytest.fixture
def drawn_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_drawn_signatures(monkeypatch)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_index_crawls_in_any_order_give_the_clusters_of_one_run(tmp_path: Path, order: tuple[int, ...]) -> None:
    everything, crawls = drawn_crawls(seed=11)
    whole = run_wide("stages.minhash", replace(config(tmp_path), index=""), [everything], tmp_path / "whole")
    runs = Crawls(tmp_path)
    kept = 0
    for number in order:
        outcome = runs.run(f"{number}", crawls[number])
        kept += outcome.kept.num_rows
        assert outcome.kept.num_rows + outcome.dropped.num_rows == crawls[number].num_rows
    assert clusters_in(runs.index) == clusters_of(whole.fates())
    assert kept >= whole.kept.num_rows, "two copies may stay that only a later crawl shows to be one"
    assert kept - whole.kept.num_rows < 0.1 * kept


def test_index_document_of_an_earlier_crawl_stays_whatever_the_policy_prefers(tmp_path: Path) -> None:
    signature = np.arange(1, K + 1, dtype=np.uint32)
    table = _signed_table(np.stack([signature, signature, signature + 1000]), ["short", "a longer text", "another"])
    runs = Crawls(tmp_path, num_shards=1)
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
    runs = Crawls(tmp_path)
    runs.run("crawl", table)
    again = runs.run("crawl", table, "again", threshold=0.8)
    alone = run_wide(
        "stages.minhash", replace(config(tmp_path), index="", threshold=0.8), _layout(table, 2, 5), tmp_path / "alone"
    )
    assert again.kept.num_rows >= alone.kept.num_rows * 0.9
    ids = [row["id"] for row in entries(runs.index) if row["id"]]
    assert len(ids) == 2 * table.num_rows, "both updates are there; the later one counts"
    third = runs.run("third", table.slice(0, 50), "third")
    assert third.report.counters["duplicates_of_earlier_runs"] < 50


def test_index_interrupted_update_leaves_the_index_whole_and_resumes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, crawls = drawn_crawls(seed=3, num=2)
    unbroken, broken = Crawls(tmp_path / "unbroken"), Crawls(tmp_path / "broken")
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
    assert index_admin.info(Folder(str(broken.index)))["entries"] == crawls[0].num_rows
    outcome = broken.run("second", crawls[1], "resumed")
    assert outcome.kept.equals(expected.kept)
    assert outcome.dropped.equals(expected.dropped)
    files = {p.relative_to(unbroken.index): p.read_bytes() for p in unbroken.index.rglob("*.*") if p.is_file()}
    assert {p.relative_to(broken.index): p.read_bytes() for p in broken.index.rglob("*.*") if p.is_file()} == files


def test_index_run_repeated_after_its_update_gives_the_same_bytes(tmp_path: Path) -> None:
    _, crawls = drawn_crawls(seed=8, num=2)
    runs = Crawls(tmp_path)
    runs.run("first", crawls[0])
    once = runs.run("second", crawls[1])
    before = (runs.index / "index.json").read_bytes()
    twice = runs.run("second", crawls[1], "second again")
    assert twice.kept.equals(once.kept)
    assert twice.dropped.equals(once.dropped)
    assert (runs.index / "index.json").read_bytes() == before


def test_index_shard_layout_and_groups_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, crawls = drawn_crawls(seed=6, num=2)
    whole, parts = Crawls(tmp_path / "whole", 1), Crawls(tmp_path / "parts", 5)
    expected = [whole.run(f"{n}", crawl) for n, crawl in enumerate(crawls)]
    monkeypatch.setattr(corpus, "TASK_DOCS", 30)
    for n, crawl in enumerate(crawls):
        outcome = parts.run(f"{n}", crawl)
        assert outcome.kept.equals(expected[n].kept)
        assert outcome.dropped.equals(expected[n].dropped)
    assert clusters_in(parts.index) == clusters_in(whole.index)


def test_index_that_changes_while_a_run_uses_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, crawls = drawn_crawls(seed=9, num=3)
    runs = Crawls(tmp_path)
    runs.run("first", crawls[0])
    update = index_update.update

    def update_after_another(*arguments: Any) -> None:
        monkeypatch.setattr(index_update, "update", update)
        runs.run("between", crawls[2])
        update(*arguments)

    monkeypatch.setattr(index_update, "update", update_after_another)
    with pytest.raises(RunError, match="has changed since this run was planned"):
        runs.run("second", crawls[1])


def test_index_of_other_signatures_names_both(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=2, num_families=5))
    Crawls(tmp_path).run("first", table)
    with pytest.raises(DataError, match=r"seed 1; expected seed 2"):
        Crawls(tmp_path).run("second", table, seed=2)


def test_index_damaged_json_is_named(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=2, num_families=5))
    runs = Crawls(tmp_path)
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
            Crawls(tmp_path).run(crawl, table)
    with pytest.raises(DataError, match=r"ids stand for other URLs.*give it `id_column`"):
        Crawls(tmp_path).run("second", table)


def test_index_with_exact_verification_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldError, match="keeps signatures, and no texts"):
        config(tmp_path, verify="exact")


def test_index_preference_among_documents_of_one_run_is_the_policy(tmp_path: Path) -> None:
    table = _signed_table(_families(seed=4))
    outcome = Crawls(tmp_path).run("only", table)
    ids = table["id"].to_pylist()
    place = {ids[i]: at for at, i in enumerate(_preferred_first(table))}
    assert all(place[of] < place[id_] for id_, of in outcome.fates().items() if of is not None)


def test_index_removal_between_an_update_and_its_commit_leaves_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before index.json, a removal that changes other entries, then resumed: the run is planned anew."""
    _, drawn = drawn_crawls(seed=13, num=2)
    runs = Crawls(tmp_path)
    runs.run("first", drawn[0])
    with monkeypatch.context() as patch:
        patch.setattr(index_update, "write_index", lambda *arguments: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError):
            runs.run("second", drawn[1])
    written = set(runs.index.rglob("*.parquet"))
    index_admin.remove(Folder(str(runs.index)), ["https://typo.example/"])
    assert written <= set(runs.index.rglob("*.parquet"))
    runs.run("second", drawn[1], "again")
    named = [file.name for update in index_admin.open_index(Folder(str(runs.index))).updates for file in update.files]
    assert all((runs.index / name).exists() for name in named)
    runs.run("third", drawn[0].slice(0, 20))


def test_index_files_it_names_are_never_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that runs again after a removal and is killed before its commit has changed nothing that is named."""
    _, drawn = drawn_crawls(seed=14)
    runs = Crawls(tmp_path)
    for name, crawl in zip("abc", drawn, strict=True):
        runs.run(name, crawl)
    index_admin.remove(Folder(str(runs.index)), [drawn[0]["id"][n].as_py().hex() for n in range(20)])
    named = {
        f.name: (runs.index / f.name).read_bytes()
        for u in index_admin.open_index(Folder(str(runs.index))).updates
        for f in u.files
    }
    with monkeypatch.context() as patch:
        patch.setattr(index_update, "write_index", lambda *arguments: (_ for _ in ()).throw(RuntimeError("killed")))
        with pytest.raises(RuntimeError):
            runs.run("b", drawn[1], "b again")
    assert {name: (runs.index / name).read_bytes() for name in named} == named


def test_index_that_is_not_as_planned_is_refused(tmp_path: Path) -> None:
    _, drawn = drawn_crawls(seed=15, num=2)
    runs = Crawls(tmp_path)
    runs.run("first", drawn[0])
    with pytest.raises(RunError, match="has changed since this run was planned"):
        runs.run("second", drawn[1], outside={"updates": [], "removed": ""})


def test_index_same_id_for_another_text_without_url_is_named(tmp_path: Path) -> None:
    runs = Crawls(tmp_path)
    first, second = (_signed_table(_families(seed, num_families=5)).slice(5, 10) for seed in (2, 3))
    runs.run("first", first)
    with pytest.raises(DataError, match=r"index: 10 ids stand for other URLs or texts.*give it `id_column`"):
        runs.run("second", second)


def test_index_two_urls_under_one_id_in_one_run_are_named(tmp_path: Path) -> None:
    table = pa.concat_tables([_signed_table(_families(seed=2, num_families=5)).slice(6, 1)] * 2)
    at = table.schema.get_field_index("url")
    table = table.set_column(at, "url", pa.array(["https://a.example/", "https://b.example/"]))
    with pytest.raises(DataError, match="1 ids stand for other URLs"):
        Crawls(tmp_path).run("first", table)


@pytest.mark.parametrize("place", ["https://user:secret@host.example/idx", "ftp://host.example/idx"])
def test_index_address_that_no_folder_can_be_at_is_refused_without_its_secrets(tmp_path: Path, place: str) -> None:
    with pytest.raises(FieldError, match=r"a local folder, s3://") as error:
        replace(config(tmp_path), index=place)
    assert "secret" not in str(error.value)


def test_index_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("")
    with pytest.raises(DataError, match=r"index: a file; expected a folder"):
        Crawls(tmp_path).run("first", _signed_table(_families(seed=2, num_families=5)))
