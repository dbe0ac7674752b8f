"""Which candidates become edges: against Python sets of words, and against rows of signatures counted one by one."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import DataError
from stages import minhash, signatures
from stages.dedup import bands, candidate_report, corpus, pairing, verification
from stages.dedup.documents import ROW_BITS
from stages.dedup.evidence import NUM_LEVELS, Verify
from stages.kernels.shingling import Shingling
from tests.stages.dedup.dedup_runs import context, exchange_of, laid_out, rows_of, run_minhash, sign_again, signed
from tests.wide_context import document_table, documents_artifact

BANDS, ROWS = 4, 5
SIGNED = signatures.Config(num_bands=BANDS, rows_per_band=ROWS)
FIVE_WORDS = Shingling(ngram=5, normalisation="datatrove", shingles="words")
EXACT = Verify(method="exact", num_rows=BANDS * ROWS, seed=1, shingling=FIVE_WORDS)
Edges = dict[tuple[int, int], float]


def _words(rng: random.Random, number: int) -> list[str]:
    return ["".join(rng.choices("abcdefghij", k=8)) for _ in range(number)]


def _edited_texts(seed: int) -> list[str]:
    """Six texts of 20 to 300 words, each with nine copies that are cut, turned about or have words changed."""
    rng = random.Random(seed)
    texts = []
    for _ in range(6):
        original = _words(rng, rng.randint(20, 300))
        texts.append(" ".join(original))
        for copy in range(9):
            words, at = list(original), rng.randrange(len(original))
            if copy < 5:
                for place in rng.sample(range(len(words)), copy + 1):
                    words[place] = "changed"
            elif copy < 7:
                words = words[:at] + words[at + at // 3 :]
            else:
                words = words[at:] + words[:at]
            texts.append(" ".join(words))
    return texts


def _jaccard(one: str, other: str, ngram: int = 5) -> float:
    left, right = (
        {tuple(words[i : i + ngram]) for i in range(len(words) - ngram + 1)} for words in (one.split(), other.split())
    )
    return len(left & right) / len(left | right)


def _verified(
    table: pa.Table,
    pairs: Sequence[tuple[int, int]],
    verify: Verify,
    threshold: float,
    folder: Path,
    num_shards: int = 5,
) -> tuple[Edges, candidate_report.Candidates]:
    """Edges by (member, other), as rows of the table, among these candidate pairs, each of which comes twice."""
    rows_each = -(-table.num_rows // num_shards)
    shards = [table.slice(start, rows_each) for start in range(0, table.num_rows, rows_each)]
    documents = documents_artifact(folder / "in", shards)
    ctx = context(folder, documents)
    groups, grouping = corpus.grouped(corpus.document_parts(documents))
    banding = bands.Banding(step="test", num_bands=BANDS, rows_per_band=ROWS, keep="longest")
    ctx.exchange("bands", bands.band_rows, groups, 1, banding)
    row_P2 = np.array(pairs, np.int64).reshape(-1, 2)
    member, other = (row_P2 // rows_each << ROW_BITS | row_P2 % rows_each).T
    columns = (grouping.keys(member), member, other)
    candidates = exchange_of(ctx, "candidates", pairing.PAIR, [columns, columns], grouping.num_groups)
    joining = verification.Joining(rows=candidates, grouping=grouping, verify=verify, threshold=threshold)
    witnesses = ctx.exchange("witnesses", verification.witnesses, groups, grouping.num_groups, joining)
    rows = ctx.exchange("edges", verification.edges, groups, grouping.num_groups, replace(joining, rows=witnesses))
    found = rows_of(rows, verification.EDGE)
    doc, neighbour = ((n >> ROW_BITS) * rows_each + (n & (1 << ROW_BITS) - 1)
                      for n in (found["doc"].to_numpy(), found["neighbour"].to_numpy()))  # fmt: skip
    both = dict(zip(zip(doc.tolist(), neighbour.tolist(), strict=True), found["similarity"].to_pylist(), strict=True))
    assert len(both) == found.num_rows, "an edge came twice"
    assert all(both[b, a] == similarity for (a, b), similarity in both.items()), "an edge is told to both ends alike"
    wanted = set(pairs)
    return {pair: s for pair, s in both.items() if pair in wanted}, candidate_report.read(ctx, groups)


@pytest.fixture
def _several_groups_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "TASK_DOCS", 20)
    monkeypatch.setattr(verification, "YIELD_BYTES", 3_000)


@pytest.mark.usefixtures("_several_groups_and_batches")
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_edges_by_exact_sets_are_the_pairs_that_python_sets_confirm(tmp_path: Path, threshold: float) -> None:
    texts = _edited_texts(int(10 * threshold))
    pairs = list(combinations(range(len(texts)), 2))
    expected = {(a, b): _jaccard(texts[a], texts[b]) for a, b in pairs}
    kept = {pair: similarity for pair, similarity in expected.items() if similarity >= threshold}
    found, counts = _verified(signed(texts, SIGNED), pairs, EXACT, threshold, tmp_path)
    assert found == kept
    levels = np.bincount([int(s * NUM_LEVELS + 1e-9) for s in expected.values()], minlength=NUM_LEVELS + 1)
    assert counts.count_L.tolist() == levels.tolist()
    assert (counts.num_edges, counts.num_unsigned) == (len(kept), 0)
    assert (len(kept) == len(pairs)) == (threshold == 0)
    assert threshold == 1.0 or kept


@pytest.mark.usefixtures("_several_groups_and_batches")
def test_edges_of_some_candidates_in_any_direction_are_no_others(tmp_path: Path) -> None:
    """Only the pairs that are candidates are looked at, though others are alike as well."""
    texts, rng = _edited_texts(8), random.Random(8)
    all_pairs = combinations(range(len(texts)), 2)
    pairs = [(a, b) if rng.random() < 0.5 else (b, a) for a, b in all_pairs if rng.random() < 0.2]
    found, counts = _verified(signed(texts, SIGNED), pairs, EXACT, 0.4, tmp_path)
    assert found == {(a, b): s for a, b in pairs if (s := _jaccard(texts[a], texts[b])) >= 0.4}
    assert counts.count_L.sum() == len(pairs)


@pytest.mark.parametrize("tenths", range(1, 11))
def test_edges_at_exactly_the_threshold_are_confirmed(tmp_path: Path, tenths: int) -> None:
    """Of 104 different words, 100 shingles, the first k + 4 are k shingles: the similarity is k / 100."""
    words = [f"{a}{b}" for a in "abcdefghijkl" for b in "mnopqrstu"][:104]
    texts = [" ".join(words), *(" ".join(words[: k + 4]) for k in (10 * tenths - 1, 10 * tenths))]
    found, _ = _verified(signed(texts, SIGNED), [(0, 1), (0, 2)], EXACT, tenths / 10, tmp_path)
    assert found == {(0, 2): tenths / 10}


@pytest.mark.usefixtures("_several_groups_and_batches")
@pytest.mark.parametrize("threshold", [0.0, 0.35, 0.7, 1.0])
def test_edges_by_signatures_are_the_pairs_with_enough_equal_rows(tmp_path: Path, threshold: float) -> None:
    """Every number of equal rows of 20 occurs, so the threshold is hit exactly."""
    rng = np.random.default_rng(0)
    signature_NK = rng.integers(0, 1 << 32, (63, 20), dtype=np.uint32)
    for n in range(1, 63):
        same = rng.permutation(20)[: n % 21]
        signature_NK[n, same] = signature_NK[0, same]
    texts = [f"text {n}" for n in range(63)]
    column = pa.FixedSizeListArray.from_arrays(pa.array(signature_NK.reshape(-1)), 20)
    table = signed(texts, SIGNED).drop_columns("signature").append_column("signature", column)
    pairs = list(combinations(range(63), 2))
    equal = {(a, b): int((signature_NK[a] == signature_NK[b]).sum()) for a, b in pairs}
    found, counts = _verified(table, pairs, replace(EXACT, method="signatures"), threshold, tmp_path)
    least = {0.0: 0, 0.35: 7, 0.7: 14, 1.0: 20}[threshold]
    assert found == {pair: rows / 20 for pair, rows in equal.items() if rows >= least}
    assert least in equal.values() and counts.num_edges == len(found)


@pytest.mark.parametrize("shards", [1, 5])
def test_edges_of_no_candidates_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: int) -> None:
    monkeypatch.setattr(corpus, "TASK_DOCS", 10)
    found, counts = _verified(signed(_edited_texts(1), SIGNED), [], EXACT, 0.5, tmp_path, shards)
    assert (found, counts.num_edges, int(counts.count_L.sum())) == ({}, 0, 0)


def _run(table: pa.Table, folder: Path, **settings: object) -> dict[bytes, tuple[float, bytes]]:
    """The ledger of a run with exact verification: (value, duplicate_of) by id."""
    cfg = minhash.Config(num_bands=BANDS, rows_per_band=ROWS, verify="exact", **settings)  # type: ignore[arg-type]
    result = run_minhash(cfg, laid_out(table, 3, 0), folder)
    dropped = [pa.parquet.read_table(pa.BufferReader(data)) for name, data in result.files.items() if "dropped" in name]
    rows = pa.concat_tables(dropped).to_pylist()
    return {row["id"]: (row["value"], row["duplicate_of"]) for row in rows}


def test_minhash_exact_ledger_holds_true_similarities(tmp_path: Path) -> None:
    """Each dropped document's value is its true similarity to a document of its family, the highest of its edges."""
    texts = _edited_texts(4)
    table = signed(texts, SIGNED)
    ids = table["id"].to_pylist()
    ledger = _run(table, tmp_path, threshold=0.6)
    assert len(ledger) > 25
    for id_, (value, _) in ledger.items():
        n = ids.index(id_)
        true = [_jaccard(texts[n], texts[other]) for other in range(len(texts)) if other != n]
        assert value in true and value >= 0.6


def test_minhash_exact_with_documents_without_signature_keeps_them(tmp_path: Path) -> None:
    texts = ["", "too short", *_edited_texts(2)[:20], "a b c d", ""]
    table = signed(texts, SIGNED)
    absent = document_table([bytes(16)], [None], signature=pa.nulls(1, table["signature"].type))
    ledger = _run(pa.concat_tables([table, absent]), tmp_path, threshold=0.6)
    unsigned = [id_ for id_, text in zip(table["id"].to_pylist(), texts, strict=True) if len(text.split()) < 5]
    assert ledger and not set(ledger) & {*unsigned, bytes(16)}


@pytest.mark.parametrize(
    "field, value", [("ngram", 4), ("seed", 2), ("normalisation", "plain"), ("shingles", "characters")]
)
def test_minhash_exact_with_other_settings_than_signed_names_the_mend(
    tmp_path: Path, field: str, value: int | str
) -> None:
    texts = ["One, two; three: four. Five! Six? " + text for text in _edited_texts(3)[:10]]
    expected = (
        rf"shard.*signatures that are not those of the texts.*{field} {value}.*the values the signatures step has"
    )
    if field == "shingles":
        expected = "signatures of characters"
    with pytest.raises(DataError, match=expected):
        _run(signed(texts, SIGNED), tmp_path, threshold=0.5, **{field: value})


@pytest.mark.parametrize("field, value", [("ngram", 3), ("seed", 7), ("normalisation", "plain")])
def test_minhash_exact_with_the_settings_as_signed_runs(tmp_path: Path, field: str, value: int | str) -> None:
    changed = replace(SIGNED, **{field: value})  # type: ignore[arg-type]
    assert _run(signed(_edited_texts(3), changed), tmp_path, threshold=0.6, **{field: value})


def test_minhash_exact_of_texts_changed_after_signing_names_the_mend(tmp_path: Path) -> None:
    table = signed(_edited_texts(5), SIGNED)
    shorter = pa.array([text.rsplit(" ", 3)[0] for text in table["text"].to_pylist()], pa.large_string())
    changed = table.set_column(table.schema.get_field_index("text"), "text", shorter)
    with pytest.raises(DataError, match="sign the text as it is"):
        _run(changed, tmp_path / "changed", threshold=0.5)
    assert _run(sign_again(changed, SIGNED), tmp_path / "signed", threshold=0.5)
