"""Two documents compared against Python sets and counted rows; entries of an index found, or left out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import fingerprint_fields
from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import NarrowContext
from pipeline.store import Folder
from stages import minhash, signatures
from stages.dedup.comparison import COLUMNS, compare, seen_before
from stages.dedup.index_folder import INDEX_JSON, File, Index, Update, entry_schema, write_index

NEAR, EXACT = "stages.minhash", "stages.exact"


def config(**fields: Any) -> dict[str, Any]:
    return fingerprint_fields(minhash.Config(**fields))


def document(text: str, **fields: Any) -> dict[str, Any]:
    """A row as the step is given it, signed by stages.signatures."""
    sign = signatures.signatures.function(signatures.Config(**fields), NarrowContext(step="signatures"))
    batch = pa.record_batch({"text": pa.array([text], pa.large_string())})
    return {"text": text, "signature": sign(batch).columns["signature"].to_pylist()[0]}


def random_pair(seed: int) -> tuple[str, str]:
    """Two texts of letters and spaces, the second with some words of the first replaced."""
    rng = random.Random(seed)
    text = [rng.choice("abcdefghij") * rng.randint(1, 4) for _ in range(rng.randint(6, 120))]
    other = [word if rng.random() < 0.97 else "zz" for word in text] + ["end"] * rng.randint(0, 2)
    return " ".join(text), " ".join(other)


def jaccard(one: str, other: str, ngram: int, shingles: str) -> float:
    units = [text.split() if shingles == "words" else list(text) for text in (one, other)]
    left, right = ({tuple(u[i : i + ngram]) for i in range(len(u) - ngram + 1)} for u in units)
    return len(left & right) / len(left | right)


@pytest.mark.parametrize("shingles", ["words", "characters"])
@pytest.mark.parametrize("ngram", [1, 5])
def test_compare_random_texts_equals_sets_and_counted_rows(shingles: str, ngram: int) -> None:
    settings: Mapping[str, Any] = {"ngram": ngram, "shingles": shingles, "normalisation": "plain"}
    for seed in range(30):
        texts = random_pair(seed)
        one, other = (document(text, **settings) for text in texts)
        found = compare(NEAR, config(**settings), one, other)
        assert found["similarity"] == jaccard(*texts, ngram, shingles)
        assert found["estimate"] == sum(map(int.__eq__, one["signature"], other["signature"])) / 112
        assert found["note"] is None


def test_compare_shows_where_the_first_text_differs_on_the_left() -> None:
    found = compare(NEAR, config(), document("a b c d e f x g"), document("a b c d e f y g"))
    assert found["differs"] == ["… c d e f ▸ x g", "… c d e f ▸ y g"]


@pytest.mark.parametrize("made_with", [{"ngram": 3}, {"seed": 2}, {"shingles": "characters"}])
def test_compare_signatures_of_other_settings_gives_no_exact_similarity(made_with: dict[str, Any]) -> None:
    one, other = (document(text, **made_with) for text in random_pair(1))
    found = compare(NEAR, config(), one, other)
    assert found["similarity"] is None and found["estimate"] is not None
    assert found["note"] == (
        "the signatures are not those of the texts with this step's settings "
        "(ngram 5, normalisation datatrove, shingles words, seed 1)"
    )


def test_compare_signatures_of_another_text_gives_no_exact_similarity() -> None:
    one, other = (document(text) for text in random_pair(1))
    found = compare(NEAR, config(), one, other | {"text": "rewritten since it was signed, as a later step might do"})
    assert found["similarity"] is None and found["note"] is not None


def test_compare_document_without_a_text_gives_the_estimate_alone() -> None:
    one, other = (document(text) for text in random_pair(2))
    found = compare(NEAR, config(), one, {"signature": other["signature"], "url": None})
    assert found["estimate"] == compare(NEAR, config(), one, other)["estimate"]
    assert (found["similarity"], found["differs"]) == (None, None)


@pytest.mark.parametrize("other", [{}, {"text": "", "signature": None}, {"text": None, "signature": None}])
def test_compare_document_without_a_signature_gives_no_estimate(other: dict[str, Any]) -> None:
    signed = document("a b c d e f")
    for pair in ((signed, other), (other, signed)):
        found = compare(NEAR, config(), *pair)
        assert found["estimate"] is None
        assert found["similarity"] == (None if other.get("text") is None else 0)


def test_compare_exact_copies_shows_their_difference_alone() -> None:
    one, other = document("A b c d e"), document("a  b c d e")
    found = compare(EXACT, {"by": "content"}, one, other)
    assert found == {"estimate": None, "similarity": None, "differs": ["▸ A b c d e", "▸ a b c d e"], "note": None}


def test_compare_reads_columns_that_the_step_is_given() -> None:
    assert set(minhash.minhash.reads(minhash.Config())) >= set(COLUMNS)


def write_entries(folder: Path, ids: list[bytes | None]) -> None:
    """An index of one update in row groups of three."""
    schema, num = entry_schema(2), len(ids)
    given = {
        "id": pa.array(ids, ID), "url": pa.array([f"https://{n}.example/" for n in range(num)]),
        "signature": pa.array([[n, n] for n in range(num)], pa.list_(pa.uint32(), 2)),
    }  # fmt: skip
    table = pa.table([given.get(f.name, pa.nulls(num, f.type)) for f in schema], schema=schema)
    (folder / "updates").mkdir(parents=True)
    pq.write_table(table, folder / "updates" / "0.parquet", row_group_size=3)
    update = Update(key="k", base=(), files=(File(name="updates/0.parquet", rows=num),), num_docs=num, num_kept=num)
    write_index(Folder(str(folder)), Index(contract={}, updates=(update,)))


def test_seen_before_finds_entries_by_id_and_leaves_out_links(tmp_path: Path) -> None:
    ids = [None if n == 4 else n.to_bytes(16, "big") for n in range(10)]
    write_entries(tmp_path, ids)
    wanted = [id_ for id_ in ids if id_ is not None][2:7]
    found = seen_before(minhash.Config(index=str(tmp_path)), [*wanted, b"x" * 16])
    assert found == {id_: {"url": f"https://{n}.example/", "signature": [n, n]} for n, id_ in enumerate(ids)
                     if id_ in wanted}  # fmt: skip


def test_seen_before_without_an_index_to_read_finds_nothing(tmp_path: Path) -> None:
    wanted = [b"x" * 16]
    assert seen_before(minhash.Config(), wanted) == {}
    assert seen_before(object(), wanted) == {}
    assert seen_before(minhash.Config(index=str(tmp_path / "missing")), wanted) == {}


@pytest.mark.parametrize("damaged", ["json", "entries"])
def test_seen_before_damaged_index_is_named(tmp_path: Path, damaged: str) -> None:
    write_entries(tmp_path, [b"x" * 16])
    name = INDEX_JSON if damaged == "json" else "updates/0.parquet"
    (tmp_path / name).write_bytes(b"PAR1 { nothing PAR1")
    with pytest.raises(DataError, match=f"{name}: a damaged"):
        seen_before(minhash.Config(index=str(tmp_path)), [b"x" * 16])
