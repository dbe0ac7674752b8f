"""`crawlmill export` as a user types it: what is chosen, what is said, what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.export.formats import FORMATS
from tests.pipeline.export.artifacts import TokensRun, documents_run, documents_table, tokens_run, tree, write_run_json


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TokensRun:
    return tokens_run(tmp_path_factory.mktemp("run"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["export", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_export_tells_what_it_wrote(run: TokensRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, run.output, "--to", "mds", "--into", str(tmp_path / "a"))
    assert f"exporting tokens 'chunks' ({run.chunks.fingerprint[:16]}) to mds" in out
    assert "train: " in out and " rows, " in out and str(tmp_path / "a") in out
    again = said(capsys, run.output, "--to", "mds", "--into", str(tmp_path / "a"))
    assert "6 shards of 6 had been exported before" in again


def test_export_json_is_one_object(run: TokensRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(said(capsys, run.output, "--to", "megatron", "--into", str(tmp_path), "--json"))
    documents = {split: len(ids) for split, ids in run.documents.items()}
    assert {name: counts["documents"] for name, counts in found["splits"].items()} == documents
    assert found["documents"] == sum(documents.values())
    assert found["tokens"] == sum(len(ids) + 1 for split in run.documents.values() for ids in split.values())
    assert found["format"] == "megatron"
    assert found["step"] == "chunks"
    assert found["folder"] == str(tmp_path)
    assert found["files"] == len(tree(tmp_path)) - 1
    assert found["skipped"] == 0
    assert found["shards"] == 6


def test_export_goes_below_the_run_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tokens_run(tmp_path / "run", num_shards=1)
    said(capsys, run.output, "--to", "nanogpt")
    assert (tmp_path / "run" / "export" / "chunks" / "nanogpt" / "train.bin").exists()


def test_export_of_one_artifact_needs_a_folder(
    run: TokensRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = run.chunks.folder.location
    assert "no --into; expected a folder" in said(capsys, artifact, "--to", "hf", code=2)
    said(capsys, artifact, "--to", "hf", "--into", str(tmp_path / "a"))
    said(capsys, run.output, "--to", "hf", "--into", str(tmp_path / "b"))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert "an artifact of tokens; expected one of documents" in said(capsys, artifact, "--to", "jsonl", code=2)
    message = said(capsys, artifact, "--to", "hf", "--step", "clean", code=2)
    assert "the artifact of step 'chunks', not of 'clean'" in message


def test_export_unknown_format_offers_the_nearest(run: TokensRun, capsys: pytest.CaptureFixture[str]) -> None:
    message = said(capsys, run.output, "--to", "nanogtp", code=2)
    assert "no format 'nanogtp'; expected one of hf, megatron" in message
    assert "Did you mean 'nanogpt'?" in message


def test_export_unknown_step_offers_the_nearest(run: TokensRun, capsys: pytest.CaptureFixture[str]) -> None:
    message = said(capsys, run.output, "--to", "hf", "--step", "chunk", code=2)
    assert "no step 'chunk'; expected one of chunks. Did you mean 'chunks'?" in message
    message = said(capsys, run.output, "--to", "hf", "--step", "vocabulary", code=2)
    assert "step 'vocabulary' makes vocabulary; expected one of chunks" in message


def test_export_without_such_a_step_says_so(run: TokensRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no run.json and no artifact.json" in said(capsys, str(tmp_path), "--to", "hf", code=1)
    assert "no step that wrote documents" in said(capsys, run.output, "--to", "jsonl", code=1)
    output = documents_run(tmp_path / "documents", [documents_table(["one"])])
    assert "no step that wrote tokens" in said(capsys, output, "--to", "nanogpt", code=1)


def test_export_takes_the_last_step_that_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = documents_run(tmp_path, [documents_table(["one"])])
    steps = json.loads((tmp_path / "run.json").read_text())["steps"]
    (clean,) = steps
    fused = {**clean, "step": "quality", "state": "fused"}
    unfinished = {**clean, "step": "late", "artifact": None, "state": "failed"}
    write_run_json(tmp_path, [], steps=[{**clean, "step": "early"}, clean, fused, unfinished])
    found = json.loads(said(capsys, output, "--to", "jsonl", "--into", str(tmp_path / "out"), "--json"))
    assert found["step"] == "clean"
    message = said(capsys, output, "--to", "jsonl", "--step", "quality", code=2)
    assert "step 'quality' has not written its output; expected one of early, clean. Give it `keep: true`" in message
    assert "Let the DAG run to its end." in said(capsys, output, "--to", "jsonl", "--step", "late", code=2)


def test_export_says_which_columns_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow as pa

    table = documents_table(["one"], payload=pa.array([b"\xff"], pa.large_binary()))
    out = said(capsys, documents_run(tmp_path, [table]), "--to", "jsonl")
    assert "left out, since they are bytes: payload" in out


def test_export_compress_is_for_jsonl_alone(run: TokensRun, capsys: pytest.CaptureFixture[str]) -> None:
    message = said(capsys, run.output, "--to", "mds", "--compress", "gzip", code=2)
    assert "--compress with mds; expected --to jsonl" in message


def test_export_help_tells_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    out = capsys.readouterr().out
    assert all(f"\n  {name} " in out for name in FORMATS)
