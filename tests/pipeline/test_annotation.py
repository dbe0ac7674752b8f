"""What an annotated batch holds, and that a stage which measures something else than it declares stops the run."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline import cli
from pipeline.annotation import annotated, annotation_columns, check_measures
from pipeline.errors import RunError
from pipeline.stage import Drops, Measure, Verdict
from stages import gopher_quality

BATCH = pa.record_batch({"id": [1, 2, 3], "text": pa.array(["a", "b", "c"], pa.large_string())})


def verdict(drops: Drops | None = None) -> Verdict:
    size = Measure(value_N=np.array([1.5, np.nan, 3]), low=0, high=4, drop_above=2)
    changed = {"text": pa.array(["A", "B", "C"], pa.large_string()), "new": pa.array([7, 8, 9])}
    return Verdict(columns=changed, drops=drops, measures={"size": size})


def test_annotated_keeps_columns_adds_new_ones_and_writes_values_and_reasons() -> None:
    none_N = np.full(3, np.nan)
    drops = Drops(reasons=("odd", "too_big"), code_N=np.array([-1, 0, 1], np.int16), value_N=none_N, threshold_N=none_N)
    batch = annotated("s", BATCH, verdict(drops), ("size",))
    assert batch.to_pydict() == {
        "id": [1, 2, 3], "text": ["a", "b", "c"], "new": [7, 8, 9], "s_size": [1.5, None, 3.0],
        "s_reason": [None, "odd", "too_big"],
    }  # fmt: skip
    planned = annotation_columns("s", ("size",))
    assert {name: batch.schema.field(name).type for name in planned} == planned


@pytest.mark.parametrize("num_rows", [0, 3])
def test_annotated_without_drops_has_null_reasons(num_rows: int) -> None:
    nothing_N = np.zeros(0)
    empty = Drops(reasons=(), code_N=np.full(num_rows, -1, np.int16), value_N=nothing_N, threshold_N=nothing_N)
    for drops in (None, empty):
        batch = annotated("s", BATCH.slice(0, num_rows), Verdict(drops=drops), ())
        assert batch["s_reason"].to_pylist() == [None] * num_rows
        assert batch["s_reason"].type == pa.string()


@pytest.mark.parametrize("declared", [(), ("size", "weight"), ("weight",)])
def test_check_measures_other_than_declared_is_a_fault_of_the_stage(declared: tuple[str, ...]) -> None:
    check_measures("s", ("size",), verdict())
    with pytest.raises(RunError, match=r"step s: measured \['size'\]; expected .*, as declared\. This is a fault"):
        check_measures("s", declared, verdict())


@pytest.mark.parametrize("annotate", ["true", "false"])
def test_run_with_a_stage_that_measures_less_than_it_declares_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], annotate: str
) -> None:
    stage = gopher_quality.gopher_quality
    assert stage.measures is not None
    more = (*stage.measures(None), "num_vowels")
    monkeypatch.setattr(gopher_quality, "gopher_quality", dataclasses.replace(stage, measures=lambda cfg: more))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(json.dumps({"text": "A page."}).encode() + b"\n"))
    (tmp_path / "dag.yaml").write_text(
        f"version: 1\noutput: {tmp_path / 'out'}\nsteps:\n"
        f"  books: {{uses: stages.documents, with: {{source: {tmp_path / 'a.jsonl.gz'}}}}}\n"
        f"  gopher: {{uses: stages.gopher_quality, inputs: books, annotate: {annotate}}}\n"
    )
    assert cli.main(["run", str(tmp_path / "dag.yaml"), "--in-process", "--plain"]) == 1
    assert "'num_vowels'" in capsys.readouterr().err
