"""What a second run does: nothing when nothing changed, and only what depends on what did."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import artifacts, crawlmill, summary, write_dag


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DAG file of a run that is done."""
    folder = tmp_path_factory.mktemp("rerun")
    write_sample_crawl(folder / "crawl", num_pages=200, num_shards=3)
    dag = write_dag(folder, folder / "crawl", "out")
    crawlmill("run", str(dag), "--in-process")
    return dag


def test_second_run_does_nothing_and_says_so_quickly(finished: Path) -> None:
    before = artifacts(finished.parent / "out")
    start = time.monotonic()
    done = crawlmill("run", str(finished))
    assert time.monotonic() - start < 8
    assert "nothing to do: all 8 steps are fresh" in done.stdout
    assert artifacts(finished.parent / "out") == before


def test_every_record_is_kept_or_in_the_ledger(finished: Path) -> None:
    output = finished.parent / "out"
    run = summary(output)
    for step in run["steps"]:
        if step["produces"] != "documents":
            continue
        assert step["docs_in"] == step["docs_out"] + sum(step["dropped"].values()), step["step"]
        named: Counter[str] = Counter()
        for path in (output / step["artifact"] / "dropped").glob("*.parquet"):
            rows = pq.read_table(path, columns=["step", "reason"]).to_pylist()
            named.update(row["reason"] for row in rows if row["step"] == step["step"])
        assert named == step["dropped"]
    kept = {step["step"]: step["docs_out"] for step in run["steps"]}
    following = {step["step"]: step["docs_in"] for step in run["steps"] if step["produces"] == "documents"}
    for before, after in itertools.pairwise(["crawl", "text", "gopher", "signatures", "exact", "unique"]):
        assert kept[before] == following[after]


def test_changed_setting_reruns_only_what_depends_on_it(finished: Path) -> None:
    change = ["--set", "steps.vocabulary.with.vocab_size=1024"]
    planned = json.loads(crawlmill("plan", str(finished), *change, "--json").stdout)
    assert planned["segments"] == [["vocabulary"], ["chunks"]]
    because = crawlmill("why", str(finished), "chunks", *change).stdout
    assert "chunks: run: its input 'vocabulary' changed" in because
    assert "vocabulary: run: config.vocab_size: 2048 -> 1024" in because
    unaffected = crawlmill("why", str(finished), "unique", *change).stdout
    assert unaffected == "unique: fresh: nothing it depends on has changed\n"


def test_changed_resources_rerun_nothing(finished: Path) -> None:
    planned = json.loads(crawlmill("plan", str(finished), "--set", "resources.chunks.num_cpus=2", "--json").stdout)
    assert planned["segments"] == []


def test_moved_corpus_stays_fresh(finished: Path) -> None:
    crawl = finished.parent / "crawl"
    moved = finished.parent / "moved"
    crawl.rename(moved)
    try:
        done = crawlmill("plan", str(finished), "--set", f"steps.crawl.with.source={moved}")
        assert "nothing to do" in done.stdout
    finally:
        moved.rename(crawl)


def test_changed_shard_is_named_as_the_cause(finished: Path) -> None:
    shard = sorted((finished.parent / "crawl").glob("*.warc.gz"))[0]
    before = shard.read_bytes()
    shard.write_bytes(before[: len(before) // 2])
    try:
        because = crawlmill("why", str(finished), "gopher").stdout
        assert "its shards changed: 0 new, 0 gone, 1 with other content" in because
    finally:
        shard.write_bytes(before)


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--set", "steps.gopher.with.nothing=1"], 2, "unknown field 'nothing'"),
        (["--set", "steps.crawl.with.source=/nowhere/at/all"], 1, "no such file or folder"),
    ],
)
def test_run_that_cannot_start_says_why_and_exits(finished: Path, arguments: list[str], code: int, words: str) -> None:
    done = crawlmill("run", str(finished), *arguments, code=code)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    machine = crawlmill("run", str(finished), *arguments, "--json", code=code)
    assert json.loads(machine.stdout)["exit"] == code
