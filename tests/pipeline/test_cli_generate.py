"""The verb's flags and what it prints, with the model replaced."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from pipeline.cli import main


@dataclass
class Piece:
    prompt: int
    sample: int
    text: str
    ends: bool


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model artifact's folder; `pretrain.generate` is one that says what it was asked."""
    manifest = {"format": 1, "step": "model", "kind": "model", "fingerprint": "f" * 64, "files": []}
    (tmp_path / "artifact.json").write_text(json.dumps(manifest))

    def run(location: str, prompts: Sequence[str], options: Mapping[str, Any]) -> Iterator[Piece]:
        assert location == str(tmp_path)
        for prompt in range(len(prompts)):
            for sample in range(options["num_samples"]):
                yield Piece(prompt, sample, f" {sample}", False)
            for sample in range(options["num_samples"]):
                yield Piece(prompt, sample, f"\x1b[2J{sorted(options.items())}", True)

    module = ModuleType("pretrain.generate")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pretrain.generate", module)
    return str(tmp_path)


def test_generate_one_sample_streams_prompt_and_text_with_controls_made_visible(
    output: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "Once", "--output", output, "--top-p", "0.9", "--stop", "\n"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Once 0\u241b[2J")
    for asked in ("('temperature', 0.8)", "('top_k', 50)", "('top_p', 0.9)", "('stop', ('\\n',))", "('cached', True)"):
        assert asked in out


def test_generate_several_prompts_and_samples_names_each(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "A", "B", "--num", "2", "--output", output]) == 0
    out = capsys.readouterr().out
    heads = [line for line in out.splitlines() if line.startswith("---")]
    assert heads == [f"--- prompt {p}, sample {s}" for p in (1, 2) for s in (1, 2)]
    assert "B 1" in out


def test_generate_json_holds_every_sample(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "A", "B", "--num", "2", "--json", "--output", output]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(s["prompt"], s["sample"]) for s in found["samples"]] == [("A", 0), ("A", 1), ("B", 0), ("B", 1)]
    assert found["text"] == found["samples"][0]["text"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [(["--beams", "4", "--temperature", "1"], "--beams with --temperature"), (["--num", "0"], "--num"),
     (["--max-new-tokens", "0"], "--max-new-tokens"), (["--beams", "-1"], "--beams")],
)  # fmt: skip
def test_generate_with_flags_that_say_nothing_is_refused(
    output: str, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["generate", "A", "--output", output, *flags]) == 2
    assert message in capsys.readouterr().err


def test_generate_where_nothing_was_trained_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "A", "--output", str(tmp_path)]) == 1
    assert "no run.json" in capsys.readouterr().err
