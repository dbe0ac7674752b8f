"""`crawlmill explain URL --text`: read one page of the crawl again, and write what its text was made of, and why.

Reads:  the run's artifacts for where the page is; the page out of the crawl itself, whose payload no artifact keeps; or
        a file of HTML
Writes: one HTML page, by the stage's own `explain_page` (stage_loader.page_explainer)
Costs:  reads the page's shard of the crawl up to the page: seconds, for a Common Crawl shard of 1 GB about a minute

Steps between the source and the one that explains are taken not to change the page's bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifact import Artifact
from pipeline.config import fingerprint_fields
from pipeline.dag import Dag, Step, load_dag
from pipeline.document_scan import Row
from pipeline.errors import DataError
from pipeline.explain import find_document
from pipeline.schemas import PAGE
from pipeline.stage import NarrowContext
from pipeline.stage_loader import load_stage, page_explainer
from pipeline.store import Folder
from pipeline.wording import one_line, plural

STANDARD_INPUT = "-"
DEFAULT_STAGE = "stages.extract"  # for a file of HTML, with its default settings
DEFAULT_PAGE = "explained.html"
MAX_FILE_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class ExplainedText:
    """The page, as HTML, which document it is of (null of a file), and what the reader should know besides."""

    html: str
    url: str | None = None
    id: str | None = None
    notes: list[str] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `crawlmill explain --text`."""
    about_text = "write a page that shows its HTML block by block: what is main text, what is not, and why"
    about_page = f"with --text: where that page is written; default: {DEFAULT_PAGE}"
    about_dag = "with --text: the DAG whose settings are used; default: the run's; for a file, the defaults"
    parser.add_argument("--text", action="store_true", help=about_text)
    parser.add_argument("--page", metavar="FILE", default=DEFAULT_PAGE, help=about_page)
    parser.add_argument("--dag", metavar="FILE", help=about_dag)


def run(args: argparse.Namespace) -> int:
    """Write the page; 0."""
    # os.path's: a URL may be longer than the name of a file
    is_file = args.url == STANDARD_INPUT or os.path.isfile(args.url)
    if is_file and args.url != STANDARD_INPUT and Path(args.page).exists() and Path(args.page).samefile(args.url):
        raise DataError(f"{args.page}: the page to explain", where="--page", expected="another file to write")
    found = explain_file(args.url, args.dag) if is_file else explain_text(Folder(args.output), args.url, args.dag)
    Path(args.page).write_text(found.html, encoding="utf-8")
    if args.json:
        print(json.dumps({"page": args.page, "url": found.url, "id": found.id, "notes": found.notes}))
        return 0
    for note in found.notes:
        print(note)
    print(f"page: {args.page}")
    return 0


def explain_file(path: str, dag_file: str | None = None) -> ExplainedText:
    """Explain a file of HTML (`-`: standard input) with the settings of a DAG's step, or the default ones. Raises
    DataError, OSError."""
    if path == STANDARD_INPUT:
        payload = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
    else:
        with Path(path).open("rb") as file:
            payload = file.read(MAX_FILE_BYTES + 1)
    if len(payload) > MAX_FILE_BYTES:
        raise DataError(f"more than {MAX_FILE_BYTES >> 20} MiB", where=path, expected="one HTML page")
    if dag_file is None:
        stage = load_stage(DEFAULT_STAGE, "explain --text")
        config = stage.config()
    else:
        step = _explaining_step(load_dag(dag_file))
        stage, config = step.stage, step.config
    explainer = page_explainer(stage)
    if explainer is None:
        raise DataError(f"{DEFAULT_STAGE} explains no page", where="explain --text", expected="a stage that does")
    row = dict.fromkeys(PAGE.names) | {"payload": payload}
    return ExplainedText(html=explainer(config, row))


def explain_text(output: Folder, url_or_id: str, dag_file: str | None = None) -> ExplainedText:
    """Explain the text of the document with this URL or id, read again from the crawl of its run. Where several have
    the URL, the first that was kept; the notes name the others. Raises DagError, DataError, StoreError."""
    summary, artifacts, rows = find_document(output, url_or_id)
    path = dag_file or summary.get("dag")
    if not isinstance(path, str):
        raise DataError("a run that names no DAG file", where=output.shown(), expected="one", mend="Name it by --dag.")
    dag = load_dag(path)
    step = _explaining_step(dag)
    explainer = page_explainer(step.stage)
    assert explainer is not None
    row = min(rows, key=lambda r: r.dropped_by is not None)  # the first of the kept ones, else the first
    notes = [*_others(row, rows), *_changed(step, artifacts)]
    page = _read_again(_source_of(step, dag), row, dag)
    id_ = row.columns.get("id")
    return ExplainedText(
        html=explainer(step.config, page), url=row.columns.get("url"), id=id_.hex() if id_ else None, notes=notes
    )


def _explaining_step(dag: Dag) -> Step:
    """The first step, in the DAG's order, whose stage explains pages."""
    found = next((step for step in dag.steps.values() if page_explainer(step.stage) is not None), None)
    if found is None:
        raise DataError("no step explains its pages", where=dag.path, expected=f"a step with `uses: {DEFAULT_STAGE}`")
    return found


def _source_of(step: Step, dag: Dag) -> Step:
    """The source that a step's main input comes from."""
    while step.stage.kind != "source":
        name = step.main_input
        assert name is not None, step.name
        step = dag.steps[name]
    return step


def _read_again(source: Step, row: Row, dag: Dag) -> Mapping[str, Any]:
    """The page's row as the source gives it."""
    where, shard_name = dag.path, row.columns.get("warc_path")
    reader = source.stage.function(source.config, NarrowContext(step=source.name))
    shard = next((s for s in reader.shards() if s.name == shard_name), None)
    if shard is None:
        raise DataError(
            f"step {source.name!r} has no shard {one_line(str(shard_name), 200)!r}", where=where,
            expected="the crawl that the run has read", mend="Name that run's DAG file by --dag.",
        )  # fmt: skip
    for found in _matching(reader.read(shard), row):
        return found
    dropped = f"; {row.dropped_by} dropped it" if row.dropped_by == source.name else ""
    raise DataError(
        f"no page with the id {(row.columns.get('id') or b'').hex()} in {one_line(shard.name, 200)}{dropped}",
        where=where, expected="a page that the source can read",
    )  # fmt: skip


def _matching(batches: Iterator[Any], row: Row) -> Iterator[Mapping[str, Any]]:
    wanted = row.columns.get("id")
    for batch in batches:
        ids = batch.documents["id"].to_pylist()
        if wanted in ids:
            yield batch.documents.slice(ids.index(wanted), 1).to_pylist()[0]


def _others(row: Row, rows: list[Row]) -> list[str]:
    ids = {r.columns["id"].hex(): None for r in rows if r.columns.get("id") is not None}
    mine = row.columns["id"].hex() if row.columns.get("id") else ""
    others = [id_ for id_ in ids if id_ != mine]
    if not others:
        return []
    named = ", ".join(others[:5])
    return [f"{plural(len(ids), 'document')} have this URL; this is {mine}; ask for another by its id: {named}"]


def _changed(step: Step, artifacts: Mapping[str, Artifact]) -> list[str]:
    """A line where the DAG file's settings are not those of the run."""
    for artifact in artifacts.values():
        ran = artifact.manifest.get("identities", {}).get(step.name)
        if ran is not None and ran.get("config") != fingerprint_fields(step.config):
            return [f"the settings of {step.name!r} are not those of the run: shown is what the DAG file says now"]
    return []
