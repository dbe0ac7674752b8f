"""Annotate once, decide later: all values are kept beside the documents, and thresholds decide as the filters do."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from stages import fineweb_quality, gopher_quality, gopher_repetition
from stages.sample.build import write_sample_crawl
from tests.e2e.dag_file import crawlmill, summary

GOPHER = gopher_quality.Config()
FINEWEB = fineweb_quality.Config()
LIMITS = {
    **{
        f"r_{field.name}": {"at_most": getattr(gopher_repetition.Config(), field.name)}
        for field in dataclasses.fields(gopher_repetition.Config)
        if field.name != "word_rules"
    },
    "g_num_words": {"at_least": GOPHER.min_words, "at_most": GOPHER.max_words},
    "g_mean_word_chars": {"at_least": GOPHER.min_mean_word_chars, "at_most": GOPHER.max_mean_word_chars},
    "g_hashes_per_word": {"at_most": GOPHER.max_symbols_per_word},
    "g_ellipses_per_word": {"at_most": GOPHER.max_symbols_per_word},
    "g_bullet_line_share": {"at_most": GOPHER.max_bullet_line_share},
    "g_ellipsis_line_share": {"at_most": GOPHER.max_ellipsis_line_share},
    "g_alphabetic_word_share": {"at_least": GOPHER.min_alphabetic_word_share},
    "g_east_asian_alphabetic_word_share": {"at_least": GOPHER.min_east_asian_alphabetic_word_share},
    "g_num_stop_words": {"at_least": GOPHER.min_stop_words},
    "f_punctuated_line_share": {"at_least": FINEWEB.min_punctuated_line_share},
    "f_short_line_share": {"at_most": FINEWEB.max_short_line_share},
    "f_duplicate_char_share": {"at_most": FINEWEB.max_duplicate_char_share},
    "f_newlines_per_word": {"at_most": FINEWEB.max_newlines_per_word},
}
REASONS = {"r_reason": ["empty"], "f_reason": ["empty"]}


def step(uses: str, source: str, **more: Any) -> dict[str, Any]:
    return {"uses": f"stages.{uses}", "inputs": source, **more}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in which the same filters drop, and annotate with a decision behind them; C4's is annotated as well."""
    folder = tmp_path_factory.mktemp("annotate")
    write_sample_crawl(folder / "crawl", num_pages=300, num_shards=2)
    steps = {
        "crawl": {"uses": "stages.commoncrawl", "with": {"source": str(folder / "crawl")}},
        "text": step("extract", "crawl"),
        "repetition": step("gopher_repetition", "text"),
        "gopher": step("gopher_quality", "repetition"),
        "fineweb": step("fineweb_quality", "gopher", keep=True),
        "r": step("gopher_repetition", "text", annotate=True),
        "g": step("gopher_quality", "r", annotate=True),
        "c": step("c4_quality", "g", annotate=True),
        "f": step("fineweb_quality", "c", annotate=True, keep=True),
        "decided": step("decide", "f", **{"with": {"limits": LIMITS, "reasons": REASONS}}),
        "by_reason": step("decide", "f", **{"with": {"reasons": {"r_reason": [], "g_reason": [], "f_reason": []}}}),
    }
    dag = {"version": 1, "output": str(folder / "out"), "steps": steps}
    (folder / "dag.yaml").write_text(yaml.safe_dump(dag, sort_keys=False))
    crawlmill("run", str(folder / "dag.yaml"), "--in-process")
    return folder / "out"


def artifact(output: Path, name: str) -> Path:
    return output / next(s["artifact"] for s in summary(output)["steps"] if s["step"] == name)


def rows(output: Path, name: str, folder: str = "shards") -> pa.Table:
    return pa.concat_tables(pq.read_table(p) for p in sorted((artifact(output, name) / folder).glob("*.parquet")))


def ids(table: pa.Table) -> list[str]:
    return sorted(i.hex() for i in table["id"].to_pylist())


def row_of(output: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in summary(output)["steps"] if s["step"] == name)
    return found


@pytest.mark.parametrize("name", ["decided", "by_reason"])
def test_decide_with_the_filters_own_thresholds_keeps_the_same_documents(output: Path, name: str) -> None:
    kept = rows(output, "fineweb")
    assert ids(rows(output, name)) == ids(kept)
    assert 20 < kept.num_rows < rows(output, "text").num_rows - 20, "the thresholds have something to decide"


def test_decide_ledger_names_the_column_that_the_filter_dropped_by(output: Path) -> None:
    """Both paths drop a document at the same place: the first filter's measures come first in either."""
    by_filter = rows(output, "fineweb", "dropped")
    by_column = rows(output, "decided", "dropped")
    places = {row["id"]: row for row in by_column.to_pylist()}
    assert set(by_column["step"].to_pylist()) == {"decided"}
    prefix = {"repetition": "r_", "gopher": "g_", "fineweb": "f_"}
    for row in by_filter.to_pylist():
        place = places.pop(row["id"])
        assert place["reason"].startswith(prefix[row["step"]])
        assert (place["value"], place["threshold"]) == (row["value"], row["threshold"])
    assert not places


def test_annotate_keeps_every_document_as_it_came(output: Path) -> None:
    came, annotated = rows(output, "text"), rows(output, "f")
    assert annotated.select(came.schema.names).equals(came)
    for name in "rgcf":
        row = row_of(output, name)
        assert (row["docs_in"], row["docs_out"], row["dropped"]) == (came.num_rows, came.num_rows, {})
    assert not list((artifact(output, "f") / "dropped").glob("*"))


def test_annotate_reason_is_what_the_filter_drops_for(output: Path) -> None:
    annotated = rows(output, "f")
    dropped = rows(output, "fineweb", "dropped")
    first = dropped.filter(pc.equal(dropped["step"], "repetition"))
    named = {row["id"]: row["reason"] for row in first.to_pylist()}
    found = {row["id"]: row["r_reason"] for row in annotated.select(["id", "r_reason"]).to_pylist()}
    assert {k: v for k, v in found.items() if v is not None} == named
    assert len(set(named.values())) > 2


def test_annotate_value_is_null_where_nothing_was_measured(output: Path) -> None:
    annotated = rows(output, "f")
    shares = annotated["g_east_asian_alphabetic_word_share"]
    assert shares.type == pa.float64() and 0 < shares.null_count < annotated.num_rows
    assert not any(math.isnan(v) for v in shares.drop_null().to_pylist())


def test_explain_tells_what_was_measured_and_would_have_dropped(output: Path) -> None:
    annotated = rows(output, "f")
    one = annotated.filter(pc.and_(pc.is_valid(annotated["r_reason"]), pc.is_null(annotated["g_reason"]))).slice(0, 1)
    assert one.num_rows
    done = crawlmill("explain", one["id"][0].as_py().hex(), "--output", str(output)).stdout
    reason = one["r_reason"][0].as_py()
    assert f"annotated: would be dropped, {reason.replace('_', ' ')} ({reason})" in done
    assert "annotated: would be kept" in done
    assert f"num_words: {int(one['g_num_words'][0].as_py()):,}" in done
    assert done.count("num_words") == 1, "told with its step, not again with the place"


def test_report_tells_what_a_limit_would_keep(output: Path) -> None:
    values = [v for v in rows(output, "f")["g_num_words"].to_pylist() if v is not None]
    kept = sum(v >= 50 for v in values)
    done = crawlmill("report", str(output)).stdout
    assert f"g: num_words: Drop below 50 keeps {100 * kept / len(values):.1f} % ({kept} of {len(values)})." in done
    assert "would drop" in (output / "index.html").read_text()
