"""stages/packing/modes.py: every mode against plain Python that does the same token by token."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.schemas import tokens_schema
from pipeline.store import Folder
from stages.packing import modes
from stages.packing.token_shard import TokenShard
from tests.stages.pack_context import document_id
from tests.stages.packing.unpacking import Row, segments_of, unpacked

EOT, PAD, VOCAB_SIZE = 98, 99, 100
MODES: dict[str, Callable[[int], modes.Mode]] = {
    "overlap": lambda length: modes.best_fit(length, max(1, length // 3)),
    "best_fit": lambda length: modes.best_fit(length, 1),
    "concatenate": modes.concatenate,
    "document": modes.document_rows,
}
every_mode = pytest.mark.parametrize("mode", MODES)

documents_of_tokens = st.lists(st.lists(st.integers(0, 97), max_size=50), max_size=30)
lengths = st.integers(2, 24)


def write(documents: Sequence[Sequence[int]], path: Path, mode: modes.Mode, length: int, sizes: Sequence[int]) -> bytes:
    """The shard's bytes (none without rows); documents are added in batches of these sizes, over and over."""
    assert not path.exists()
    with TokenShard(Folder(str(path.parent)), path.name, tokens_schema(length, VOCAB_SIZE), PAD, mode) as shard:
        size, first = itertools.cycle(sizes), 0
        while first < len(documents):
            batch = documents[first : first + next(size)]
            offset_D = np.cumsum([0, *map(len, batch)])
            ids = [document_id(first + i) for i in range(len(batch))]
            id_D16 = np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16)
            chosen = np.flatnonzero(np.diff(offset_D))
            shard.add(chosen, np.array([*itertools.chain(*batch)], np.uint32), offset_D, id_D16, EOT)
            first += len(batch)
    return path.read_bytes() if path.exists() else b""


def rows_in(shard: bytes) -> list[Row]:
    return pa.ipc.open_stream(shard).read_all().to_pylist() if shard else []


def packed(documents: Sequence[Sequence[int]], mode: str, length: int, sizes: Sequence[int] = (7,)) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(documents, Path(folder, "x.arrow"), MODES[mode](length), length, sizes)


def streams_of(documents: Sequence[Sequence[int]]) -> dict[bytes, list[int]]:
    return {document_id(i): [EOT, *ids, EOT] for i, ids in enumerate(documents) if ids}


def padded(rows: list[list[int]], length: int) -> list[list[int]]:
    return [row + [PAD] * (length - len(row)) for row in rows]


def concatenated(streams: dict[bytes, list[int]], length: int) -> list[list[int]]:
    """Token after token; what goes on in a new row first says again where it was."""
    rows: list[list[int]] = []
    for stream in streams.values():
        for place, token in enumerate(stream):
            if not rows or len(rows[-1]) == length:
                rows.append([stream[place - 1]] if place else [])
            rows[-1].append(token)
    return rows


def pieces(stream: list[int], length: int) -> Iterator[tuple[int, list[int]]]:
    """(offset, tokens) of a document cut only where it is longer than a row."""
    offset = 0
    while True:
        yield offset, stream[offset : offset + length]
        offset += length - 1
        if offset + 1 >= len(stream):
            return


def best_fitted(streams: dict[bytes, list[int]], length: int) -> list[list[tuple[bytes, int, list[int]]]]:
    """Pieces longest first, each into the fullest row that has room; of equally full ones into the one last filled."""
    segments = [(id_, *piece) for id_, stream in streams.items() for piece in pieces(stream, length)]
    rows: list[tuple[int, int, list]] = []  # room, when it was filled last, what is in it
    for time, segment in enumerate(sorted(segments, key=lambda s: -len(s[2]))):
        fitting = [row for row in rows if row[0] >= len(segment[2])]
        row = min(fitting, key=lambda r: (r[0], -r[1]), default=(length, 0, []))
        rows = [r for r in rows if r is not row] + [(row[0] - len(segment[2]), time, [*row[2], segment])]
    return [row[2] for row in rows]


@every_mode
@settings(max_examples=150, deadline=None)
@given(documents=documents_of_tokens, length=lengths, window=st.sampled_from([30, 100, 1 << 20]))
def test_mode_any_documents_unpack_to_their_tokens_each_a_target_once(
    mode: str, documents: list[list[int]], length: int, window: int
) -> None:
    with patch.multiple(modes, WINDOW_TOKENS=window, WINDOW_TOKENS_IN_ORDER=window, WINDOW_SEGMENTS=window):
        rows = rows_in(packed(documents, mode, length))
    assert unpacked(rows, PAD) == streams_of(documents)


@every_mode
@settings(max_examples=80, deadline=None)
@given(
    documents=documents_of_tokens,
    length=lengths,
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    window=st.sampled_from([30, 100, 1 << 20]),
)
def test_mode_other_batches_same_bytes(
    mode: str, documents: list[list[int]], length: int, sizes: list[int], window: int
) -> None:
    with patch.multiple(modes, WINDOW_TOKENS=window, WINDOW_TOKENS_IN_ORDER=window, WINDOW_SEGMENTS=window):
        assert packed(documents, mode, length, sizes) == packed(documents, mode, length, [len(documents) or 1])


@pytest.mark.parametrize("mode", ["concatenate", "document"])
@settings(max_examples=80, deadline=None)
@given(documents=documents_of_tokens, length=lengths, window=st.integers(1, 200))
def test_rows_in_order_any_window_same_rows(mode: str, documents: list[list[int]], length: int, window: int) -> None:
    whole = rows_in(packed(documents, mode, length))
    with patch.object(modes, "WINDOW_TOKENS_IN_ORDER", window):
        assert rows_in(packed(documents, mode, length)) == whole


@settings(max_examples=200, deadline=None)
@given(documents=documents_of_tokens, length=lengths)
def test_concatenate_any_documents_equals_a_plain_concatenation(documents: list[list[int]], length: int) -> None:
    rows = rows_in(packed(documents, "concatenate", length))
    expected = concatenated(streams_of(documents), length)
    assert [row["input_ids"] for row in rows] == padded(expected, length)
    assert [row["num_real"] for row in rows] == [len(row) for row in expected]
    assert all(row["num_real"] == length for row in rows[:-1])


@settings(max_examples=200, deadline=None)
@given(documents=documents_of_tokens, length=lengths)
def test_best_fit_any_documents_equals_a_plain_best_fit_decreasing(documents: list[list[int]], length: int) -> None:
    rows = rows_in(packed(documents, "best_fit", length))
    found = [[segment[:3] for segment in segments_of(row, PAD)] for row in rows]
    assert sorted(found) == sorted(best_fitted(streams_of(documents), length))


@settings(max_examples=200, deadline=None)
@given(documents=documents_of_tokens, length=lengths)
def test_document_any_documents_have_rows_of_their_own(documents: list[list[int]], length: int) -> None:
    rows = rows_in(packed(documents, "document", length))
    found = [(id_, offset, ids) for row in rows for id_, offset, ids, _ in segments_of(row, PAD)]
    expected = [(id_, *piece) for id_, stream in streams_of(documents).items() for piece in pieces(stream, length)]
    assert found == expected
    assert len(rows) == len(expected)


@every_mode
def test_mode_a_million_tokens_among_short_and_empty_documents(mode: str) -> None:
    random = np.random.default_rng(1)
    documents = [random.integers(0, 98, n).tolist() for n in (3, 0, 1_100_000, 1, 0, 509, 510, 511, 600)]
    rows = rows_in(packed(documents, mode, 512, [4]))
    assert unpacked(rows, PAD) == streams_of(documents)


@every_mode
def test_mode_of_no_documents_or_empty_ones_writes_no_file(mode: str) -> None:
    assert packed([], mode, 8) == packed([[], []], mode, 8) == b""


def test_concatenate_with_room_for_one_token_repeats_it_and_trains_on_all_others() -> None:
    rows = rows_in(packed([[1, 2, 3], [4]], "concatenate", 6))  # the first stream leaves one place in its row
    assert [row["input_ids"] for row in rows] == [[EOT, 1, 2, 3, EOT, EOT], [EOT, 4, EOT, PAD, PAD, PAD]]
    assert [row["loss_starts"] for row in rows] == [[1, 6], [1]]
    assert [row["segment_offsets"] for row in rows] == [[0, 0], [0]]


@pytest.mark.parametrize("length", [512, 65_535])
def test_windows_of_rows_in_order_hold_few_rows(length: int) -> None:
    mode = modes.document_rows(length)
    assert mode.window_segments * length <= max(length, modes.WINDOW_TOKENS_IN_ORDER)
    assert mode.window_tokens >= length
