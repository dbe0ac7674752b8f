"""The documents of a run and the entries of an index brought together by id.

Reads:  ids, URLs and signatures; the representatives of entries
Writes: RESOLVED rows by group: entries whose document has come again, and what entries are tied to
Cost:   40 bytes exchanged per document, entry and tie; a task holds about ROWS_PER_PARTITION of them, 100 bytes each
Source: our choice

A document that an index has already (a run repeated with other settings) is no duplicate of itself: its entry counts
no more. Two URLs under one id are refused, and where there are no URLs two signatures: ids that are made of file names
meet where two crawls use the same names.
An entry is tied to its representative, a link to both of its; where that one was removed, those tied to it are tied to
each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import ExchangeReader, TaskContext
from stages.dedup.corpus import NEW, Group, Grouping
from stages.dedup.documents import halves
from stages.dedup.seen import Seen
from stages.dedup.survivors import MIX

ROWS_PER_PARTITION = 8_000_000
SUPERSEDED = -1
_ASKS = -2  # in place of an update: the row asks which document has the id
# `url`: its hash, 0 where there is none; `content`: a hash of the signature, 0 where there is none or a URL.
IDENTITY = pa.schema(
    [
        ("key", pa.uint64()), ("id", ID), ("doc", pa.int64()), ("update", pa.int64()), ("url", pa.uint64()),
        ("content", pa.uint64()),
    ]
)  # fmt: skip
# `target`: the document that `doc` is tied to, or SUPERSEDED.
RESOLVED = pa.schema([("key", pa.uint64()), ("doc", pa.int64()), ("target", pa.int64())])


def identities(seen: Seen, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """IDENTITY rows of a group's documents and entries, and of what its entries ask for. Documents that were taken
    down answer to nothing."""
    removed = seen.removed()
    for part in group.parts:
        for first, batch in part.read(("id", "url", "representative", "other", "signature")):
            doc_N = first + np.arange(batch.num_rows)
            stays = pa.array(~removed.hits(batch))
            url_N = _url_hashes(batch["url"])
            content_N = np.where(url_N == 0, _signature_hashes(batch["signature"]), np.uint64(0))
            yield _rows(pa.compute.if_else(stays, batch["id"], None), doc_N, part.update, url_N, content_N)
            if part.update != NEW:
                itself = pa.compute.equal(batch["id"], batch["representative"]).fill_null(False)
                yield _rows(pa.compute.if_else(itself, None, batch["representative"]), doc_N, _ASKS)
                yield _rows(batch["other"], doc_N, _ASKS)


def _url_hashes(urls: pa.Array) -> np.ndarray:
    from stages.kernels import hashing, utf8

    text = utf8.view(urls)
    hash_N = hashing.content_hashes(text.offsets[:-1], text.offsets[1:], text.data)[:, 0]
    return np.where(np.array(urls.is_valid()), hash_N, np.uint64(0))


def _signature_hashes(signatures: pa.FixedSizeListArray) -> np.ndarray:
    from stages.kernels import minhash

    num_rows, valid_N = signatures.type.list_size, np.array(signatures.is_valid())
    values = signatures.values.slice(signatures.offset * num_rows, len(signatures) * num_rows)
    rows_NK = np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, num_rows)
    return np.where(valid_N, minhash.band_keys(rows_NK, 1, num_rows)[:, 0], np.uint64(0))


def _rows(ids: pa.Array, doc_N: np.ndarray, update: int, *hashes_N: np.ndarray) -> pa.RecordBatch:
    """IDENTITY rows of the ids that are no nulls; what asks has no hashes."""
    url_N, content_N = hashes_N or (np.zeros(len(ids), np.uint64),) * 2
    valid_N = np.array(ids.is_valid())
    ids = ids.filter(pa.array(valid_N)).cast(ID)
    high, low = halves(ids)
    columns = [(high ^ low) * MIX, ids, doc_N[valid_N], np.full(len(ids), update), url_N[valid_N], content_N[valid_N]]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=IDENTITY)


@dataclass(frozen=True, kw_only=True)
class Resolving:
    """What the tasks are given."""

    rows: ExchangeReader
    grouping: Grouping
    shown: str  # the index's folder, for messages


def resolved(resolving: Resolving, partition: int, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """RESOLVED rows of a partition's ids."""
    rows = pa.Table.from_batches(resolving.rows.read(partition), IDENTITY).combine_chunks()
    if not rows.num_rows:
        return
    doc_R, update_R = rows["doc"].to_numpy(), rows["update"].to_numpy()
    high_R, low_R = halves(rows["id"].combine_chunks())
    # Of each id first a document of this run, then entries of the latest update first, then those who ask.
    place_R = np.select([update_R == NEW, update_R == _ASKS], [0, 2], 1)
    order = np.lexsort((doc_R, -update_R, place_R, low_R, high_R))
    high, low, doc, update = high_R[order], low_R[order], doc_R[order], update_R[order]
    starts = np.flatnonzero(np.append(True, (high[1:] != high[:-1]) | (low[1:] != low[:-1])))
    first = np.repeat(starts, np.diff(np.append(starts, len(order))))
    is_other = np.arange(len(order)) != first
    superseded = is_other & (update >= 0)
    unlike = np.zeros(len(order), bool)
    for name in ("url", "content"):
        value = rows[name].to_numpy()[order]
        unlike |= (value != value[first]) & (value != 0) & (value[first] != 0)
    _check_alike(unlike & (update != _ASKS), rows["id"], order, resolving.shown)
    tied = is_other & (update == _ASKS)
    docs = np.concatenate([doc[superseded], doc[tied]])
    targets = np.concatenate([np.full(superseded.sum(), SUPERSEDED), doc[first[tied]]])
    columns = [resolving.grouping.keys(docs), docs, targets]
    yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=RESOLVED)


def _check_alike(wrong: np.ndarray, ids: pa.ChunkedArray, order: np.ndarray, shown: str) -> None:
    if wrong.any():
        example = ids[int(order[np.flatnonzero(wrong)[0]])].as_py().hex()
        raise DataError(
            f"{int(wrong.sum())} ids stand for other URLs or texts as well, such as {example}", where=shown,
            expected="an id of its own for each document of all runs that use the index",
            mend="stages.documents makes ids of file names and places: give it `id_column`, or files of other names. "
            "Where documents were changed on purpose, drop their earlier update (`crawlmill index drop`).",
        )  # fmt: skip


def superseded(rows: ExchangeReader | None, group: int) -> np.ndarray:
    """The entries of a group that count no more, int64 numbers."""
    docs, targets = _read(rows, group)
    return docs[targets == SUPERSEDED]


def ties(rows: ExchangeReader | None, group: int) -> tuple[np.ndarray, np.ndarray]:
    """(entry, the document it is tied to) of a group's entries that count."""
    docs, targets = _read(rows, group)
    counts = (targets != SUPERSEDED) & ~np.isin(docs, docs[targets == SUPERSEDED]) & (docs != targets)
    return docs[counts], targets[counts]


def _read(rows: ExchangeReader | None, group: int) -> tuple[np.ndarray, np.ndarray]:
    table = pa.Table.from_batches(rows.read(group) if rows else [], RESOLVED)
    return table["doc"].to_numpy(), table["target"].to_numpy()
