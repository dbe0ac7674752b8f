"""Rows of tokens, or documents, as MosaicML streaming shards (MDS).

Reads:  a tokens or documents artifact
Writes: tokens: train/ and validation/; documents: the folder itself; each with shard.NNNNN.NNN.mds and index.json
Cost:   64 MiB of samples; put together by Arrow, nothing per row in Python but documents' JSON
Source: mosaicml-streaming 0.13 (base/format/mds): uint32 number of samples, their offsets, the shard's config as JSON,
        then samples: uint32 sizes of the columns of varying size, then the columns, by name

A sample of tokens is a row: `input_ids`, and `segment_starts`, `loss_starts`, `num_real`, which say what attends to
what and what is trained on (docs/design.md, "Tokens and loss"). A document is `text`, `id` and `metadata` (JSON).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError
from pipeline.export.document_rows import json_objects, read_rows
from pipeline.export.session import Receipt, Target, file_entry
from pipeline.export.source import SPLITS, Shard, Source
from pipeline.export.token_shard import open_shard

SIZE_LIMIT = 1 << 26
_MAX_BYTES = (1 << 32) - 1  # offsets are uint32
_NOTHING = pa.scalar(b"", pa.large_binary())


def write_tokens(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Write one shard's rows, as many files as they fill."""
    opened = open_shard(source, shard)
    samples = (_token_samples(batch) for batch in opened.batches)
    files = _write_files(target, f"{shard.split}/", shard, _tokens_config(source), samples)
    tokens = sum(int(pc.sum(batch.column("num_real")).as_py()) for batch in opened.batches)
    return Receipt(split=shard.split, counts={"rows": opened.num_rows, "tokens": tokens}, files=files)


def _token_samples(batch: pa.RecordBatch) -> pa.Array:
    loss_starts, segment_starts = (_arrays(batch.column(name)) for name in ("loss_starts", "segment_starts"))
    columns = [
        _fixed(batch.column("input_ids").flatten(), batch.num_rows),
        loss_starts,
        _fixed(batch.column("num_real"), batch.num_rows),
        segment_starts,
    ]
    return _samples(columns, [loss_starts, segment_starts])


def _fixed(values: pa.Array, num_rows: int) -> pa.Array:
    """Values, equally many a row, as one binary a row over the same buffer."""
    assert values.offset == 0, "batches come out of a file as they are"
    row_bytes = len(values) // num_rows * values.type.bit_width // 8
    offsets = np.arange(num_rows + 1, dtype=np.int64) * row_bytes
    return pa.Array.from_buffers(pa.large_binary(), num_rows, [None, pa.py_buffer(offsets), values.buffers()[1]])


def _arrays(lists: pa.ListArray) -> pa.Array:
    """Lists of uint16 as arrays of one dimension: one byte for its kind, its length in one byte or two, the values."""
    offsets = lists.offsets.to_numpy().astype(np.int64) * 2
    count = np.diff(offsets) // 2
    if (count == 0).any():
        raise DataError("a row without segments", expected="at least one in each, as `stages.pack` writes them")
    wide = count > 255
    header = np.zeros((len(count), 3), np.uint8)
    header[:, 0] = 1 << 2 | wide
    header[:, 1], header[:, 2] = count & 255, count >> 8
    kept = np.ones_like(header, bool)
    kept[:, 2] = wide
    bounds = np.append(0, np.cumsum(np.where(wide, 3, 2)))
    heads = pa.Array.from_buffers(
        pa.large_binary(), len(count), [None, pa.py_buffer(bounds), pa.py_buffer(np.ascontiguousarray(header[kept]))]
    )
    values = pa.Array.from_buffers(
        pa.large_binary(), len(count), [None, pa.py_buffer(offsets), lists.values.buffers()[1]]
    )  # fmt: skip
    return pc.binary_join_element_wise(heads, values, _NOTHING)


def write_documents(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Write one shard's documents, as many files as they fill."""
    num_documents = 0

    def samples() -> Iterator[pa.Array]:
        nonlocal num_documents
        for batch in read_rows(source, shard):
            num_documents += batch.num_rows
            about = json_objects(batch.drop_columns(["text", "id"]))
            columns = [
                batch.column("id").cast(pa.large_binary()),
                pa.array([line.encode() for line in about], pa.large_binary()),
                pc.fill_null(batch.column("text").cast(pa.large_binary()), _NOTHING),
            ]
            yield _samples(columns, columns)

    files = _write_files(target, "", shard, _documents_config(), samples())
    return Receipt(split=shard.split, counts={"documents": num_documents}, files=files)


def _samples(columns: Sequence[pa.Array], varying: Sequence[pa.Array]) -> pa.Array:
    """Each row as bytes: the sizes of the columns of varying size, then all columns."""
    num_rows = len(columns[0])
    sizes = np.column_stack([pc.binary_length(column).to_numpy() for column in varying]).astype("<u4")
    offsets = np.arange(num_rows + 1, dtype=np.int64) * 4 * len(varying)
    heads = pa.Array.from_buffers(pa.large_binary(), num_rows, [None, pa.py_buffer(offsets), pa.py_buffer(sizes)])
    return pc.binary_join_element_wise(heads, *columns, _NOTHING)


def _tokens_config(source: Source) -> dict[str, Any]:
    length, dtype = source.contract["length"], source.contract["dtype"]
    encodings = [f"ndarray:{dtype}:{length}", "ndarray:uint16", "uint16", "ndarray:uint16"]
    names = ["input_ids", "loss_starts", "num_real", "segment_starts"]
    return _config(names, encodings, [length * np.dtype(dtype).itemsize, None, 2, None])


def _documents_config() -> dict[str, Any]:
    return _config(["id", "metadata", "text"], ["str", "json", "str"], [None, None, None])


def _config(names: list[str], encodings: list[str], sizes: list[int | None]) -> dict[str, Any]:
    return {
        "version": 2, "format": "mds", "compression": None, "hashes": [], "size_limit": SIZE_LIMIT,
        "column_names": names, "column_encodings": encodings, "column_sizes": sizes,
    }  # fmt: skip


def _write_files(
    target: Target, folder: str, shard: Shard, config: dict[str, Any], batches: Iterator[pa.Array]
) -> list[dict[str, Any]]:
    """Samples in files of at most SIZE_LIMIT, but for a sample that is larger; none for no samples."""
    entries: list[dict[str, Any]] = []
    described = json.dumps(config, sort_keys=True).encode()
    for samples in _grouped(batches, SIZE_LIMIT - len(described) - 8):
        name = f"{folder}shard.{shard.index:05d}.{len(entries):03d}.mds"
        sizes = np.concatenate([pc.binary_length(array).to_numpy() for array in samples])
        ends = 8 + 4 * len(sizes) + len(described) + np.append(0, np.cumsum(sizes, dtype=np.int64))
        if ends[-1] > _MAX_BYTES:
            raise DataError(f"a sample of {sizes.max()} bytes", where=shard.name, expected=f"less than {_MAX_BYTES}")
        with target.folder.open_output(name) as stream:
            stream.write(np.array([len(sizes)], "<u4").tobytes() + ends.astype("<u4").tobytes() + described)
            for array in samples:
                stream.write(_bytes_of(array))
        entries.append(file_entry(target.folder, name, samples=len(sizes)))
    return entries


def _grouped(batches: Iterator[pa.Array], limit: int) -> Iterator[list[pa.Array]]:
    """Slices of the batches that fit into one file together: four bytes a sample beside its own."""
    group: list[pa.Array] = []
    used = 0
    for batch in batches:
        start = 0
        while start < len(batch):
            ends = np.cumsum(pc.binary_length(batch[start:]).to_numpy() + 4, dtype=np.int64) + used
            fitting = int(np.searchsorted(ends, limit, side="right"))
            if fitting == 0 and group:
                yield group
                group, used = [], 0
                continue
            fitting = max(fitting, 1)
            group.append(batch[start : start + fitting])
            used = int(ends[fitting - 1])
            start += fitting
    if group:
        yield group


def _bytes_of(array: pa.Array) -> Any:
    offsets = np.frombuffer(array.buffers()[1], np.int64, len(array) + 1, 8 * array.offset)
    return array.buffers()[2].slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def finish_tokens(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Write an index for each split that has files."""
    entries = []
    for split in SPLITS:
        files = [entry for receipt in receipts if receipt.split == split for entry in receipt.files]
        if files:
            entries.append(_write_index(source, target, f"{split}/", _tokens_config(source), files))
    return entries


def finish_documents(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Write the index."""
    files = [entry for receipt in receipts for entry in receipt.files]
    return [_write_index(source, target, "", _documents_config(), files)]


def _write_index(
    source: Source, target: Target, folder: str, config: dict[str, Any], files: list[dict[str, Any]]
) -> dict[str, Any]:
    shards = [
        {
            **config, "samples": entry["samples"], "zip_data": None,
            "raw_data": {"basename": entry["name"].removeprefix(folder), "bytes": entry["bytes"], "hashes": {}},
        }
        for entry in files
    ]  # fmt: skip
    index = {"version": 2, "shards": shards, "crawlmill": dict(source.contract)}
    target.folder.write_bytes(f"{folder}index.json", json.dumps(index, sort_keys=True).encode())
    return file_entry(target.folder, f"{folder}index.json")
