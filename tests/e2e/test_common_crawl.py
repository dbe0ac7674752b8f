"""A run over HTTP in Common Crawl's layout, through 503s and cut connections, equals a run from disk."""

from __future__ import annotations

import gzip
import shutil
from collections import deque
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import crawlmill, summary, write_dag
from tests.shared_data import SHARED, needs_shared
from tests.stages.commoncrawl_server import CrawlServer, Fault

CRAWL = "CC-MAIN-2026-43"


def kept_and_dropped(output: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Documents and ledger rows, without the shard's name, which is a path in the crawl or in the folder."""
    artifact = output / next(s["artifact"] for s in summary(output)["steps"] if s["step"] == "unique")
    kept = [pq.read_table(path).drop_columns("warc_path").to_pylist() for path in sorted(artifact.glob("shards/*"))]
    dropped = [
        pq.read_table(path).drop_columns("warc_path").to_pylist()
        for path in sorted(output.glob("*/*/dropped/*.parquet"))
    ]
    return [row for rows in kept for row in rows], [row for rows in dropped for row in rows]


def run_both(tmp_path: Path, shards: list[Path]) -> tuple[Path, Path]:
    """The output of a run from disk, and that of a run over a faulty server."""
    folder = tmp_path / "disk"
    folder.mkdir()
    site = tmp_path / "site"
    names = [f"crawl-data/{CRAWL}/segments/1/warc/{shard.name}" for shard in shards]
    for shard, name in zip(shards, names, strict=True):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shard, site / name)
        shutil.copy(shard, folder / shard.name)
    listing = gzip.compress("".join(f"{name}\n" for name in names).encode())
    (site / f"crawl-data/{CRAWL}/warc.paths.gz").write_bytes(listing)
    from_disk, from_server = (str(write_dag(tmp_path, folder, name)) for name in ("a", "b"))
    crawlmill("run", from_disk, "--in-process")
    with CrawlServer(site) as server:
        busy, cut = Fault(status=503, retry_after="0"), Fault(cut_after=50_021)
        server.faults = deque([busy, None, busy, busy, cut, busy, cut, None])
        source = ["--set", f"steps.crawl.with.source={CRAWL}", "--set", f"steps.crawl.with.base_url={server.url}"]
        crawlmill("run", from_server, *source, "--in-process")
        assert any(ranged for _, _, ranged in server.requests), "no transfer went on from where it was cut"
    return tmp_path / "a", tmp_path / "b"


def test_run_over_http_through_faults_equals_one_from_disk(tmp_path: Path) -> None:
    write_sample_crawl(tmp_path / "sample", num_pages=150, num_shards=2)
    first, second = run_both(tmp_path, sorted((tmp_path / "sample").glob("*.warc.gz")))
    assert kept_and_dropped(first) == kept_and_dropped(second)
    assert len(kept_and_dropped(second)[0]) > 50


@needs_shared
@pytest.mark.slow
def test_run_over_http_of_real_pages_equals_one_from_disk(tmp_path: Path) -> None:
    first, second = run_both(tmp_path, sorted((SHARED / "data/warc").glob("*.warc.gz"))[-2:])
    assert kept_and_dropped(first) == kept_and_dropped(second)
