"""Which columns the documents have behind every step of a DAG; what a step reads must be there.

Reads:  steps in dependency order
Writes: columns by step, or one DagError with file:line, found, expected and who could add what is missing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline import config
from pipeline.annotation import REASON, annotation_columns, column
from pipeline.errors import DagError, FieldError, close_match
from pipeline.schemas import PROVENANCE
from pipeline.stage import Columns
from pipeline.stage_loader import known_stages, load_stage

if TYPE_CHECKING:
    from pipeline.dag import Step


def check_columns(steps: Mapping[str, Step]) -> dict[str, Columns]:
    """Kinds and columns along every edge: what a step reads must be there."""
    columns: dict[str, Columns] = {}
    for step in steps.values():
        _check_kinds(step, steps)
        main = step.main_input
        available = dict(columns.get(main, {})) if main else {}
        _check_read(step, available, steps)
        if step.stage.produces == "documents":
            _check_added(step, available)
            columns[step.name] = _behind(step, available)
    return columns


def _check_kinds(step: Step, steps: Mapping[str, Step]) -> None:
    for port, source in step.inputs.items():
        wanted, made = step.stage.ports[port], steps[source].stage.produces
        if wanted != made:
            raise DagError(
                f"input {port!r} of step {step.name!r} is {source!r}, which makes {made}",
                where=step.where,
                expected=f"a step that makes {wanted}",
            )


def _check_read(step: Step, available: Columns, steps: Mapping[str, Step]) -> None:
    for name in step.stage.reads(step.config):
        if name not in available:
            raise DagError(
                f"step {step.name!r} ({step.uses}) reads column {name!r}, which {step.main_input!r} does not have",
                where=step.where, expected=f"one of {', '.join(available)}",
                mend=_who_annotates(name, steps) or _who_adds(name) or close_match(name, available),
            )  # fmt: skip
    try:
        step.stage.check_columns(step.config, available)
    except FieldError as error:
        raise DagError(
            f"steps.{step.name}.with.{error.found}", where=step.settings_at, expected=error.expected, mend=error.mend
        ) from error


def _check_added(step: Step, available: Columns) -> None:
    """A step may rewrite a column, but not say where a document comes from nor change a column's type."""
    for name, type_ in step.stage.adds(step.config).items():
        if name in available and (name in PROVENANCE.names or available[name] != type_):
            raise DagError(
                f"step {step.name!r} ({step.uses}) would write {name!r} as {type_}; it is there as {available[name]}",
                where=step.where, expected="a new column, or one of the same type that does not name the document",
            )  # fmt: skip


def _behind(step: Step, available: Columns) -> Columns:
    """The columns behind a step. One that annotates takes none away, as it rewrites none."""
    with_added = {**available, **step.stage.adds(step.config)}
    if not step.annotate:
        return {n: t for n, t in with_added.items() if n not in step.stage.removes}
    annotations = annotation_columns(step.name, _measures(step))
    clashes = [name for name in annotations if name in with_added]
    if REASON in _measures(step):
        clashes.append(column(step.name, REASON))
    if clashes:
        raise DagError(
            f"step {step.name!r} would annotate column {clashes[0]!r}, which is there already", where=step.where,
            expected="new columns: {step}_{measure} for each measure, and {step}_reason",
            mend="Rename the step or the other column.",
        )  # fmt: skip
    return {**with_added, **annotations}


def _measures(step: Step) -> tuple[str, ...]:
    assert step.stage.measures is not None, f"{step.name}: it was asked whether it can annotate"
    return step.stage.measures(step.config)


def _who_annotates(name: str, steps: Mapping[str, Step]) -> str:
    """The step that would write a column if it annotated, as advice."""
    for step in steps.values():
        if step.stage.measures is None or step.annotate:
            continue
        if name in annotation_columns(step.name, _measures(step)):
            return f"Say `annotate: true` at step {step.name!r}."
    return ""


def _who_adds(name: str) -> str:
    """The stages that add a column they do not read, as advice; only those that need no settings are looked at."""
    found = []
    for uses in known_stages():
        if not uses.startswith("stages."):
            continue
        stage = load_stage(uses, uses)
        settings = config.defaults(stage.config)
        if settings is not None and name in stage.adds(settings) and name not in stage.reads(settings):
            found.append(f"`uses: {uses}`")
    return f"Put a step with {' or '.join(found)} before it." if found else ""
