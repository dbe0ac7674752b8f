"""What the report says of clusters whose representative an earlier run has kept, against the index's own rows."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from stages import minhash
from stages.dedup import corpus
from stages.dedup.decisions import LARGEST
from stages.dedup.exhibits import KEPT_BEFORE, MEMBERS
from tests.stages import index_crawls
from tests.stages.dedup.dedup_runs import hashed_ids, laid_out, signed
from tests.stages.index_crawls import Crawls
from tests.wide_context import Outcome, run_wide

WORDS = " ".join(f"{a}{b}" for a in "ghijklmn" for b in "opqrstuv")


def _run(folder: Path, name: str, table: pa.Table, num_shards: int = 1) -> Outcome:
    cfg = minhash.Config(index=str(folder / "index"))
    shards = laid_out(table, num_shards, num_shards)
    return run_wide("stages.minhash", cfg, shards, folder / name, fingerprint=name.ljust(64, "0"))


@pytest.mark.parametrize("num_shards, task_docs", [(1, 10**6), (7, 30)])
def test_clusters_headed_by_an_index_entry_are_counted_once_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, task_docs: int
) -> None:
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    table = signed([WORDS] * 201)
    before = _run(tmp_path, "first", table.slice(0, 1)).report
    assert before.counters["clusters"] == 0 and "largest clusters" not in before.tables
    outcome = _run(tmp_path, "second", table.slice(1), num_shards)
    report, (head, *ids) = outcome.report, hashed_ids(201)
    assert outcome.kept.num_rows == 0
    assert (report.counters["clusters"], report.counters["duplicates"]) == (1, 200)
    assert report.figures["largest cluster"] == 201
    bars = dict(zip(report.bars["cluster sizes"]["labels"], report.bars["cluster sizes"]["counts"], strict=True))
    assert {label: count for label, count in bars.items() if count} == {"129-256": 1}
    [row] = report.tables["largest clusters"]
    assert (row["documents"], row["representative"], row["url"]) == (201, head.hex() + KEPT_BEFORE, None)
    shown = sorted(range(200), key=ids.__getitem__)[:MEMBERS]
    assert row["other members"] == [f"https://site.example/{n + 1}" for n in shown]
    assert row["excerpt"] == row["text they share"] == WORDS


def test_clusters_headed_by_an_index_entry_show_where_members_differ(tmp_path: Path) -> None:
    table = signed([WORDS, f"{WORDS} one", f"{WORDS} two"])
    _run(tmp_path, "first", table.slice(0, 1))
    tables = _run(tmp_path, "second", table.slice(1)).report.tables
    [row] = tables["largest clusters"]
    assert (row["documents"], row["text they share"], len(row["other members"])) == (3, WORDS, 2)
    [difference] = tables["where members first differ"]
    assert sorted((difference["one"], difference["other"])) == [f"https://site.example/{n}" for n in (1, 2)]


@pytest.mark.parametrize("num_shards, task_docs", [(2, 10**6), (5, 17)])
def test_clusters_of_several_crawls_are_those_of_the_index_that_have_new_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, task_docs: int
) -> None:
    """Those that only earlier crawls have documents of are not counted."""
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    index_crawls.allow_drawn_signatures(monkeypatch)
    runs = Crawls(tmp_path, num_shards)
    _, crawls = index_crawls.crawls(seed=12, num=4)
    for number, crawl in enumerate(crawls):
        outcome = runs.run(f"{number}", crawl)
        everywhere, ids = index_crawls.clusters_in(runs.index), set(crawl["id"].to_pylist())
        found = [cluster for cluster in everywhere if cluster & ids]
        assert number == 0 or 5 < len(found) < len(everywhere)
        counters, bars = outcome.report.counters, outcome.report.bars["cluster sizes"]
        assert counters["clusters"] == len(found) == sum(bars["counts"][1:])
        assert counters["duplicates"] == outcome.dropped.num_rows
        assert outcome.report.figures["largest cluster"] == max(map(len, found))
        rows = outcome.report.tables["largest clusters"]
        sizes = sorted(map(len, found), reverse=True)
        assert [row["documents"] for row in rows] == sizes[:LARGEST]
        kept = {id_.hex() for id_ in outcome.kept["id"].to_pylist()}
        for row in rows:
            assert (row["representative"] in kept) != row["representative"].endswith(KEPT_BEFORE)
