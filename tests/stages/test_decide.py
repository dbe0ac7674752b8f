"""Decisions by columns against a loop over rows, and every setting that does not fit the columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.annotation import annotated, annotation_columns
from pipeline.dag import load_dag
from pipeline.errors import DagError, FieldError
from pipeline.stage import NarrowContext
from stages.decide import Bounds, Config, decide
from stages.fineweb_quality import fineweb_quality
from stages.gopher_repetition import gopher_repetition
from tests.stages.batches import judge, reasons


def decided(columns: dict[str, pa.Array], config: Config) -> list[str | None]:
    batch = pa.record_batch(columns)
    types = {field.name: field.type for field in batch.schema}
    return reasons(decide.function(config, NarrowContext(step="test", input_columns=types))(batch))


def by_row(row: dict[str, Any], config: Config) -> str | None:
    """The rule as its docstring has it, for one row."""
    for column, value in row.items():
        bounds = config.limits.get(column)
        if bounds is not None and value is not None:
            if bounds.at_least is not None and value < bounds.at_least:
                return f"{column}_too_low"
            if bounds.at_most is not None and value > bounds.at_most:
                return f"{column}_too_high"
        chosen = config.reasons.get(column)
        if chosen is not None and value is not None and (not chosen or value in chosen):
            return f"{column.removesuffix('_reason')}_{value}"
    return None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.none() | st.sampled_from([0.0, 0.1, 0.5, 2.0]), st.none() | st.integers(0, 3),
                       st.none() | st.sampled_from(["empty", "odd", "too_long"])), max_size=12),
    st.sampled_from([None, 0.1, 0.5]), st.sampled_from([None, 1.0, 2.0]), st.sampled_from([(), ("empty",), ("none",)]),
)  # fmt: skip
def test_decide_any_rows_are_judged_as_a_loop_judges_them(
    rows: list[tuple[float | None, int | None, str | None]], low: float | None, high: float | None, chosen: Any
) -> None:
    bounds = Bounds(at_least=low, at_most=high) if low is not None or high is not None else Bounds(at_least=0)
    config = Config(limits={"a_count": Bounds(at_least=1), "a_share": bounds}, reasons={"a_reason": chosen})
    shares, counts, names = ([row[k] for row in rows] for k in range(3))
    columns = {
        "a_share": pa.array(shares, pa.float64()), "a_count": pa.array(counts, pa.int32()),
        "a_reason": pa.array(names, pa.string()),
    }  # fmt: skip
    expected = [
        by_row({"a_share": share, "a_count": num, "a_reason": name}, config)
        for share, num, name in zip(shares, counts, names, strict=True)
    ]
    assert decided(columns, config) == expected


def test_decide_columns_are_looked_at_in_the_inputs_order_not_the_settings() -> None:
    columns = {"b": pa.array([0.0]), "a": pa.array([0.0])}
    for names in (("a", "b"), ("b", "a")):
        assert decided(columns, Config(limits={n: Bounds(at_least=1) for n in names})) == ["b_too_low"]


@pytest.mark.parametrize("stage", [gopher_repetition, fineweb_quality])
def test_decide_empty_text_goes_by_its_reason(stage: Any) -> None:
    """What a filter drops without a measure breaks no limit: only the reason tells of it."""
    batch = pa.record_batch({"text": pa.array(["", None, "\n\n"], pa.large_string())})
    verdict = judge(stage, batch["text"])
    measures = stage.measures(stage.config())
    table = annotated("s", batch, verdict, measures)
    strict = {name: Bounds(at_most=0) for name in annotation_columns("s", measures) if name != "s_reason"}
    columns = dict(zip(table.schema.names, table.columns, strict=True))
    assert decided(columns, Config(limits=strict))[:2] == [None, None]
    assert decided(columns, Config(reasons={"s_reason": ("empty",)}))[:2] == ["s_empty", "s_empty"]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (Config, "limits"),
        (Bounds, "at_least"),
        (lambda: Bounds(at_least=2, at_most=1), "at_least"),
        (lambda: Bounds(at_most=float("nan")), "at_most"),
        (lambda: Config(reasons={"url": ()}), "reasons"),
    ],
)
def test_decide_settings_that_say_nothing_name_the_field(make: Any, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        make()
    assert caught.value.field == field


DAG = """\
version: 1
output: runs/x
steps:
  books: {{uses: stages.documents, with: {{source: books}}}}
  gopher: {{uses: stages.gopher_quality, inputs: books, annotate: {annotate}}}
  chosen:
    uses: stages.decide
    inputs: gopher
    with: {settings}
"""


@pytest.mark.parametrize(
    ("annotate", "settings", "words"),
    [
        ("false", "{limits: {gopher_num_words: {at_least: 5}}}",
         ["reads column 'gopher_num_words', which 'gopher' does not have", "Say `annotate: true` at step 'gopher'."]),
        ("true", "{limits: {gopher_num_wrods: {at_least: 5}}}", ["Did you mean 'gopher_num_words'?"]),
        ("true", "{limits: {language_score: {at_least: 1}}}", ["Put a step with `uses: stages.language` before it"]),
        ("true", "{limits: {url: {at_least: 5}}}", ["dag.yaml:9", "steps.chosen.with.limits: 'url'", "is string"]),
        ("true", "{limits: {gopher_reason: {at_least: 5}}}", ["columns of numbers"]),
        ("true", "{}", ["dag.yaml:9", "a column in `limits` or in `reasons`"]),
        ("true", "{limits: {gopher_num_words: {}}}", ["at least one of at_least and at_most"]),
        ("true", "{limits: {gopher_num_words: {at_lest: 5}}}", ["Did you mean 'at_least'?"]),
    ],
)  # fmt: skip
def test_decide_columns_are_checked_when_the_dag_is_read(
    tmp_path: Path, annotate: str, settings: str, words: list[str]
) -> None:
    path = tmp_path / "dag.yaml"
    path.write_text(DAG.format(annotate=annotate, settings=settings))
    with pytest.raises(DagError) as caught:
        load_dag(str(path))
    for word in words:
        assert word in str(caught.value)


def test_decide_reason_that_never_occurs_is_counted_as_zero() -> None:
    columns = {"g_reason": pa.array(["too_few_words", None, "too_few_words", "empty"], pa.string())}
    config = Config(reasons={"g_reason": ("too_few_words", "too_few_wurds")})
    verdict = decide.function(config, NarrowContext(step="test", input_columns={"g_reason": pa.string()}))(
        pa.record_batch(columns)
    )
    assert verdict.counters == {"dropped_g_too_few_words": 2, "dropped_g_too_few_wurds": 0}


def test_decide_numbers_beyond_a_floats_digits_are_compared_all_the_same() -> None:
    columns = {"views": pa.array([2**53 + 1, 3], pa.int64())}
    assert decided(columns, Config(limits={"views": Bounds(at_least=5)})) == [None, "views_too_low"]
