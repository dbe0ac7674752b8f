"""The kernels of stages.repeated_spans against plain Python: words and their places, cuts, hashes, groups, unions."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import fold, repeated_spans, utf8, window_groups, word_places
from stages.kernels.span_union import union
from tests.shared_data import REPOSITORY
from tests.stages.real_texts import needs_real_texts, real_texts
from tests.stages.spans_oracle import spans_of, without, words_of
from tests.stages.spans_oracle import word_places as oracle_places
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts

CASES = [
    "", " ", "one", " a  b\n", "你好，世界 hello世界",
    "か\u3099ｶﾞ각\u1112\u1161\u11ab x\u0301 \u0301", "a\u3000b\u00a0c\u2028d\x1ce\x85",
    "日本語\u0301\u0301語 \u0301語", "\x00 \x7f", "漢1漢", "𠀀𠀁x", "ﬁ İ ǅ",
]  # fmt: skip
TEXTS = st.lists(st.text(st.sampled_from("ab é你か\u3099ｶﾞ각\u1161 \n\u3000\u0301，"), max_size=30), max_size=6)


def _folded_words(texts: pa.Array, normalisation: repeated_spans.Normalisation) -> list[list[bytes]]:
    folded = fold.fold(texts, repeated_spans.table(normalisation))
    return [folded.data[a : b - 1].tobytes().split(b" ") if a < b - 1 else [] for a, b in pairwise(folded.offsets)]


def _places(texts: pa.Array) -> tuple[utf8.Utf8, word_places.Places]:
    text = utf8.view(texts)
    return text, word_places.places(text, repeated_spans.table("none"), np.ones(len(text), bool))


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_words_are_those_of_plain_python_in_both_kernels(drawn: list[str]) -> None:
    texts = pa.array([*CASES, *drawn], pa.large_string())
    strings = texts.to_pylist()
    assert _folded_words(texts, "none") == [[w.encode() for w in words_of(s)] for s in strings]
    assert _folded_words(texts, "plain") == [[w.encode() for w in words_of(s, plain=True)] for s in strings]
    text, places = _places(texts)
    found = [text.data[a:b].tobytes().decode() for a, b in zip(places.starts, places.ends, strict=True)]
    assert found == [word for s in strings for word in words_of(s)]
    assert np.diff(places.offsets).tolist() == [len(words_of(s)) for s in strings]


@needs_real_texts
def test_words_of_real_texts_are_the_same_in_both_kernels() -> None:
    texts = pa.concat_arrays([real_texts().slice(0, 4000), real_texts().slice(60_000)])
    for normalisation in ("none", "plain"):
        counts = [len(words) for words in _folded_words(texts, normalisation)]
        assert np.diff(_places(texts)[1].offsets).tolist() == counts


def test_words_of_broken_bytes_are_the_same_in_both_kernels() -> None:
    rows = [
        *hostile_rows(5, 2000),
        b"\xe0\x80\xa0 a",
        b"\xe0\x82\x85",
        b"\xf0\x80\x80\xa0",
        b"\xed\xa0\x80\xe4\xbd\xa0",
    ]
    texts = raw_texts(rows)
    assert np.diff(_places(texts)[1].offsets).tolist() == [len(words) for words in _folded_words(texts, "none")]


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.randoms(use_true_random=False))
def test_cut_equals_plain_python(drawn: list[str], rng: random.Random) -> None:
    strings = [*CASES, *drawn]
    lost = [{n for n in range(len(oracle_places(s))) if rng.random() < 0.4} for s in strings]
    text, places = _places(pa.array(strings, pa.large_string()))
    rows = [(n, first, end) for n, words in enumerate(lost) for first, end in spans_of(words)]
    columns = np.array(rows, np.int64).reshape(-1, 3).T
    spans = word_places.Spans(text=columns[0], first=columns[1], end=columns[2])
    found = utf8.array(word_places.cut(text, places, spans)).to_pylist()
    assert found == [without(s, spans_of(words)) for s, words in zip(strings, lost, strict=True)]


@pytest.mark.parametrize("length", [2, 3, 7, 50, 64, 1000])
def test_window_hashes_are_equal_where_the_words_are(length: int) -> None:
    """Texts of two words in all orders, among them the Thue-Morse sequence, which defeats polynomials modulo 2^64."""
    rng = np.random.default_rng(length)
    morse = [bin(n).count("1") & 1 for n in range(4096)]
    texts = [morse, [0] * 1500, [0, 1] * 800, *rng.integers(0, 2, (3, 1500)).tolist()]
    array = pa.array([" ".join("ab"[i] for i in text) for text in texts], pa.large_string())
    folded = fold.fold(array, repeated_spans.table("none"))
    anchors: dict[tuple[int, ...], int] = {}
    by_words: dict[tuple[int, ...], tuple[int, int]] = {}
    lanes = [repeated_spans.grams(folded, length, lane) for lane in (0, 1)]
    runs = repeated_spans.runs(lanes[0], length)
    high, low = (repeated_spans.windows(grams, length) for grams in lanes)
    for text_, first, end, anchor in zip(runs.text_R, runs.first_R, runs.end_R, runs.anchor_R, strict=True):
        for w in range(first, end):
            at = w - lanes[0].offsets[text_]
            words = tuple(texts[text_][at : at + length])
            assert anchors.setdefault(words, anchor) == anchor
            assert by_words.setdefault(words, (high[w], low[w])) == (high[w], low[w])
    assert sum(runs.end_R - runs.first_R) == sum(len(text) - length + 1 for text in texts)
    for lane in (0, 1):
        assert len({key[lane] for key in by_words.values()}) == len(by_words)


@pytest.mark.parametrize("num_windows, num_docs", [(5, 3), (300_000, 4000)])
def test_window_groups_equal_a_dictionary(num_windows: int, num_docs: int) -> None:
    rng = np.random.default_rng(num_docs)
    lengths = rng.integers(0, 300, num_docs)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    high = rng.integers(0, num_windows, starts[-1]).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    rows = window_groups.Rows(
        starts=starts, high=high, low=high ^ np.uint64(7), doc=np.repeat(np.arange(num_docs), 2)[:num_docs],
        rank=rng.integers(0, 3, num_docs).astype(np.float64), id_high=rng.integers(0, 3, num_docs).astype(np.uint64),
        id_low=rng.integers(0, 3, num_docs).astype(np.uint64),
    )  # fmt: skip
    rank = {d: (rows.rank[n], rows.id_high[n], rows.id_low[n], d) for n, d in enumerate(rows.doc)}
    for n, d in enumerate(rows.doc):  # both rows of a document have one place in the order
        rows.rank[n], rows.id_high[n], rows.id_low[n] = rank[d][:3]
    groups = window_groups.WindowGroups()
    groups.add(rows)
    docs_of: dict[int, set[int]] = {}
    for n, d in enumerate(rows.doc):
        for key in high[starts[n] : starts[n + 1]].tolist():
            docs_of.setdefault(key, set()).add(d)
    keeper_of = {key: min(docs, key=lambda d: rank[d]) for key, docs in docs_of.items()}
    lost = groups.lost(rows)
    found: dict[tuple[int, int], int] = {}
    for k, row in enumerate(lost.row):
        keys = high[starts[row] + lost.first[k] :][: lost.num[k]].tolist()
        found |= {(row, lost.first[k] + i): lost.keeper[k] for i in range(lost.num[k])}
        most = max(len(docs_of[key]) for key in keys)
        assert lost.num_docs[k] == most
        first_most = next(i for i, key in enumerate(keys) if len(docs_of[key]) == most)
        assert (lost.peak[k], lost.peak_at[k]) == (keys[first_most], lost.first[k] + first_most)
    assert found == {
        (n, i): keeper_of[key]
        for n, d in enumerate(rows.doc)
        for i, key in enumerate(high[starts[n] : starts[n + 1]].tolist())
        if keeper_of[key] != d
    }


def test_union_joins_what_overlaps_or_touches_and_finds_the_longest_part() -> None:
    runs = np.array(  # doc, first, windows, keeper, documents
        [[1, 0, 3, 7, 2], [1, 3, 2, 7, 5], [1, 9, 4, 8, 5], [1, 20, 1, 7, 2], [2, 20, 1, 7, 9], [2, 22, 1, 7, 2]]
    ).T
    found = union(5, *runs)
    spans = list(zip(found.doc, found.first, found.end, strict=True))
    assert spans == [(1, 0, 17), (1, 20, 25), (2, 20, 27)]  # 9 touches the word behind the second run's last window
    assert found.peak.tolist() == [1, 3, 4]
    assert list(zip(found.source, found.source_windows, strict=True)) == [(0, 5), (3, 1), (4, 1)]


CHECKED = """
import numpy as np, pyarrow as pa, pathlib, sys
from stages.repeated_spans import Config
from tests.stages.test_repeated_spans import USES, _planted, _table
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
from tests.stages.kernels.test_span_kernels import _places
from tests.wide_context import run_wide
for normalisation in ("none", "plain"):
    shards = [_table(_planted(3, 5, 60)), _table(["x" * 5000, "a " * 9000, "a " * 9001])]
    run_wide(USES, Config(min_tokens=5, normalisation=normalisation), shards, pathlib.Path(sys.argv[1]) / normalisation)
rows = hostile_rows(7, 800)
for batch in (raw_texts(rows), *(raw_texts([row]) for row in rows[-60:])):
    _places(batch)
"""


@pytest.mark.slow
def test_span_kernels_index_nothing_out_of_bounds(tmp_path: object) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": f"{tmp_path}/cache", "NUMBA_OPT": "1"}
    command = [sys.executable, "-c", CHECKED, f"{tmp_path}/runs"]
    run = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
