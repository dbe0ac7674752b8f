"""One YAML node -> one frozen dataclass, by the types of its fields.

Reads: nodes of `yaml.compose`, so that every error names file and line, and a scalar is read by the type its field asks
for: `3e-4` is a float where a float is asked for, `no` is a string where a string is. Nothing is evaluated.
"""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.errors import DagError, FieldError, close_match

LOCATION = {"location": True}


def location(default: str | None = None) -> Any:
    """A Config field that holds a path or address. Not in the fingerprint; the files it names go in instead."""
    if default is None:
        return dataclasses.field(metadata=LOCATION)
    return dataclasses.field(default=default, metadata=LOCATION)


def where(node: yaml.Node) -> str:
    """`file:line` of a node."""
    return f"{node.start_mark.name}:{node.start_mark.line + 1}"


def fingerprint_fields(config: Any) -> dict[str, Any]:
    """The config as JSON values, without its locations; of a mapping to locations the keys."""
    values = {f.name: (getattr(config, f.name), f.metadata.get("location")) for f in dataclasses.fields(config)}
    return {
        name: sorted(value) if is_location else to_json(value)
        for name, (value, is_location) in values.items()
        if not is_location or isinstance(value, Mapping)
    }


def to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    return value


def mapping_items(node: yaml.Node, what: str) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """Key and value nodes of a mapping with unique string keys."""
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return []
    if not isinstance(node, yaml.MappingNode):
        raise DagError(f"{what} is {describe(node)}", where=where(node), expected="a mapping of names to values")
    seen: dict[str, yaml.Node] = {}
    items = []
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            raise DagError(f"key {describe(key)} in {what}", where=where(key), expected="a plain name")
        if key.value in seen:
            first = where(seen[key.value])
            raise DagError(
                f"{key.value!r} is given twice in {what} (first at {first})", where=where(key),
                expected="every name once", mend="Remove or rename one of them.",
            )  # fmt: skip
        seen[key.value] = key
        items.append((key, value))
    return items


def describe(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def build(cls: type, node: yaml.Node | None, what: str, at: str) -> Any:
    """The dataclass `cls` from a mapping node, or all defaults. `at` is file:line where there is no node."""
    fields = {f.name: f for f in dataclasses.fields(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    nodes: dict[str, yaml.Node] = {}
    for key, value in mapping_items(node, what) if node is not None else []:
        if key.value not in fields:
            raise DagError(
                f"unknown field {key.value!r} in {what}", where=where(key),
                expected=f"one of {', '.join(fields) or 'no fields at all'}", mend=close_match(key.value, fields),
            )  # fmt: skip
        converted = convert(value, hints[key.value], f"{what}.{key.value}")
        values[key.value] = _absolute(converted) if fields[key.value].metadata.get("location") else converted
        nodes[key.value] = value
    for name, f in fields.items():
        if _is_required(f) and name not in values:
            raise DagError(
                f"{what} lacks the field {name!r}", where=where(node) if node is not None else at,
                expected=f"{name}: {type_name(hints[name])}",
            )  # fmt: skip
    try:
        return cls(**values)
    except FieldError as error:
        place = nodes.get(error.field, node)
        raise DagError(
            f"{what}.{error.found}", where=where(place) if place is not None else at,
            expected=error.expected, mend=error.mend,
        ) from error  # fmt: skip


def defaults(cls: type) -> Any | None:
    """A Config made without any settings; None where it needs some."""
    try:
        return None if any(_is_required(f) for f in dataclasses.fields(cls)) else cls()
    except FieldError:
        return None


def _is_required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _absolute(value: Any) -> Any:
    """A local path that exists, from the root on: a worker's current folder may be another one."""
    return os.path.abspath(value) if isinstance(value, str) and value and os.path.exists(value) else value


def type_name(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, args))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(type_name(a) for a in args)
    if origin in (tuple, list):
        return f"a list of {type_name(args[0])}"
    if origin in (dict, Mapping) or hint is dict:
        return f"a mapping to {type_name(args[1])}"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def convert(node: yaml.Node, hint: Any, what: str) -> Any:
    """The value of a node, read as the type `hint` says."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), node, what, where(node))
    if origin in (types.UnionType, typing.Union):
        return _convert_union(node, args, what)
    if origin is tuple and isinstance(node, yaml.SequenceNode):
        return tuple(convert(child, args[0], f"{what}[{i}]") for i, child in enumerate(node.value))
    if origin in (dict, Mapping):
        return {k.value: convert(v, args[1], f"{what}.{k.value}") for k, v in mapping_items(node, what)}
    if isinstance(node, yaml.ScalarNode):
        found, value = _scalar(node, hint)
        if found:
            return value
    mend = close_match(node.value, map(str, args)) if origin is typing.Literal and isinstance(node.value, str) else ""
    raise DagError(f"{what} is {describe(node)}", where=where(node), expected=type_name(hint), mend=mend)


def _convert_union(node: yaml.Node, args: tuple[Any, ...], what: str) -> Any:
    if type(None) in args and isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
        return None
    members = [a for a in args if a is not type(None)]
    for member in members[:-1]:
        try:
            return convert(node, member, what)
        except DagError:
            continue  # the next member may fit; the last one's error is raised
    return convert(node, members[-1], what)


def _encodes(text: str) -> bool:
    """Whether the text has no lone surrogate."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _scalar(node: yaml.ScalarNode, hint: Any) -> tuple[bool, Any]:
    """(whether the text reads as `hint`, the value). Quoted text is text and nothing else."""
    text, quoted = node.value, node.style in ("'", '"')
    if typing.get_origin(hint) is typing.Literal:
        by_text = {str(a): a for a in typing.get_args(hint)}
        return text in by_text, by_text.get(text)
    if "\0" in text or not _encodes(text):
        return False, None
    if hint is str:
        return node.tag != "tag:yaml.org,2002:null" or quoted, text
    if quoted:
        return False, None
    if hint is bool:
        return text in ("true", "false"), text == "true"
    if hint in (int, float):
        try:
            return True, hint(text.replace("_", "")) if hint is int else float(text)
        except ValueError:
            return False, None
    return False, None
