"""The same signatures through the LSH of datasketch and of rensa, each in a process of its own.

usage: python dedup_peers.py CONTENDER SIGNATURES.npy EDGES.npy   (in the environment `make peers` sets up)

Reads:  uint32[N, 112], made by stages.signatures or drawn
Writes: the pairs it confirmed, int64[E, 2]; a JSON line with its seconds, CPU seconds, candidates, pairs and clusters

All are given 14 bands of 8 rows and confirm a candidate by their own `jaccard` of the whole signatures, at 0.7. What is
timed starts with the signatures as objects of the library, in memory, and ends with every document's cluster, by
union-find in Python; reading, imports and making the objects are left out.

- datasketch: `MinHashLSH(num_perm=112, params=(14, 8))` in memory, `insert` of all (LeanMinHash, without the check for
  duplicate keys), then `query` of each; every pair is confirmed once.
- datasketch_stream: each document is queried; where one of the candidates is confirmed it joins that one's cluster,
  otherwise it is inserted. Fewer comparisons: copies of copies are compared with the first one alone.
- rensa: `RMinHashLSH(threshold=0.7, num_perm=112, num_bands=14)`, `insert_many` and `query_all`, then as datasketch. It
  has no call that takes signatures; they come in by RMinHash's pickle state.
- rensa_deduplicator: `RMinHashDeduplicator(...).add_pairs`: which documents are no copies of an earlier one. No
  clusters: less than the others do.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

NUM_BANDS, ROWS_PER_BAND, THRESHOLD, SEED = 14, 8, 0.7, 1
NUM_ROWS = NUM_BANDS * ROWS_PER_BAND
PACK_ROWS = 4096

Pairs = list[tuple[int, int]]
Found = tuple[int, Pairs]  # candidates, confirmed pairs


def _as_datasketch(signatures: np.ndarray) -> list[Any]:
    from datasketch import LeanMinHash

    return [LeanMinHash(seed=SEED, hashvalues=row, scheme="affine32") for row in signatures]


def datasketch(signatures: np.ndarray) -> Callable[[], Found]:
    from datasketch import MinHashLSH

    hashes = _as_datasketch(signatures)

    def find() -> Found:
        lsh = MinHashLSH(num_perm=NUM_ROWS, params=(NUM_BANDS, ROWS_PER_BAND))
        for n, one in enumerate(hashes):
            lsh.insert(n, one, check_duplication=False)
        return _confirmed(hashes, map(lsh.query, hashes))

    return find


def _confirmed(hashes: list[Any], queried: Iterable[list[int]]) -> Found:
    num_candidates, pairs = 0, []
    for n, candidates in enumerate(queried):
        one = hashes[n]
        for other in candidates:
            if other < n:
                num_candidates += 1
                if one.jaccard(hashes[other]) >= THRESHOLD:
                    pairs.append((n, other))
    return num_candidates, pairs


def datasketch_stream(signatures: np.ndarray) -> Callable[[], Found]:
    from datasketch import MinHashLSH

    hashes = _as_datasketch(signatures)

    def find() -> Found:
        lsh = MinHashLSH(num_perm=NUM_ROWS, params=(NUM_BANDS, ROWS_PER_BAND))
        num_candidates, pairs = 0, []
        for n, one in enumerate(hashes):
            for other in lsh.query(one):
                num_candidates += 1
                if one.jaccard(hashes[other]) >= THRESHOLD:
                    pairs.append((n, other))
                    break
            else:
                lsh.insert(n, one, check_duplication=False)
        return num_candidates, pairs

    return find


def _as_rensa(signatures: np.ndarray) -> list[Any]:
    """RMinHash objects with these signatures. Their state is a head and the values as LEB128 numbers."""
    from rensa import RMinHash  # type: ignore[import-not-found]

    pattern = RMinHash(NUM_ROWS, SEED)
    pattern.update(["one", "two"])
    values = b"".join(_leb128(np.array([pattern.digest()], np.uint32)))
    state = pattern.__reduce__()[2]
    if not state.endswith(values):
        raise SystemExit("this version of rensa keeps its signatures in another form")
    head, hashes = state[: -len(values)], []
    for start in range(0, len(signatures), PACK_ROWS):
        for packed in _leb128(signatures[start : start + PACK_ROWS]):
            one = RMinHash(NUM_ROWS, SEED)
            one.__setstate__(head + packed)
            hashes.append(one)
    if signatures.size and hashes[-1].digest() != signatures[-1].tolist():
        raise SystemExit("rensa read other signatures than it was given")
    return hashes


def _leb128(values: np.ndarray) -> list[bytes]:
    """Each row's values: seven bits a byte, lowest first, the high bit set where more follow."""
    shifts = np.arange(0, 35, 7, dtype=np.uint64)
    rest = values.astype(np.uint64)[:, :, None] >> shifts
    present = (rest > 0) | (shifts == 0)
    data = (rest & np.uint64(0x7F)).astype(np.uint8)
    data[:, :, :-1] |= present[:, :, 1:].astype(np.uint8) << 7
    return [data[n][present[n]].tobytes() for n in range(len(values))]


def rensa(signatures: np.ndarray) -> Callable[[], Found]:
    from rensa import RMinHashLSH

    hashes = _as_rensa(signatures)

    def find() -> Found:
        lsh = RMinHashLSH(threshold=THRESHOLD, num_perm=NUM_ROWS, num_bands=NUM_BANDS)
        lsh.insert_many(hashes)
        return _confirmed(hashes, lsh.query_all(hashes))

    return find


def rensa_deduplicator(signatures: np.ndarray) -> Callable[[], Found]:
    from rensa import RMinHashDeduplicator

    entries = [(str(n), one) for n, one in enumerate(_as_rensa(signatures))]

    def find() -> Found:
        deduplicator = RMinHashDeduplicator(
            threshold=THRESHOLD, num_perm=NUM_ROWS, use_lsh=True, num_bands=NUM_BANDS, seed=SEED
        )
        new = deduplicator.add_pairs(entries)
        return len(new) - sum(new), []

    return find


CONTENDERS = {f.__name__: f for f in (datasketch, datasketch_stream, rensa, rensa_deduplicator)}


def clusters(num_documents: int, pairs: Pairs) -> list[int]:
    """Every document's cluster, by union-find with path halving."""
    parent = list(range(num_documents))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]
        return node

    for one, other in pairs:
        a, b = root(one), root(other)
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
    return [root(node) for node in range(num_documents)]


def main(name: str, signatures_path: str, edges_path: str) -> None:
    signatures = np.load(signatures_path)
    CONTENDERS[name](signatures[:100])()
    find = CONTENDERS[name](signatures)
    start_s, cpu_start_s = time.perf_counter(), time.process_time()
    num_candidates, pairs = find()
    num_clusters = len(set(clusters(len(signatures), pairs)))
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_start_s
    np.save(edges_path, np.array(pairs, np.int64).reshape(-1, 2))
    found = {"candidates": num_candidates, "pairs": len(pairs), "clusters": num_clusters}
    print(json.dumps({"wall_s": wall_s, "cpu_s": cpu_s, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
