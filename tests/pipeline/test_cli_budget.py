from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.artifact import artifact_folder
from pipeline.cli import main
from pipeline.cli_budget import short
from pipeline.dag import load_dag
from pipeline.plan import make_plan

DAG = """\
version: 1
output: {output}
steps:
  crawl: {{uses: stages.commoncrawl, with: {{source: sample}}}}
  text: {{uses: stages.extract, inputs: crawl}}
  words: {{uses: stages.vocabulary, inputs: text, with: {{vocab_size: 1000}}}}
  chunks: {{uses: stages.pack, inputs: {{documents: text, vocabulary: words}}, with: {{length: 128}}}}
  small: {{uses: pretrain.train, inputs: {{chunks: chunks, vocabulary: words}}, with: {{num_steps: 50}}}}
"""


@pytest.fixture
def dag(tmp_path: Path) -> str:
    path = tmp_path / "dag.yaml"
    path.write_text(DAG.format(output=tmp_path / "runs"))
    return str(path)


def test_plan_train_before_anything_ran_knows_lengths_from_the_dag(
    dag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", dag, "--train", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"steps", "segments"} < set(found)
    [step] = found["training"]
    assert step["step"] == "small"
    assert (step["configured"]["vocab_size"], step["configured"]["length"]) == (1000, 128)
    assert step["configured"]["tokens"] == 50 * 8 * 128
    assert step["configured"]["epochs"] is None


def test_plan_train_after_packing_knows_rows_from_the_artifact(dag: str, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(load_dag(dag, []))
    fingerprint = plan.steps["chunks"].fingerprint
    manifest = {
        "format": 1, "step": "chunks", "kind": "tokens", "fingerprint": fingerprint, "chain": ["chunks"],
        "files": [], "contract": {"vocab_size": 900, "length": 128, "num_rows_train": 80, "num_rows_validation": 9},
    }  # fmt: skip
    artifact_folder(plan.output, "chunks", fingerprint).write_bytes("artifact.json", json.dumps(manifest).encode())
    assert main(["plan", dag, "--train", "--json"]) == 0
    run = json.loads(capsys.readouterr().out)["training"][0]["configured"]
    assert run["vocab_size"] == 900
    assert run["tokens_per_epoch"] == 80 * 128
    assert run["epochs"] == 50 * 8 / 80


def test_plan_train_with_a_budget_prints_a_row_for_each_rule(dag: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--hours", "24", "--gpus", "8", "--peak-flops", "989e12"]
    assert main(["plan", dag, "--train", *flags]) == 0
    out = capsys.readouterr().out
    for line in ("Hoffmann et al. 2022", "Besiroglu et al. 2024", "20 tokens per parameter"):
        assert any(row.strip().startswith(line) for row in out.splitlines())
    assert "1.3b" in out and "24 h 00 min" in out


def test_plan_with_a_budget_but_no_train_is_refused(dag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", dag, "--tokens", "1e9"]) == 2
    assert "--tokens without --train" in capsys.readouterr().err


def test_plan_train_of_a_dag_without_training_is_refused(dag: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(dag).read_text()
    Path(dag).write_text(text[: text.index("  small:")])
    assert main(["plan", dag, "--train"]) == 2
    assert "no training step" in capsys.readouterr().err


def test_short_of_numbers_keeps_three_digits() -> None:
    assert [short(x) for x in (7, 1811000, 6.74e9, 1.4e12, 999_949)] == ["7", "1.81 M", "6.74 B", "1.4 T", "1 M"]
