"""A list of steps at one port: read, checked, planned, and handed to the stage."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline import dag, stage_loader
from pipeline.backend import LocalBackend
from pipeline.dag import load_dag
from pipeline.errors import DagError, FieldError
from pipeline.plan import make_plan
from pipeline.progress import open_progress
from pipeline.runner import Execution
from pipeline.stage import JSON, Stage, WideContext, at_port, wide

TEXT = """\
version: 1
output: {output}
steps:
  web: {{uses: stages.documents, with: {{source: {folder}/web}}}}
  books: {{uses: stages.documents, with: {{source: {folder}/books}}}}
  words: {{uses: stages.vocabulary, inputs: web}}
  joined:
    uses: pretrain.train
    inputs: {inputs}
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    weights: Mapping[str, float] | None = None


def check_weights(cfg: Config, ports: Sequence[str]) -> None:
    if unknown := [name for name in cfg.weights or {} if f"documents.{name}" not in ports]:
        raise FieldError("weights", unknown[0], "a step of the list")


@wide(
    version=1, ports={"documents": "documents", "vocabulary": "vocabulary"}, produces="model",
    list_ports=("documents",), check_inputs=check_weights,
)  # fmt: skip
def joined(cfg: Config, ctx: WideContext) -> Mapping[str, JSON]:
    ctx.output.write_bytes("given.json", b"")
    return {"documents": [a.step for a in at_port(ctx.inputs, "documents")], "ports": list(ctx.inputs)}


def stand_in(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    """`uses: pretrain.train` means `stage`."""

    def load(uses: str, where: str) -> Stage:
        return stage if uses == "pretrain.train" else stage_loader.load_stage(uses, where)

    monkeypatch.setattr(dag, "load_stage", load)


@pytest.fixture(autouse=True)
def _joined_is_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, joined)


def written(folder: Path, inputs: str, more: str = "") -> str:
    for name in ("web", "books"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "a.jsonl").write_text(json.dumps({"text": f"A page of {name}."}) + "\n")
    path = folder / "dag.yaml"
    path.write_text(TEXT.format(output=folder / "out", folder=folder, inputs=inputs) + more)
    return str(path)


def fingerprint(folder: Path, inputs: str) -> str:
    return make_plan(load_dag(written(folder, inputs))).steps["joined"].fingerprint


def test_a_list_of_steps_is_a_port_for_each_in_the_files_order(tmp_path: Path) -> None:
    loaded = load_dag(written(tmp_path, "{vocabulary: words, documents: [web, books]}"))
    step = loaded.steps["joined"]
    assert list(step.inputs.items()) == [
        ("documents.web", "web"), ("documents.books", "books"), ("vocabulary", "words"),
    ]  # fmt: skip
    assert step.main_input == "web"
    assert list(loaded.steps)[-1] == "joined"
    assert [s.name for s in loaded.readers("books")] == ["joined"]


def test_a_step_alone_is_planned_as_at_a_port_without_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = fingerprint(tmp_path, "{documents: web, vocabulary: words}")
    assert fingerprint(tmp_path, "{documents: [web, books], vocabulary: words}") != alone
    stand_in(monkeypatch, replace(joined, list_ports=frozenset()))
    assert fingerprint(tmp_path, "{documents: web, vocabulary: words}") == alone


def test_a_run_hands_over_all_artifacts_of_the_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, replace(joined, ports={"documents": "documents"}))
    path = Path(written(tmp_path, "{documents: [books, web]}"))
    path.write_text("".join(line for line in path.read_text().splitlines(True) if "vocabulary" not in line))
    with open_progress("plain", io.StringIO()) as progress:
        Execution(plan=make_plan(load_dag(str(path))), backend=LocalBackend, progress=progress).run()
    artifact = make_plan(load_dag(str(path))).steps["joined"].artifact
    assert artifact is not None
    manifest = artifact.manifest
    assert manifest["contract"] == {"documents": ["books", "web"], "ports": ["documents.books", "documents.web"]}
    given = {port: artifact["step"] for port, artifact in manifest["inputs"].items()}
    assert given == {"documents.books": "books", "documents.web": "web"}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("{documents: [], vocabulary: words}", ["documents is an empty list", "at least one step"]),
        ("{documents: [web, web], vocabulary: words}", ["documents names 'web' twice"]),
        ("{documents: [web, boks], vocabulary: words}", ["names no step: 'boks'", "Did you mean 'books'?"]),
        ("{documents: [web, [books]], vocabulary: words}", ["documents[1] is a list", "text"]),
        ("{documents: [web, words], vocabulary: words}", ["'documents.words'", "which makes vocabulary"]),
        ("{documents: [web, joined], vocabulary: words}", ["a cycle: joined -> joined"]),
        ("{documents: web, vocabulary: [words]}", ["vocabulary is a list", "text"]),
        ("{documents.web: web, vocabulary: words}", ["unknown input 'documents.web'"]),
        ("{vocabulary: words}", ["lacks the input 'documents'"]),
    ],
)
def test_a_list_with_a_mistake_is_one_message(tmp_path: Path, inputs: str, words: list[str]) -> None:
    with pytest.raises(DagError) as caught:
        load_dag(written(tmp_path, inputs))
    for word in ("dag.yaml:", *words):
        assert word in str(caught.value)


def test_a_setting_about_a_step_that_is_not_in_the_list_is_refused_when_the_file_is_read(tmp_path: Path) -> None:
    inputs = "{documents: [web, books], vocabulary: words}"
    load_dag(written(tmp_path, inputs, "    with: {weights: {web: 2.0}}\n"))
    with pytest.raises(DagError, match=r"with\.weights") as caught:
        load_dag(written(tmp_path, inputs, "    with: {weights: {boks: 2.0}}\n"))
    assert "boks" in str(caught.value)
    assert "a step of the list" in str(caught.value)
