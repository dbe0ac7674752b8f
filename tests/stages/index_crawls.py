"""Crawls that are deduplicated one after another against one index, and what the index says of their clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store import Folder
from stages import minhash
from stages.dedup import index_folder, near_duplicates
from tests.stages.test_minhash import BANDS, ROWS, _families, _layout, _signed_table
from tests.wide_context import Outcome, run_wide

Partition = set[frozenset[bytes]]


def config(index: Path, **fields: Any) -> minhash.Config:
    return minhash.Config(
        **{"num_bands": BANDS, "rows_per_band": ROWS, "threshold": 0.5, "index": str(index), **fields}
    )


@dataclass(frozen=True)
class Crawls:
    """Crawls that are deduplicated one after another against one index, each by its name."""

    folder: Path
    num_shards: int = 2

    @property
    def index(self) -> Path:
        return self.folder / "index"

    def run(self, name: str, table: pa.Table, folder: str = "", outside: Any = None, **fields: Any) -> Outcome:
        shards = _layout(table, self.num_shards, len(name))
        return run_wide(
            "stages.minhash", config(self.index, **fields), shards, self.folder / (folder or name),
            fingerprint=name.ljust(64, "0"), outside=outside,
        )  # fmt: skip


def entries(index: Path) -> list[dict[str, Any]]:
    found = index_folder.read_index(Folder(str(index)))
    assert found is not None
    names = [file.name for update in found.updates for file in update.files]
    return [row for name in names for row in pq.read_table(index / name).to_pylist()]


def clusters(edges: Iterable[tuple[bytes, bytes]], ids: Iterable[bytes]) -> Partition:
    component = {id_: {id_} for id_ in ids}
    for a, b in edges:
        merged = component.setdefault(a, {a}) | component.setdefault(b, {b})
        for id_ in merged:
            component[id_] = merged
    return {frozenset(members) for members in component.values() if len(members) > 1}


def clusters_of(fates: Mapping[bytes, bytes | None]) -> Partition:
    return clusters([(id_, of) for id_, of in fates.items() if of is not None], fates)


def clusters_in(index: Path) -> Partition:
    rows = entries(index)
    edges = [(row["id"], row["representative"]) for row in rows if row["id"]]
    edges += [(row["representative"], row["other"]) for row in rows if row["other"]]
    return clusters(edges, [row["id"] for row in rows if row["id"]])


def crawls(seed: int, num: int = 3) -> tuple[pa.Table, list[pa.Table]]:
    """Everything, and the same documents in `num` crawls: families are torn apart."""
    table = _signed_table(_families(seed))
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return table, [table.take(pa.array(part)) for part in np.array_split(order, num)]


def allow_drawn_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn signatures are not those of the texts; tests/e2e/test_index.py has real ones."""
    monkeypatch.setattr(near_duplicates, "check_signed", lambda *arguments: None)
