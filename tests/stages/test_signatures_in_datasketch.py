"""Our signature column, written to Parquet and read again, as datasketch uses it: the same as its own signing."""

from __future__ import annotations

from pathlib import Path

import datasketch
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.stage import NarrowContext
from pipeline.stage_loader import load_stage
from stages import signatures
from stages.kernels import hashing

NUM_BANDS, ROWS_PER_BAND, NGRAM, SEED = 14, 8, 5, 3


def _texts() -> list[str]:
    """20 texts of 300 words, each with four copies of which 1%, 3%, 10% and 30% of the words are others."""
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(20):
        words = rng.integers(0, 5000, 300)
        for share in (0, 0.01, 0.03, 0.1, 0.3):
            changed = np.where(rng.random(300) < share, rng.integers(0, 5000, 300), words)
            texts.append(
                " ".join(f"word{chr(97 + w % 26)}{chr(97 + w // 26 % 26)}{chr(97 + w // 676)}" for w in changed)
            )
    return texts


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[datasketch.MinHash], list[datasketch.MinHash]]:
    """(from our column in a Parquet file, signed by datasketch) for each text."""
    texts = _texts()
    stage = load_stage("stages.signatures", "test")
    config = signatures.Config(num_bands=NUM_BANDS, rows_per_band=ROWS_PER_BAND, ngram=NGRAM, seed=SEED)
    sign = stage.function(config, NarrowContext(step="signatures"))
    column = sign(pa.record_batch({"text": pa.array(texts, pa.large_string())})).columns["signature"]
    file: Path = tmp_path_factory.mktemp("shards") / "00000.parquet"
    pq.write_table(pa.table({"signature": column}), file)
    ours = [
        datasketch.MinHash(hashvalues=row, seed=SEED, scheme="affine32")
        for row in pq.read_table(file)["signature"].to_pylist()
    ]
    theirs = []
    for text in texts:
        words = text.split()
        minhash = datasketch.MinHash(NUM_BANDS * ROWS_PER_BAND, SEED, scheme="affine32", hashfunc=hashing.shingle_hash)
        minhash.update_batch([" ".join(words[i : i + NGRAM]).encode() for i in range(len(words) - NGRAM + 1)])
        theirs.append(minhash)
    return ours, theirs


Both = tuple[list[datasketch.MinHash], list[datasketch.MinHash]]


def test_signatures_in_datasketch_estimate_the_same_similarities(both: Both) -> None:
    ours, theirs = both
    similar = [[mine.jaccard(other) for other in ours[:10]] for mine in ours]
    assert similar == [[its.jaccard(other) for other in theirs[:10]] for its in theirs]
    assert ours[0].jaccard(theirs[1]) == theirs[0].jaccard(theirs[1]) > 0.8


def test_signatures_in_lean_minhash_serialize_as_datasketchs_own(both: Both) -> None:
    for mine, its in zip(*both, strict=True):
        lean, its_lean = datasketch.LeanMinHash(mine), datasketch.LeanMinHash(its)
        assert lean == its_lean
        direct = datasketch.LeanMinHash(seed=SEED, hashvalues=mine.hashvalues, scheme="affine32")
        buffers = [bytearray(one.bytesize()) for one in (direct, its_lean)]
        direct.serialize(buffers[0])
        its_lean.serialize(buffers[1])
        assert buffers[0] == buffers[1]


def test_signatures_in_minhash_lsh_are_stored_and_found_as_datasketchs_own(both: Both) -> None:
    indexes = []
    for signed in both:
        index = datasketch.MinHashLSH(
            num_perm=NUM_BANDS * ROWS_PER_BAND, params=(NUM_BANDS, ROWS_PER_BAND), storage_config={"type": "dict"}
        )
        for number, minhash in enumerate(signed):
            index.insert(number, minhash)
        indexes.append(index)
    ours, theirs = indexes
    for table, its_table in zip(ours.hashtables, theirs.hashtables, strict=True):
        keys = list(table.keys())
        assert {key: table.get(key) for key in keys} == {key: its_table.get(key) for key in keys}
        assert len(keys) == len(list(its_table.keys()))
    found = [set(ours.query(minhash)) for minhash in both[0]]
    assert found == [set(theirs.query(minhash)) for minhash in both[1]]
    assert found == [set(ours.query(minhash)) for minhash in both[1]]
    assert all({n - n % 5, n - n % 5 + 1} <= found[n] for n in range(0, 100, 5))
    assert all(other // 5 == n // 5 for n in range(100) for other in found[n])
