"""Robots: what drops a page, what is only counted, and where the stage can stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.dag import load_dag
from pipeline.errors import DagError, FieldError
from pipeline.stage import NarrowContext, Verdict
from stages.robots import Config, robots
from tests.stages.batches import reasons

PLAIN = b"<html><head><title>x</title></head><body>y</body></html>"


def head(*directives: str, name: str = "robots") -> bytes:
    return f'<html><head><meta name="{name}" content="{", ".join(directives)}"></head><body>y'.encode()


def judge(pages: Sequence[bytes | None], headers: Sequence[str | None] = (), config: Config | None = None) -> Verdict:
    given = [*headers, *[None] * (len(pages) - len(headers))]
    batch = {"payload": pa.array(pages, pa.large_binary()), "robots": pa.array(given, pa.string())}
    return robots.function(config or Config(), NarrowContext(step="robots"))(pa.record_batch(batch))


def test_robots_pages_that_ask_not_to_be_used_are_dropped_by_name() -> None:
    pages = [head("index"), head("noindex"), head("none"), PLAIN, PLAIN, None, head("1", name="tdm-reservation")]
    headers = [None, None, None, "noai", "googlebot: noai", "tdm-reservation: 1"]
    assert reasons(judge(pages, headers)) == [
        None, "robots_noindex", "robots_none", "robots_noai", None, "robots_tdm_reservation", "robots_tdm_reservation",
    ]  # fmt: skip


def test_robots_directives_not_honoured_are_counted_only() -> None:
    verdict = judge([head("noarchive", "noimageai"), head("noindex", "noarchive"), PLAIN])
    assert reasons(verdict) == [None, "robots_noindex", None]
    assert verdict.counters["pages_with_noarchive"] == 2
    assert verdict.counters["pages_with_noimageai"] == verdict.counters["pages_with_noindex"] == 1
    assert verdict.counters["pages_with_noai"] == 0


def test_robots_first_honoured_directive_is_the_reason() -> None:
    both = [head("noindex", "noai")]
    assert reasons(judge(both)) == ["robots_noai"]
    assert reasons(judge(both, config=Config(honour=("noindex", "noai")))) == ["robots_noindex"]
    assert reasons(judge(both, config=Config(honour=()))) == [None]


def test_robots_only_named_user_agents_are_ours() -> None:
    page = [head("noindex", name="GPTBot")]
    assert reasons(judge(page)) == [None]
    assert reasons(judge(page, config=Config(user_agents=("gptbot",)))) == ["robots_noindex"]


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_robots_page_in_utf16_is_looked_at_and_counted(codec: str) -> None:
    verdict = judge([PLAIN, head("noindex").decode().encode(codec), head("noai").decode().encode(codec)[:-1]])
    assert reasons(verdict) == [None, "robots_noindex", "robots_noai"]
    assert verdict.counters["pages_in_utf16"] == 2


def test_robots_empty_batch_and_slices_are_judged() -> None:
    assert reasons(judge([])) == []
    batch = pa.record_batch(
        {
            "payload": pa.array([PLAIN, head("noindex"), None, head("none")], pa.large_binary()),
            "robots": pa.array(["noai", None, "noai", None], pa.string()),
        }
    )
    run = robots.function(Config(), NarrowContext(step="robots"))
    assert reasons(run(batch[1:])) == ["robots_noindex", "robots_noai", "robots_none"]


def test_config_user_agent_that_is_no_name_is_a_field_error() -> None:
    for name in ("", "CCBot/2.0", "a b", "*"):
        with pytest.raises(FieldError, match="crawler's name"):
            Config(user_agents=(name,))


@pytest.mark.parametrize("before", ["stages.documents", "stages.extract"])
def test_robots_without_payload_is_an_error_of_the_plan(tmp_path: Path, before: str) -> None:
    source = "stages.documents" if before == "stages.documents" else "stages.commoncrawl"
    text = f"""\
version: 1
output: runs/x
steps:
  pages: {{uses: {source}, with: {{source: pages}}}}
  text: {{uses: {before}, inputs: pages}}
  robots: {{uses: stages.robots, inputs: {"pages" if before == source else "text"}}}
"""
    path = tmp_path / "dag.yaml"
    path.write_text(text if before != source else re.sub(r"  text: .*\n", "", text))
    with pytest.raises(DagError, match=r"stages\.robots\) reads column 'payload'"):
        load_dag(str(path))
