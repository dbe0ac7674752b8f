"""A tokens shard opened for export: its rows as Arrow batches over one buffer, the mapped file where it is local.

Reads:  an Arrow IPC stream of pipeline.schemas.tokens_schema
Writes: nothing
Cost:   local: what is touched of the mapped file; from an object store: the shard in memory
Source: -
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.export.source import Shard, Source
from pipeline.schemas import tokens_schema


@dataclass(frozen=True, kw_only=True)
class TokenShard:
    """`ids_F` is the whole file as an array of token ids; the ids of a batch begin at its place in `first_B`."""

    shown: str
    batches: tuple[pa.RecordBatch, ...]
    ids_F: np.ndarray
    first_B: tuple[int, ...]
    buffer: pa.Buffer

    @property
    def num_rows(self) -> int:
        return sum(batch.num_rows for batch in self.batches)


def open_shard(source: Source, shard: Shard) -> TokenShard:
    """Map a shard. DataError, naming both sides, where it was not made as the artifact's contract says."""
    shown = source.folder.shown(shard.name)
    try:
        with source.folder.map_input(shard.name) as file:
            buffer = file.read_buffer()
        with pa.ipc.open_stream(pa.BufferReader(buffer)) as reader:
            _check(source, reader.schema, shown)
            batches = tuple(batch for batch in reader if batch.num_rows)
    except pa.ArrowInvalid as error:
        raise DataError(
            f"a damaged shard ({str(error).splitlines()[0]})", where=shown, expected="an Arrow IPC stream",
            mend="`crawlmill verify` names every damaged file; delete its artifact's folder and run again.",
        ) from error  # fmt: skip
    ids_F = np.frombuffer(buffer, source.contract["dtype"], len(buffer) // np.dtype(source.contract["dtype"]).itemsize)
    first_B = tuple(_first(buffer, batch, ids_F.itemsize, shown) for batch in batches)
    return TokenShard(shown=shown, batches=batches, ids_F=ids_F, first_B=first_B, buffer=buffer)


def _check(source: Source, schema: pa.Schema, shown: str) -> None:
    """The shard's own word on its tokens against the artifact's, and its columns."""
    contract = source.contract
    try:
        said = json.loads((schema.metadata or {}).get(b"crawlmill", b"{}"))
    except ValueError:
        said = {}
    if not isinstance(said, dict) or not said:
        raise _disagreement(source, f"does not say which tokenizer it is of; {source.title()} does", shown)
    for name, value in contract.items():
        if name in said and said[name] != value:
            raise _disagreement(source, f"says {name} {said[name]}, but {source.title()} says {value}", shown)
    if not schema.equals(tokens_schema(contract["length"], contract["vocab_size"])):
        found = ", ".join(f"{f.name} {f.type}" for f in schema)
        raise _disagreement(source, f"has the columns {found}", shown)


def _disagreement(source: Source, found: str, shown: str) -> DataError:
    contract = source.contract
    return DataError(
        f"the shard {found}", where=shown,
        expected=f"rows of {contract['length']} {contract['dtype']} ids of a vocabulary of {contract['vocab_size']}",
        mend=f"Delete {source.folder.shown()} and run the DAG again.",
    )  # fmt: skip


def _first(buffer: pa.Buffer, batch: pa.RecordBatch, id_bytes: int, shown: str) -> int:
    ids = batch.column("input_ids").flatten()
    place = ids.buffers()[1].address - buffer.address
    if not 0 <= place < len(buffer):
        raise DataError("compressed record batches", where=shown, expected="a shard as `stages.pack` writes it")
    assert place % id_bytes == 0, "Arrow aligns buffers to 8 bytes"
    return place // id_bytes
