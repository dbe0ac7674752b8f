"""Near-duplicate removal against plain-Python oracles: all pairs by their bands' rows, a union-find of dictionaries."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from pipeline.errors import DataError, FieldError
from pipeline.stage import NarrowContext
from pipeline.stage_loader import load_stage
from stages import minhash, signatures
from stages.dedup import corpus, pairing
from tests.wide_context import Outcome, document_table, run_wide

BANDS, ROWS = 6, 3
K = BANDS * ROWS
CONFIG = minhash.Config(num_bands=BANDS, rows_per_band=ROWS, threshold=0.0)


def _signed_table(signature_NK: np.ndarray, texts: list[str] | None = None) -> pa.Table:
    """Documents with these signatures; a row of zeros stands for none. Ids are hashes, so their order is mixed."""
    ids = [xxhash.xxh3_128_digest(f"{number}".encode()) for number in range(len(signature_NK))]
    mask = pa.array((signature_NK == 0).all(axis=1))
    column = pa.FixedSizeListArray.from_arrays(pa.array(signature_NK.reshape(-1)), signature_NK.shape[1], mask=mask)
    return document_table(ids, texts or [f"text {n % 7 * 'x'}" for n in range(len(ids))], signature=column)


def _families(seed: int, num_families: int = 60) -> np.ndarray:
    """Signatures in families whose members share some rows with one before; also chains, singletons, no signature."""
    rng = np.random.default_rng(seed)
    rows = [np.zeros(K, np.uint32)] * 5
    for _ in range(num_families):
        signature = rng.integers(1, 1 << 32, K, dtype=np.uint32)
        for _ in range(int(rng.integers(1, 9))):
            rows.append(signature)
            changed = rng.random(K) < rng.choice([0.0, 0.2, 0.5])
            changed_from = signature if rng.random() < 0.5 else rows[-1]
            signature = np.where(changed, rng.integers(1, 1 << 32, K, dtype=np.uint32), changed_from).astype(np.uint32)
    return np.stack(rows)


def _preferred_first(table: pa.Table) -> list[int]:
    texts, ids = table["text"].to_pylist(), table["id"].to_pylist()
    return sorted(range(len(ids)), key=lambda i: (-len(texts[i]), ids[i]))


def _oracle_edges(table: pa.Table, threshold: float) -> set[tuple[int, int]]:
    """All pairs that share a band (groups of up to 8 documents are compared pair by pair) and agree in enough rows."""
    signatures_, edges = table["signature"].to_pylist(), set()
    signed = [i for i, signature in enumerate(signatures_) if signature is not None]
    for a, b in combinations(signed, 2):
        equal = [x == y for x, y in zip(signatures_[a], signatures_[b], strict=True)]
        if any(all(equal[r : r + ROWS]) for r in range(0, K, ROWS)) and sum(equal) / K >= threshold:
            edges.add((a, b))
    return edges


def _oracle_fates(table: pa.Table, threshold: float) -> dict[bytes, bytes | None]:
    ids, component = table["id"].to_pylist(), {i: {i} for i in range(table.num_rows)}
    for a, b in _oracle_edges(table, threshold):
        merged = component[a] | component[b]
        for i in merged:
            component[i] = merged
    place = {i: at for at, i in enumerate(_preferred_first(table))}
    kept = {i: min(members, key=place.__getitem__) for i, members in component.items()}
    return {ids[i]: None if kept[i] == i else ids[kept[i]] for i in component}


def _layout(table: pa.Table, num_shards: int, seed: int) -> list[pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(part)) for part in np.array_split(order, num_shards)]


def _run(cfg: minhash.Config, shards: list[pa.Table], folder: Path) -> Outcome:
    return run_wide("stages.minhash", cfg, shards, folder)


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8])
def test_minhash_clusters_equal_those_of_brute_force(tmp_path: Path, threshold: float) -> None:
    table = _signed_table(_families(seed=int(threshold * 10)))
    cfg = minhash.Config(num_bands=BANDS, rows_per_band=ROWS, threshold=threshold)
    outcome = _run(cfg, _layout(table, 3, 0), tmp_path)
    expected = _oracle_fates(table, threshold)
    assert outcome.fates() == expected
    assert 20 < outcome.dropped.num_rows < table.num_rows
    assert outcome.report.counters["confirmed_pairs"] == len(_oracle_edges(table, threshold))
    assert outcome.report.counters["without_signature"] == 5
    assert sum(outcome.kept["duplicate_count"].to_pylist()) == table.num_rows


@pytest.mark.parametrize("num_shards, rows_per_partition", [(1, 10**6), (2, 10**6), (5, 400), (5, 17)])
def test_minhash_any_layout_and_partitions_give_the_same_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, rows_per_partition: int
) -> None:
    table = _signed_table(_families(seed=4))
    cfg = minhash.Config(num_bands=BANDS, rows_per_band=ROWS, threshold=0.5)
    whole = _run(cfg, [table], tmp_path / "whole")
    monkeypatch.setattr(pairing, "BAND_ROWS_PER_PARTITION", rows_per_partition)
    monkeypatch.setattr(corpus, "TASK_DOCS", rows_per_partition // 5)
    other = _run(cfg, _layout(table, num_shards, num_shards), tmp_path / "other")
    assert other.kept.equals(whole.kept)
    assert other.dropped.equals(whole.dropped)
    for part in ("counters", "bars", "tables", "dropped"):
        assert getattr(other.report, part) == getattr(whole.report, part)


def test_minhash_boilerplate_page_gives_linear_pairs_and_one_cluster(tmp_path: Path) -> None:
    page = np.arange(1, K + 1, dtype=np.uint32)
    table = _signed_table(np.tile(page, (20_000, 1)), ["same"] * 20_000)
    outcome = _run(CONFIG, [table.slice(0, 9_000), table.slice(9_000)], tmp_path)
    assert 19_999 <= outcome.report.counters["candidate_pairs"] <= 3 * 20_000
    assert outcome.kept["duplicate_count"].to_pylist() == [20_000]
    assert outcome.kept["id"].to_pylist() == [min(table["id"].to_pylist())]


def test_minhash_chain_of_shared_bands_is_one_cluster(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    chain = rng.integers(1, 1 << 32, (300, K), dtype=np.uint32)
    for before, after in pairwise(range(300)):
        band = after % BANDS * ROWS
        chain[after, band : band + ROWS] = chain[before, band : band + ROWS]
    outcome = _run(CONFIG, _layout(_signed_table(chain), 4, 1), tmp_path)
    assert outcome.kept["duplicate_count"].to_pylist() == [300]


def test_minhash_ledger_names_representative_agreement_and_threshold(tmp_path: Path) -> None:
    signature = np.arange(1, K + 1, dtype=np.uint32)
    near = signature.copy()
    near[-2:] = 0xFFFFFFFF
    table = _signed_table(np.stack([signature, near]), ["short", "the longer text"])
    outcome = _run(minhash.Config(num_bands=BANDS, rows_per_band=ROWS, threshold=0.7), [table], tmp_path)
    [row] = outcome.dropped.to_pylist()
    assert (row["id"], row["duplicate_of"]) == (table["id"][0].as_py(), table["id"][1].as_py())
    assert (row["reason"], row["value"], row["threshold"]) == ("near_duplicate", (K - 2) / K, 0.7)
    assert "signature" not in outcome.kept.schema.names


def test_minhash_other_signature_width_names_the_mend(tmp_path: Path) -> None:
    table = _signed_table(np.ones((3, K + 1), np.uint32))
    with pytest.raises(DataError, match=r"19.*expected 6 bands of 3 rows and 0 more, 18 in all"):
        _run(CONFIG, [table], tmp_path)


def test_minhash_extra_rows_decide_with_those_of_the_bands(tmp_path: Path) -> None:
    """A pair that agrees in all bands and in few rows behind them is no pair; one that agrees in most is."""
    rng = np.random.default_rng(0)
    signature_NK = np.tile(rng.integers(1, 1 << 32, K + 22, dtype=np.uint32), (3, 1))
    signature_NK[1, K:] = 0
    signature_NK[2, K + 20 :] = 0
    cfg = minhash.Config(num_bands=BANDS, rows_per_band=ROWS, extra_rows=22, threshold=0.7)
    outcome = _run(cfg, [_signed_table(signature_NK, ["text", "text", "text"])], tmp_path)
    ids = [bytes(id_) for id_ in _signed_table(signature_NK)["id"].to_pylist()]
    assert sorted(outcome.kept["id"].to_pylist()) == sorted([min(ids[0], ids[2]), ids[1]])
    assert outcome.dropped["value"].to_pylist() == [38 / 40]


def test_minhash_missing_policy_column_names_it(tmp_path: Path) -> None:
    cfg = minhash.Config(num_bands=BANDS, rows_per_band=ROWS, keep="quality")
    with pytest.raises(DataError, match="no column 'quality'"):
        _run(cfg, [_signed_table(np.ones((3, K), np.uint32))], tmp_path)


@pytest.mark.parametrize("field, value", [("num_bands", 0), ("rows_per_band", 5000), ("threshold", 1.5)])
def test_minhash_config_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(FieldError, match=field):
        minhash.Config(**{field: value})  # type: ignore[arg-type]


def test_minhash_edited_texts_find_their_original(tmp_path: Path) -> None:
    """From text to survivors: each original has copies with 2 of 200 words changed; 40 other texts share nothing."""
    rng = np.random.default_rng(5)
    texts, originals = [], []
    for number in range(40):
        words = ["".join(letters) for letters in rng.choice(list("abcdefgh"), (200, 6))]  # digits would all become 0
        texts.append(" ".join(words))
        for _ in range(number % 4):
            copy = list(words)
            for place in rng.integers(0, 200, 2):
                copy[place] = "changed"
            texts.append(" ".join(copy))
        originals += [number] * (1 + number % 4)
    ids = [xxhash.xxh3_128_digest(f"{number}".encode()) for number in range(len(texts))]
    table = document_table(ids, texts)
    sign = load_stage("stages.signatures", "test").function(signatures.Config(), NarrowContext(step="signatures"))
    [batch] = table.to_batches()
    signed = table.append_column("signature", sign(batch).columns["signature"])
    outcome = _run(minhash.Config(), _layout(signed, 3, 2), tmp_path)
    origin = dict(zip(ids, originals, strict=True))
    assert all(origin[id_] == origin[of] for id_, of in outcome.fates().items() if of is not None)
    assert outcome.kept.num_rows == 40
