"""Runs that are killed, and go on with as many ranks or with others."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pretrain import job as job_file
from pretrain import loop, train
from pretrain.checkpoint import Progress
from pretrain.job import Job
from pretrain.trainer import Trainer
from tests.pretrain.configs import changed
from tests.pretrain.ranks import on_ranks
from tests.pretrain.test_loop import SMALL, files, job_of, plain_losses
from tests.pretrain.test_parallel import losses
from tests.shared_data import REPOSITORY

pytestmark = pytest.mark.slow
TWO_RANKS = changed(
    SMALL,
    parallel__world_size=2,
    num_steps=100,
    checkpoint__every_steps=5,
    evaluation__every_steps=25,
    optimizer__learning_rate=0.004,
)
KILL_AFTER = 2  # checkpoints are there: from the tenth step on


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Job]:
    """A folder with everyone's data, and a run of two ranks that nothing happened to."""
    folder = tmp_path_factory.mktemp("resume")
    job = job_of(folder, TWO_RANKS, "unbroken")
    train.launch(job)
    return folder, job


def copied(job: Job, folder: Path, name: str) -> Job:
    shutil.copytree(job.work, folder / name)
    return replace(job, work=str(folder / name))


def wait_for_checkpoints(job: Job) -> None:
    deadline = time.monotonic() + 120
    while len(list(job.checkpoints.glob("step-????????"))) < KILL_AFTER and time.monotonic() < deadline:
        time.sleep(0.005)


def kill_a_rank(job: Job) -> None:
    wait_for_checkpoints(job)
    os.kill(multiprocessing.active_children()[-1].pid, signal.SIGKILL)


def test_two_ranks_of_an_unbroken_run_lose_as_a_plain_loop_does(unbroken: tuple[Path, Job]) -> None:
    _, job = unbroken
    steps = [r["loss"] for r in loop.read_log(Path(job.work) / "loss.jsonl") if "loss" in r]
    assert steps == pytest.approx(plain_losses(job), rel=1e-3)
    assert steps[-1] < 0.9 * steps[0]


def test_run_with_a_rank_killed_and_started_again_ends_with_the_bytes_of_an_unbroken_one(
    unbroken: tuple[Path, Job],
) -> None:
    folder, expected = unbroken
    broken = job_of(folder, TWO_RANKS, "rank killed")
    killer = threading.Thread(target=kill_a_rank, args=(broken,))
    killer.start()
    with pytest.raises(RunError, match="SIGKILL"):
        train.launch(broken)
    killer.join()
    assert not (Path(broken.work) / "weights.safetensors").exists()
    train.launch(broken)
    assert files(broken) == files(expected)


@pytest.fixture(scope="module")
def driver_killed(unbroken: tuple[Path, Job]) -> Job:
    """A run whose driver, and with it the ranks, ended with kill -9."""
    folder, _ = unbroken
    job = job_of(folder, TWO_RANKS, "driver killed")
    code = "import pickle, sys; from pretrain import train; train.launch(pickle.load(open(sys.argv[1], 'rb')))"
    (folder / "job.pickle").write_bytes(pickle.dumps(job))
    driver = subprocess.Popen([sys.executable, "-c", code, str(folder / "job.pickle")], cwd=REPOSITORY)
    wait_for_checkpoints(job)
    driver.kill()
    driver.wait()
    with loop.only_run(Path(job.work)):  # its ranks have noticed
        pass
    assert not (Path(job.work) / "weights.safetensors").exists()
    return job


def test_run_with_its_driver_killed_goes_on_with_as_many_ranks_to_the_same_bytes(
    unbroken: tuple[Path, Job], driver_killed: Job
) -> None:
    folder, expected = unbroken
    job = copied(driver_killed, folder, "driver killed, 2 ranks")
    train.launch(job)
    assert files(job) == files(expected)


def test_run_with_its_driver_killed_goes_on_with_one_rank_to_nearly_the_same_losses(
    unbroken: tuple[Path, Job], driver_killed: Job
) -> None:
    folder, expected = unbroken
    job = replace(copied(driver_killed, folder, "driver killed, 1 rank"), exact=False)
    on_ranks(1, folder / "one rank", loop.run_rank, job)
    assert losses(job) == pytest.approx(losses(expected), rel=1e-3)
    assert losses(job) != losses(expected)


def test_run_with_its_driver_killed_goes_on_under_torchrun_with_four_ranks(
    unbroken: tuple[Path, Job], driver_killed: Job
) -> None:
    folder, expected = unbroken
    job = copied(driver_killed, folder, "driver killed, 4 ranks")
    path = Path(job.work) / "job.json"
    job_file.write(job, path)  # for its scratch folder is another one now
    assert job_file.read(path) == job
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "4", "-m", "pretrain.torchrun"]
    environment = {**os.environ, **train.ONE_THREAD, **train.loopback()}
    ended = subprocess.run([*command, str(path)], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert losses(job) == pytest.approx(losses(expected), rel=1e-3)
    with pytest.raises(RunError, match=r"computed with world_size 2 .* then world_size 4"):
        train.launch(job)  # a stage promises the bytes of two


def run_until(job: Job, step: int) -> None:
    """As if all ranks were stopped before a step."""
    train_step = loop.train_step

    def stopping(trainer: Trainer, progress: Progress) -> dict:
        if progress.step == step:
            raise KeyboardInterrupt
        return train_step(trainer, progress)

    loop.train_step = stopping
    try:
        loop.run_rank(job)
    except KeyboardInterrupt:
        pass
    finally:
        loop.train_step = train_step


def run_in_three_parts(job: Job) -> None:
    for step in (12, 13, 27, 100):  # the second time before there is a new checkpoint
        run_until(job, step)


def test_run_resumed_three_times_ends_with_the_bytes_of_an_unbroken_one(unbroken: tuple[Path, Job]) -> None:
    folder, expected = unbroken
    job = job_of(folder, TWO_RANKS, "in parts")
    on_ranks(2, folder / "two ranks", run_in_three_parts, job)
    assert files(job) == files(expected)
