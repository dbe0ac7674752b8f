"""Tasks on Ray: a local instance on loopback by default, or the cluster at an address.

One Ray task per shard, a bounded number in flight; only a task's description and its small result pass through Ray's
object store, never documents. A task whose worker dies is run again by Ray, and finds what it had committed. What tasks
prepare (pipeline.preparations) comes here through an actor, which the first worker that has something to tell starts.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.backend import ONE_THREAD, use_one_thread
from pipeline.dag import Resources
from pipeline.errors import RunError
from pipeline.preparations import Preparation, listening, tell

MAX_RETRIES = 4  # of a task whose worker died; an error the task raises is not retried
IN_FLIGHT_PER_CPU = 2
NOTICES = "crawlmill-preparations"  # the actor's name, in the namespace that every driver has for itself
NOTICES_EVERY_S = 1.0
_OBJECT_STORE_BYTES = 128 << 20  # holds task descriptions and small results only
_EXCLUDES = [".venv", ".peers", ".readers", ".litgpt", "runs", ".git", "*.parquet", "*.arrow", "*.warc*", "__pycache__"]


class RayBackend:
    """A connection to Ray; `close` ends the local instance or leaves the cluster."""

    def __init__(self, address: str | None = None, num_workers: int | None = None) -> None:
        use_one_thread()
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if address is None:
            # Without this Ray takes the machine's outer address as its node's, and every server listens on all of them.
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray
        from ray._private import ray_constants

        if address is None:
            ray_constants.ENABLE_RAY_CLUSTER = False  # read from the environment when Ray is imported: maybe earlier
        self._ray = ray
        try:
            if address is None:
                cpus = num_workers or os.cpu_count() or 1
                ray.init(
                    address="local", num_cpus=cpus, include_dashboard=False, _node_ip_address="127.0.0.1",
                    log_to_driver=False, object_store_memory=_OBJECT_STORE_BYTES, logging_level="ERROR",
                )  # fmt: skip
            else:
                ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env=cluster_environment())
        except ConnectionError as error:
            raise RunError(
                f"no Ray cluster answered ({error})", where=f"--address {address}",
                expected="the address of a running cluster's head node, or `auto` on one of its nodes",
                mend="Where the cluster asks for a token, set RAY_AUTH_MODE=token here as well.",
            ) from error  # fmt: skip
        self.num_workers = num_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], resources: Resources
    ) -> Iterator[tuple[int, Any]]:
        self._check(resources)
        options = {"num_cpus": resources.num_cpus, "max_retries": MAX_RETRIES, "name": function.__name__}
        if resources.memory_gib:
            options["memory"] = int(resources.memory_gib * (1 << 30))
        remote = self._ray.remote(**options)(_run_task)
        waiting = iter(enumerate(items))
        running: dict[Any, int] = {}
        limit = self.num_workers * IN_FLIGHT_PER_CPU
        last_asked_s = time.monotonic()
        while True:
            while len(running) < limit and (entry := next(waiting, None)) is not None:
                running[remote.remote(function, entry[1])] = entry[0]
            if not running:
                self._tell_preparations()
                return
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=NOTICES_EVERY_S)
            if time.monotonic() - last_asked_s >= NOTICES_EVERY_S:
                self._tell_preparations()
                last_asked_s = time.monotonic()
            for reference in done:
                yield running.pop(reference), self._result(reference)

    def _tell_preparations(self) -> None:
        """Tell on what workers have told since the last time."""
        try:
            preparations = self._ray.get(self._ray.get_actor(NOTICES).take.remote())
        except (ValueError, self._ray.exceptions.RayActorError):
            return  # nobody had anything to tell, or the worker that had is gone
        for preparation in preparations:
            tell(preparation)

    def _check(self, resources: Resources) -> None:
        """Ray would wait for ever for what no cluster has."""
        there = self._ray.cluster_resources()
        if resources.num_cpus > there.get("CPU", 0):
            raise RunError(
                f"a task asks for {resources.num_cpus:g} CPUs", where="resources",
                expected=f"at most the {there.get('CPU', 0):g} that Ray has", mend="Lower num_cpus.",
            )  # fmt: skip
        if resources.memory_gib * (1 << 30) > there.get("memory", 0):
            raise RunError(
                f"a task asks for {resources.memory_gib:g} GiB", where="resources",
                expected=f"at most the {there.get('memory', 0) / (1 << 30):.1f} GiB that Ray has",
                mend="Lower memory_gib.",
            )  # fmt: skip

    def _result(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, ValueError) else error from None
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.OutOfMemoryError) as error:
            raise RunError(
                f"a worker died {MAX_RETRIES + 1} times on the same task ({type(error).__name__})", where="Ray",
                expected="a task that fits the worker's memory", mend="Raise resources.memory_gib, or read Ray's log.",
            ) from error  # fmt: skip

    def close(self) -> None:
        self._ray.shutdown()


def _run_task(function: Callable[[Any], Any], item: Any) -> Any:
    with listening(_send):
        return function(item)


class _Notices:
    """Preparations on their way from workers to the driver."""

    def __init__(self) -> None:
        self._waiting: list[Preparation] = []

    def put(self, preparation: Preparation) -> None:
        self._waiting.append(preparation)

    def take(self) -> list[Preparation]:
        taken, self._waiting = self._waiting, []
        return taken


@functools.cache  # the actor lives as long as somebody holds it
def _notices() -> Any:
    import ray

    return ray.remote(_Notices).options(name=NOTICES, get_if_exists=True, num_cpus=0).remote()


def _send(preparation: Preparation) -> None:
    _notices().put.remote(preparation)  # not waited for: Ray would start another task beside one that waits


def cluster_environment() -> dict[str, Any]:
    """The runtime environment of a cluster's workers: thread limits, and the checkout when this runs from one."""
    environment: dict[str, Any] = {"env_vars": dict(ONE_THREAD)}
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "pyproject.toml").is_file():
        environment |= {"working_dir": str(checkout), "excludes": _EXCLUDES}
    return environment
