"""What a stage is, and what it is given: the contract between the engine and the files in `stages/` and `pretrain/`.

A stage module defines a frozen, keyword-only dataclass `Config` and one function, marked by `@source`, `@narrow` or
`@wide`. `dag.yaml` names the module (`uses: stages.gopher_quality`); the engine finds the one Stage in it.

- source: lists its shards and reads one into batches, naming every record it could not use.
- narrow: one record batch in, one Verdict out. The engine applies the verdict, counts, samples and writes the ledger.
  Its module may also hold an `explain_page` (stage_loader.page_explainer), for `crawlmill explain --text`.
- wide: needs the whole input; runs phases of tasks through its context and writes one artifact.

What a stage returns depends on its config and its input alone: not on the worker, the order, or what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import pyarrow as pa

from pipeline.store import Folder

Kind = Literal["documents", "tokens", "vocabulary", "classifier", "model"]
Columns = Mapping[str, pa.DataType]
CheckInputs = Callable[[Any, Sequence[str]], None]  # (config, ports that are given); raises FieldError
CheckColumns = Callable[[Any, Columns], None]  # (config, columns of the main input); raises FieldError
Names = tuple[str, ...]
OutsideOf = Callable[[Any, Mapping[str, str]], "Outside | None"]  # (config, inputs' fingerprints by port)
JSON = Any  # what json.dumps takes: numbers, strings, lists and mappings of them


@dataclass(frozen=True, kw_only=True)
class Drops:
    """Which rows of a batch leave the pipeline, and why.

    `code_N` int16: -1 keeps the row, otherwise an index into `reasons`. A reason names the violation
    (`too_few_stop_words`). `value_N` and `threshold_N` float64: what was measured and what it was held against, NaN
    where a reason has none. `duplicate_of`: for dedup, fixed_size_binary[16] with null for kept rows.
    """

    reasons: tuple[str, ...]
    code_N: np.ndarray
    value_N: np.ndarray
    threshold_N: np.ndarray
    duplicate_of: pa.Array | None = None


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A value measured on every row, for the report's histogram: `num_bins` equal bins from `low` to `high`.

    Values outside fall into the first or last bin; NaN (not measured) is counted apart. `drop_below` and `drop_above`
    are the thresholds drawn into the histogram; a value equal to one of them is kept.
    """

    value_N: np.ndarray
    low: float
    high: float
    num_bins: int = 50
    drop_below: float | None = None
    drop_above: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a narrow stage says of a batch of N rows; every array has N entries, dropped rows included.

    `columns` are added, or replace columns of that name. `measures` become histograms, `tallies` (string arrays) counts
    per distinct value, `counters` sums.
    """

    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    drops: Drops | None = None
    measures: Mapping[str, Measure] = field(default_factory=dict)
    tallies: Mapping[str, pa.Array] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


BatchFunction = Callable[[pa.RecordBatch], Verdict]


@dataclass(frozen=True, kw_only=True)
class SourceShard:
    """One unit of a source's work. `name` is relative to the source, so that moving a corpus changes nothing.

    `stamp` says which content this is (size and hash, or an etag); it goes into the fingerprint. `num_bytes` is -1
    where it is not known before reading.
    """

    name: str
    location: str
    stamp: str
    num_bytes: int = -1


@dataclass(frozen=True, kw_only=True)
class DroppedRecord:
    """A record a source met and did not emit; `num_bytes` is the span of the shard it takes up."""

    reason: str
    num_bytes: int
    warc_path: str
    warc_offset: int
    id: bytes | None = None
    url: str | None = None
    value: float | None = None
    threshold: float | None = None
    excerpt: str = ""


@dataclass(frozen=True, kw_only=True)
class SourceBatch:
    """Documents read and records dropped since the batch before. `num_bytes_kept` is the span of the shard that the
    documents take up. `num_bytes_read`, the shard's measured size, is given with the last batch, 0 before; the engine
    checks that kept and dropped spans add up to it."""

    documents: pa.RecordBatch
    dropped: Sequence[DroppedRecord] = ()
    num_bytes_kept: int = 0
    num_bytes_read: int = 0
    tallies: Mapping[str, pa.Array] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SourceReader:
    """What a source stage returns: `shards()` lists its work in a stable order, `read(shard)` streams one shard."""

    shards: Callable[[], list[SourceShard]]
    read: Callable[[SourceShard], Iterator[SourceBatch]]


class InputArtifact(Protocol):
    """A finished artifact, as a stage sees it."""

    @property
    def step(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def folder(self) -> Folder: ...

    def shards(self) -> list[str]:
        """Names of its shards inside `folder`, in order: `shards/00000.parquet`, ..."""
        ...


@dataclass(frozen=True, kw_only=True)
class NarrowContext:
    """What a source or narrow stage is given beside its config: `step`'s name, its side inputs, a folder for caches."""

    step: str
    inputs: Mapping[str, InputArtifact] = field(default_factory=dict)
    input_columns: Columns = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TaskContext:
    """What a task of a wide stage's phase is given: the artifact's folder, its scratch folder, and its place."""

    step: str
    output: Folder
    work: Folder
    index: int


T = TypeVar("T")


class ExchangeReader(Protocol):
    """A finished exchange. Picklable: pass it to the tasks of the phase that reads it."""

    @property
    def num_partitions(self) -> int: ...

    def read(self, partition: int) -> Iterator[pa.RecordBatch]:
        """The partition's batches, in the order of the items that produced them; one batch in memory at a time."""
        ...


class WideContext(Protocol):
    """What a wide stage is given. Every task commits its result, so that a killed run repeats only unfinished tasks.

    Functions given to `map`, `exchange` and `filter_documents` run in other processes: they are module-level functions,
    and `shared` and the items are small, picklable values (artifacts, exchanges, configs, names; no data).
    """

    @property
    def step(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, InputArtifact]: ...
    @property
    def output(self) -> Folder: ...
    @property
    def work(self) -> Folder: ...
    @property
    def report(self) -> StepReportWriter: ...
    @property
    def outside(self) -> JSON:
        """The `identity` of the step's Outside as it was planned; None where it has none."""
        ...

    def map(
        self, phase: str, function: Callable[[Any, T, TaskContext], JSON], items: Sequence[T], shared: Any = None
    ) -> list[JSON]:
        """One task per item, `function(shared, item, task)`; the JSON results in item order."""
        ...

    def exchange(
        self,
        phase: str,
        function: Callable[[Any, T, TaskContext], Iterable[pa.RecordBatch]],
        items: Sequence[T],
        num_partitions: int,
        shared: Any = None,
    ) -> ExchangeReader:
        """Partition what the tasks yield by column `key` (uint64): rows with equal keys meet in the same partition.

        A row goes to partition `key >> 32` scaled to num_partitions, so keys must be well mixed (hashes).
        """
        ...

    def add_use(self, cpu_s: float, peak_memory_bytes: int) -> None:
        """Count what processes used that the stage started itself, beside the tasks of its phases."""
        ...

    def filter_documents(
        self, documents: InputArtifact, open_filter: Callable[[Any, int], BatchFunction], shared: Any = None
    ) -> None:
        """Write the stage's output shards: each input shard through `open_filter(shared, shard_index)`.

        Verdicts are applied, counted, sampled and entered into the ledger just as a narrow stage's are.
        """
        ...


class StepReportWriter(Protocol):
    """What a wide stage tells the report beside what the engine counts by itself."""

    def counter(self, name: str, value: int) -> None: ...
    def figure(self, name: str, value: float | str) -> None: ...
    def series(self, name: str, x_label: str, x: Sequence[float], lines: Mapping[str, Sequence[float]]) -> None: ...
    def histogram(self, name: str, labels: Sequence[str], counts: Sequence[int]) -> None: ...
    def sample(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What a step depends on and leaves outside its artifact, such as an index of earlier runs.

    `identity` goes into the fingerprint: what the step's result depends on, the same before and after the step has run.
    `is_complete`: what it leaves there is there. Where it is not, the step runs again.
    """

    identity: JSON
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage's declaration. `version` goes up whenever the same input would give other bytes than before.

    `ports` names the inputs with the kind of artifact each takes, the main one first. A port of `list_ports` takes a
    step or a list of steps, each an input of its own named `{port}.{step}` (see `at_port`). `reads` are columns of the
    main input the stage needs, `adds` the ones it adds or rewrites, `removes` the ones it takes away. `files` lists the
    locations (besides a source's shards) whose content the result depends on. `measures` names all that a verdict
    measures; None where a step cannot be annotated. `outside`: what there is outside, given config and fingerprints.
    """

    kind: Literal["source", "narrow", "wide"]
    version: int
    function: Callable[..., Any]
    config: type
    ports: Mapping[str, Kind]
    optional_ports: frozenset[str]
    produces: Kind
    reads: Callable[[Any], Names]
    adds: Callable[[Any], Columns]
    removes: Names
    files: Callable[[Any], Sequence[str]]
    measures: Callable[[Any], Names] | None
    check_inputs: CheckInputs
    check_columns: CheckColumns
    outside: OutsideOf
    list_ports: frozenset[str] = frozenset()


def at_port(inputs: Mapping[str, InputArtifact], port: str) -> list[InputArtifact]:
    """The artifacts at a list port, in the file's order."""
    return [artifact for name, artifact in inputs.items() if name.partition(".")[0] == port]


def _config_of(function: Callable[..., Any]) -> type:
    config = function.__globals__.get("Config")
    assert isinstance(config, type), f"{function.__module__} must define its Config before its stage"
    return config


def _columns(adds: Columns | Callable[[Any], Columns]) -> Callable[[Any], Columns]:
    return adds if callable(adds) else lambda cfg: adds


def _names(names: Names | Callable[[Any], Names]) -> Callable[[Any], Names]:
    return names if callable(names) else lambda cfg: names


def _no_files(cfg: Any) -> Sequence[str]:
    return ()


def _any_inputs(cfg: Any, ports: Sequence[str]) -> None:
    """Nothing to object to."""


def _any_columns(cfg: Any, columns: Columns) -> None:
    """Nothing to object to."""


def _nothing_outside(cfg: Any, inputs: Mapping[str, str]) -> Outside | None:
    return None


def source(
    *, version: int, schema: pa.Schema, files: Callable[[Any], Sequence[str]] = _no_files
) -> Callable[[Callable[[Any, NarrowContext], SourceReader]], Stage]:
    """Mark `function(cfg, ctx) -> SourceReader` as the module's stage; its batches have `schema`."""
    columns = {f.name: f.type for f in schema}

    def mark(function: Callable[[Any, NarrowContext], SourceReader]) -> Stage:
        return Stage(
            kind="source", version=version, function=function, config=_config_of(function), ports={},
            optional_ports=frozenset(), produces="documents", reads=lambda cfg: (), adds=lambda cfg: columns,
            removes=(), files=files, measures=None, check_inputs=_any_inputs, check_columns=_any_columns,
            outside=_nothing_outside,
        )  # fmt: skip

    return mark


def narrow(
    *,
    version: int,
    reads: Names | Callable[[Any], Names],
    adds: Columns | Callable[[Any], Columns] | None = None,
    removes: Names = (),
    side_inputs: Mapping[str, Kind] | None = None,
    files: Callable[[Any], Sequence[str]] = _no_files,
    measures: Names | Callable[[Any], Names] | None = None,
    check_inputs: CheckInputs = _any_inputs,
    check_columns: CheckColumns = _any_columns,
) -> Callable[[Callable[[Any, NarrowContext], BatchFunction]], Stage]:
    """Mark `function(cfg, ctx) -> BatchFunction` as the module's stage. Side inputs are optional ports; `check_inputs`
    raises FieldError where those that are given do not go with the config, `check_columns` where the main input's
    columns (the ones it reads are there) do not. A filter names its `measures`, `()` where it drops without measuring,
    so that a step of it may say `annotate: true`."""

    def mark(function: Callable[[Any, NarrowContext], BatchFunction]) -> Stage:
        return Stage(
            kind="narrow", version=version, function=function, config=_config_of(function),
            ports={"documents": "documents", **(side_inputs or {})}, optional_ports=frozenset(side_inputs or ()),
            produces="documents", reads=_names(reads), adds=_columns(adds or {}), removes=removes, files=files,
            measures=None if measures is None else _names(measures), check_inputs=check_inputs,
            check_columns=check_columns, outside=_nothing_outside,
        )  # fmt: skip

    return mark


def wide(
    *,
    version: int,
    ports: Mapping[str, Kind],
    produces: Kind,
    reads: Names | Callable[[Any], Names] = (),
    adds: Columns | Callable[[Any], Columns] | None = None,
    removes: Names = (),
    files: Callable[[Any], Sequence[str]] = _no_files,
    outside: OutsideOf = _nothing_outside,
    list_ports: Names = (),
    check_inputs: CheckInputs = _any_inputs,
) -> Callable[[Callable[[Any, WideContext], Mapping[str, JSON]]], Stage]:
    """Mark `function(cfg, ctx) -> contract` as the module's stage. It writes its files under `ctx.output`; what it
    returns (JSON) becomes the manifest's `contract`, for readers of the artifact (of tokens: length, eot id, ...)."""

    def mark(function: Callable[[Any, WideContext], Mapping[str, JSON]]) -> Stage:
        return Stage(
            kind="wide", version=version, function=function, config=_config_of(function), ports=ports,
            optional_ports=frozenset(), produces=produces, reads=_names(reads), adds=_columns(adds or {}),
            removes=removes, files=files, measures=None, check_inputs=check_inputs, check_columns=_any_columns,
            outside=outside, list_ports=frozenset(list_ports),
        )  # fmt: skip

    return mark
