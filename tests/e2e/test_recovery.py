"""Runs that meet what earlier ones left: other fusion, deleted and damaged files, a run that finished in between."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.backend import LocalBackend
from pipeline.dag import load_dag
from pipeline.plan import make_plan
from pipeline.progress import open_progress
from pipeline.runner import Execution
from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import artifacts, crawlmill, summary

DAG = """\
version: 1
output: {output}
steps:
  crawl: {{uses: stages.commoncrawl, with: {{source: {source}}}}}
  text: {{uses: stages.extract, inputs: crawl}}
  gopher: {{uses: stages.gopher_quality, inputs: text}}
  last: {{uses: stages.fineweb_quality, inputs: gopher}}
"""
KEEP = ["--set", "steps.gopher.keep=true"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_sample_crawl(folder, num_pages=90, num_shards=3)
    return folder


@pytest.fixture
def dag(tmp_path: Path, source: Path) -> str:
    path = tmp_path / "dag.yaml"
    path.write_text(DAG.format(output=tmp_path / "out", source=source))
    return str(path)


def run(dag: str, *arguments: str) -> None:
    crawlmill("run", dag, "--in-process", *arguments)


class KilledError(Exception):
    """Stands for a kill: what ran before it is on disk, nothing after it happens."""


class DyingBackend(LocalBackend):
    """Dies after some tasks."""

    def __init__(self, num_tasks: int) -> None:
        self.left = num_tasks

    def run(self, function, items, resources):  # type: ignore[no-untyped-def]
        for result in super().run(function, items, resources):
            if self.left == 0:
                raise KilledError
            self.left -= 1
            yield result


def run_and_die(dag: str, num_tasks: int, overrides: list[str]) -> None:
    backend = DyingBackend(num_tasks)
    with open_progress("silent", open("/dev/null", "w")) as progress:
        execution = Execution(plan=make_plan(load_dag(dag, overrides)), backend=lambda: backend, progress=progress)
        with pytest.raises(KilledError):
            execution.run()


def ledger_steps(output: Path, step: str) -> set[str]:
    (folder,) = output.glob(f"{step}/*")
    return {row for path in folder.glob("dropped/*.parquet") for row in pq.read_table(path)["step"].to_pylist()}


@pytest.mark.parametrize("first, second", [([], KEEP), (KEEP, [])])
def test_resume_with_other_fusion_equals_an_unbroken_run(
    tmp_path: Path, dag: str, first: list[str], second: list[str]
) -> None:
    run_and_die(dag, 2, first[1:])
    run(dag, *second)
    resumed = artifacts(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    run(dag, *second)
    assert {k: v for k, v in resumed.items() if k in artifacts(tmp_path / "out")} == artifacts(tmp_path / "out")


def test_run_after_keep_was_taken_away_has_every_report_and_ledger_row(tmp_path: Path, dag: str) -> None:
    run(dag, *KEEP)
    assert ledger_steps(tmp_path / "out", "last") <= {"last"}
    run(dag)
    assert all(step["docs_in"] > 0 for step in summary(tmp_path / "out")["steps"])
    assert "gopher" in ledger_steps(tmp_path / "out", "last")
    crawlmill("verify", str(tmp_path / "out"))


@pytest.mark.parametrize("damage", ["delete shard", "cut shard", "cut receipt"])
def test_resume_with_a_damaged_shard_makes_it_anew(tmp_path: Path, dag: str, damage: str) -> None:
    run_and_die(dag, 2, [])
    (artifact,) = (tmp_path / "out" / "last").iterdir()
    shard = artifact / "shards" / "00000.parquet"
    if damage == "delete shard":
        shard.unlink()
    elif damage == "cut shard":
        shard.write_bytes(shard.read_bytes()[:-1])
    else:
        (receipt,) = artifact.glob(".work/*/receipts/00000.json")
        receipt.write_text("{")
    run(dag)
    crawlmill("verify", str(tmp_path / "out"))


def test_back_to_an_earlier_setting_the_report_is_its_own_again(tmp_path: Path, dag: str) -> None:
    run(dag)
    before = [step["artifact"] for step in summary(tmp_path / "out")["steps"]]
    run(dag, "--set", "steps.gopher.with.min_words=200")
    assert [step["artifact"] for step in summary(tmp_path / "out")["steps"]] != before
    run(dag)
    assert [step["artifact"] for step in summary(tmp_path / "out")["steps"]] == before
    assert summary(tmp_path / "out")["status"] == "done"


def test_failed_run_is_told_and_why_still_knows_the_cause(tmp_path: Path, dag: str, source: Path) -> None:
    run(dag)
    change = ["--set", "steps.gopher.with.min_words=200"]
    crawlmill("run", dag, *change, "--set", "resources.default.num_cpus=4096", code=1)
    assert summary(tmp_path / "out")["status"] == "failed"
    assert "config.min_words: 50 -> 200" in crawlmill("why", dag, "gopher", *change).stdout


@pytest.mark.parametrize("text", ["[]", '{"steps": 3}', '{"status": "done", "steps": [{}]}', "{bad"])
@pytest.mark.parametrize("verb", ["plan", "report", "explain", "verify"])
def test_damaged_run_json_is_one_message(tmp_path: Path, dag: str, text: str, verb: str) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "run.json").write_text(text)
    arguments = {"plan": [dag], "report": [str(output)], "verify": [str(output)]}
    given = arguments.get(verb, ["http://x.example/", "--output", str(output)])
    done = crawlmill(verb, *given, code=1)
    assert "a damaged run.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_input_shard_is_named(tmp_path: Path, dag: str) -> None:
    run(dag, *KEEP)
    (shard,) = (tmp_path / "out").glob("gopher/*/shards/00001.parquet")
    shard.write_bytes(b"no parquet at all")
    done = crawlmill("run", dag, *KEEP, "--set", "steps.last.with.max_newlines_per_word=0.2", "--in-process", code=1)
    assert str(shard) in done.stderr
    assert "a damaged shard" in done.stderr


def test_output_that_cannot_be_a_folder_is_one_message(dag: str, source: Path) -> None:
    file = sorted(source.glob("*.warc.gz"))[0]
    done = crawlmill("run", dag, "--set", f"output={file}/x", "--in-process", code=1)
    assert str(file) in done.stderr
    assert "Traceback" not in done.stderr


def test_hosts_of_a_source_written_alone_are_counted_once(tmp_path: Path, dag: str) -> None:
    run(dag, "--set", "steps.crawl.keep=true")
    (path,) = (tmp_path / "out").glob("crawl/*/report/crawl.json")
    report = json.loads(path.read_text())
    assert sum(report["tallies"]["host"].values()) == report["docs_out"]
