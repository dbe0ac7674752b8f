"""The sandbox: hostile rows fail alone, everything else comes out the same, and no child outlives its parent."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline import sandbox as sandbox_module
from pipeline.errors import RunError
from pipeline.sandbox import WALL_FACTOR, Failure, Limits, Sandbox
from tests.pipeline.sandbox_rows import SCHEMA, TIMEOUT_S, open_failing, open_lengths
from tests.shared_data import REPOSITORY


def batch_of(texts: Sequence[str | None]) -> pa.RecordBatch:
    return pa.record_batch({"text": pa.array(texts, pa.large_string())})


@pytest.fixture(scope="module")
def box() -> Iterator[Sandbox]:
    box = Sandbox(open_lengths, 2, SCHEMA, Limits(row_timeout_s=TIMEOUT_S, memory_bytes=300 << 20))
    yield box
    box.close()


def test_run_good_rows_gives_the_functions_results(box: Sandbox) -> None:
    texts = ["", "a", None, "四个字符", "x" * 100_000]
    outcome = box.run(batch_of(texts))
    assert outcome.failures == {}
    assert outcome.results["length"].to_pylist() == [0, 2, None, 8, 200_000]
    assert outcome.results["text"].to_pylist() == texts


def test_run_empty_batch_gives_no_rows(box: Sandbox) -> None:
    outcome = box.run(batch_of([]))
    assert outcome.results.num_rows == 0 and outcome.results.schema == SCHEMA


@pytest.mark.parametrize(
    "row, kind, detail",
    [
        ("abort", "crash", "SIGABRT"),
        ("segfault", "crash", "SIGSEGV"),
        ("kill", "crash", "SIGKILL"),
        ("allocate", "crash", "MemoryError"),
        ("raise", "crash", "ValueError: a page that cannot be"),
        ("hang", "timeout", "0.6 s"),
        ("hang holding the lock", "timeout", "0.6 s"),
    ],
)
def test_run_hostile_row_fails_alone(box: Sandbox, row: str, kind: str, detail: str) -> None:
    outcome = box.run(batch_of(["before", row, "after"]))
    assert {i: (f.kind, f.detail) for i, f in outcome.failures.items()} == {1: (kind, detail)}
    assert outcome.results["text"].to_pylist() == ["before", None, "after"]


def test_run_hostile_rows_any_batch_layout_gives_the_same(box: Sandbox) -> None:
    texts: list[str | None] = ["a", "raise", "bb", None, "ccc", "abort", "d" * 50]
    whole = box.run(batch_of(texts))
    assert sorted(whole.failures) == [1, 5]
    cuts = sorted(random.Random(7).sample(range(1, len(texts)), 2))
    lengths: list[int | None] = []
    failures: dict[int, Failure] = {}
    for start, stop in zip([0, *cuts], [*cuts, len(texts)], strict=True):
        part = box.run(batch_of(texts).slice(start, stop - start))
        lengths += part.results["length"].to_pylist()
        failures |= {start + i: f for i, f in part.failures.items()}
    assert lengths == whole.results["length"].to_pylist()
    assert failures == whole.failures


def test_run_row_that_waits_without_working_ends_by_the_wall_clock() -> None:
    box = Sandbox(open_lengths, 1, SCHEMA, Limits(row_timeout_s=0.1))
    start = time.monotonic()
    outcome = box.run(batch_of(["a", "wait", "b"]))
    assert {i: f.kind for i, f in outcome.failures.items()} == {1: "timeout"}
    assert time.monotonic() - start >= 2 * 0.1 * WALL_FACTOR
    box.close()


def test_run_memory_lost_to_earlier_rows_drops_no_innocent_row(box: Sandbox) -> None:
    """Each row keeps 100 MiB of the 300 MiB there are; alone, none is too large."""
    outcome = box.run(batch_of(["leak"] * 6))
    assert outcome.failures == {}
    assert outcome.results["length"].to_pylist() == [8] * 6


def test_run_many_slow_rows_within_the_limit_each_is_kept(box: Sandbox) -> None:
    """Each takes six tenths of the limit."""
    outcome = box.run(batch_of(["slow"] * 4))
    assert outcome.failures == {}


def test_run_rows_that_print_do_not_disturb_the_replies(box: Sandbox) -> None:
    assert box.run(batch_of(["print", "x"])).results["length"].to_pylist() == [10, 2]


def test_run_child_is_kept_between_batches_and_has_one_thread(box: Sandbox) -> None:
    first = box.run(batch_of(["pid", "threads"])).results["length"].to_pylist()
    second = box.run(batch_of(["pid"])).results["length"].to_pylist()
    assert first[0] == second[0] != os.getpid()
    assert first[1] == 3, "one Python thread, one OpenMP thread, one Arrow thread"


def test_run_batch_of_many_pieces_keeps_order_and_large_rows(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "PIECE_BYTES", 1000)
    texts = [*(str(i) * (i % 97) for i in range(400)), "y" * 5_000_000]
    outcome = box.run(batch_of(texts).slice(3))
    assert outcome.results["text"].to_pylist() == texts[3:]


def test_run_function_that_cannot_open_raises_run_error() -> None:
    with pytest.raises(RunError, match="no model here"):
        Sandbox(open_failing, None, SCHEMA, Limits()).run(batch_of(["x"]))


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie nobody waits for has."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not gone(pid):
        time.sleep(0.02)
    return gone(pid)


@pytest.mark.parametrize("row", ["hang", "hang holding the lock"])
def test_parent_killed_while_the_child_is_busy_leaves_no_child(row: str) -> None:
    code = f"from tests.pipeline.sandbox_rows import run_forever; run_forever({row!r})"
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.3)
    assert not gone(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(child)


def test_sandbox_forgotten_ends_its_child() -> None:
    box = Sandbox(open_lengths, 1, SCHEMA, Limits())
    pid = box.run(batch_of(["pid"])).results["length"][0].as_py()
    open_files = len(os.listdir("/proc/self/fd"))
    del box
    assert gone(pid)
    assert len(os.listdir("/proc/self/fd")) < open_files
