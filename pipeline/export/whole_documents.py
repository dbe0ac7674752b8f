"""Documents put together again from the segments of a tokens shard, each token once.

Reads:  an open shard; of its columns the ids, and where each segment stands in its document
Writes: blocks of whole documents' ids
Cost:   some 100 bytes per segment of the shard, and one block; 2 ns a token with writing it (benchmarks/export.py)
Source: -

A document's segments may stand in any rows of the shard. Sorted by document and place they are joined: of each the
tokens from `loss_starts` on, which are those that the one before has not, whatever the packing. Documents come
in the order in which their first segments stand in the shard. The copy is Arrow's `take` over a binary array whose
elements are the pieces to keep and, between them, what is to be skipped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.export.source import Source
from pipeline.export.token_shard import TokenShard

BLOCK_TOKENS = 1 << 22


class Block(NamedTuple):
    """Whole documents: their tokens one after the other, and how many each has."""

    ids_T: np.ndarray
    num_tokens_D: np.ndarray


class _Segments(NamedTuple):
    """The segments of a shard, in its order [S]; places are counted in token ids from the start of the file."""

    id_S2: np.ndarray  # the document, as two uint64
    offset_S: np.ndarray  # in the document's stream
    place_S: np.ndarray
    length_S: np.ndarray
    context_S: np.ndarray  # tokens at its start that the segment before has, too; one of a document's first segment


def whole_documents(source: Source, shard: TokenShard, *, end_first: bool = False) -> Iterator[Block]:
    """Every document of the shard as its tokens and one end-of-text token behind them, or before them (`end_first`).

    DataError where segments do not join to `eot, tokens, eot`, as `stages.pack` writes a document's stream.
    """
    if not shard.num_rows:
        return
    segments = _segments(shard)
    order_S, document_S = _sorted(shard, segments)
    keep_S = _joined(shard, segments, order_S, document_S)
    first_D = np.flatnonzero(np.diff(document_S, prepend=-1))
    last_D = np.append(first_D[1:], len(order_S)) - 1
    _trim(source, shard, segments, order_S[first_D], order_S[last_D], keep_S, end_first)
    by_place_D = np.argsort(segments.place_S[order_S[first_D]], kind="stable")
    yield from _copied(shard, segments, keep_S, order_S, first_D[by_place_D], last_D[by_place_D] + 1)


def _segments(shard: TokenShard) -> _Segments:
    parts = [_batch_segments(shard, *batch) for batch in zip(shard.batches, shard.first_B, strict=True)]
    return _Segments(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _batch_segments(shard: TokenShard, batch: pa.RecordBatch, first: int) -> _Segments:
    """The segments of a batch whose ids begin at `first`. DataError where they do not fit into their rows."""

    def flat(name: str) -> np.ndarray:
        return batch.column(name).flatten().to_numpy().astype(np.int64)

    row_S = np.repeat(np.arange(batch.num_rows), np.diff(batch.column("segment_starts").offsets))
    start_S, loss_start_S, offset_S = flat("segment_starts"), flat("loss_starts"), flat("segment_offsets")
    ids = batch.column("segment_docs").flatten()
    if not len(ids) == len(offset_S) == len(start_S) == len(loss_start_S):
        raise _damaged(shard, "segments without a document, an offset or a loss start")
    end_S = np.append(start_S[1:], 0)
    last_S = np.diff(row_S, append=batch.num_rows) > 0
    end_S[last_S] = batch.column("num_real").to_numpy()[row_S[last_S]]
    length = batch.column("input_ids").type.list_size
    if (
        (end_S <= start_S).any()
        or (end_S > length).any()
        or (loss_start_S < start_S).any()
        or (loss_start_S > end_S).any()
    ):
        raise _damaged(shard, "segments that do not fit into their rows")
    return _Segments(
        id_S2=np.frombuffer(ids.buffers()[1], np.uint64, 2 * len(ids)).reshape(-1, 2),
        offset_S=offset_S,
        place_S=first + row_S * length + start_S,
        length_S=end_S - start_S,
        context_S=loss_start_S - start_S,
    )


def _sorted(shard: TokenShard, segments: _Segments) -> tuple[np.ndarray, np.ndarray]:
    """Segments by document and end, and in that order the number of the document each belongs to; int64 [S] each."""
    low_S, high_S = segments.id_S2.T
    end_S = segments.offset_S + segments.length_S
    order_S = np.lexsort((end_S, low_S, high_S))
    copy_S = _copies(shard, segments, order_S, end_S[order_S])
    if copy_S.any():
        again_S = np.lexsort((end_S[order_S], copy_S, low_S[order_S], high_S[order_S]))
        order_S, copy_S = order_S[again_S], copy_S[again_S]
    new_S = (np.diff(segments.id_S2[order_S], axis=0) != 0).any(axis=1) | (np.diff(copy_S) != 0)
    return order_S, np.concatenate([[0], np.cumsum(new_S)])


def _copies(shard: TokenShard, segments: _Segments, order_S: np.ndarray, end_S: np.ndarray) -> np.ndarray:
    """For each sorted segment, how many equal ones stand before it: a document that stands in the shard twice.

    DataError where two segments of one document and end differ: two documents under one id cannot be told apart.
    """
    key_S3 = np.column_stack([segments.id_S2[order_S], end_S.view(np.uint64)])
    equal_S = np.append(False, (key_S3[1:] == key_S3[:-1]).all(axis=1))
    copy_S = np.zeros(len(order_S), np.int64)
    for place in np.flatnonzero(equal_S):
        copy_S[place] = copy_S[place - 1] + 1
        if not np.array_equal(_tokens(shard, segments, order_S[place - 1]), _tokens(shard, segments, order_S[place])):
            raise _damaged(
                shard, f"two different documents under the id {segments.id_S2[order_S[place]].tobytes().hex()}"
            )
    return copy_S


def _tokens(shard: TokenShard, segments: _Segments, segment: int) -> np.ndarray:
    place = segments.place_S[segment]
    return shard.ids_F[place : place + segments.length_S[segment]]


def _joined(shard: TokenShard, segments: _Segments, order_S: np.ndarray, document_S: np.ndarray) -> np.ndarray:
    """[S, 2], in the shard's order: where the tokens to keep of each segment begin and end.

    DataError where a segment's own tokens do not begin where the ones before it end: some are missing, or two documents
    that were cut in different places have one id.
    """
    offset_S, context_S = segments.offset_S[order_S], segments.context_S[order_S]
    first_S = np.diff(document_S, prepend=-1) != 0
    reached_S = np.append(0, (offset_S + segments.length_S[order_S])[:-1])
    apart_S = np.where(first_S, offset_S != 0, offset_S + context_S != reached_S)
    if apart_S.any():
        id_ = segments.id_S2[order_S[np.flatnonzero(apart_S)[0]]].tobytes().hex()
        raise _damaged(shard, f"segments of document {id_} that do not join, or of two documents under this id")
    place_S = segments.place_S[order_S]
    keep_S = np.empty((len(order_S), 2), np.int64)
    keep_S[order_S, 0] = place_S + np.where(first_S, 0, context_S)
    keep_S[order_S, 1] = place_S + segments.length_S[order_S]
    return keep_S


def _trim(
    source: Source, shard: TokenShard, segments: _Segments, first_D: np.ndarray, last_D: np.ndarray,
    keep_S: np.ndarray, end_first: bool,
) -> None:  # fmt: skip
    """Take off one of the end-of-text tokens that a document's stream begins and ends with."""
    eot = source.contract["eot_id"]
    starts_D = shard.ids_F[keep_S[first_D, 0]] == eot
    ends_D = shard.ids_F[keep_S[last_D, 1] - 1] == eot
    if not (starts_D.all() and ends_D.all()):
        segment = first_D[np.flatnonzero(~(starts_D & ends_D))[0]]
        raise _damaged(
            shard, f"document {segments.id_S2[segment].tobytes().hex()} without the end-of-text token {eot} around it"
        )
    if end_first:
        keep_S[last_D, 1] -= 1
    else:
        keep_S[first_D, 0] += 1


def _copied(
    shard: TokenShard, segments: _Segments, keep_S: np.ndarray, order_S: np.ndarray, begin_D: np.ndarray,
    end_D: np.ndarray,
) -> Iterator[Block]:  # fmt: skip
    """Documents whose segments are order_S[begin_D:end_D], in blocks."""
    id_bytes = shard.ids_F.itemsize
    num_segments = len(order_S)
    bounds = np.append(keep_S.reshape(-1), keep_S[-1, 1]) * id_bytes
    # element 2s is what is kept of segment s, element 2s + 1 what lies between it and the next one
    pieces = pa.Array.from_buffers(
        pa.large_binary(), 2 * num_segments, [None, pa.py_buffer(bounds), shard.buffer]
    )  # fmt: skip
    kept_S = np.append(0, np.cumsum((keep_S[:, 1] - keep_S[:, 0])[order_S]))
    num_tokens_D = kept_S[end_D] - kept_S[begin_D]
    block_D = (np.cumsum(num_tokens_D) - num_tokens_D) // BLOCK_TOKENS
    cuts = np.flatnonzero(np.diff(block_D, prepend=-1, append=block_D[-1] + 1))
    for first, last in itertools.pairwise(cuts):
        num_D = end_D[first:last] - begin_D[first:last]
        within = np.arange(num_D.sum()) - np.repeat(np.cumsum(num_D) - num_D, num_D)
        chosen = order_S[np.repeat(begin_D[first:last], num_D) + within]
        taken = pieces.take(pa.array(2 * chosen))
        num_tokens = int(num_tokens_D[first:last].sum())
        yield Block(np.frombuffer(taken.buffers()[2], shard.ids_F.dtype, num_tokens), num_tokens_D[first:last])


def _damaged(shard: TokenShard, found: str) -> DataError:
    return DataError(
        found, where=shard.shown, expected="the segments of whole documents, as `stages.pack` writes them",
        mend="`crawlmill verify` names damaged files. If there are none, documents share an id: give each its own "
        "(id_column), or drop repeated ones with stages.exact, and run again.",
    )  # fmt: skip
