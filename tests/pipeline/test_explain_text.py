"""`crawlmill explain --text` from the command line: a page of a run, found by URL and by id; files; what it refuses.

The page itself is the stage's matter (tests/stages/html/test_explain_page.py); here a stand-in for `explain_page` tells
what it was given.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stages.extract
from pipeline.cli import main
from tests.stages.warc_files import crawl, members

NUM_PAGES = 12
STEPS = """\
version: 1
output: {output}
steps:
  crawl: {{uses: stages.commoncrawl, with: {{source: {source}, batch_rows: 3}}}}
  text: {{uses: stages.extract, inputs: crawl, with: {{engine: resiliparse{settings}}}}}
"""


def told(cfg: Any, row: Mapping[str, Any]) -> str:
    return json.dumps({"max_text_chars": cfg.max_text_chars, "url": row["url"], "payload": row["payload"].decode()})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A run over one WARC file of NUM_PAGES pages."""
    monkeypatch.setattr(stages.extract, "explain_page", told, raising=False)
    folder = tmp_path / "crawl"
    folder.mkdir()
    (folder / "a.warc.gz").write_bytes(members(crawl(NUM_PAGES)))
    dag = tmp_path / "dag.yaml"
    dag.write_text(STEPS.format(output=tmp_path / "out", source=folder, settings=""))
    assert main(["run", str(dag), "--in-process", "--json"]) == 0
    return SimpleNamespace(dag=dag, output=str(tmp_path / "out"), page=str(tmp_path / "page.html"), source=folder)


def explain(run: SimpleNamespace, what: str, *more: str) -> int:
    return main(["explain", what, "--text", "--output", run.output, "--page", run.page, *more])


def documents(run: SimpleNamespace) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    (file,) = Path(run.output).glob("text/*/shards/*.parquet")
    rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def test_explain_text_by_url_and_id_reads_the_page_again(
    run: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = documents(run)
    assert len(rows) == NUM_PAGES
    for row in (rows[0], rows[7], rows[-1]):
        for asked in (row["url"], row["id"].hex()):
            capsys.readouterr()
            assert explain(run, asked, "--json") == 0
            assert json.loads(capsys.readouterr().out) == {
                "page": run.page, "url": row["url"], "id": row["id"].hex(), "notes": [],
            }  # fmt: skip
            page = json.loads(Path(run.page).read_text())
            assert page["url"] == row["url"] and page["max_text_chars"] == 2_000_000
            assert row["text"].split("\n")[-1][:20] in page["payload"]


def test_explain_text_settings_changed_since_the_run_are_used_and_said(
    run: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(STEPS.format(output=run.output, source=run.source, settings=", max_text_chars: 77"))
    assert explain(run, documents(run)[3]["url"], "--dag", str(other)) == 0
    assert "settings of 'text' are not those of the run" in capsys.readouterr().out
    assert json.loads(Path(run.page).read_text())["max_text_chars"] == 77


def test_explain_text_unknown_url_names_near_ones(run: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(run, documents(run)[3]["url"] + "x") == 1
    assert "Did you mean" in capsys.readouterr().err


def test_explain_text_crawl_that_has_gone_says_what_is_missing(
    run: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    url = documents(run)[3]["url"]
    (run.source / "a.warc.gz").rename(run.source / "b.warc.gz")
    assert explain(run, url) == 1
    assert "step 'crawl' has no shard 'a.warc.gz'" in capsys.readouterr().err
    (run.source / "a.warc.gz").write_bytes(members(crawl(1)))
    assert explain(run, url) == 1
    assert "no page with the id" in capsys.readouterr().err


def test_explain_text_dag_without_an_explaining_step_says_so(
    run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(stages.extract, "explain_page")
    assert explain(run, documents(run)[3]["url"]) == 1
    assert "no step explains its pages" in capsys.readouterr().err


def test_explain_text_of_a_file_uses_the_default_settings_or_a_dag(run: SimpleNamespace, tmp_path: Path) -> None:
    file = tmp_path / "mine.html"
    file.write_text("<p>Mine")
    assert main(["explain", str(file), "--text", "--page", run.page]) == 0
    page = json.loads(Path(run.page).read_text())
    assert page == {"max_text_chars": stages.extract.Config().max_text_chars, "url": None, "payload": "<p>Mine"}
    run.dag.write_text(STEPS.format(output=run.output, source=run.source, settings=", max_text_chars: 9"))
    assert main(["explain", str(file), "--text", "--page", run.page, "--dag", str(run.dag)]) == 0
    assert json.loads(Path(run.page).read_text())["max_text_chars"] == 9


def test_explain_text_of_standard_input(run: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"<p>Given")))
    assert main(["explain", "-", "--text", "--page", run.page]) == 0
    assert json.loads(Path(run.page).read_text())["payload"] == "<p>Given"


def test_explain_text_never_overwrites_the_page_it_reads(
    run: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.html"
    file.write_text("<p>Mine")
    assert main(["explain", str(file), "--text", "--page", str(tmp_path / "." / "mine.html")]) == 1
    assert "the page to explain" in capsys.readouterr().err
    assert file.read_text() == "<p>Mine"
