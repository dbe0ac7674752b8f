"""stages/kernels/packing.py: against a brute-force best fit, and cutting against the rule written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import packing


def brute_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """Rooms left in the rows, sorted: each length, longest first, goes where the least room is left over."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=lambda i: rooms[i])] -= length
        else:
            rooms.append(capacity - length)
    return sorted(rooms)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), capacity=st.sampled_from([1, 2, 31, 32, 33, 63, 64, 65, 100, 512]))
def test_best_fit_any_lengths_fills_as_brute_force_does(data: st.DataObject, capacity: int) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=80))
    row_S, order_S, num_rows = packing.best_fit(np.array(lengths, np.int64), capacity)
    used = np.bincount(row_S, weights=lengths, minlength=num_rows).astype(int)
    assert sorted((capacity - used).tolist()) == brute_best_fit(lengths, capacity)
    assert sorted(order_S.tolist()) == list(range(len(lengths)))


@pytest.mark.parametrize("capacity", [512, 65_535])
def test_best_fit_many_lengths_fills_as_brute_force_does(capacity: int) -> None:
    lengths = np.random.default_rng(1).integers(1, capacity + 1, 1500)
    row_S, _, num_rows = packing.best_fit(lengths, capacity)
    used = np.bincount(row_S, weights=lengths, minlength=num_rows).astype(int)
    assert sorted((capacity - used).tolist()) == brute_best_fit(lengths.tolist(), capacity)


def cut_by_rule(stream: int, length: int, overlap: int) -> list[tuple[int, int, int]]:
    """(offset, length, context) of the segments: as much as fits, then on from `overlap` tokens before its end."""
    segments, offset, context = [], 0, 1
    while True:
        end = min(offset + length, stream)
        segments.append((offset, end - offset, context))
        if end == stream:
            return segments
        offset, context = end - overlap, overlap


@settings(max_examples=300, deadline=None)
@given(data=st.data(), length=st.integers(2, 40), num_tokens=st.lists(st.integers(1, 200), max_size=6))
def test_cut_any_documents_equals_the_rule(data: st.DataObject, length: int, num_tokens: list[int]) -> None:
    overlap = data.draw(st.integers(1, length - 1))
    chosen = [d for d in range(len(num_tokens)) if data.draw(st.booleans())]
    segments = packing.cut(np.array(chosen, np.int64), np.array(num_tokens, np.int64), length, overlap)
    expected = [(d, *s) for d in chosen for s in cut_by_rule(num_tokens[d] + 2, length, overlap)]
    assert list(zip(*(column.tolist() for column in segments), strict=True)) == expected


def cut_at_row_ends_by_rule(streams: dict[int, int], length: int, room: int) -> list[tuple[int, int, int, int]]:
    """(document, offset, length, context): as much as the row has room for, then on in a new row, one token back."""
    segments = []
    for document, stream in streams.items():
        offset = 0
        while offset + min(room, stream - offset) < stream:
            segments.append((document, offset, room, 1))
            offset, room = offset + room - 1, length
        segments.append((document, offset, stream - offset, 1))
        room = room - (stream - offset) or length
    return segments


@settings(max_examples=300, deadline=None)
@given(data=st.data(), length=st.integers(2, 40), num_tokens=st.lists(st.integers(1, 200), max_size=6))
def test_cut_at_row_ends_any_documents_and_room_equals_the_rule(
    data: st.DataObject, length: int, num_tokens: list[int]
) -> None:
    room = data.draw(st.integers(1, length))
    chosen = [d for d in range(len(num_tokens)) if data.draw(st.booleans())]
    documents, num_tokens_D = np.array(chosen, np.int64), np.array(num_tokens, np.int64)
    segments, left = packing.cut_at_row_ends(documents, num_tokens_D, length, room)
    found = list(zip(*(column.tolist() for column in segments), strict=True))
    assert found == cut_at_row_ends_by_rule({d: num_tokens[d] + 2 for d in chosen}, length, room)
    assert 1 <= left <= length
    assert (room - sum(segment[2] for segment in found) - left) % length == 0
