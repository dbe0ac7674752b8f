"""{output}/run.json and {output}/index.html: what the last run did, per step, for programs and for people."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

from pipeline.artifact import Artifact
from pipeline.http_reader import shown
from pipeline.report_page import render
from pipeline.run_file import RUN_JSON, read_run
from pipeline.runner import Execution, Timing, read_report
from pipeline.store import Folder

INDEX = "index.html"
_STATES = {"fresh": "reused", "run": "ran", "fused": "fused", "unneeded": "reused"}


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def summarise(execution: Execution, started: str, status: str, error: str | None) -> dict[str, Any]:
    """The run as JSON (format 1). Steps that were not reached have state `pending`."""
    plan = execution.plan
    last_run = read_run(plan.output)
    before = _timings_before(last_run)
    last_artifacts = {s["step"]: s["artifact"] for s in last_run["steps"]} if last_run else {}
    steps = []
    for name, planned in plan.steps.items():
        artifact = execution.artifacts.get(planned.written_with)
        report = (
            read_report(artifact, name)
            if artifact is not None and artifact.folder.exists(f"report/{name}.json")
            else {}
        )
        timing = execution.timings.get(name) or before.get((name, planned.fingerprint), Timing())
        steps.append(
            {
                "step": name,
                "uses": planned.step.uses,
                "kind": planned.step.stage.kind,
                "produces": planned.step.stage.produces,
                "inputs": dict(planned.step.inputs),
                "fingerprint": planned.fingerprint,
                "state": _STATES[planned.state] if report or planned.state == "unneeded" else "pending",
                "reason": planned.reason,
                # a step that was not reached keeps its last artifact, so that `why` can go on comparing with it
                "artifact": _relative(artifact) if artifact is not None else last_artifacts.get(name),
                **{key: report.get(key, 0) for key in ("docs_in", "docs_out", "bytes_in", "bytes_out")},
                "dropped": report.get("dropped", {}),
                "seconds": round(timing.seconds, 3),
                "cpu_s": round(timing.cpu_s, 3),
                "peak_memory_bytes": timing.peak_memory_bytes,
            }
        )
    return {
        "format": 1,
        "crawlmill": importlib.metadata.version("crawlmill"),
        "dag": plan.dag.path,
        "output": shown(plan.dag.output),
        "started": started,
        "finished": now(),
        "status": status,
        "error": error,
        "steps": steps,
    }


def _relative(artifact: Artifact) -> str:
    return f"{artifact.step}/{artifact.fingerprint[:16]}"


def _timings_before(before: Mapping[str, Any] | None) -> dict[tuple[str, str], Timing]:
    """Timings of the run that made a reused step, so that the report goes on showing them."""
    return {
        (s["step"], s["fingerprint"]): Timing(
            seconds=s["seconds"], cpu_s=s["cpu_s"], peak_memory_bytes=s["peak_memory_bytes"]
        )
        for s in (before or {"steps": ()})["steps"]
    }


def is_current(output: Folder, run: Mapping[str, Any]) -> bool:
    """Whether run.json already tells of a finished run with these very artifacts."""
    before = read_run(output)

    def facts(of: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
        return [(s["step"], s["fingerprint"], s["artifact"]) for s in of["steps"]]

    return before is not None and before["status"] == "done" and facts(before) == facts(run)


def write_summary(output: Folder, run: Mapping[str, Any]) -> None:
    """Write run.json, then the page made from it and the artifacts' reports."""
    output.write_bytes(RUN_JSON, json.dumps(run, indent=1, ensure_ascii=False).encode())
    write_page(output, run)


def write_page(output: Folder, run: Mapping[str, Any]) -> str:
    """Write {output}/index.html from run.json's content; returns its location."""
    output.write_bytes(INDEX, render(run, read_reports(output, run)).encode())
    return output.shown(INDEX)


def read_reports(output: Folder, run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The report of every step of a run that has written one."""
    reports = {}
    for step in run["steps"]:
        name = f"{step['artifact']}/report/{step['step']}.json"
        if step["artifact"] and output.exists(name):
            reports[step["step"]] = json.loads(output.read_bytes(name))
    return reports
