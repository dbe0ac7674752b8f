"""Which documents a vocabulary is learned from, and which it is measured on: by their ids alone.

Reads:  documents
Writes: their batches
Cost:   reading them
Source: -
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.document_reader import read_documents
from pipeline.store import Folder
from stages.kernels.document_hash import id_bytes, share_of


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Documents in shards. Each has a share from 0 to 1, which follows from its id and the seed."""

    folder: Folder
    seed: int

    def select(self, shard: str, low: float, high: float, *more: str) -> Iterator[pa.RecordBatch]:
        """Its documents that have text and a share in [low, high): `id`, `text`, and what there is of `more`."""
        for batch in read_documents(self.folder, shard, ["id", "text", *more]):
            share_N = share_of(id_bytes(batch["id"]), self.seed)
            wanted = pa.array((share_N >= low) & (share_N < high))
            yield batch.filter(pc.and_(wanted, batch["text"].is_valid()))
