"""Two documents of a cluster, compared for `crawlmill explain`; and what an index knows of an earlier run's document.

Reads:  text and signature of two documents; of an index the `id` column, and one row
Writes: nothing
Cost:   120 ns per shingle of both texts; of an index a pass over its ids, and a row group for each that is found
Source: stages/dedup/evidence.py, whose numbers these are
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import JSON
from pipeline.store import Folder
from stages.dedup.index_folder import read_index
from stages.dedup.text_difference import first_difference
from stages.kernels.shingling import Shingling

COLUMNS = ("text", "signature")  # of the documents that are compared
_BY_SIMILARITY = "stages.minhash"


def compare(uses: str, config: Mapping[str, Any], one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, JSON]:
    """How alike two documents are that a step (`uses`, with this config) has put into one cluster.

    `estimate`: the share of equal rows of their signatures; `similarity`: the Jaccard similarity of their sets of
    shingles; `differs`: where their words first differ, two empty texts if nowhere; `note`: why one of them is missing.
    """
    found: dict[str, JSON] = {"estimate": None, "similarity": None, "differs": None, "note": None}
    texts = [row.get("text") for row in (one, other)]
    if None not in texts:
        found["differs"] = list(first_difference(*(str(text) for text in texts)))
    if uses != _BY_SIMILARITY:
        return found
    signatures = [np.array(row.get("signature") or (), np.uint32) for row in (one, other)]
    if len(signatures[0]) == len(signatures[1]) > 0:
        found["estimate"] = float(np.mean(signatures[0] == signatures[1]))
    if None not in texts:
        found |= _similarity(config, texts, signatures)
    return found


def _similarity(config: Mapping[str, Any], texts: list[Any], signatures: list[np.ndarray]) -> dict[str, JSON]:
    """`similarity`; without it a `note` where the signatures were made of something else than these texts' shingles."""
    shingling = Shingling(ngram=config["ngram"], normalisation=config["normalisation"], shingles=config["shingles"])
    similarity, again_2K = measured(texts, shingling, max(map(len, signatures)), config["seed"])
    if any(len(own) and not np.array_equal(own, again) for own, again in zip(signatures, again_2K, strict=True)):
        settings = ", ".join(f"{name} {config[name]}" for name in ("ngram", "normalisation", "shingles", "seed"))
        return {"note": f"the signatures are not those of the texts with this step's settings ({settings})"}
    return {"similarity": similarity}


def measured(texts: Sequence[str], shingling: Shingling, num_rows: int, seed: int) -> tuple[float, np.ndarray]:
    """(the Jaccard similarity of two texts' sets of shingles, their signatures uint32[2, num_rows])."""
    from stages.kernels import minhash
    from stages.kernels.shingle_sets import jaccard, shingle_sets, shingles_of

    column = pa.array(texts, pa.large_string())
    sets = shingle_sets(column, shingling)
    similarity_P = jaccard(sets, np.array([0]), sets, np.array([1]))
    return float(similarity_P[0]), minhash.sign(shingles_of(column, shingling), *minhash.permutations(num_rows, seed))


def seen_before(config: Any, ids: Collection[bytes]) -> dict[bytes, dict[str, Any]]:
    """`url` and `signature` of documents in the index that a step's config names, by id. An index that has gone knows
    none; DataError or StoreError where it cannot be read."""
    location = getattr(config, "index", "")
    found: dict[bytes, dict[str, Any]] = {}
    if not location:
        return found
    folder, wanted = Folder(location), pa.array(sorted(ids), ID)
    index = read_index(folder)
    for file in [file for update in index.updates for file in update.files] if index else ():
        try:
            found |= _entries(folder, file.name, wanted)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(
                f"a damaged file of the index ({str(error).splitlines()[0]})", where=folder.shown(file.name),
                expected="the Parquet file a run wrote",
            ) from error  # fmt: skip
    return found


def _entries(folder: Folder, name: str, wanted: pa.Array) -> dict[bytes, dict[str, Any]]:
    found: dict[bytes, dict[str, Any]] = {}
    with folder.open_input(name) as file, pq.ParquetFile(file) as parquet:
        for group in range(parquet.num_row_groups):
            ids = parquet.read_row_group(group, columns=["id"])["id"]
            rows = pc.indices_nonzero(pc.is_in(ids, wanted))
            if len(rows):
                table = parquet.read_row_group(group, columns=["id", "url", "signature"]).take(rows)
                found |= {row.pop("id"): row for row in table.to_pylist()}
    return found
