"""What a task prepares, and how a run says so: once, with its time, and nothing where nothing is prepared."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.backend import LocalBackend
from pipeline.dag import Resources, load_dag
from pipeline.plan import make_plan
from pipeline.preparations import Preparation, listening, tell
from pipeline.progress import ProgressKind, open_progress
from pipeline.runner import Execution


def test_tell_reaches_the_innermost_listener_and_nobody_outside() -> None:
    outer: list[Preparation] = []
    inner: list[Preparation] = []
    one, two = (Preparation(what=what, kept_in="/cache") for what in ("one", "two"))
    with listening(outer.append):
        with listening(inner.append):
            tell(one)
        tell(two)
    tell(one)
    assert (outer, inner) == ([two], [one])


class Compiling(LocalBackend):
    """Tells what two workers tell that use the same kernels for the first time."""

    def run(
        self, function: Callable[[Any], Any], items: Sequence[Any], resources: Resources
    ) -> Iterator[tuple[int, Any]]:
        for seconds in (None, None, 3.0, 4.25):
            tell(Preparation(what="compiling kernels for exact", kept_in="/cache", seconds=seconds))
        yield from super().run(function, items, resources)


DAG = "version: 1\noutput: {0}/out\nsteps:\n  read: {{uses: stages.documents, with: {{source: {0}/in}}}}\n"


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_run_says_once_what_is_compiled_and_how_long_it_took(tmp_path: Path, kind: ProgressKind) -> None:
    lines = _run(tmp_path, kind, Compiling())
    told = [found.group() for line in lines if (found := re.search(r"compiling.*", line))]
    assert told == [
        "compiling kernels for exact (first use here, kept in /cache)",
        "compiling kernels for exact: done in 7.2 s",
    ]


def test_run_says_nothing_where_nothing_is_compiled(tmp_path: Path) -> None:
    assert not [line for line in _run(tmp_path, "plain", LocalBackend()) if "compiling" in line]


def _run(folder: Path, kind: ProgressKind, backend: LocalBackend) -> list[str]:
    (folder / "in").mkdir()
    (folder / "in" / "a.jsonl").write_text('{"text": "one"}\n')
    (folder / "dag.yaml").write_text(DAG.format(folder))
    stream = io.StringIO()
    with open_progress(kind, stream) as progress:
        plan = make_plan(load_dag(str(folder / "dag.yaml")))
        Execution(plan=plan, backend=lambda: backend, progress=progress).run()
    return [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line).strip() for line in stream.getvalue().splitlines()]
