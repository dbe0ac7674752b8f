"""Repeated spans against two plain-Python oracles (tests/stages/spans_oracle.py): planted spans and hostile texts."""

from __future__ import annotations

import time
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from pipeline.artifact import Artifact
from pipeline.errors import DataError, FieldError
from stages import repeated_spans
from stages.dedup import corpus
from stages.repeated_spans import Config
from stages.spans import anchors, cuts, span_report, windows
from tests.stages.real_texts import needs_real_texts, real_texts
from tests.stages.spans_oracle import lost_by_pairs, lost_by_windows, preferred_first, spans_of, without, words_of
from tests.wide_context import Outcome, document_table, run_wide

USES = "stages.repeated_spans"
GAPS = [" ", " ", " ", "\n", "\n\n", "  ", " \n ", "\u3000", "\t"]
HAN = [chr(c) for c in range(0x4E00, 0x4E40)] + ["，", "。", "的"]


def _ids(count: int) -> list[bytes]:
    return [xxhash.xxh3_128_digest(f"{number}".encode()) for number in range(count)]


def _table(texts: list[str | None], **columns: pa.Array) -> pa.Table:
    return document_table(_ids(len(texts)), texts, **columns)


def _layout(table: pa.Table, num_shards: int, seed: int) -> list[pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(part)) for part in np.array_split(order, num_shards)]


def _text(rng: np.random.Generator, num_words: int, vocabulary: list[str], spaced: bool = True) -> str:
    words = [vocabulary[i] for i in rng.integers(0, len(vocabulary), num_words)]
    gaps = [GAPS[i] if spaced else "" for i in rng.integers(0, len(GAPS), num_words)]
    return "".join(word + gap for word, gap in zip(words, gaps, strict=True))


def _planted(seed: int, length: int, num_docs: int) -> list[str | None]:
    """Texts of random words that share spans of length - 1, length, length + 1 and 3 * length words, some of which
    overlap; at the beginning, in the middle, at the end; English-like and Chinese; also texts of three letters; some in
    capitals and decomposed."""
    rng = np.random.default_rng(seed)
    latin, few = [f"wé{n}" for n in range(5000)], ["a", "b", "c"]
    shared = _text(rng, 40 * length, latin).split()
    shared_han = _text(rng, 20 * length, HAN, spaced=False)
    texts: list[str | None] = [None, "", " \n ", "w1"]
    for n in range(num_docs):
        spaced = n % 4 != 3
        vocabulary = few if n % 7 == 0 else latin if spaced else HAN
        parts = []
        for _ in range(int(rng.integers(1, 5))):
            if rng.random() < 0.8:
                parts.append(_text(rng, int(rng.integers(0, 2 * length)), vocabulary, spaced))
            size = int(rng.choice([length - 1, length, length + 1, 3 * length]))
            start = int(rng.integers(0, 17 * length))
            if rng.random() < 0.8:
                parts.append(" ".join(shared[start : start + size]) if spaced else shared_han[start : start + size])
        text = (" " if spaced else "").join(parts)
        texts.append(unicodedata.normalize("NFD", text.upper()) if n % 5 == 0 else text)
    return texts


def _expected(table: pa.Table, cfg: Config) -> tuple[dict[bytes, str | None], dict[bytes, int]]:
    """(text of each kept document, words left of each dropped one)."""
    ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
    words = [words_of(text, cfg.normalisation == "plain") for text in texts]
    lost = lost_by_windows(words, preferred_first(ids, texts), cfg.min_tokens)
    kept: dict[bytes, str | None] = {}
    dropped: dict[bytes, int] = {}
    for id_, text, own, places in zip(ids, texts, words, lost, strict=True):
        if places and len(own) - len(places) < cfg.min_words_left:
            dropped[id_] = len(own) - len(places)
        else:
            kept[id_] = without(text, spans_of(places)) if places else text
    return kept, dropped


def _found(outcome: Outcome) -> tuple[dict[bytes, str | None], dict[bytes, int]]:
    kept, dropped = outcome.kept, outcome.dropped
    return (
        dict(zip(kept["id"].to_pylist(), kept["text"].to_pylist(), strict=True)),
        {id_: int(value) for id_, value in zip(dropped["id"].to_pylist(), dropped["value"].to_pylist(), strict=True)},
    )


@pytest.mark.parametrize("length, num_docs", [(2, 60), (5, 120), (6, 120), (50, 60)])
@pytest.mark.parametrize("normalisation", ["none", "plain"])
def test_repeated_spans_planted_are_cut_as_by_a_dictionary_of_windows(
    tmp_path: Path, length: int, num_docs: int, normalisation: str
) -> None:
    cfg = Config(min_tokens=length, min_words_left=3, normalisation=normalisation)  # type: ignore[arg-type]
    table = _table(_planted(length, length, num_docs))
    outcome = run_wide(USES, cfg, _layout(table, 3, 0), tmp_path)
    expected = _expected(table, cfg)
    assert _found(outcome) == expected
    assert len(expected[1]) > 2 and outcome.report.counters["documents_changed"] > 20
    assert outcome.report.docs_in == outcome.report.docs_out + sum(outcome.report.dropped.values())


@pytest.mark.parametrize("seed", range(6))
def test_repeated_spans_equal_common_substrings_of_all_pairs(tmp_path: Path, seed: int) -> None:
    length = 4 + seed
    table = _table(_planted(seed, length, 25))
    ids, texts = table["id"].to_pylist(), table["text"].to_pylist()
    words = [words_of(text) for text in texts]
    lost = lost_by_pairs(words, preferred_first(ids, texts), length)
    outcome = run_wide(USES, Config(min_tokens=length, min_words_left=1), _layout(table, 2, seed), tmp_path)
    kept, dropped = _found(outcome)
    for n, id_ in enumerate(ids):
        if lost[n] and len(lost[n]) == len(words[n]):
            assert dropped[id_] == 0
        else:
            assert kept[id_] == (without(texts[n], spans_of(lost[n])) if lost[n] else texts[n])
    assert outcome.report.counters["words_removed"] == sum(map(len, lost))
    assert outcome.report.counters["spans_removed"] == sum(len(spans_of(places)) for places in lost)
    assert outcome.report.counters["words"] == sum(map(len, words))


@pytest.mark.parametrize(
    "num_shards, task_docs, rows, slice_bytes",
    [(1, 10**6, 10**6, 100), (2, 1, 300, 10**6), (5, 50, 40, 3000), (5, 1, 7, 1), (20, 10**6, 40, 10**6)],
)
def test_repeated_spans_any_layout_groups_and_partitions_give_the_same_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, task_docs: int, rows: int, slice_bytes: int
) -> None:
    table = _table(_planted(1, 5, 150))
    cfg = Config(min_tokens=5, min_words_left=6)
    whole = run_wide(USES, cfg, [table], tmp_path / "whole")
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    monkeypatch.setattr(repeated_spans, "ROWS_PER_PARTITION", rows)
    monkeypatch.setattr(cuts, "ROUND_ROWS", rows)
    monkeypatch.setattr(anchors, "SLICE_BYTES", slice_bytes)
    monkeypatch.setattr(windows, "YIELD_WINDOWS", 50)
    other = run_wide(USES, cfg, _layout(table, num_shards, num_shards), tmp_path / "other")
    assert other.kept.equals(whole.kept)
    assert other.dropped.equals(whole.dropped)
    for part in ("counters", "figures", "bars", "tables", "dropped", "histograms"):
        assert getattr(other.report, part) == getattr(whole.report, part)
    assert whole.dropped.num_rows > 2 and len(whole.report.tables["longest spans removed"]) == span_report.LISTED


def test_repeated_spans_many_small_shards_are_exchanged_as_one_group(tmp_path: Path) -> None:
    shards = _layout(_table(_planted(1, 5, 150)), 30, 0)
    run_wide(USES, Config(min_tokens=5), [shards[0].slice(0, 0), *shards], tmp_path)
    exchanges = tmp_path / "work" / "exchanges"
    assert {folder.name for folder in exchanges.iterdir()} == {"anchors", "repeated", "windows", "losses"}
    assert [len(list(folder.iterdir())) for folder in exchanges.iterdir()] == [1] * 4


def test_repeated_spans_tasks_take_no_artifact_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(artifact: Artifact, protocol: object) -> None:
        pytest.fail(f"artifact {artifact.step} goes into a task, with a manifest of all its files")

    monkeypatch.setattr(Artifact, "__reduce_ex__", refuse)
    outcome = run_wide(USES, Config(min_tokens=5), _layout(_table(_planted(1, 5, 150)), 3, 0), tmp_path)
    assert outcome.dropped.num_rows > 2


@pytest.mark.parametrize("limit", [1, 3, 8, 100])
def test_repeated_spans_rounds_take_every_row_once_and_few_at_a_time(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "ROUND_ROWS", limit)
    num_P = np.array([0, 0, 5, 1, 0, 2, 1, 0, 9, 0, 0])
    rounds = list(cuts._rounds(num_P))
    assert [p for start, end in rounds for p in range(start, end) if num_P[p]] == [2, 3, 5, 6, 8]
    assert all(num_P[start:end].sum() <= limit or end == start + 1 for start, end in rounds)
    assert list(cuts._rounds(np.zeros(3, np.int64))) == list(cuts._rounds(np.zeros(0, np.int64))) == []


def test_repeated_spans_three_documents_each_lose_what_a_preferred_one_has(tmp_path: Path) -> None:
    a, b, c = (" ".join(f"{letter}{n}" for n in range(5)) for letter in "abc")
    table = _table([f"{a} {b} one and very long words", f"two\n{b}\n{c} two", f"{c} three {a}"])
    outcome = run_wide(USES, Config(min_tokens=5, min_words_left=1), [table], tmp_path)
    texts = _found(outcome)[0]
    assert [texts[id_] for id_ in _ids(3)] == [f"{a} {b} one and very long words", f"two\n{c} two", "three"]


def test_repeated_spans_dropped_document_names_words_left_and_who_keeps_most(tmp_path: Path) -> None:
    a = " ".join(f"a{n}" for n in range(40))
    b = " ".join(f"b{n}" for n in range(12))
    table = _table([f"{a} {'long ' * 60}", f"{b} {'other ' * 60}", f"{b} x {a} y z"])
    outcome = run_wide(USES, Config(min_tokens=10, min_words_left=4), [table], tmp_path)
    [row] = outcome.dropped.to_pylist()
    assert row["id"] == _ids(3)[2] and row["duplicate_of"] == _ids(3)[0]
    assert (row["reason"], row["value"], row["threshold"]) == ("too_few_words_left", 3.0, 4.0)
    assert row["excerpt"] == f"{b} x {a} y z"[:200]


def test_repeated_spans_within_one_document_stay(tmp_path: Path) -> None:
    text = "the same five words again " * 30
    outcome = run_wide(USES, Config(min_tokens=5), [_table([text, "another text"])], tmp_path)
    assert _found(outcome)[0] == dict(zip(_ids(2), [text, "another text"], strict=True))


def test_repeated_spans_short_untouched_documents_stay_byte_for_byte(tmp_path: Path) -> None:
    texts = [" \n a  b\t", "", None, "一 二", "\u200b \u3000x\u0301 "]
    outcome = run_wide(USES, Config(min_words_left=1000), [_table(texts)], tmp_path)
    assert _found(outcome)[0] == dict(zip(_ids(5), texts, strict=True))
    assert outcome.report.figures["share of words removed"] == 0


@pytest.mark.parametrize(
    "keep, column, expected", [("earliest", "date", 1), ("quality", "quality", 2), ("shortest_url", "url", 3)]
)
def test_repeated_spans_policy_decides_who_keeps_the_span(
    tmp_path: Path, keep: str, column: str, expected: int
) -> None:
    values = {
        "date": pa.array([50, 10, 90, 50], pa.timestamp("s", tz="UTC")),
        "quality": pa.array([0.1, 0.2, 0.9, None]),
        "url": pa.array(["http://a/11", "http://a/12", "http://a/13", "http://b"]),
    }
    span = " ".join(f"s{n}" for n in range(8))
    table = _table([f"{n} {span} {n}{n}" for n in range(4)], **{column: values[column]})
    outcome = run_wide(USES, Config(min_tokens=8, min_words_left=1, keep=keep), _layout(table, 2, 0), tmp_path)  # type: ignore[arg-type]
    kept = _found(outcome)[0]
    assert [n for n, id_ in enumerate(_ids(4)) if span in (kept[id_] or "")] == [expected]


def test_repeated_spans_in_20000_documents_is_linear(tmp_path: Path) -> None:
    footer = " ".join(f"f{n}" for n in range(80))
    table = _table([f"page{n} has its own words {n * n} {footer} end{n}" for n in range(20_000)])
    start_s = time.perf_counter()
    outcome = run_wide(USES, Config(min_words_left=1), [table.slice(0, 9_000), table.slice(9_000)], tmp_path)
    assert time.perf_counter() - start_s < 60
    assert outcome.report.counters["spans_removed"] == 19_999
    assert outcome.report.counters["words_removed"] == 19_999 * 80
    [row] = outcome.report.tables["most frequent spans removed"]
    assert (row["documents"], row["words"]) == (20_000, 80)
    assert row["excerpt"] == footer[:200]


def test_repeated_spans_report_lists_longest_and_most_frequent_with_kept_document(tmp_path: Path) -> None:
    often, long = " ".join(f"o{n}" for n in range(6)), " ".join(f"l{n}" for n in range(30))
    texts: list[str | None] = [f"{'very long page ' * 30}{often} {long}"]
    texts += [f"{n} {often} n{n}" for n in range(9)] + [f"{n} {long} n{n}" for n in range(2)]
    urls = pa.array([f"http://site/{n}" for n in range(12)])
    report = run_wide(
        USES, Config(min_tokens=5, min_words_left=1), _layout(_table(texts, url=urls), 3, 1), tmp_path
    ).report
    kept = {"kept": _ids(1)[0].hex(), "url": "http://site/0"}
    frequent, longest = (report.tables[name] for name in span_report.TABLES)
    assert [(row["documents"], row["words"], row["excerpt"]) for row in frequent] == [(10, 6, often), (3, 30, long)]
    assert [row["words"] for row in longest] == [30, 6]
    assert all(row | kept == row for row in [*frequent, *longest])
    bars = report.bars["words of a span removed"]
    assert dict(zip(bars["labels"], bars["counts"], strict=True)) == {"5-9": 9, "10-19": 0, "20-39": 2}


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a ", "a b ", "我"])
def test_repeated_spans_texts_of_few_words_without_end_are_linear(tmp_path: Path, unit: str) -> None:
    text = unit * (10_000_000 // len(unit.encode()))
    texts: list[str | None] = [text, text + "end", "short"]
    start_s = time.perf_counter()
    outcome = run_wide(USES, Config(), [_table(texts)], tmp_path)
    assert time.perf_counter() - start_s < 60
    assert _found(outcome)[0] == {_ids(3)[1]: texts[1], _ids(3)[2]: "short"}
    assert outcome.dropped["value"].to_pylist() == [0]


def test_repeated_spans_text_of_one_endless_word_stays(tmp_path: Path) -> None:
    texts: list[str | None] = ["x" * 10_000_000, "x" * 10_000_000]
    outcome = run_wide(USES, Config(min_tokens=2), [_table(texts)], tmp_path)
    assert outcome.kept["text"].to_pylist() == texts


def test_repeated_spans_empty_shards_and_no_documents_are_taken(tmp_path: Path) -> None:
    table = _table(["x y z", "x y z"])
    shards = [table.slice(0, 0), table, table.slice(0, 0)]
    outcome = run_wide(USES, Config(min_tokens=3, min_words_left=1), shards, tmp_path / "some")
    assert (outcome.kept.num_rows, outcome.dropped.num_rows) == (1, 1)
    assert run_wide(USES, Config(), [table.slice(0, 0)], tmp_path / "none").kept.num_rows == 0


@needs_real_texts
@pytest.mark.slow
def test_repeated_spans_real_pages_are_cut_as_by_a_dictionary_of_windows(tmp_path: Path) -> None:
    cfg = Config(min_tokens=20)
    table = _table(real_texts().slice(0, 2500).to_pylist())
    outcome = run_wide(USES, cfg, _layout(table, 3, 0), tmp_path)
    assert _found(outcome) == _expected(table, cfg)
    assert outcome.report.counters["spans_removed"] > 100


def test_repeated_spans_missing_policy_column_names_it(tmp_path: Path) -> None:
    table = _table(["a b c", "a b c"])
    with pytest.raises(DataError, match="no column 'quality'"):
        run_wide(USES, Config(min_tokens=2, keep="quality"), [table], tmp_path)


@pytest.mark.parametrize("field, value", [("min_tokens", 1), ("min_tokens", 10_001), ("min_words_left", 0)])
def test_repeated_spans_config_out_of_range_is_refused(field: str, value: int) -> None:
    with pytest.raises(FieldError, match=field):
        Config(**{field: value})  # type: ignore[arg-type]
