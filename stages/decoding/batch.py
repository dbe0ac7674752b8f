"""Pages as they came to pages in UTF-8, a slice of a batch at a time.

Reads:  payloads and Content-Type headers
Writes: Pages
Cost:   4 us for a page of 85 KB in plain UTF-8 (92 of 100 are), 6 us more for its copy where another page of the
        slice is not plain; the others as stages/decoding/charset.py says
Source: stages/decoding/charset.py decides on charsets; stages/kernels/plain_utf8.py finds pages that need no decision
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.decoding.charset import Decoded, decode
from stages.kernels.plain_utf8 import find_plain
from stages.kernels.utf8 import PADDING, Utf8, padded


@dataclass(frozen=True, kw_only=True)
class Pages:
    """N pages, each as `decode` gives it. `utf8`: their texts, padded; `charset` and `charset_from` (how it was chosen,
    charset.How): string, null where there is no payload; `bad_share_N` float64, NaN there."""

    utf8: Utf8
    charset: pa.Array
    charset_from: pa.Array
    bad_share_N: np.ndarray


class Room(threading.local):
    """Memory for pages that have to be copied, taken once by each thread and used again: fresh memory for every slice
    costs more than the copying."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def take(self, num_bytes: int) -> np.ndarray:
        """uint8[num_bytes]; what was taken before is overwritten."""
        if len(self._bytes) < num_bytes:
            self._bytes = np.empty(num_bytes + num_bytes // 4, np.uint8)
        return self._bytes[:num_bytes]


def decode_batch(payload: pa.Array, content_type: pa.Array, room: Room | None = None) -> Pages:
    """The pages of a large_binary array and their headers, a string array. Never raises for what they hold.

    Nothing is copied where every page is plain UTF-8 and bytes follow the last one. With `room` the pages' bytes last
    until it is given again.
    """
    raw = _view(payload)
    plain_N = np.empty(len(raw), np.bool_)
    find_plain(raw.data, raw.offsets, plain_N)
    others = {int(n): decode(payload[n].as_py(), content_type[n].as_py()) for n in np.flatnonzero(~plain_N)}
    charset_N = np.full(len(raw), "utf-8", object)
    how_N = np.full(len(raw), "valid", object)
    bad_share_N = np.where(raw.null_N, np.nan, 0.0)
    for n, page in others.items():
        charset_N[n], how_N[n], bad_share_N[n] = page.charset, page.how, page.bad_share
    return Pages(
        utf8=_with(raw, others, room or Room()) if others else padded(raw),
        charset=pa.array(charset_N, pa.string(), mask=raw.null_N),
        charset_from=pa.array(how_N, pa.string(), mask=raw.null_N),
        bad_share_N=bad_share_N,
    )


def _view(payload: pa.Array) -> Utf8:
    """The bytes as they lie, valid UTF-8 or not; a null is empty, whatever Arrow has behind it."""
    null_N = payload.is_null().to_numpy(zero_copy_only=False)
    _, offsets_buffer, data_buffer = payload.buffers()
    if len(payload) == 0 or data_buffer is None:
        return Utf8(offsets=np.zeros(len(payload) + 1, np.int64), data=np.empty(0, np.uint8), null_N=null_N)
    offsets = np.frombuffer(offsets_buffer, np.int64, len(payload) + 1, payload.offset * 8)
    if null_N.any() and np.diff(offsets)[null_N].any():
        filled = _view(payload.fill_null(b""))
        return Utf8(offsets=filled.offsets, data=filled.data, null_N=null_N)
    start, data = int(offsets[0]), np.frombuffer(data_buffer, np.uint8)
    # counted from the first page: positions of kernels have 32 bits, the whole batch may be larger
    return Utf8(offsets=offsets - start if start else offsets, data=data[start:], null_N=null_N)


def _with(raw: Utf8, others: dict[int, Decoded], room: Room) -> Utf8:
    """The pages with `others` in the place of those bytes; runs of pages between them are copied together."""
    texts = {n: page.text.encode("utf-8") for n, page in others.items()}
    num_bytes_N = np.diff(raw.offsets)
    num_bytes_N[list(texts)] = [len(text) for text in texts.values()]
    offsets = np.zeros(len(raw) + 1, np.int64)
    np.cumsum(num_bytes_N, out=offsets[1:])
    data = room.take(int(offsets[-1]) + PADDING)
    data[offsets[-1] :] = 0
    first = 0
    for n, text in [*texts.items(), (len(raw), b"")]:
        data[offsets[first] : offsets[n]] = raw.data[raw.offsets[first] : raw.offsets[n]]
        if n < len(raw):
            data[offsets[n] : offsets[n + 1]] = np.frombuffer(text, np.uint8)
        first = n + 1
    return Utf8(offsets=offsets, data=data, null_N=raw.null_N)
