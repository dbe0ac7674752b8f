"""{output}/run.json, the summary of the last run: where it is, and reading it back."""

from __future__ import annotations

import json
from typing import Any

from pipeline.errors import DataError
from pipeline.store import Folder

RUN_JSON = "run.json"
_STEP_FIELDS: dict[str, type | tuple[type, ...]] = {
    "step": str, "fingerprint": str, "artifact": (str, type(None)), "state": str, "produces": str,
    "seconds": (int, float), "cpu_s": (int, float), "peak_memory_bytes": int,
}  # fmt: skip


def read_run(output: Folder) -> dict[str, Any] | None:
    """The last run's summary, None before the first; DataError where the file does not hold one."""
    if not output.exists(RUN_JSON):
        return None
    try:
        run = json.loads(output.read_bytes(RUN_JSON))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(output, str(error)) from error
    steps = run.get("steps") if isinstance(run, dict) else None
    if not isinstance(steps, list) or not isinstance(run.get("status"), str):
        raise _damaged(output, "no list of steps")
    for step in steps:
        for name, types in _STEP_FIELDS.items():
            if not isinstance(step, dict) or not isinstance(step.get(name), types):
                raise _damaged(output, f"a step without {name!r}")
    result: dict[str, Any] = run
    return result


def last_run(output: str) -> tuple[Folder, dict[str, Any]]:
    """The output folder and its last run's summary; DataError before the first run."""
    folder = Folder(output)
    run = read_run(folder)
    if run is None:
        raise DataError(
            "no run.json", where=folder.shown(), expected="the output folder of a run",
            mend="Run `crawlmill run` first.",
        )  # fmt: skip
    return folder, run


def _damaged(output: Folder, problem: str) -> DataError:
    return DataError(
        f"a damaged run.json ({problem})", where=output.shown(RUN_JSON), expected="the JSON crawlmill wrote",
        mend="Delete it; no artifact is lost.",
    )  # fmt: skip
