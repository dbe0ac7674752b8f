"""Local Ray: tasks run one-threaded, errors keep their type, nothing listens beyond loopback."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterator

import psutil
import pytest

from pipeline.dag import Resources
from pipeline.errors import DataError, RunError
from pipeline.preparations import Preparation, listening
from pipeline.ray_backend import RayBackend
from tests.pipeline.ray_tasks import describe, die, prepare, refuse

pytestmark = pytest.mark.slow
Socket = tuple[int, str, int]


@pytest.fixture(scope="module")
def sockets_before() -> set[Socket]:
    """What earlier tests of this process have left listening."""
    return listening_sockets()


@pytest.fixture(scope="module")
def backend(sockets_before: set[Socket]) -> Iterator[RayBackend]:
    made = RayBackend(num_workers=2)
    yield made
    made.close()


def listening_sockets() -> set[Socket]:
    """Process, address and port of what this process and its children listen on."""
    return {
        (process.pid, connection.laddr.ip, connection.laddr.port)
        for process in (psutil.Process(), *psutil.Process().children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_run_many_items_gives_every_result_once(backend: RayBackend) -> None:
    results = dict(backend.run(describe, list(range(50)), Resources(num_cpus=0.5)))
    assert {index: result["square"] for index, result in results.items()} == {i: i * i for i in range(50)}
    assert {result["arrow_threads"] for result in results.values()} == {1}
    assert {result["omp"] for result in results.values()} == {"1"}


def test_run_error_of_a_task_arrives_as_itself(backend: RayBackend) -> None:
    with pytest.raises(DataError, match="shard-7: a broken shard; expected a whole one"):
        list(backend.run(refuse, ["shard-7"], Resources()))


def test_run_task_that_always_kills_its_worker_is_a_run_error(backend: RayBackend) -> None:
    with pytest.raises(RunError, match="a worker died 5 times on the same task"):
        list(backend.run(die, [1], Resources()))


def test_run_what_a_worker_prepares_is_told_here_while_it_does(backend: RayBackend) -> None:
    told: list[tuple[float, Preparation]] = []
    with listening(lambda preparation: told.append((time.monotonic(), preparation))):
        assert list(backend.run(prepare, [8], Resources())) == [(0, None)]
    ended = time.monotonic()
    assert [preparation.seconds for _, preparation in told] == [None, 8.0]
    assert ended - told[0][0] > 2, "heard of before the task had ended"


def test_local_ray_listens_on_loopback_only(backend: RayBackend, sockets_before: set[Socket]) -> None:
    list(backend.run(describe, [1, 2], Resources()))
    opened = listening_sockets() - sockets_before
    assert opened, "Ray's servers were not found"
    assert [socket for socket in opened if not _is_loopback(socket[1])] == []


def _is_loopback(ip: str) -> bool:
    address = ipaddress.ip_address(ip)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
