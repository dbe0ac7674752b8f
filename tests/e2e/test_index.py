"""An index from crawl to crawl, as a user works with it: by `crawlmill run` and `crawlmill index`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.e2e.dag_file import crawlmill, summary
from tests.e2e.s3_server import s3_server

pytestmark = pytest.mark.slow

DAG = """\
version: 1
output: {output}
steps:
  documents: {{uses: stages.documents, with: {{source: {source}, url_column: url, id_column: url}}}}
  signatures: {{uses: stages.signatures, inputs: documents}}
  unique: {{uses: stages.minhash, inputs: signatures, with: {{index: {index}}}}}
"""


def _write_crawl(folder: Path, name: str, pages: dict[str, str]) -> Path:
    """A DAG over JSONL pages, by URL; its index is `folder/index`."""
    source = folder / name
    source.mkdir()
    with (source / "pages.jsonl").open("w") as file:
        for url, text in pages.items():
            file.write(json.dumps({"text": text, "url": url}) + "\n")
    dag = folder / f"{name}.yaml"
    dag.write_text(DAG.format(output=folder / f"{name} out", source=source, index=folder / "index"))
    return dag


def _pages(crawl: str, numbers: range) -> dict[str, str]:
    """Page n has the same 120 words in every crawl, but for one."""
    pages = {}
    for number in numbers:
        words = np.random.default_rng(number).choice([f"word{letter}" for letter in "abcdefghijklmnopqrst"], 120)
        pages[f"https://{crawl}.example/{number}"] = " ".join([*words, crawl])
    return pages


def _run(dag: Path) -> str:
    return crawlmill("run", str(dag), "--in-process").stdout


def _dropped(folder: Path, name: str) -> int:
    [step] = [s for s in summary(folder / f"{name} out")["steps"] if s["step"] == "unique"]
    return int(sum(step["dropped"].values()))


def _info(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(crawlmill("index", "info", str(folder / "index"), "--json").stdout)
    return found


def test_index_second_crawl_is_deduplicated_against_the_first_and_both_stay_fresh(tmp_path: Path) -> None:
    first = _write_crawl(tmp_path, "first", _pages("first", range(40)))
    second = _write_crawl(tmp_path, "second", _pages("second", range(30, 60)))
    _run(first)
    _run(second)
    assert (_dropped(tmp_path, "first"), _dropped(tmp_path, "second")) == (0, 10)
    assert (_info(tmp_path)["entries"], _info(tmp_path)["kept"]) == (70, 60)
    for dag in (first, second):
        assert "nothing to do" in _run(dag)


def test_index_that_is_gone_is_made_again(tmp_path: Path) -> None:
    dag = _write_crawl(tmp_path, "first", _pages("first", range(20)))
    _run(dag)
    before = (tmp_path / "index" / "index.json").read_bytes()
    shutil.rmtree(tmp_path / "index")
    assert "will run: unique" in crawlmill("plan", str(dag)).stdout
    _run(dag)
    assert (tmp_path / "index" / "index.json").read_bytes() == before


def test_index_takedown_drops_the_page_from_the_next_run_and_says_why_it_runs(tmp_path: Path) -> None:
    dag = _write_crawl(tmp_path, "first", _pages("first", range(20)))
    _run(dag)
    told = crawlmill(
        "index", "remove", str(tmp_path / "index"), "https://first.example/3", "https://no.example/"
    ).stdout
    assert told == "1 documents removed\nnot in the index: https://no.example/\n"
    assert _info(tmp_path)["removed"] == {"ids": 1, "urls": 2}
    again = _write_crawl(tmp_path, "again", _pages("again", range(20)))
    _run(again)
    assert _dropped(tmp_path, "again") == 19, "the copy of the removed page is the only one that is kept"
    assert "nothing to do" in _run(again)
    assert "outside the DAG" in crawlmill("why", str(dag), "unique").stdout
    _run(dag)
    fate = json.loads(
        crawlmill("explain", "https://first.example/3", "--output", str(tmp_path / "first out"), "--json").stdout
    )
    assert [step["reason"] for step in fate[0]["steps"]][-1] == "taken_down"


def test_index_of_signatures_made_otherwise_than_the_step_says_is_refused(tmp_path: Path) -> None:
    dag = _write_crawl(tmp_path, "first", _pages("first", range(20)))
    dag.write_text(dag.read_text().replace("inputs: documents}", "inputs: documents, with: {seed: 7}}"))
    refused = crawlmill("run", str(dag), "--in-process", code=1)
    assert "signatures that are not those of the texts" in refused.stderr
    assert not (tmp_path / "index" / "index.json").exists()


def test_index_two_steps_of_one_dag_on_it_run_one_after_the_other(tmp_path: Path) -> None:
    """The second is planned before the first has added its update: it says so, and the next run does it."""
    dag = _write_crawl(tmp_path, "first", _pages("first", range(20)))
    index = tmp_path / "index"
    dag.write_text(
        dag.read_text() + f"  again: {{uses: stages.signatures, inputs: unique}}\n"
        f"  twice: {{uses: stages.minhash, inputs: again, with: {{index: {index}, keep: latest}}}}\n"
    )
    assert "planned anew" in crawlmill("run", str(dag), "--in-process", code=1).stderr
    _run(dag)
    assert "nothing to do" in _run(dag)


def test_index_on_s3_gives_what_one_on_disk_gives(tmp_path: Path) -> None:
    with s3_server() as options:
        index = f"s3://bucket/index{options}"
        for name, numbers in (("first", range(30)), ("second", range(20, 40))):
            dag = _write_crawl(tmp_path, name, _pages(name, numbers))
            dag.write_text(dag.read_text().replace(str(tmp_path / "index"), f"'{index}'"))
            _run(dag)
            assert "nothing to do" in _run(dag)
        told = json.loads(crawlmill("index", "info", index, "--json").stdout)
        assert (told["entries"], told["kept"], _dropped(tmp_path, "second")) == (50, 40, 10)
        assert (
            json.loads(crawlmill("index", "remove", index, "https://first.example/1", "--json").stdout)["removed"] == 1
        )
        assert "endpoint_override" not in (tmp_path / "second out" / "run.json").read_text()


def test_index_merge_puts_two_together(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        _run(_write_crawl(tmp_path / name, name, _pages(name, range(10))))
    indexes = [str(tmp_path / name / "index") for name in ("left", "right")]
    told = json.loads(crawlmill("index", "merge", *indexes, "--into", str(tmp_path / "index"), "--json").stdout)
    assert (told["entries"], len(told["updates"])) == (20, 2)
    third = _write_crawl(tmp_path, "third", _pages("third", range(5, 15)))
    _run(third)
    assert _dropped(tmp_path, "third") == 5
    refused = crawlmill("index", "merge", *indexes, "--into", indexes[0], code=1)
    assert "an index is there already" in refused.stderr
