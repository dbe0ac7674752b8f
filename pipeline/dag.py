"""dag.yaml -> a checked Dag. Every mistake is one message: file:line, found, expected, the close match.

The file is composed into nodes and never constructed: no tag is evaluated, no alias is followed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from pipeline import config
from pipeline.dag_columns import check_columns
from pipeline.errors import DagError, FieldError, close_match
from pipeline.http_reader import shown
from pipeline.stage import Columns, Kind, Stage
from pipeline.stage_loader import known_stages, load_stage
from pipeline.store import is_remote

MAX_DAG_BYTES = 1 << 20
_STEP_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_TOP_FIELDS = ("version", "output", "steps", "resources")
_STEP_FIELDS = ("uses", "inputs", "with", "keep", "annotate")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How a step's tasks run; never part of a fingerprint."""

    num_cpus: float = 1.0  # Ray CPUs a task holds
    memory_gib: float = 0.0  # memory a task reserves; 0: no reservation

    def __post_init__(self) -> None:
        if not 0 < self.num_cpus < math.inf:
            raise FieldError("num_cpus", self.num_cpus, "a number above 0")
        if not 0 <= self.memory_gib < math.inf:
            raise FieldError("memory_gib", self.memory_gib, "a number from 0")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step as the file has it; `where` is file:line of its name, `settings_at` of its `with`."""

    name: str
    uses: str
    stage: Stage
    config: Any
    inputs: Mapping[str, str]
    keep: bool
    annotate: bool  # write what the filter measures as columns, and drop nothing
    where: str
    settings_at: str

    @property
    def main_input(self) -> str | None:
        first = next(iter(self.stage.ports), None)
        return self.inputs.get(first) if first else None


@dataclass(frozen=True, kw_only=True)
class Dag:
    """Steps in dependency order. `columns` are the columns of each step that produces documents."""

    path: str
    output: str
    steps: Mapping[str, Step]
    resources: Mapping[str, Resources]
    columns: Mapping[str, Columns] = field(default_factory=dict)

    def readers(self, name: str) -> list[Step]:
        return [s for s in self.steps.values() if name in s.inputs.values()]

    def resources_of(self, name: str) -> Resources:
        return self.resources.get(name, self.resources.get("default", Resources()))


def load_dag(path: str, overrides: Sequence[str] = ()) -> Dag:
    """Read and check a DAG file; `overrides` are `steps.crawl.with.source=VALUE` strings. Raises DagError."""
    root = _compose(_read(path), path)
    for override in overrides:
        _apply_override(root, override)
    top = {k.value: (k, v) for k, v in config.mapping_items(root, "the DAG")}
    _check_names(top, _TOP_FIELDS, "the DAG")
    version = _required(top, "version", root)
    if not isinstance(version, yaml.ScalarNode) or version.value != "1":
        raise DagError(f"version {config.describe(version)}", where=config.where(version), expected="version: 1")
    output_node = _required(top, "output", root)
    output = config.convert(output_node, str, "output")
    if not output or ("://" in output and not is_remote(output)):
        raise DagError(
            f"output {shown(output)!r}",
            where=config.where(output_node),
            expected="a folder, s3://bucket/prefix or gs://...",
        )
    step_nodes = config.mapping_items(_required(top, "steps", root), "steps")
    if not step_nodes:
        raise DagError("no steps", where=config.where(top["steps"][1]), expected="at least one step")
    names = [k.value for k, _ in step_nodes]
    steps = _in_dependency_order({k.value: _step(k, v, names) for k, v in step_nodes})
    resources = _resources(top["resources"][1], names) if "resources" in top else {}
    return Dag(path=path, output=output, steps=steps, resources=resources, columns=check_columns(steps))


def _read(path: str) -> str:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DagError(error.strerror or str(error), where=path, expected="a readable DAG file") from error
    if len(data) > MAX_DAG_BYTES:
        raise DagError(f"{len(data)} bytes", where=path, expected=f"a DAG file of at most {MAX_DAG_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DagError(
            f"a byte that is not UTF-8 at offset {error.start}", where=path, expected="UTF-8 text"
        ) from error


def _compose(text: str, name: str) -> yaml.Node:
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise DagError("an anchor or alias", where=f"{name}:{line}", expected="plain values")
        loader = yaml.SafeLoader(text)
        loader.name = name
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DagError(f"{error.problem}", where=f"{name}:{line}", expected="valid YAML") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise DagError(str(error).splitlines()[0], where=name, expected="valid YAML") from error
    if not isinstance(node, yaml.MappingNode):
        raise DagError("no mapping", where=name, expected=f"a mapping with {', '.join(_TOP_FIELDS)}")
    return node


def _apply_override(root: yaml.Node, override: str) -> None:
    path, equals, text = override.partition("=")
    where = f"--set {path}"
    if not equals or not path:
        raise DagError(f"{override!r}", where="--set", expected="PATH=VALUE, as in steps.crawl.with.num_shards=1")
    wrapped = _compose("value: " + text if text else "value: ''", where)
    value = wrapped.value[0][1]
    node, keys = root, path.split(".")
    for depth, key in enumerate(keys):
        children = {k.value: v for k, v in config.mapping_items(node, ".".join(keys[:depth]) or "the DAG")}
        if depth == len(keys) - 1:
            node.value = [(k, v) for k, v in node.value if k.value != key] + [(_scalar(key, where), value)]
        elif key in children and not _is_null(children[key]):
            node = children[key]
        elif keys[0] == "steps" and depth == 1:
            raise DagError(
                f"no step {key!r}",
                where=where,
                expected=f"one of {', '.join(children)}",
                mend=close_match(key, children),
            )
        else:
            mark = yaml.Mark(where, 0, 0, 0, None, 0)
            child = yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)
            node.value = [(k, v) for k, v in node.value if k.value != key] + [(_scalar(key, where), child)]
            node = child


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _scalar(text: str, where: str) -> yaml.ScalarNode:
    mark = yaml.Mark(where, 0, 0, 0, None, 0)
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, mark, mark)


def _check_names(items: Mapping[str, tuple[yaml.Node, yaml.Node]], known: Sequence[str], what: str) -> None:
    for name, (key, _) in items.items():
        if name not in known:
            raise DagError(
                f"unknown field {name!r} in {what}", where=config.where(key), expected=f"one of {', '.join(known)}",
                mend=close_match(name, known),
            )  # fmt: skip


def _required(items: Mapping[str, tuple[yaml.Node, yaml.Node]], name: str, parent: yaml.Node) -> yaml.Node:
    if name not in items:
        raise DagError(f"no {name!r}", where=config.where(parent), expected=f"a field {name}")
    return items[name][1]


def _step(key: yaml.ScalarNode, node: yaml.Node, names: Sequence[str]) -> Step:
    what, where = f"steps.{key.value}", config.where(key)
    if not _STEP_NAME.fullmatch(key.value):
        raise DagError(f"step name {key.value!r}", where=where, expected="lower-case letters, digits and _, at most 64")
    items = {k.value: (k, v) for k, v in config.mapping_items(node, what)}
    _check_names(items, _STEP_FIELDS, what)
    uses_node = _required(items, "uses", node)
    uses = config.convert(uses_node, str, f"{what}.uses")
    inputs_node = items["inputs"][1] if "inputs" in items else None
    stage = load_stage(uses, config.where(uses_node))
    given = _given(stage, inputs_node, what)
    stage = _with_listed_ports(stage, given)
    settings = items["with"][1] if "with" in items else None
    step = Step(
        name=key.value,
        uses=uses,
        stage=stage,
        config=config.build(stage.config, settings, f"{what}.with", where),
        inputs=_inputs(stage, given, what, config.where(inputs_node) if inputs_node is not None else where, names),
        keep=config.convert(items["keep"][1], bool, f"{what}.keep") if "keep" in items else False,
        annotate=_annotate(stage, uses, items["annotate"][1], what) if "annotate" in items else False,
        where=where,
        settings_at=config.where(settings) if settings is not None else where,
    )
    try:
        stage.check_inputs(step.config, tuple(step.inputs))
    except FieldError as error:
        raise DagError(
            f"{what}.with.{error.found}", where=step.settings_at, expected=error.expected, mend=error.mend
        ) from error
    return step


def _annotate(stage: Stage, uses: str, node: yaml.Node, what: str) -> bool:
    """Whether a step annotates; DagError where its stage is no filter that declares what it measures."""
    wanted: bool = config.convert(node, bool, f"{what}.annotate")
    if wanted and stage.measures is None:
        filters = [n for n in known_stages() if n.startswith("stages.") and load_stage(n, n).measures is not None]
        raise DagError(
            f"{what}.annotate is true, but {uses} is no filter that measures and drops row by row",
            where=config.where(node), expected=f"`annotate` at a step that uses one of {', '.join(filters)}",
            mend="Remove `annotate` here.",
        )  # fmt: skip
    return wanted


def _given(stage: Stage, node: yaml.Node | None, what: str) -> dict[str, yaml.Node]:
    """Port -> the node that names its step. A plain name stands for the first port; of a list each step has a port."""
    ports = list(stage.ports)
    if isinstance(node, yaml.ScalarNode) and ports:
        return {ports[0]: node}
    given: dict[str, yaml.Node] = {}
    for key, value in config.mapping_items(node, f"{what}.inputs") if node is not None else []:
        if key.value not in ports:
            expected = f"one of {', '.join(ports)}" if ports else "no inputs: this stage takes none"
            raise DagError(
                f"unknown input {key.value!r} of {what}", where=config.where(value), expected=expected,
                mend=close_match(key.value, ports),
            )  # fmt: skip
        is_list = key.value in stage.list_ports and isinstance(value, yaml.SequenceNode)
        given |= _listed(key.value, value, what) if is_list else {key.value: value}
    return given


def _listed(port: str, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    """`{port}.{step}` -> the node of each step of a list."""
    listed: dict[str, yaml.Node] = {}
    for i, child in enumerate(node.value):
        name = f"{port}.{config.convert(child, str, f'{what}.inputs.{port}[{i}]')}"
        if name in listed:
            raise DagError(
                f"{what}.inputs.{port} names {child.value!r} twice",
                where=config.where(child),
                expected="each step once",
            )
        listed[name] = child
    if not listed:
        raise DagError(f"{what}.inputs.{port} is an empty list", where=config.where(node), expected="at least one step")
    return listed


def _with_listed_ports(stage: Stage, given: Mapping[str, yaml.Node]) -> Stage:
    """The stage with a port for each step of a list, in place of the port the list is given at."""
    ports: dict[str, Kind] = {}
    for port, kind in stage.ports.items():
        listed = [name for name in given if name.startswith(f"{port}.")]
        ports |= dict.fromkeys(listed or [port], kind)
    return replace(stage, ports=ports)


def _inputs(
    stage: Stage, nodes: Mapping[str, yaml.Node], what: str, where: str, names: Sequence[str]
) -> dict[str, str]:
    """Port -> step, in the order of the stage's ports."""
    given = {port: config.convert(node, str, f"{what}.inputs.{port}") for port, node in nodes.items()}
    for port, step in given.items():
        if step not in names:
            raise DagError(
                f"input {port!r} of {what} names no step: {step!r}", where=config.where(nodes[port]),
                expected=f"one of {', '.join(names)}", mend=close_match(step, names),
            )  # fmt: skip
    missing = [p for p in stage.ports if p not in given and p not in stage.optional_ports]
    if missing:
        raise DagError(
            f"{what} lacks the input {missing[0]!r}", where=where,
            expected=f"inputs: {{{missing[0]}: STEP}}, a step that makes {stage.ports[missing[0]]}",
        )  # fmt: skip
    return {p: given[p] for p in stage.ports if p in given}


def _resources(node: yaml.Node, names: Sequence[str]) -> dict[str, Resources]:
    resources = {}
    for key, value in config.mapping_items(node, "resources"):
        if key.value not in ("default", *names):
            raise DagError(
                f"resources for {key.value!r}", where=config.where(key),
                expected=f"default or one of {', '.join(names)}", mend=close_match(key.value, names),
            )  # fmt: skip
        resources[key.value] = config.build(Resources, value, f"resources.{key.value}", config.where(key))
    return resources


def _in_dependency_order(steps: Mapping[str, Step]) -> dict[str, Step]:
    """The file's order where it can be, inputs first everywhere; DagError names a cycle's path."""
    ordered: dict[str, Step] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise DagError(
                f"a cycle: {cycle}", where=steps[name].where, expected="steps that do not wait for themselves"
            )
        if name in ordered:
            return
        for source in steps[name].inputs.values():
            visit(source, (*path, name))
        ordered[name] = steps[name]

    for name in steps:
        visit(name, ())
    return ordered
