"""Repeated lines against dictionaries of sets in plain Python, in every layout of shards, and on hostile texts."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import FieldError
from stages import repeated_lines
from stages.dedup import corpus, repeats
from stages.kernels import repeated_lines as kernels
from stages.repeated_lines import Config
from tests.shared_data import REPOSITORY
from tests.stages.real_texts import needs_real_texts, real_texts
from tests.stages.repeated_lines_oracle import Expected, made, oracle, random_documents
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
from tests.wide_context import Outcome, run_wide


def layout(table: pa.Table, num_shards: int, seed: int) -> list[pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(part)) for part in np.array_split(order, num_shards)]


def run(cfg: Config, shards: list[pa.Table], folder: Path) -> Outcome:
    return run_wide("stages.repeated_lines", cfg, shards, folder)


def check(outcome: Outcome, table: pa.Table, cfg: Config) -> Expected:
    expected = oracle(table, cfg)
    kept = dict(zip(outcome.kept["id"].to_pylist(), outcome.kept["text"].to_pylist(), strict=True))
    assert kept == expected.kept
    dropped = {row["id"]: (row["reason"], row["value"]) for row in outcome.dropped.to_pylist()}
    assert dropped == expected.dropped
    counters = outcome.report.counters
    assert counters[f"{cfg.unit}_removed"] == expected.removed
    assert counters[f"repeated_{cfg.unit}"] == len(expected.repeated)
    assert outcome.report.docs_in == table.num_rows == len(kept) + len(dropped)
    return expected


@pytest.mark.parametrize(
    "cfg",
    [
        Config(),
        Config(unit="paragraphs", max_documents=2),
        Config(scope="corpus", max_documents=20),
        Config(normalisation="none", max_documents=3),
        Config(unit="paragraphs", normalisation="none", max_documents=1, scope="corpus"),
        Config(max_documents=1, min_letters=0),
        Config(max_documents=2, min_letters=9),
        Config(max_documents=2, max_removed_share=0.5),
    ],
    ids=repr,
)
def test_repeated_lines_random_documents_lose_what_the_oracle_says(tmp_path: Path, cfg: Config) -> None:
    table = random_documents(seed=cfg.max_documents, count=600)
    expected = check(run(cfg, layout(table, 3, 0), tmp_path), table, cfg)
    assert expected.repeated and expected.removed
    assert expected.dropped


@pytest.mark.parametrize("num_shards, small", [(1, False), (2, False), (5, False), (1, True), (2, True), (5, True)])
def test_repeated_lines_any_layout_and_partitions_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, small: bool
) -> None:
    table, cfg = random_documents(seed=4, count=900), Config(max_removed_share=0.9)
    whole = run(cfg, [table], tmp_path / "whole")
    if small:
        monkeypatch.setattr(repeated_lines, "BYTES_PER_PARTITION", 3_000)
        monkeypatch.setattr(repeated_lines, "MAX_TALLY_KEYS", 20)
        monkeypatch.setattr(corpus, "TASK_DOCS", 300)
        monkeypatch.setattr(repeats, "ROWS_PER_ROUND", 50)
        monkeypatch.setattr(repeats, "YIELD_ROWS", 3)
    other = run(cfg, layout(table, num_shards, num_shards), tmp_path / "other")
    check(other, table, cfg)
    assert other.kept.equals(whole.kept)
    assert other.dropped.equals(whole.dropped)
    for part in ("counters", "bars", "tables", "dropped", "histograms", "bytes_out"):
        assert getattr(other.report, part) == getattr(whole.report, part), part


def test_repeated_lines_most_frequent_are_reported_with_host_and_documents(tmp_path: Path) -> None:
    table, cfg = random_documents(seed=9, count=800), Config(max_documents=3)
    report = run(cfg, layout(table, 4, 1), tmp_path).report
    expected = oracle(table, cfg).repeated
    shown = report.tables["most frequent repeated lines"]
    found = {(row["host"], unicodedata.normalize("NFD", row["text"])): row["documents"] for row in shown}
    assert len(found) == len(shown) == min(len(expected), repeats.NUM_SHOWN)
    assert found.items() <= expected.items()
    assert sorted(found.values()) == sorted(expected.values())[-len(found) :]
    bars = report.bars["documents of a repeated line"]
    assert sum(bars["counts"]) == len(expected)
    by_label = Counter(f"{(1 << b - 1) + 1}-{1 << b}" for b in ((n - 1).bit_length() for n in expected.values()))
    assert dict(zip(bars["labels"], bars["counts"], strict=True)) == dict(sorted(by_label.items(), key=_first_number))


def _first_number(item: tuple[str, int]) -> int:
    return int(item[0].split("-")[0])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("one\nMENU\ntwo", "one\ntwo"),
        ("MENU\n\none\n", "one"),
        ("one\n\nmenu\n\n\n\nmenu\n\ntwo\n\nthree\n\n", "one\n\n\n\ntwo\n\nthree"),
        ("one\r\nMenu\r\n\r\ntwo\r\n", "one\n\ntwo"),
        ("  one  \n menu\t\n  two  ", "  one  \n  two  "),
        ("one\u2028\u00a0MENU\u00a0\u2028two", "one\ntwo"),
        ("one\r\ntwo\r\n \r\n", "one\r\ntwo\r\n \r\n"),
        ("menu of the day\nme nu", "menu of the day\nme nu"),
        ("", ""),
        (" \n\n", " \n\n"),
        ("|\n12", "|\n12"),
        (None, None),
    ],
)
def test_repeated_lines_text_is_left_as_described(tmp_path: Path, text: str | None, expected: str | None) -> None:
    rows = [("http://a.example/", f"page {n}\nmenu\nmenu") for n in range(7)]
    table = made([*rows, ("http://a.example/x", text)])
    outcome = run(Config(), [table], tmp_path)
    kept = dict(zip(outcome.kept["id"].to_pylist(), outcome.kept["text"].to_pylist(), strict=True))
    assert kept[table["id"][7].as_py()] == expected


@pytest.mark.parametrize("num_documents, left", [(6, "menu\nmenu\nmenu"), (7, None)])
def test_repeated_lines_threshold_counts_documents_and_not_occurrences(
    tmp_path: Path, num_documents: int, left: str | None
) -> None:
    table = made([("http://a.example/", "menu\nmenu\nmenu")] * num_documents)
    outcome = run(Config(), layout(table, 2, 0), tmp_path)
    assert set(outcome.kept["text"].to_pylist()) == ({left} if left else set())
    assert set(outcome.dropped["threshold"].to_pylist()) == (set() if left else {6.0})


def test_repeated_lines_other_hosts_and_documents_without_one_are_left_alone(tmp_path: Path) -> None:
    urls = ["http://a.example/", "http://b.example/", "http://www.a.example/", None, "nothing of the kind"]
    table = made([(url, f"own {n}\nmenu") for n, url in enumerate(urls * 6)])
    outcome = run(Config(), layout(table, 3, 0), tmp_path)
    assert outcome.kept["text"].to_pylist() == table.sort_by("id")["text"].to_pylist()
    assert outcome.report.counters["without_host"] == 12
    corpus = run(Config(scope="corpus"), layout(table, 3, 0), tmp_path / "corpus")
    assert all("menu" not in text for text in corpus.kept["text"].to_pylist())
    assert corpus.report.tables["most frequent repeated lines"] == [{"documents": 30, "text": "menu"}]


@pytest.mark.parametrize(
    "field, value", [("max_documents", 0), ("min_letters", -1), ("max_removed_share", 1.5), ("max_removed_share", -0.1)]
)
def test_repeated_lines_config_out_of_range_names_the_field(field: str, value: float) -> None:
    with pytest.raises(FieldError) as error:
        Config(**{field: value})  # type: ignore[arg-type]
    assert error.value.field == field


def test_repeated_lines_empty_shards_stay_empty(tmp_path: Path) -> None:
    table = random_documents(seed=1, count=60)
    check(
        run(Config(max_documents=1), [table.slice(0, 0), table, table.slice(0, 0)], tmp_path),
        table,
        Config(max_documents=1),
    )
    assert run(Config(), [table.slice(0, 0)], tmp_path / "none").report.tables["most frequent repeated lines"] == []


def test_repeated_lines_one_line_in_20000_documents_loses_it_in_all(tmp_path: Path) -> None:
    table = made([("http://a.example/", f"own text of page {n}\nThe menu of this site") for n in range(20_000)])
    outcome = run(Config(), layout(table, 4, 0), tmp_path)
    assert outcome.report.counters["lines_removed"] == 20_000
    assert outcome.report.tables["most frequent repeated lines"] == [
        {"documents": 20_000, "host": "a.example", "text": "the menu of this site"}
    ]
    assert outcome.kept["text"].to_pylist()[0].startswith("own text of page ")


def test_repeated_lines_huge_lines_and_texts_take_linear_time(tmp_path: Path) -> None:
    line = "long words " * 4_500_000  # 50 MB
    million = "\n".join(f"line {n}" for n in range(1_000_000))
    rows = [("http://a.example/", f"own {n}\nmenu\n") for n in range(8)]
    table = made([*rows, ("http://a.example/", f"{line}\nmenu"), ("http://a.example/", f"{million}\nmenu\nline 7")])
    start_s = time.process_time()
    outcome = run(Config(), [table], tmp_path)
    assert time.process_time() - start_s < 60
    kept = dict(zip(outcome.kept["id"].to_pylist(), outcome.kept["text"].to_pylist(), strict=True))
    assert kept[table["id"][8].as_py()] == line
    assert kept[table["id"][9].as_py()] == million + "\nline 7"


@needs_real_texts
@pytest.mark.parametrize("cfg", [Config(max_documents=2), Config(unit="paragraphs", max_documents=1)], ids=repr)
def test_repeated_lines_real_texts_lose_what_the_oracle_says(tmp_path: Path, cfg: Config) -> None:
    texts = [unicodedata.normalize("NFC", text) for text in real_texts().to_pylist()[::3]]
    table = made([(f"http://host-{n % 3}.example/{n}", text) for n, text in enumerate(texts)])
    assert check(run(cfg, layout(table, 3, 0), tmp_path), table, cfg).repeated


@settings(max_examples=200, deadline=None)
@given(keys=st.lists(st.integers(0, 30), max_size=200), max_keys=st.integers(1, 12), cut=st.integers(0, 200))
def test_tally_counts_add_up_however_often_it_is_full(keys: list[int], max_keys: int, cut: int) -> None:
    key_K2 = np.array([[(key % 7) << 61, key] for key in keys], np.uint64).reshape(-1, 2)
    tally, counted = kernels.Tally(max_keys), Counter[tuple[int, ...]]()
    taken = [*tally.count(key_K2[:cut]), *tally.count(key_K2[cut:]), tally.take()]
    for found_K2, count_K in taken:
        assert len(found_K2) <= max_keys
        counted.update({tuple(key): int(count) for key, count in zip(found_K2.tolist(), count_K, strict=True)})
    assert counted == Counter(map(tuple, key_K2.tolist()))
    assert len(tally.take()[0]) == 0


@pytest.mark.parametrize("unit", ["lines", "paragraphs"])
@pytest.mark.parametrize("normalisation", ["plain", "none"])
def test_units_of_a_text_have_the_same_keys_whatever_lies_around_it(
    unit: kernels.Unit, normalisation: kernels.Normalisation
) -> None:
    rows = hostile_rows(3, 300)

    def keys(texts: pa.Array) -> list[list[list[int]]]:
        no_scope_N2 = np.zeros((len(texts), 2), np.uint64)
        units = kernels.find(texts, np.ones(len(texts), bool), no_scope_N2, unit, normalisation, 1)
        return [units.key_U2[a:b].tolist() for a, b in itertools.pairwise(units.first_N.tolist())]

    together = keys(raw_texts(rows))
    assert keys(raw_texts(rows, b"\xe2\x80", b"\xa8\n")) == together
    assert keys(raw_texts(rows).slice(100, 50)) == together[100:150]
    assert [keys(raw_texts([row]))[0] for row in rows] == together


CHECKED = """
import numpy as np
from stages.kernels import repeated_lines as kernels
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
rows = [*hostile_rows(7, 800), b"", b"\\n", b"\\xe2\\x80", b"x" * 7, b"x" * 8, b"x" * 9, b"\\r\\n\\r\\n"]
for batch in (raw_texts(rows), *(raw_texts([row]) for row in rows[-60:])):
    for unit in ("lines", "paragraphs"):
        for normalisation in ("plain", "none"):
            scope_N2 = np.zeros((len(batch), 2), np.uint64)
            units = kernels.find(batch, np.ones(len(batch), bool), scope_N2, unit, normalisation, 1)
            removed_U = np.arange(len(units.judged_U)) % 3
            tally = kernels.Tally(9)
            list(tally.count(units.once_per_text()))
            changed_N = kernels.measure(units, removed_U).num_removed > 0
            kernels.without(units, removed_U > 0, changed_N)
"""


@pytest.mark.slow
def test_repeated_lines_hostile_bytes_index_nothing_out_of_bounds(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    checked = subprocess.run(
        [sys.executable, "-c", CHECKED], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
