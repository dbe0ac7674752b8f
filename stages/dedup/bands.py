"""LSH bands: what each task writes down of its documents, and the rows by which those that share a band meet.

Reads:  `signature`, `id` and the columns of the survivor policy; files of an index
Writes: scratch `entries/NNNNN.arrow` per part (ENTRY rows, mapped by later phases); BAND rows
Cost:   per document 32 bytes exchanged per band and 4 * K + 40 bytes of scratch; one batch and one exchange buffer in
        memory
Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.errors import DataError
from pipeline.schemas import ID
from pipeline.stage import ExchangeReader, TaskContext
from pipeline.store import Folder
from stages.dedup import index_join
from stages.dedup.corpus import NEW, Group, Part
from stages.dedup.documents import halves
from stages.dedup.removed import NOTHING
from stages.dedup.seen import Seen
from stages.dedup.survivors import COUNT, MIX, Keep, columns_of, order_rows

# `near` orders the documents of a band (stages/kernels/minhash.py), `tie` is a hash of the id.
BAND = pa.schema([("key", pa.uint64()), ("doc", pa.int64()), ("near", pa.uint64()), ("tie", pa.uint64())])
_COLUMNS = ("signature", "url", COUNT, "rank", "kept", "weight")  # as far as a part has them
# The order of survivors: a document an index has kept before all others, one it has dropped behind them.
# A link of an index, or what is left of a removed entry, is no document and only holds its cluster together.
KEPT_BEFORE, IN_THIS_RUN, DROPPED_BEFORE, LINK = 0, 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class Banding:
    """What the tasks are given. `resolved`: which entries of an index count no more (stages/dedup/index_join.py)."""

    step: str
    num_bands: int
    rows_per_band: int
    keep: Keep
    extra_rows: int = 0
    resolved: ExchangeReader | None = None
    seen: Seen | None = None


def entry_schema(num_rows: int) -> pa.Schema:
    """One row per document of a part, by row. A document without signature has zeros and is in no band."""
    return pa.schema(
        [
            ("standing", pa.int8()), ("rank", pa.float64()), ("id", ID), ("weight", pa.int64()),
            ("signature", pa.list_(pa.uint32(), num_rows)),
        ]
    )  # fmt: skip


def unsigned_name(group: int) -> str:
    """Where a group's task says how many documents of this run have no signature."""
    return f"unsigned/{group:05d}"


def entries_name(part: int) -> str:
    return f"entries/{part:05d}.arrow"


def band_rows(banding: Banding, group: Group, task: TaskContext) -> Iterator[pa.RecordBatch]:
    """BAND rows of a group's documents that have a signature, num_bands for each."""
    gone, num_unsigned = index_join.superseded(banding.resolved, group.number), 0
    removed = banding.seen.removed() if banding.seen else NOTHING
    for part in group.parts:
        schema = entry_schema(banding.num_bands * banding.rows_per_band + banding.extra_rows)
        with (
            task.work.open_output(entries_name(part.number)) as stream,
            pa.ipc.new_file(stream, schema, options=pa.ipc.IpcWriteOptions(compression=None)) as writer,
        ):
            num_read = 0
            for first, batch in part.read((*_COLUMNS, *columns_of(banding.keep))):
                _check(batch, part, banding)
                num_read += batch.num_rows
                doc_N = first + np.arange(batch.num_rows)
                signed_N = np.array(batch["signature"].is_valid())
                here_N = ~np.isin(doc_N, gone) & ~removed.hits(batch)
                num_unsigned += int((~signed_N).sum()) if part.update == NEW else 0
                entries = _entries(batch, part, banding.keep, schema)
                writer.write_batch(entries)
                yield _bands(entries, doc_N, signed_N & here_N, banding)
            _check_rows(num_read, part)
    task.work.write_bytes(unsigned_name(group.number), str(num_unsigned).encode())


def _entries(batch: pa.RecordBatch, part: Part, keep: Keep, schema: pa.Schema) -> pa.RecordBatch:
    if part.update == NEW:
        order = order_rows(batch, keep)
        rank, weight = order["rank"], order["weight"]
        standing_N = np.full(batch.num_rows, IN_THIS_RUN, np.int8)
    else:
        rank, weight = batch["rank"].fill_null(np.inf), batch["weight"].fill_null(0)
        kept_N, named_N = np.array(batch["kept"]), np.array(batch["id"].is_valid())
        standing_N = np.select([~named_N, kept_N], [LINK, KEPT_BEFORE], DROPPED_BEFORE).astype(np.int8)
    signature_NK = rows_of(batch["signature"])
    if batch["signature"].null_count:
        valid_N = np.array(batch["signature"].is_valid())
        signature_NK = np.where(valid_N[:, None], signature_NK, np.uint32(0))
    signature = pa.FixedSizeListArray.from_arrays(pa.array(signature_NK.reshape(-1)), signature_NK.shape[1])
    ids = batch["id"].fill_null(bytes(ID.byte_width))
    return pa.RecordBatch.from_arrays([pa.array(standing_N), rank, ids, weight, signature], schema=schema)


def _bands(entries: pa.RecordBatch, doc_N: np.ndarray, signed_N: np.ndarray, banding: Banding) -> pa.RecordBatch:
    from stages.kernels import minhash

    signed_S = np.flatnonzero(signed_N)
    signature_SK = rows_of(entries["signature"])
    if len(signed_S) < len(signed_N):
        signature_SK = signature_SK[signed_S]
    high_N, low_N = halves(entries["id"])
    tie_S = (high_N ^ low_N * MIX)[signed_S]
    num_bands, rows_per_band = banding.num_bands, banding.rows_per_band
    columns = [
        minhash.band_keys(signature_SK, num_bands, rows_per_band).reshape(-1),
        np.repeat(doc_N[signed_S], num_bands),
        minhash.near_keys(signature_SK, num_bands, rows_per_band).reshape(-1),
        np.repeat(tie_S, num_bands),
    ]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=BAND)


def rows_of(signatures: pa.FixedSizeListArray) -> np.ndarray:
    """uint32[N, K], a view; what stands in the place of a null is anything."""
    num_rows = signatures.type.list_size
    values = signatures.values.slice(signatures.offset * num_rows, len(signatures) * num_rows)
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(signatures), num_rows)


def _check_rows(num_read: int, part: Part) -> None:
    """Documents are numbered by the rows that manifest or index name."""
    if num_read != part.num_rows:
        raise DataError(
            f"{num_read} rows", where=part.folder.shown(part.name), expected=f"{part.num_rows}, as it is listed with",
            mend="It was changed by something else; `crawlmill verify` names damaged files of a run.",
        )  # fmt: skip


def _check(batch: pa.RecordBatch, part: Part, banding: Banding) -> None:
    num_rows = banding.num_bands * banding.rows_per_band + banding.extra_rows
    wanted = ("signature", *columns_of(banding.keep)) if part.update == NEW else ("signature", "rank")
    for name in wanted:
        if name not in batch.schema.names:
            raise DataError(
                f"no column {name!r}", where=part.folder.shown(part.name), expected="a column that dedup reads",
                mend=f"Put the step that adds {name!r} before this one.",
            )  # fmt: skip
    type_ = batch.schema.field("signature").type
    if not pa.types.is_fixed_size_list(type_) or type_.list_size != num_rows:
        raise DataError(
            f"signatures of type {type_}", where=f"column `signature` of step {banding.step}",
            expected=f"{banding.num_bands} bands of {banding.rows_per_band} rows and {banding.extra_rows} more, "
            f"{num_rows} in all",
            mend="Give num_bands, rows_per_band and extra_rows the values the signatures step has.",
        )  # fmt: skip


class Entries:
    """ENTRY rows of a group, by place, out of the scratch files; only the columns asked for are read."""

    def __init__(self, work: Folder, group: Group, num_rows: int, columns: tuple[str, ...]) -> None:
        schema = entry_schema(num_rows)
        self._work, self._group = work, group
        self._fields = [schema.get_field_index(name) for name in columns]
        self._schema = pa.schema([schema.field(name) for name in schema.names if name in columns])

    def take(self, place_D: np.ndarray) -> pa.Table:
        """Rows of the documents at these places, which ascend."""
        found, start = [], 0
        for part in self._group.parts:
            with self._work.map_input(entries_name(part.number)) as file:
                reader = pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=self._fields))
                for number in range(reader.num_record_batches):
                    batch = reader.get_batch(number)
                    low, high = np.searchsorted(place_D, [start, start + batch.num_rows])
                    if high > low:
                        found.append(batch.take(pa.array(place_D[low:high] - start)))
                    start += batch.num_rows
        return pa.Table.from_batches(found, self._schema)

    def signatures(self, place_D: np.ndarray) -> np.ndarray:
        """uint32[D, K] of the documents at these places, which ascend."""
        return rows_of(self.take(place_D)["signature"].combine_chunks())
