"""stages/vocab/weights.py: documents by weight, sizes by group, weights that balance."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow as pa
import pytest

from pipeline.errors import DataError
from stages.vocab import weights
from stages.vocab.weights import MAX_REPEATS, Sizes, Weights, add_up, as_json, balanced


def batch(values: pa.Array, texts: list[str], name: str = "language") -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(texts, pa.large_string()), values], names=["text", name])


def parts(of: Weights, rows: pa.RecordBatch, sizes: Sizes) -> dict[int, list[str]]:
    return {weight: texts.to_pylist() for weight, texts in of.parts(rows, "step", sizes)}


@pytest.mark.parametrize(
    "type_", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())]
)
def test_parts_texts_lie_under_the_weight_of_their_group(type_: pa.DataType) -> None:
    values = pa.array(["en", "de", None, "fr", "de"], pa.string()).cast(type_)
    sizes: Sizes = {}
    found = parts(Weights(column="language", of_group={"de": 3, "fr": 3, "xx": 9}), batch(values, list("abcdé")), sizes)
    assert found == {1: ["a", "c"], 3: ["b", "d", "é"]}
    assert sizes == {"en": (1, 1), "de": (2, 3), "unknown": (1, 1), "fr": (1, 1)}


def test_parts_without_the_column_are_all_unknown() -> None:
    rows = batch(pa.array(["en", "de"]), ["a", "bc"])
    sizes: Sizes = {}
    assert parts(Weights(column="source"), rows, sizes) == {1: ["a", "bc"]}
    assert sizes == {"unknown": (2, 3)}


def test_parts_many_batches_sizes_equal_a_count() -> None:
    rng = random.Random(1)
    rows = [(rng.choice("abc"), "x" * rng.randrange(9)) for _ in range(300)]
    sizes: Sizes = {}
    for start in range(0, 300, 70):
        some = rows[start : start + 70]
        list(Weights(column="language").parts(batch(pa.array([r[0] for r in some]), [r[1] for r in some]), "s", sizes))
    documents, num_bytes = Counter(r[0] for r in rows), Counter[str]()
    for group, text in rows:
        num_bytes[group] += len(text)
    assert sizes == {group: (documents[group], num_bytes[group]) for group in "abc"}
    twice: Sizes = {}
    add_up(twice, as_json(sizes))
    add_up(twice, as_json(sizes))
    assert twice == {group: (2 * documents[group], 2 * num_bytes[group]) for group in "abc"}


def test_parts_of_a_number_column_is_an_error_that_names_it() -> None:
    with pytest.raises(DataError, match=r"step words: column 'length' is int64; expected a column of text"):
        list(Weights(column="length").parts(batch(pa.array([1, 2]), ["a", "b"], "length"), "words", {}))


def test_parts_of_too_many_groups_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_GROUPS", 2)
    with pytest.raises(DataError, match="'language' has more than 2 different values"):
        list(Weights(column="language").parts(batch(pa.array(["a", "b", "c"]), ["", "", ""]), "step", {}))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7, 1.0])
def test_balanced_shares_are_as_bytes_to_the_power_of_alpha(alpha: float) -> None:
    sizes = {"en": (9, 1_000_000), "de": (5, 170_000), "sw": (2, 41_000)}
    found = balanced(sizes, alpha, 100)
    assert found["en"] == 100
    for group, (_, num_bytes) in sizes.items():
        share = found[group] * num_bytes / (found["en"] * 1_000_000)
        assert share == pytest.approx((num_bytes / 1_000_000) ** alpha, rel=0.005)


def test_balanced_tiny_group_is_repeated_at_most_so_often() -> None:
    sizes = {"en": (9, 10**12), "xx": (1, 40), "empty": (3, 0)}
    assert balanced(sizes, 0.3, 100) == {"en": 100, "xx": 100 * MAX_REPEATS, "empty": 100}
    assert balanced({}, 0.3, 100) == {}
