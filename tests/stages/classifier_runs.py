"""Train and classify through the engine's own contexts, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.artifact import Artifact
from pipeline.backend import LocalBackend
from pipeline.dag import Resources
from pipeline.report import StepReport
from pipeline.stage import NarrowContext, Verdict
from pipeline.store import Folder
from pipeline.wide_context import EngineWideContext
from stages import classify, train_classifier

PRAISE = ("kind", "lovely", "thoughtful", "generous", "patient", "gentle")
BLAME = ("awful", "nasty", "vile", "rotten", "stupid", "hateful")
THINGS = ("reply", "letter", "song", "garden", "recipe", "story", "bridge", "window", "picture", "answer")


def blame_rows() -> list[dict[str, Any]]:
    """240 sentences, half of them with a word of blame (label 1), all different."""
    rows: list[dict[str, Any]] = []
    for i in range(120):
        thing, other = THINGS[i % 10], THINGS[(i // 10 + 3) % 10]
        rows.append({"text": f"What a {PRAISE[i % 6]} {thing} number {i} about the {other}.", "label": 0})
        rows.append({"text": f"What a {BLAME[i % 6]} {thing} number {i} about the {other}.", "label": 1})
    return rows


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def train(folder: Path, **settings: Any) -> tuple[Artifact, StepReport]:
    """Run train_classifier into `folder`; its artifact and report."""
    settings = {"positive": ("1",), "bucket": 2000, "epoch": 25, "lr": 0.5, "held_out": 0.25, **settings}
    report = StepReport(step="train", uses="stages.train_classifier", kind="wide", produces="classifier")
    output = Folder(str(folder / "out"))
    context = EngineWideContext(
        step="train", uses="stages.train_classifier", columns={}, inputs={}, output=output,
        work=Folder(str(folder / "work")), backend=LocalBackend(), resources=Resources(), step_report=report,
        task_done=lambda phase, done, total: None,
    )  # fmt: skip
    contract = train_classifier.train_classifier.function(train_classifier.Config(**settings), context)
    artifact = Artifact(
        step="train", kind="classifier", fingerprint="0" * 64, manifest={"contract": contract}, folder=output
    )
    return artifact, report


def judge(texts: Sequence[str | None], artifact: Artifact | None = None, **settings: Any) -> Verdict:
    """The classify stage's verdict on a batch of these texts."""
    inputs = {} if artifact is None else {"model": artifact}
    context = NarrowContext(step="judge", inputs=inputs)
    function = classify.classify.function(classify.Config(column="toxicity", **settings), context)
    verdict: Verdict = function(pa.record_batch({"text": pa.array(texts, pa.large_string())}))
    return verdict
