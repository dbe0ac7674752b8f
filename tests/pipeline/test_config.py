"""A scalar is read by the type its field asks for, and every mistake names its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import yaml

from pipeline import config
from pipeline.errors import DagError, FieldError


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    rate: float = 0.1
    count: int = 3
    keep: tuple[str, ...] = ()
    mode: Literal["fast", "slow"] = "fast"
    limit: int | None = None
    on: bool = False
    name: str = "x"
    inner: Inner = field(default_factory=Inner)
    source: str = config.location("here")

    def __post_init__(self) -> None:
        if self.count < 0:
            raise FieldError("count", self.count, "a number from 0")


def build(text: str) -> Any:
    loader = yaml.SafeLoader(text)
    loader.name = "dag.yaml"
    return config.build(Config, loader.get_single_node(), "with", "dag.yaml:1")


@pytest.mark.parametrize(
    "text, field_name, value",
    [
        ("rate: 3e-4", "rate", 3e-4),
        ("rate: 1", "rate", 1.0),
        ("keep: [en, no, 'yes']", "keep", ("en", "no", "yes")),
        ("name: no", "name", "no"),
        ("name: 2026-11-22", "name", "2026-11-22"),
        ("name: 0123", "name", "0123"),
        ("count: 1_000", "count", 1000),
        ("limit: null", "limit", None),
        ("limit: 7", "limit", 7),
        ("on: true", "on", True),
        ("mode: slow", "mode", "slow"),
        ("inner: {depth: 5}", "inner", Inner(depth=5)),
    ],
)
def test_build_scalar_reads_as_the_field_s_type(text: str, field_name: str, value: object) -> None:
    assert getattr(build(text), field_name) == value


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("rate: 1\ncuont: 2", 2, ["unknown field 'cuont'", "Did you mean 'count'?"]),
        ("rate: fast", 1, ["with.rate is 'fast'", "expected a number"]),
        ("count: 1.5", 1, ["with.count is '1.5'", "a whole number"]),
        ("count: '7'", 1, ["a whole number"]),
        ("on: yes", 1, ["true or false"]),
        ("mode: fats", 1, ["one of fast, slow", "Did you mean 'fast'?"]),
        ("keep: en", 1, ["a list of text"]),
        ("keep:\n- en\n- [zh]", 3, ["with.keep[1] is a list"]),
        ("rate: 1\nrate: 2", 2, ["'rate' is given twice", "dag.yaml:1"]),
        ("rate: 1\ncount: -4", 2, ["count: -4", "a number from 0"]),
        ("inner: {deep: 1}", 1, ["with.inner", "Did you mean 'depth'?"]),
        ("limit: many", 1, ["a whole number"]),
    ],
)
def test_build_mistake_names_line_found_and_expected(text: str, line: int, words: list[str]) -> None:
    with pytest.raises(DagError) as caught:
        build(text)
    message = str(caught.value)
    assert message.startswith(f"dag.yaml:{line}: ")
    for word in words:
        assert word in message


def test_build_required_field_missing_says_its_type() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Required:
        size: int

    with pytest.raises(DagError, match=r"dag.yaml:9: with lacks the field 'size'; expected size: a whole number"):
        config.build(Required, None, "with", "dag.yaml:9")


def test_fingerprint_fields_leave_locations_out() -> None:
    fields = config.fingerprint_fields(build("source: /somewhere/else"))
    assert "source" not in fields
    assert fields["inner"] == {"depth": 1}
