"""A candidate pair becomes an edge if the two whole signatures agree in enough rows.

Reads:  PAIR rows by the member's shard; `signature`
Writes: SIGNED rows by the preferred document's shard; scratch `edges/NNNNN.arrow` (EDGE rows)
Cost:   4 * K bytes exchanged per distinct pair; in memory the signatures of a shard's documents that are in a pair
Source: the share of equal rows is MinHash's unbiased estimate of the Jaccard similarity, with a standard deviation of
        sqrt(J * (1 - J) / K) (Broder 1997): 0.043 at J = 0.7 with 112 rows
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.stage import JSON, ExchangeReader, InputArtifact, TaskContext
from stages.dedup.bands import PAIR, rows_of
from stages.dedup.documents import read_shard, shard_key, write_rows

EDGE = pa.schema([("member", pa.int64()), ("preferred", pa.int64()), ("agreement", pa.float64())])
YIELD_PAIRS = 1 << 14
NUM_BINS = 20  # of the agreement's histogram


@dataclass(frozen=True, kw_only=True)
class Joining:
    """What the tasks of both phases are given: the exchange each reads, and the documents."""

    documents: InputArtifact
    pairs: ExchangeReader
    num_rows: int
    num_shards: int
    threshold: float


def edges_name(shard: int) -> str:
    return f"edges/{shard:05d}.arrow"


def signed_pairs(joining: Joining, shard: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """The shard's distinct pairs, each with the member's signature, addressed to the preferred document's shard."""
    rows = pa.Table.from_batches(joining.pairs.read(shard), PAIR)
    pair_P2 = _distinct(rows["member"].to_numpy(), rows["preferred"].to_numpy())
    doc_D, at_P = np.unique(pair_P2[:, 0], return_inverse=True)
    signature_DK = _signatures(joining, shard, doc_D)
    for start in range(0, len(pair_P2), YIELD_PAIRS):
        part = slice(start, start + YIELD_PAIRS)
        member, preferred = pair_P2[part].T
        values = pa.array(signature_DK[at_P[part]].reshape(-1))
        signatures = pa.FixedSizeListArray.from_arrays(values, joining.num_rows)
        key = pa.array(shard_key(preferred, joining.num_shards))
        yield pa.RecordBatch.from_arrays(
            [key, pa.array(member), pa.array(preferred), signatures], names=["key", "member", "preferred", "signature"]
        )


def _distinct(member_P: np.ndarray, preferred_P: np.ndarray) -> np.ndarray:
    """int64[P, 2], sorted: a pair that shares several bands counts once."""
    order_P = np.lexsort((preferred_P, member_P))
    pair_P2 = np.stack([member_P[order_P], preferred_P[order_P]], axis=1)
    new_P = np.ones(len(pair_P2), bool)
    new_P[1:] = (pair_P2[1:] != pair_P2[:-1]).any(axis=1)
    return pair_P2[new_P]


def _signatures(joining: Joining, shard: int, doc_D: np.ndarray) -> np.ndarray:
    """uint32[D, K]: the signatures of documents of a shard, given in order."""
    signature_DK = np.empty((len(doc_D), joining.num_rows), np.uint32)
    if len(doc_D):
        for first, batch in read_shard(joining.documents, shard, ("signature",)):
            start, end = np.searchsorted(doc_D, [first, first + batch.num_rows])
            signature_DK[start:end] = rows_of(batch["signature"].take(pa.array(doc_D[start:end] - first)))
    return signature_DK


def verify(joining: Joining, shard: int, task: TaskContext) -> JSON:
    """Write the EDGE rows of the pairs whose preferred document lies in the shard; returns the counts of all pairs.

    {"candidates", "edges", "agreement": pairs per bin of their agreement}
    """
    preferred_D = np.unique(np.concatenate([np.empty(0, np.int64), *_column(joining, shard, "preferred")]))
    signature_DK = _signatures(joining, shard, preferred_D)
    found, bins = [pa.RecordBatch.from_pylist([], EDGE)], np.zeros(NUM_BINS, np.int64)
    for batch in joining.pairs.read(shard):
        other_PK = signature_DK[np.searchsorted(preferred_D, batch["preferred"].to_numpy())]
        agreement_P = (rows_of(batch["signature"]) == other_PK).mean(axis=1)
        bins += np.histogram(agreement_P, NUM_BINS, (0, 1))[0]
        edges = [batch["member"], batch["preferred"], pa.array(agreement_P)]
        kept = pa.array(agreement_P >= joining.threshold)
        found.append(pa.RecordBatch.from_arrays(edges, schema=EDGE).filter(kept))
    edge_rows = pa.concat_batches(found)
    write_rows(task.work, edges_name(shard), edge_rows)
    return {"candidates": int(bins.sum()), "edges": edge_rows.num_rows, "agreement": bins.tolist()}


def _column(joining: Joining, shard: int, name: str) -> Iterator[np.ndarray]:
    return (batch[name].to_numpy() for batch in joining.pairs.read(shard))
