"""Removing documents from an index leaves nothing of them; merging indexes gives what one index would have given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DataError, RunError
from pipeline.store import Folder
from stages import minhash
from stages.dedup import index_admin, index_folder
from tests.stages.index_crawls import Crawls, allow_drawn_signatures, clusters_in, clusters_of, config, entries
from tests.stages.index_crawls import crawls as drawn_crawls
from tests.stages.test_minhash import K, _signed_table
from tests.wide_context import run_wide

pytestmark = pytest.mark.usefixtures("drawn_signatures")


@pytest.fixture
def drawn_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    allow_drawn_signatures(monkeypatch)


def _with_urls(table: pa.Table) -> pa.Table:
    urls = pa.array([f"https://a.example/{id_.hex()}" for id_ in table["id"].to_pylist()])
    return table.set_column(table.schema.get_field_index("url"), "url", urls)


def _files(index: Path) -> dict[str, bytes]:
    return {str(p.relative_to(index)): p.read_bytes() for p in index.rglob("*") if p.is_file() and p.name != ".lock"}


def _page(number: int) -> np.ndarray:
    return np.arange(1, K + 1, dtype=np.uint32) + np.uint32(1000 * number)


def test_remove_by_url_and_id_erases_signature_and_url_from_every_file(tmp_path: Path) -> None:
    table = _with_urls(_signed_table(np.stack([_page(0), _page(0), _page(1), _page(2)]), ["long", "l", "m", "n"]))
    runs = Crawls(tmp_path)
    runs.run("first", table)
    ids, urls = table["id"].to_pylist(), table["url"].to_pylist()
    found = index_admin.remove(
        Folder(str(runs.index)), [urls[0], ids[2].hex().upper(), "https://no.example/", "0" * 32]
    )
    assert found == {"removed": 2, "not_found": ["https://no.example/", "0" * 32]}
    rows = entries(runs.index)
    assert sorted(row["id"] for row in rows if row["id"]) == sorted([ids[1], ids[3]])
    assert [row for row in rows if row["id"] is None and (row["url"] or row["signature"] or row["kept"])] == []
    assert not any(urls[0].encode() in data for data in _files(runs.index).values())
    assert index_admin.info(Folder(str(runs.index)))["removed"] == {"ids": 3, "urls": 2}
    named = {file.name for update in _index(runs.index).updates for file in update.files}
    assert {name for name in _files(runs.index) if name.startswith("updates/")} == named


def _index(folder: Path) -> index_folder.Index:
    found = index_folder.read_index(Folder(str(folder)))
    assert found is not None
    return found


def test_remove_kept_document_lets_a_later_copy_in_and_the_document_itself_out(tmp_path: Path) -> None:
    table = _with_urls(_signed_table(np.stack([_page(0), _page(0), _page(0)]), ["the longest", "longer", "long"]))
    runs = Crawls(tmp_path, num_shards=1)
    assert runs.run("first", table.slice(0, 2)).kept["id"].to_pylist() == table["id"].to_pylist()[:1]
    index_admin.remove(Folder(str(runs.index)), [table["url"][0].as_py()])
    second = runs.run("second", pa.concat_tables([table.slice(0, 1), table.slice(2)]))
    assert second.kept["id"].to_pylist() == [table["id"][2].as_py()]
    [dropped] = second.dropped.to_pylist()
    assert (dropped["id"], dropped["reason"], dropped["duplicate_of"]) == (table["id"][0].as_py(), "taken_down", None)
    assert table["id"][0].as_py() not in [row["id"] for row in entries(runs.index)]


def test_remove_representative_keeps_its_cluster_together(tmp_path: Path) -> None:
    """x and y are alike through r alone; once r is gone, they and a new copy of y are still one cluster."""
    r, x, y = _page(0), _page(0), _page(0)
    x[: K // 3], y[-K // 3 :] = _page(1)[: K // 3], _page(2)[-K // 3 :]
    table = _with_urls(_signed_table(np.stack([r, x, y, y]), ["the longest text", "xx", "yy", "y"]))
    runs = Crawls(tmp_path, num_shards=1)
    first = runs.run("first", table.slice(0, 3), threshold=0.6)
    assert first.kept.num_rows == 1
    index_admin.remove(Folder(str(runs.index)), [table["url"][0].as_py()])
    second = runs.run("second", table.slice(3), threshold=0.6)
    assert second.kept.num_rows == 1, "no copy of it is kept any more"
    third = runs.run("third", _with_urls(_signed_table(np.stack([r, x]), ["other", "x"]).slice(1)), threshold=0.6)
    assert third.dropped["duplicate_of"].to_pylist() == second.kept["id"].to_pylist()


def test_remove_unknown_index_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no index\.json"):
        index_admin.remove(Folder(str(tmp_path)), ["x"])


def test_remove_while_another_holds_the_index_is_refused(tmp_path: Path) -> None:
    runs = Crawls(tmp_path)
    runs.run("first", _signed_table(np.stack([_page(0)])))
    folder = Folder(str(runs.index))
    with index_folder.held(folder), pytest.raises(RunError, match="another run or command"):
        index_admin.remove(folder, ["x"])


def test_merge_two_indexes_and_another_crawl_give_the_clusters_of_one_run(tmp_path: Path) -> None:
    everything, crawls = drawn_crawls(seed=21)
    left, right = Crawls(tmp_path / "left"), Crawls(tmp_path / "right")
    left.run("a", crawls[0])
    right.run("b", crawls[1])
    merged = Crawls(tmp_path / "merged")
    told = index_admin.merge([Folder(str(left.index)), Folder(str(right.index))], Folder(str(merged.index)))
    assert (len(told["updates"]), told["entries"]) == (2, crawls[0].num_rows + crawls[1].num_rows)
    merged.run("c", crawls[2])
    cfg = replace(config(tmp_path), index="")
    whole = run_wide("stages.minhash", cfg, [everything], tmp_path / "whole")
    assert clusters_in(merged.index) == clusters_of(whole.fates())
    again = merged.run("d", crawls[2].slice(0, 0))
    assert again.report.counters["candidate_pairs"] == 0, "what was compared once is not compared again"


def test_merge_same_update_in_both_goes_in_once(tmp_path: Path) -> None:
    _, crawls = drawn_crawls(seed=22)
    left, right = Crawls(tmp_path / "left"), Crawls(tmp_path / "right")
    for runs, more in ((left, 1), (right, 2)):
        runs.run("shared", crawls[0])
        runs.run(f"{more}", crawls[more])
    told = index_admin.merge([Folder(str(left.index)), Folder(str(right.index))], Folder(str(tmp_path / "merged")))
    assert (len(told["updates"]), told["entries"]) == (3, sum(crawl.num_rows for crawl in crawls))


def test_merge_document_removed_from_one_is_removed_from_all(tmp_path: Path) -> None:
    table = _with_urls(_signed_table(np.stack([_page(0), _page(1)])))
    left, right = Crawls(tmp_path / "left"), Crawls(tmp_path / "right")
    left.run("a", table)
    right.run("b", table)
    index_admin.remove(Folder(str(left.index)), [table["url"][0].as_py()])
    index_admin.merge([Folder(str(left.index)), Folder(str(right.index))], Folder(str(tmp_path / "merged")))
    ids = [row["id"] for row in entries(tmp_path / "merged") if row["id"]]
    assert ids == [table["id"][1].as_py()] * 2


def test_merge_of_other_signatures_or_into_an_index_is_refused(tmp_path: Path) -> None:
    table = _signed_table(np.stack([_page(0)]))
    left, right = Crawls(tmp_path / "left"), Crawls(tmp_path / "right")
    left.run("a", table)
    right.run("b", table, ngram=3)
    folders = [Folder(str(runs.index)) for runs in (left, right)]
    with pytest.raises(DataError, match="ngram 3; expected ngram 5"):
        index_admin.merge(folders, Folder(str(tmp_path / "new")))
    with pytest.raises(DataError, match="an index is there already"):
        index_admin.merge(folders[:1], folders[1])


def test_index_config_default_has_none() -> None:
    assert minhash.Config().index == ""


def test_remove_url_holds_for_the_next_crawl_of_it_under_another_id(tmp_path: Path) -> None:
    table = _with_urls(_signed_table(np.stack([_page(0), _page(0)]), ["a text", "b text"]))
    url = table["url"][0].as_py()
    runs = Crawls(tmp_path, num_shards=1)
    runs.run("first", table.slice(0, 1))
    index_admin.remove(Folder(str(runs.index)), [url])
    again = table.slice(1).set_column(table.schema.get_field_index("url"), "url", pa.array([url]))
    outcome = runs.run("second", again)
    assert outcome.dropped["reason"].to_pylist() == ["taken_down"]
    assert [row["id"] for row in entries(runs.index) if row["id"]] == []
    assert not any(url.encode() in data for data in _files(runs.index).values())


def test_remove_mistyped_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no index\.json"):
        index_admin.remove(Folder(str(tmp_path / "typo")), ["x"])
    assert not (tmp_path / "typo").exists()


def test_drop_update_lets_its_duplicates_in_again(tmp_path: Path) -> None:
    table = _signed_table(np.stack([_page(0), _page(0), _page(1)]), ["long text", "text", "other"])
    runs = Crawls(tmp_path, num_shards=1)
    runs.run("first", table.slice(0, 1))
    folder = Folder(str(runs.index))
    [first] = index_admin.info(folder)["updates"]
    assert runs.run("second", table.slice(1)).kept.num_rows == 1
    with pytest.raises(DataError, match="0 updates whose key begins with 'zz'"):
        index_admin.drop(folder, "zz")
    assert index_admin.drop(folder, first["key"][:8]) == {"dropped": 1}
    assert index_admin.info(folder)["entries"] == 2
    assert not any(first["key"] in name for name in _files(runs.index))
    assert runs.run("second", table.slice(1), "again").kept.num_rows == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_merge_one_step_in_two_states_loses_no_tie(tmp_path: Path, order: tuple[int, int]) -> None:
    """b was kept where a was not known, and dropped for it where it was; a later copy of either meets one cluster."""
    a, b = _page(0), _page(0)
    b[-3:] = 7
    table = _signed_table(np.stack([a, b, _page(1), a]), ["a text", "b", "u", "copy"])
    alone, both = Crawls(tmp_path / "alone", 1), Crawls(tmp_path / "both", 1)
    alone.run("b", table.slice(1, 1))
    for name, n in (("a", 0), ("b", 1), ("u", 2)):
        both.run(name, table.slice(n, 1))
    merged = Crawls(tmp_path / "merged", 1)
    sources = [Folder(str(runs.index)) for runs in (alone, both)]
    told = index_admin.merge([sources[n] for n in order], Folder(str(merged.index)))
    assert len(told["updates"]) == 4
    assert merged.run("copy", table.slice(3)).dropped.num_rows == 1
    ids = table["id"].to_pylist()
    [cluster] = clusters_in(merged.index)
    assert cluster == frozenset([ids[0], ids[1], ids[3]])
