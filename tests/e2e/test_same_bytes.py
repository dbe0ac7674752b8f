"""One or two workers, a killed driver, a killed worker, no Ray at all: the same artifacts, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import artifacts, crawlmill, start, summary, write_dag

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_sample_crawl(folder, num_pages=500, num_shards=6)
    return folder


@pytest.fixture(scope="module")
def reference(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """An unbroken run without Ray."""
    folder = tmp_path_factory.mktemp("reference")
    crawlmill("run", str(write_dag(folder, source, "out")), "--in-process")
    assert crawlmill("verify", str(folder / "out")).stdout.endswith("files are as their manifests say\n")
    return artifacts(folder / "out")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_run_on_ray_any_number_of_workers_gives_the_same_bytes(
    tmp_path: Path, source: Path, reference: dict[str, bytes], workers: str
) -> None:
    dag = write_dag(tmp_path, source, "out")
    crawlmill("run", str(dag), "--workers", workers)
    assert artifacts(tmp_path / "out") == reference


def wait_for(process: subprocess.Popen[bytes], folder: Path, pattern: str, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(folder.glob(pattern))) < count:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    "pattern, count",
    [
        ("gopher/*/.work/*/receipts/*.json", 2),
        ("unique/*/.work/*/phases/*/*.json", 3),
        ("vocabulary/*/tokenizer.json", 1),
    ],
)
def test_run_after_kill_of_the_driver_resumes_to_the_same_bytes(
    tmp_path: Path, source: Path, reference: dict[str, bytes], pattern: str, count: int
) -> None:
    dag = write_dag(tmp_path, source, "out")
    process = start("run", str(dag), "--workers", "1")
    wait_for(process, tmp_path / "out", pattern, count)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert artifacts(tmp_path / "out") != reference
    crawlmill("run", str(dag), "--workers", "2")
    assert artifacts(tmp_path / "out") == reference
    assert not list((tmp_path / "out").glob("*/*/.work"))


def test_run_with_a_killed_worker_ends_well_with_the_same_bytes(
    tmp_path: Path, source: Path, reference: dict[str, bytes]
) -> None:
    dag = write_dag(tmp_path, source, "out")
    process = start("run", str(dag), "--workers", "2")
    wait_for(process, tmp_path / "out", "gopher/*/.work/*/receipts/*.json", 1)
    killed = 0
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            busy = child.name().startswith("ray::run_shard")
        except psutil.NoSuchProcess:
            continue
        if busy:
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
    assert killed >= 1, "no worker was busy"
    assert process.wait(timeout=200) == 0
    assert artifacts(tmp_path / "out") == reference
    assert summary(tmp_path / "out")["status"] == "done"
