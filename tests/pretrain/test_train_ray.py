"""The stage on real Ray Train, with one of its ranks killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pretrain.train import train
from tests.pretrain.configs import changed
from tests.pretrain.packed import output_bytes
from tests.pretrain.test_train import SMALL, stage_context

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
TWO_RANKS = changed(SMALL, parallel__world_size=2, num_steps=60, checkpoint__every_steps=10, evaluation__every_steps=20)


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A Ray of two cores on the loopback interface."""
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray

    ray.init(
        num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False, logging_level="ERROR",
        object_store_memory=100 << 20,
    )  # fmt: skip
    yield
    ray.shutdown()


def descendants(pid: int) -> Iterator[int]:
    """Process ids below `pid`, from /proc."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield int(child)
            yield from descendants(int(child))


def rank_processes() -> list[int]:
    """This test's own Ray Train workers."""
    found = []
    for pid in descendants(os.getpid()):
        try:
            if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue  # it ended while we looked
    return found


def kill_a_rank(after: Path, killed: list[int]) -> None:
    deadline = time.monotonic() + 300
    while not after.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.append(rank_processes()[-1])
    os.kill(killed[0], signal.SIGKILL)


@pytest.mark.usefixtures("connected")
def test_train_on_ray_with_a_rank_killed_gives_the_bytes_of_an_unbroken_run_without_ray(tmp_path: Path) -> None:
    broken = stage_context(tmp_path, "broken")
    killed: list[int] = []
    killer = threading.Thread(
        target=kill_a_rank, args=(broken.work.local_path("checkpoints/step-00000010"), killed), daemon=True
    )
    killer.start()
    train.function(TWO_RANKS, broken)
    assert killed
    killer.join()
    import ray

    ray.shutdown()
    unbroken = stage_context(tmp_path, "unbroken")
    train.function(TWO_RANKS, unbroken)
    assert output_bytes(broken) == output_bytes(unbroken)
    assert broken.report == unbroken.report


@pytest.mark.usefixtures("connected")
def test_train_on_ray_with_more_ranks_than_cpus_and_elastic_runs_as_many_as_there_are(tmp_path: Path) -> None:
    elastic = changed(
        SMALL, parallel__world_size=4, parallel__min_workers=1, parallel__microbatch_rows=1, num_steps=20,
        checkpoint__every_steps=10, evaluation__every_steps=10,
    )  # fmt: skip
    ctx = stage_context(tmp_path, "elastic")
    train.function(elastic, ctx)
    record = json.loads(ctx.work.read_bytes("checkpoints/step-00000020/checkpoint.json"))
    assert [ranks["world_size"] for ranks in record["ranks"]] == [2]
    assert ctx.report.figures["steps"] == 20
