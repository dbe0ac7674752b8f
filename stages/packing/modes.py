"""The ways to make rows of documents: where documents are cut, and which segments share a row.

Cost:   of the window, see token_shard.py: its tokens once, its rows once, and some 80 bytes per segment
Source: best-fit decreasing, Ding et al. 2024 ("Fewer truncations improve language modeling"); overlap as context, Press
        et al. 2022 (sliding window); concatenation and cut, GPT-2's and Megatron's way

A segment that is not its document's first begins with tokens of the segment before, which are not trained on there: as
many as `overlap` says, or one. It takes that one, since a token is predicted from those before it in its segment only:
without it the token after a cut would have nothing to be predicted from, and never be a target.

Best fit reads a window of segments, the larger the better, and mixes its rows by a hash. Where rows are in the order of
the documents, a window ends with a row, and its size changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from stages.kernels import packing
from stages.kernels.document_hash import hash_ids, mix

WINDOW_TOKENS = 1 << 24
WINDOW_SEGMENTS = 1 << 18  # the other bound, for documents of a few tokens
WINDOW_TOKENS_IN_ORDER = 1 << 21  # of rows in the documents' order: 4096 rows of 512


class Window(NamedTuple):
    """Segments in document order; their tokens lie one after the other in `pool_P`."""

    pool_P: np.ndarray
    id_S16: np.ndarray  # of the segment's document
    offset_S: np.ndarray  # the columns of packing.Segments from here on
    length_S: np.ndarray
    context_S: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Mode:
    """A mode, for the documents of one shard from its first to its last: `cut` may know what came before.

    `cut(documents, num_tokens_D)`: the segments of the documents with these indices. `lay_out(window, length, pad_id)`:
    its rows. A window holds at most so many tokens and so many segments.
    """

    cut: Callable[[np.ndarray, np.ndarray], packing.Segments]
    lay_out: Callable[[Window, int, int], packing.Rows]
    window_tokens: int
    window_segments: int


def best_fit(length: int, overlap: int) -> Mode:
    """Documents longer than a row are cut with a stride of `length - overlap`; segments share rows as they fit best."""
    return Mode(
        cut=partial(packing.cut, length=length, overlap=overlap), lay_out=_best_fit_rows,
        window_tokens=WINDOW_TOKENS, window_segments=WINDOW_SEGMENTS,
    )  # fmt: skip


def concatenate(length: int) -> Mode:
    """One document after the other, cut at the end of the row: all rows are full but the last."""
    room = length

    def cut(documents: np.ndarray, num_tokens_D: np.ndarray) -> packing.Segments:
        nonlocal room
        segments, room = packing.cut_at_row_ends(documents, num_tokens_D, length, room)
        return segments

    tokens = _rows_in_order(length) * length  # a segment has one at least, so windows end with this many: a row's end
    return Mode(cut=cut, lay_out=_filled_rows, window_tokens=tokens, window_segments=tokens)


def document_rows(length: int) -> Mode:
    """Every segment has a row of its own: a document's first `length` tokens, then the rest in further rows."""
    rows = _rows_in_order(length)
    return Mode(
        cut=partial(packing.cut, length=length, overlap=1), lay_out=_single_rows,
        window_tokens=rows * length, window_segments=rows,
    )  # fmt: skip


def _rows_in_order(length: int) -> int:
    return max(1, WINDOW_TOKENS_IN_ORDER // length)


def _best_fit_rows(window: Window, length: int, pad_id: int) -> packing.Rows:
    key_S = mix(hash_ids(window.id_S16, 0) ^ window.offset_S.view(np.uint64))
    return packing.pack(window.pool_P, window.length_S, window.context_S, key_S, length, pad_id)


def _filled_rows(window: Window, length: int, pad_id: int) -> packing.Rows:
    begin_S = np.cumsum(window.length_S) - window.length_S
    return _in_order(window, np.flatnonzero(begin_S % length == 0), length, pad_id)


def _single_rows(window: Window, length: int, pad_id: int) -> packing.Rows:
    return _in_order(window, np.arange(len(window.length_S)), length, pad_id)


def _in_order(window: Window, first_R: np.ndarray, length: int, pad_id: int) -> packing.Rows:
    """Rows that begin with the segments `first_R`."""
    num_segments = len(window.length_S)
    first_R = np.append(first_R, num_segments).astype(np.int32)
    return packing.fill(
        window.pool_P, window.length_S, window.context_S, np.arange(num_segments), first_R, length, pad_id
    )
