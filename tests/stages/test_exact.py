"""Exact dedup against a dictionary of normalised texts in plain Python."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from stages import exact
from tests.wide_context import Outcome, document_table, run_wide

TEXTS = [
    "Hello  World",
    "hello world\n",
    "HELLO\tWORLD",
    "hello, world",
    "",
    None,
    "  ",
    "Caf\u00e9",
    "cafe\u0301",
    "cafe",
    "42",
    "43",
]


def _table(texts: list[str | None], **columns: pa.Array) -> pa.Table:
    ids = [xxhash.xxh3_128_digest(f"{number}".encode()) for number in range(len(texts))]
    return document_table(ids, texts, **columns)


def _expected(table: pa.Table) -> dict[bytes, bytes | None]:
    """The longest of each group, then the smallest id; without text: kept."""
    groups: dict[str, list[tuple[int, bytes]]] = {}
    fates: dict[bytes, bytes | None] = {}
    for id_, text in zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True):
        fates[id_] = None
        key = " ".join(unicodedata.normalize("NFD", (text or "").lower()).split())
        if key:
            groups.setdefault(key, []).append((-len(text), id_))
    for members in groups.values():
        for _, id_ in members:
            fates[id_] = None if id_ == min(members)[1] else min(members)[1]
    return fates


def _layout(table: pa.Table, num_shards: int, seed: int) -> list[pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(part)) for part in np.array_split(order, num_shards)]


@pytest.mark.parametrize("num_shards", [1, 2, 5, 13])
def test_exact_any_layout_keeps_what_a_dictionary_keeps(tmp_path: Path, num_shards: int) -> None:
    table = _table(TEXTS * 7 + [f"unique {n}" for n in range(50)])
    outcome = run_wide("stages.exact", exact.Config(), _layout(table, num_shards, num_shards), tmp_path)
    assert outcome.fates() == _expected(table)
    assert outcome.report.docs_in == table.num_rows
    assert set(outcome.dropped["reason"].to_pylist()) == {"exact_duplicate"}


def test_exact_counts_sum_to_the_documents_also_over_two_passes(tmp_path: Path) -> None:
    table = _table(["a b", "a  b", "A B", "c", "c", None])
    first = run_wide("stages.exact", exact.Config(normalisation="none"), _layout(table, 2, 0), tmp_path / "first")
    second = run_wide("stages.exact", exact.Config(), [first.kept], tmp_path / "second")
    assert _counts(first) == {"A B": 1, "a  b": 1, "a b": 1, "c": 2, None: 1}
    assert _counts(second) == {"a  b": 3, "c": 2, None: 1}


def _counts(outcome: Outcome) -> dict[str | None, int]:
    return dict(zip(outcome.kept["text"].to_pylist(), outcome.kept["duplicate_count"].to_pylist(), strict=True))


@pytest.mark.parametrize("keep, expected", [("earliest", 1), ("latest", 2), ("shortest_url", 3), ("quality", 4)])
def test_exact_policy_decides_who_is_kept(tmp_path: Path, keep: str, expected: int) -> None:
    table = _table(
        ["same"] * 6,
        date=pa.array([None, 10, 90, 50, 50, 50], pa.timestamp("s", tz="UTC")),
        url=pa.array([None, "http://a/1", "http://a/1", "http://a", "http://a/1", "http://a/1"]),
        quality=pa.array([None, 0.5, 0.5, 0.5, 0.9, float("nan")]),
    )
    outcome = run_wide("stages.exact", exact.Config(keep=keep), [table.slice(3), table.slice(0, 3)], tmp_path)  # type: ignore[arg-type]
    assert outcome.kept["id"].to_pylist() == [table["id"][expected].as_py()]


def test_exact_cluster_sizes_are_reported(tmp_path: Path) -> None:
    table = _table(["one", *["two"] * 2, *["three"] * 3, *["five"] * 5, *["nine"] * 9])
    report = run_wide("stages.exact", exact.Config(), [table], tmp_path).report
    sizes = report.bars["cluster sizes"]
    assert dict(zip(sizes["labels"], sizes["counts"], strict=True)) == {"1": 1, "2": 1, "3-4": 1, "5-8": 1, "9-16": 1}
    assert [row["documents"] for row in report.tables["largest clusters"]] == [9, 5, 3, 2]
    assert report.tables["largest clusters"][0]["excerpt"] == "nine"


def test_exact_empty_shards_stay_empty(tmp_path: Path) -> None:
    table = _table(["x", "x"])
    outcome = run_wide("stages.exact", exact.Config(), [table.slice(0, 0), table, table.slice(0, 0)], tmp_path)
    assert outcome.kept.num_rows == 1
