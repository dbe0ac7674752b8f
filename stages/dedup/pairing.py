"""Candidate pairs: documents that share a band, and how many of them are worth comparing.

Reads:  BAND rows of one partition
Writes: PAIR rows (member, other), each to the member's group
Cost:   one partition of about BAND_ROWS_PER_PARTITION rows at a time: 32 bytes a row and 64 MiB; the rows that share
        their key, most often a few in a hundred, 250 bytes each, so 1.1 GB where all do. All rows of one band key are
        in one partition: a band that 10^7 documents share takes 2.5 GB
Source: stages/kernels/band_groups.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.stage import ExchangeReader, TaskContext
from stages.dedup.corpus import Grouping

BAND_ROWS_PER_PARTITION = 4_000_000
YIELD_PAIRS = 1 << 20
PAIR = pa.schema([("key", pa.uint64()), ("member", pa.int64()), ("other", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """What the tasks are given. `compared`: pairs of parts of an index whose documents were compared before."""

    bands: ExchangeReader
    grouping: Grouping
    compared: Compared


@dataclass(frozen=True, kw_only=True)
class Compared:
    """`update_P[p]`: the update of an index that part p is of, -1 for documents of this run; `before_UU[u, v]`: whether
    the documents of updates u and v have been compared with each other."""

    update_P: np.ndarray
    before_UU: np.ndarray

    def before(self, left_part_N: np.ndarray, right_part_N: np.ndarray) -> np.ndarray:
        """bool: whether the documents of these parts have been compared before."""
        left_N, right_N = self.update_P[left_part_N], self.update_P[right_part_N]
        known_N = (left_N >= 0) & (right_N >= 0)
        if not known_N.any():
            return known_N
        return np.asarray(known_N & self.before_UU[np.maximum(left_N, 0), np.maximum(right_N, 0)])


def candidate_pairs(pairing: Pairing, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """PAIR rows of a partition's bands. A pair that shares several bands comes once for each of them."""
    from stages.kernels import band_groups

    batches = list(pairing.bands.read(partition))
    shared = band_groups.shared_keys([batch["key"].to_numpy() for batch in batches])
    columns = {}
    for name in ("key", "near", "tie", "doc"):
        parts = [batch[name].to_numpy()[shared_R] for batch, shared_R in zip(batches, shared, strict=True)]
        columns[f"{name}_R"] = np.concatenate(parts) if parts else np.empty(0, np.int64)
    member_P, other_P = band_groups.pairs(**columns)
    new_P = ~pairing.compared.before(member_P >> 32, other_P >> 32)
    if not new_P.all():
        member_P, other_P = member_P[new_P], other_P[new_P]
    key_P = pairing.grouping.keys(member_P)
    for start in range(0, len(key_P), YIELD_PAIRS):
        part = slice(start, start + YIELD_PAIRS)
        yield pa.RecordBatch.from_arrays([pa.array(c[part]) for c in (key_P, member_P, other_P)], schema=PAIR)
