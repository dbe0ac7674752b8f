"""Personal data in every text of a batch: where it stands, and the texts with something else in its place.

Reads:  Utf8 (an Arrow string array's offsets and bytes)
Writes: Spans; Utf8 with the spans replaced
Cost:   about 3 ns per byte; 3 bytes of scratch per byte of a batch (address space, touched as spans are found)
Source: the rules are in pii_emails.py, pii_addresses.py, pii_numbers.py and pii_phones.py

A text is read from left to right: e-mail addresses first, then numbers between them. Of two that overlap the one that
begins first counts; of those that begin at the same place the first in the order of KINDS, e-mail addresses before all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.pii_addresses import ipv4_end, ipv6_end
from stages.kernels.pii_emails import next_email
from stages.kernels.pii_gap import NOTHING, Gap, digits_end, is_digit
from stages.kernels.pii_numbers import card_end, chinese_id_end, chinese_mobile
from stages.kernels.pii_phones import international, north_american
from stages.kernels.utf8 import Utf8

EMAIL, IPV6, IPV4, CHINESE_ID, CREDIT_CARD, CHINESE_MOBILE, PHONE = range(7)
KINDS = ("email", "ipv6", "ipv4", "chinese_id", "credit_card", "chinese_mobile", "phone")
MIN_SPAN_BYTES = 6  # a@b.cc, 2a00::


@dataclass(frozen=True, kw_only=True)
class Spans:
    """S spans: of text n, `first[n]` up to `first[n + 1]` (int64[N + 1]), from left to right, not overlapping.

    `starts`, `ends` int64[S] positions in the texts' data, `kinds` uint8[S] index into KINDS.
    """

    starts: np.ndarray
    ends: np.ndarray
    kinds: np.ndarray
    first: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Replacements:
    """What stands for each kind, as one array of bytes; `wanted` bool[7] says which kinds are looked for at all."""

    wanted: np.ndarray
    data: np.ndarray
    starts: np.ndarray


def replacements(texts: Sequence[str | None]) -> Replacements:
    """In the order of KINDS; None for a kind that is left alone."""
    encoded = [(text or "").encode() for text in texts]
    return Replacements(
        wanted=np.array([text is not None for text in texts]), data=np.frombuffer(b"".join(encoded), np.uint8),
        starts=np.cumsum([0, *map(len, encoded)]),
    )  # fmt: skip


def find(text: Utf8, by: Replacements) -> Spans:
    """The personal data of the kinds wanted."""
    capacity = int(text.offsets[-1] - text.offsets[0]) // MIN_SPAN_BYTES + 1
    starts, ends, kinds = np.empty(capacity, np.int64), np.empty(capacity, np.int64), np.empty(capacity, np.uint8)
    first = np.zeros(len(text) + 1, np.int64)
    edges = np.zeros((2, len(KINDS)), np.int64)  # first and last byte of what stands for each kind
    for kind in range(len(KINDS)):
        inside = by.data[by.starts[kind] : by.starts[kind + 1]]
        edges[:, kind] = (inside[0], inside[-1]) if len(inside) else (NOTHING, NOTHING)
    _find_batch(text.data, text.offsets, by.wanted, edges, starts, ends, kinds, first)
    count = first[-1]
    return Spans(starts=starts[:count], ends=ends[:count], kinds=kinds[:count], first=first)


def replace(text: Utf8, spans: Spans, by: Replacements) -> Utf8:
    """A copy of the texts with every span replaced."""
    removed = int((spans.ends - spans.starts).sum())
    added = int(np.diff(by.starts)[spans.kinds].sum())
    num_bytes = int(text.offsets[-1] - text.offsets[0]) - removed + added
    data, offsets = np.empty(num_bytes, np.uint8), np.zeros(len(text) + 1, np.int64)
    _replace_batch(
        text.data, text.offsets, spans.starts, spans.ends, spans.kinds, spans.first, by.data, by.starts, data, offsets
    )
    return Utf8(offsets=offsets, data=data, null_N=text.null_N)


@kernel
def _find_batch(
    data: np.ndarray, offsets: np.ndarray, wanted: np.ndarray, edges: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, first: np.ndarray,
) -> None:  # fmt: skip
    count = 0
    for n in range(len(offsets) - 1):
        low, end = offsets[n], offsets[n + 1]
        left: Any = np.int64(NOTHING)
        while low < end:
            email, email_end = next_email(data, low, end) if wanted[EMAIL] else (end, end)
            right: Any = edges[0, EMAIL] if email < end else np.int64(NOTHING)
            count = _find_numbers(data, Gap(low, left, email, right), wanted, edges[1], starts, ends, kinds, count)
            if email < end:
                starts[count], ends[count], kinds[count] = email, email_end, EMAIL
                count += 1
            low, left = email_end, edges[1, EMAIL]
        first[n + 1] = count


@kernel
def _find_numbers(
    data: np.ndarray, gap: Gap, wanted: np.ndarray, last_bytes: np.ndarray, starts: np.ndarray, ends: np.ndarray,
    kinds: np.ndarray, count: int,
) -> int:  # fmt: skip
    """Enter the numbers of a gap; the number of spans after that."""
    i = gap.low
    while i < gap.limit:
        if not is_digit(data[i]):
            i += 1
            continue
        run_end = digits_end(data, i + 1, gap.limit)
        start, end, kind = _number_at(data, gap, i, run_end, wanted)
        if end < 0:
            i = run_end
            continue
        starts[count], ends[count], kinds[count] = start, end, kind
        count += 1
        gap = Gap(end, last_bytes[kind], gap.limit, gap.right)
        i = end
    return count


@kernel
def _number_at(data: np.ndarray, gap: Gap, i: int, run_end: int, wanted: np.ndarray) -> tuple[int, int, int]:
    """(first byte, end, kind) of what begins with the digits data[i:run_end]; end -1 if that is nothing."""
    size = run_end - i
    if size > 19:
        return i, -1, 0
    if wanted[IPV6] and size <= 4 and 50 <= data[i] <= 51:
        end = ipv6_end(data, gap, i)
        if end > 0:
            return i, end, IPV6
    if wanted[IPV4] and size <= 3:
        end = ipv4_end(data, gap, i)
        if end > 0:
            return i, end, IPV4
    if wanted[CHINESE_ID] and size >= 17:
        end = chinese_id_end(data, gap, i, run_end)
        if end > 0:
            return i, end, CHINESE_ID
    if wanted[CREDIT_CARD] and size >= 4:
        end = card_end(data, gap, i, run_end)
        if end > 0:
            return i, end, CREDIT_CARD
    if wanted[CHINESE_MOBILE] and size >= 2:
        start, end = chinese_mobile(data, gap, i, run_end)
        if end > 0:
            return start, end, CHINESE_MOBILE
    if wanted[PHONE]:
        start, end = international(data, gap, i, run_end)
        if end < 0:
            start, end = north_american(data, gap, i, run_end)
        return start, end, PHONE
    return i, -1, 0


@kernel
def _replace_batch(
    data: np.ndarray, offsets: np.ndarray, starts: np.ndarray, ends: np.ndarray, kinds: np.ndarray, first: np.ndarray,
    by: np.ndarray, by_starts: np.ndarray, out: np.ndarray, out_offsets: np.ndarray,
) -> None:  # fmt: skip
    at = 0
    for n in range(len(offsets) - 1):
        low = offsets[n]
        for s in range(first[n], first[n + 1]):
            size = starts[s] - low
            out[at : at + size] = data[low : starts[s]]
            at += size
            size = by_starts[kinds[s] + 1] - by_starts[kinds[s]]
            out[at : at + size] = by[by_starts[kinds[s]] : by_starts[kinds[s] + 1]]
            at += size
            low = ends[s]
        size = offsets[n + 1] - low
        out[at : at + size] = data[low : offsets[n + 1]]
        at += size
        out_offsets[n + 1] = at
