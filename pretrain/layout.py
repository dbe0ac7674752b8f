"""Rows taken apart into segments, and put together again out of pieces of them.

Reads:  batches of packed rows
Writes: rows whose tokens were moved, left out or inserted, each knowing where it comes from
Cost:   a few passes over the batch's tokens in NumPy, a sort of its pieces
Source: -

An objective that rearranges text names the pieces each segment turns into: runs of its tokens, and inserted tokens.
Flat places count through a batch: row * T + position.
Shapes: B rows, T positions, S segments, P pieces, N tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pretrain import draws
from pretrain.data import Batch


@dataclass(frozen=True, kw_only=True)
class Segments:
    """The segments of a batch but for its padding, in order. `begin`, `end` and `first_loss` are flat places."""

    row_S: np.ndarray
    number_S: np.ndarray  # of the segment in its row
    begin_S: np.ndarray
    end_S: np.ndarray
    first_loss_S: np.ndarray  # the first token to train on: at the loss start, and not at the segment's beginning
    ends_document_S: np.ndarray  # bool: its last token is end-of-text
    key_S: np.ndarray  # uint64, of draws
    key_B: np.ndarray
    num_tokens_B: np.ndarray  # of each row's segments
    ids_N: np.ndarray  # of the whole batch

    @property
    def last_body_S(self) -> np.ndarray:
        """The flat place behind the last token that is text and not the end of it."""
        return np.maximum(self.end_S - self.ends_document_S, self.first_loss_S)

    @property
    def num_body_S(self) -> np.ndarray:
        """Tokens to train on, without the end of text."""
        return self.last_body_S - self.first_loss_S

    def uniform(self, purpose: int) -> np.ndarray:
        """A draw per segment, float64 [S]."""
        return draws.uniform(self.key_S, np.zeros(len(self.key_S), np.int64), purpose)

    def accepted(self, wants_S: np.ndarray, *budgets: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Those of the segments that ask (bool [S]) whose row has room: what the row's segments cost up to this one, of
        those that ask, is within its room, in every budget (cost [S], room [B])."""
        fits_S = wants_S.copy()
        first_B = np.searchsorted(self.row_S, np.arange(len(self.num_tokens_B)))
        for cost_S, room_B in budgets:
            spent_S = np.cumsum(np.where(wants_S, np.maximum(cost_S, 0), 0))
            before_B = np.append(0, spent_S)[first_B]
            fits_S &= spent_S - before_B[self.row_S] <= room_B[self.row_S]
        return fits_S


@dataclass(frozen=True, kw_only=True)
class Pieces:
    """What segments turn into, in any order: `order` says which of a segment's pieces comes first.

    `source` is a piece's first flat place; for an inserted token it is -1 - its id.
    """

    segment_P: np.ndarray
    order_P: np.ndarray
    source_P: np.ndarray
    length_P: np.ndarray
    is_target_P: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows [B, T] put together of pieces. `source` is a token's flat place, negative for inserted ones and padding."""

    ids_BT: np.ndarray
    segment_BT: np.ndarray
    position_BT: np.ndarray
    source_BT: np.ndarray
    is_target_BT: np.ndarray


def segments_of(batch: Batch, place_B: np.ndarray, seed: int, eot_id: int) -> Segments:
    """A segment that has nothing to train on at the end of a row counts as padding."""
    num_rows, length = batch.ids_BT.shape
    segment_N, loss_N = batch.segment_BT.numpy().ravel(), batch.loss_start_BT.numpy().ravel()
    is_begin_N = np.append(True, segment_N[1:] != segment_N[:-1])
    is_begin_N[::length] = True
    begin = np.flatnonzero(is_begin_N)
    end = np.append(begin[1:], len(segment_N))
    is_real = loss_N[begin] < length
    begin_S, end_S = begin[is_real], end[is_real]
    row_S = begin_S // length
    ids_N = batch.ids_BT.numpy().ravel()
    first_loss_S = np.maximum(row_S * length + loss_N[begin_S], begin_S + 1)
    ends_document_S = (ids_N[end_S - 1] == eot_id) & (end_S > first_loss_S)
    key_B = draws.row_keys(seed, place_B)
    return Segments(
        row_S=row_S, number_S=segment_N[begin_S], begin_S=begin_S, end_S=end_S,
        first_loss_S=np.minimum(first_loss_S, end_S), ends_document_S=ends_document_S,
        key_S=draws.splitmix64(key_B[row_S] + (begin_S % length).astype(np.uint64)), key_B=key_B,
        num_tokens_B=np.bincount(row_S, end_S - begin_S, num_rows).astype(np.int64), ids_N=ids_N,
    )  # fmt: skip


def run(segment: np.ndarray, order: np.ndarray | int, begin: np.ndarray, end: np.ndarray, is_target: bool) -> Pieces:
    """Pieces that are the tokens from `begin` to `end` (flat places)."""
    return Pieces(
        segment_P=segment, order_P=np.broadcast_to(np.asarray(order, np.int64), segment.shape), source_P=begin,
        length_P=end - begin, is_target_P=np.full(len(segment), is_target),
    )  # fmt: skip


def inserted(segment: np.ndarray, order: np.ndarray | int, id: np.ndarray | int, is_target: bool) -> Pieces:
    """Pieces that are one token each, of these ids."""
    source = np.broadcast_to(-1 - np.asarray(id, np.int64), segment.shape)
    return run(segment, order, source, source + 1, is_target)


def joined(parts: Sequence[Pieces]) -> Pieces:
    """All pieces, in the order of the rows they make."""
    segment_P, order_P, source_P, length_P, is_target_P = (
        np.concatenate([getattr(p, name) for p in parts])
        for name in ("segment_P", "order_P", "source_P", "length_P", "is_target_P")
    )
    place = np.lexsort((order_P, segment_P))
    return Pieces(
        segment_P=segment_P[place], order_P=order_P[place], source_P=source_P[place], length_P=length_P[place],
        is_target_P=is_target_P[place],
    )  # fmt: skip


def kept(pieces: Pieces, is_kept_P: np.ndarray) -> Pieces:
    return Pieces(
        segment_P=pieces.segment_P[is_kept_P], order_P=pieces.order_P[is_kept_P], source_P=pieces.source_P[is_kept_P],
        length_P=pieces.length_P[is_kept_P], is_target_P=pieces.is_target_P[is_kept_P],
    )  # fmt: skip


def lay_out(segments: Segments, pieces: Pieces, width: int, pad_id: int) -> Rows:
    """Put `pieces`, in the order `joined` gave them, into rows of `width`; the rest is padding, its own segment."""
    num_rows = len(segments.num_tokens_B)
    segment_N = np.repeat(pieces.segment_P, pieces.length_P)
    begin_P = np.cumsum(pieces.length_P) - pieces.length_P
    inside_N = np.arange(len(segment_N)) - np.repeat(begin_P, pieces.length_P)
    source_N = np.repeat(pieces.source_P, pieces.length_P) + inside_N
    row_N = segments.row_S[segment_N]
    place_N = np.arange(len(segment_N)) - np.searchsorted(row_N, np.arange(num_rows))[row_N]
    assert len(place_N) == 0 or place_N.max() < width, "an objective made a row longer than its own `widths` allows"
    token_N = np.where(source_N < 0, -1 - source_N, segments.ids_N[np.maximum(source_N, 0)])
    is_first_N = np.append(True, segment_N[1:] != segment_N[:-1])[: len(segment_N)]
    first_N = np.maximum.accumulate(np.where(is_first_N, np.arange(len(segment_N)), 0))
    number_B = np.bincount(segments.row_S, minlength=num_rows)  # padding's: the next one behind the row's last segment
    used_B = np.bincount(row_N, minlength=num_rows)
    shape = (num_rows, width)
    rows = Rows(
        ids_BT=np.full(shape, pad_id, np.int64), segment_BT=np.repeat(number_B, width).reshape(shape),
        position_BT=np.arange(width) - used_B[:, None], source_BT=np.full(shape, -1, np.int64),
        is_target_BT=np.zeros(shape, np.bool_),
    )  # fmt: skip
    target_N = np.repeat(pieces.is_target_P, pieces.length_P)
    number_N = segments.number_S[segment_N]
    for plane, value_N in zip(
        (rows.ids_BT, rows.segment_BT, rows.position_BT, rows.source_BT, rows.is_target_BT),
        (token_N, number_N, np.arange(len(segment_N)) - first_N, source_N, target_N),
        strict=True,
    ):
        plane[row_N, place_N] = value_N
    return rows
