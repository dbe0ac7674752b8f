"""Rows of token shards taken apart again, by what their columns say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from tests.stages.pack_context import MadeArtifact

Row = dict[str, Any]


def rows_of(tokens: MadeArtifact, split: str = "") -> list[Row]:
    tables = [
        pa.ipc.open_stream(tokens.folder.open_input(name)).read_all()
        for name in tokens.shards()
        if name.startswith(f"shards/{split}")
    ]
    return [row for table in tables for row in table.to_pylist()]


def segments_of(row: Row, pad_id: int) -> list[tuple[bytes, int, list[int], int]]:
    """(document, offset in its stream, tokens, how many of them are context) of a row; checks that segments tile it."""
    starts, num_real = row["segment_starts"], row["num_real"]
    assert starts[0] == 0 and starts == sorted(set(starts)) and starts[-1] < num_real <= len(row["input_ids"])
    assert set(row["input_ids"][num_real:]) <= {pad_id}
    ends = [*starts[1:], num_real]
    return [
        (document, offset, row["input_ids"][start:end], loss_start - start)
        for start, end, document, offset, loss_start in zip(
            starts, ends, row["segment_docs"], row["segment_offsets"], row["loss_starts"], strict=True
        )
    ]


def unpacked(rows: Iterable[Row], pad_id: int) -> dict[bytes, list[int]]:
    """Each document's stream, put together from its segments: only targets, after the first token of all.

    Fails where a stream position is a target twice or never, or where a context differs from the tokens before it.
    """
    pieces: dict[bytes, list[tuple[int, list[int], int]]] = {}
    for row in rows:
        for document, offset, tokens, context in segments_of(row, pad_id):
            pieces.setdefault(document, []).append((offset, tokens, context))
    streams = {}
    for document, segments in pieces.items():
        stream: list[int] = []
        for offset, tokens, context in sorted(segments):
            assert 1 <= context <= len(tokens)
            if not stream:
                assert (offset, context) == (0, 1)
                stream = tokens[:1]
            assert offset + context == len(stream), "targets follow each other without a gap"
            assert stream[offset:] == tokens[:context]
            stream += tokens[context:]
        streams[document] = stream
    return streams
