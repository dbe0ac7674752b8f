"""The four text filters on hostile input: broken UTF-8, huge and odd texts, all batch shapes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stage import Stage, Verdict
from stages.c4_quality import c4_quality
from stages.fineweb_quality import fineweb_quality
from stages.gopher_quality import gopher_quality
from stages.gopher_repetition import gopher_repetition
from tests.shared_data import REPOSITORY
from tests.stages.batches import judge

FILTERS = (gopher_quality, gopher_repetition, c4_quality, fineweb_quality)
MARKS = [
    m.encode()
    for m in (
        "don't",
        "US$5",
        "[1]",
        "[edit]",
        "...",
        "…",
        "km²",
        ":)",
        "a.b@c.de",
        "http://x.yz/",
        "{",
        "中。」",
        "\u2028",
    )
]
BAD = [
    b"\xff",
    b"\xe4\xbd",
    b"\xf0\x9f",
    b"\x80",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf4\x90\x80\x80",
    b"\xe2\x80",
    b"\xe2\x84",
]


def raw_texts(rows: list[bytes], before: bytes = b"", after: bytes = b"") -> pa.Array:
    """large_string of any bytes, with other bytes around them in the same buffer."""
    offsets = np.cumsum([len(before), *map(len, rows)]).astype(np.int64)
    data = pa.py_buffer(before + b"".join(rows) + after)
    return pa.LargeStringArray.from_buffers(len(rows), pa.py_buffer(offsets), data)


def summary(verdict: Verdict) -> tuple:
    """What must be equal where verdicts are."""
    assert verdict.drops is not None
    values = [m.value_N.tobytes() for m in verdict.measures.values()]
    text = verdict.columns.get("text")
    texts = (
        None
        if text is None
        else [x.as_buffer().to_pybytes() if x.is_valid else None for x in text.cast(pa.large_binary())]
    )
    return verdict.drops.code_N.tolist(), verdict.drops.value_N.tobytes(), values, texts, dict(verdict.counters)


def hostile_rows(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    pieces = [*MARKS, *BAD, *(bytes([b]) for b in range(256)), b" ", b"\n", b"word "]
    return [b"".join(rng.choice(pieces) for _ in range(rng.randint(0, 60))) for _ in range(count)]


@pytest.mark.parametrize("stage", FILTERS, ids=lambda s: s.function.__name__)
def test_filters_broken_utf8_is_judged_whatever_lies_around_it(stage: Stage) -> None:
    rows = hostile_rows(1, 400)
    plain = summary(judge(stage, raw_texts(rows)))
    for before, after in ((b"\xe2\x80", b"\xa6\xa6"), (b"5 $", b"km..."), (b"\n\n[", b"]x\x80\x80\x80")):
        assert summary(judge(stage, raw_texts(rows, before, after))) == plain


@pytest.mark.parametrize("stage", FILTERS, ids=lambda s: s.function.__name__)
@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.binary(max_size=60), max_size=5), seed=st.integers(0, 9))
def test_filters_batch_gives_each_row_what_it_gets_alone(stage: Stage, rows: list[bytes], seed: int) -> None:
    rows = rows + hostile_rows(seed, 2)
    together, alone = judge(stage, raw_texts(rows)), [judge(stage, raw_texts([row])) for row in rows]
    assert together.drops is not None
    assert together.drops.code_N.tolist() == [v.drops.code_N[0] for v in alone if v.drops]
    for name, measure in together.measures.items():
        np.testing.assert_array_equal(measure.value_N, [v.measures[name].value_N[0] for v in alone])


@pytest.mark.parametrize("stage", FILTERS, ids=lambda s: s.function.__name__)
def test_filters_sliced_batch_gives_what_its_rows_get(stage: Stage) -> None:
    rows = raw_texts(hostile_rows(2, 30))
    whole, part = judge(stage, rows), judge(stage, rows.slice(10, 7))
    assert whole.drops is not None and part.drops is not None
    np.testing.assert_array_equal(part.drops.code_N, whole.drops.code_N[10:17])


@pytest.mark.parametrize("stage", FILTERS, ids=lambda s: s.function.__name__)
def test_filters_empty_batch_and_nulls_have_verdicts(stage: Stage) -> None:
    for texts in ([], [None], [None, "", None]):
        verdict = judge(stage, texts)
        assert verdict.drops is not None
        assert (verdict.drops.code_N >= 0).all()
        assert len(verdict.drops.code_N) == len(texts)


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["a", " ", "\n", ".", "(", "'", "中", ":)", "x\n"])
@pytest.mark.parametrize("stage", FILTERS, ids=lambda s: s.function.__name__)
def test_filters_huge_text_of_one_kind_takes_linear_time(stage: Stage, unit: str) -> None:
    judge(stage, ["compile"])
    seconds = []
    for num_bytes in (2_000_000, 20_000_000 if len(unit) == 1 and unit != "'" else 8_000_000):
        text = unit * (num_bytes // len(unit.encode()))
        start = time.process_time()
        judge(stage, [text])
        seconds.append((time.process_time() - start) / num_bytes)
    assert seconds[1] < 4 * seconds[0] + 5e-8  # per byte


@pytest.mark.slow
@pytest.mark.parametrize("stage", FILTERS, ids=lambda s: s.function.__name__)
def test_filters_page_of_a_million_lines_is_judged(stage: Stage) -> None:
    text = "\n".join(f"line {i} of many" for i in range(1_000_000))
    start = time.process_time()
    verdict = judge(stage, [text])
    assert verdict.drops is not None
    assert time.process_time() - start < 15


CHECKED = """
import sys
from tests.stages.test_text_filters_fuzz import FILTERS, hostile_rows, raw_texts
from tests.stages.batches import judge
for stage in FILTERS:
    judge(stage, raw_texts(hostile_rows(3, 3000)))
    judge(stage, raw_texts([b"One fish. " * 20]))
"""


@pytest.mark.slow
def test_filters_broken_utf8_indexes_nothing_out_of_bounds(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    run = subprocess.run(
        [sys.executable, "-c", CHECKED], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
