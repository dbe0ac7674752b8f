"""Tokens or documents as a folder of the Hugging Face Hub, with a dataset card.

Reads:  a tokens or documents artifact
Writes: README.md; tokens: train/ and validation/ with the artifact's own Arrow files; documents: data/ with Parquet
Cost:   tokens: a copy of the files; documents: one row group
Source: `datasets.load_dataset(folder)` finds the splits in the card; `datasets.load_from_disk(folder)` maps the Arrow
        files as they are, and needs state.json and dataset_info.json beside them, dataset_dict.json above
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.export.card import card
from pipeline.export.document_rows import read_rows
from pipeline.export.session import Receipt, Target, file_entry
from pipeline.export.source import SPLITS, TRAIN, Shard, Source
from pipeline.export.token_shard import open_shard

_COPY_BYTES = 8 << 20
ROW_GROUP_BYTES = 32 << 20
_REPEATED = ["language", "warc_path"]  # columns whose values repeat


def write_tokens(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Copy one shard, unless it has no rows: `datasets` maps no file without any."""
    opened = open_shard(source, shard)
    if not opened.num_rows:
        return Receipt(split=shard.split, counts={"rows": 0, "tokens": 0})
    name = f"{shard.split}/{shard.index:05d}.arrow"
    with target.folder.open_output(name) as stream:
        for start in range(0, len(opened.buffer), _COPY_BYTES):
            stream.write(opened.buffer[start : start + _COPY_BYTES])
    tokens = sum(int(batch.column("num_real").to_numpy().sum(dtype="int64")) for batch in opened.batches)
    counts = {"rows": opened.num_rows, "tokens": tokens}
    return Receipt(split=shard.split, counts=counts, files=[file_entry(target.folder, name)])


def write_documents(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Write one shard as Parquet; ids are text, columns of bytes are left out."""
    name, num_documents = f"data/{shard.index:05d}.parquet", 0
    rows = read_rows(source, shard)
    schema, pending = next(rows).schema, list[pa.RecordBatch]()
    with (
        target.folder.open_output(name) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=_REPEATED) as out,
    ):
        for batch in rows:
            pending.append(batch)
            num_documents += batch.num_rows
            if sum(b.nbytes for b in pending) >= ROW_GROUP_BYTES:
                out.write_table(pa.Table.from_batches(pending))
                pending = []
        if pending:  # `datasets` reads no file whose first row group is empty
            out.write_table(pa.Table.from_batches(pending))
    return Receipt(split=shard.split, counts={"documents": num_documents}, files=[file_entry(target.folder, name)])


def finish_tokens(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Write the card, and what `load_from_disk` needs."""
    splits = [split for split in SPLITS if any(r.split == split and r.files for r in receipts)]
    written = {"README.md": card(source, receipts, {split: f"{split}/*.arrow" for split in splits}, _ABOUT_TOKENS)}
    written["dataset_dict.json"] = json.dumps({"splits": splits})
    for split in splits:
        files = [entry["name"].removeprefix(f"{split}/") for r in receipts if r.split == split for entry in r.files]
        state: dict[str, Any] = {
            "_data_files": [{"filename": name} for name in files], "_fingerprint": source.artifact.fingerprint[:16],
            "_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False,
            "_split": split,
        }  # fmt: skip
        written[f"{split}/state.json"] = json.dumps(state, indent=2)
        written[f"{split}/dataset_info.json"] = json.dumps({"splits": {split: {"name": split}}}, indent=2)
    return _write_texts(target, written)


def finish_documents(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Write the card."""
    return _write_texts(
        target, {"README.md": card(source, receipts, {TRAIN: "data/*.parquet"}, _ABOUT_DOCUMENTS)}
    )  # fmt: skip


def _write_texts(target: Target, written: Mapping[str, str]) -> list[dict[str, Any]]:
    for name, text in written.items():
        target.folder.write_bytes(name, text.encode())
    return [file_entry(target.folder, name) for name in written]


_ABOUT_TOKENS = """\
Rows of {length} token ids, of which the first `num_real` are real. Segment s of a row covers the positions from
`segment_starts[s]` to the next start, and is the tokens from `segment_offsets[s]` on of document `segment_docs[s]`,
whose tokens stand between two end-of-text tokens. Segments do not attend to each other. Tokens from position
`loss_starts[s]` on are trained on; those before are context, and trained on in another segment.
`datasets.load_from_disk` maps these files without a copy, `datasets.load_dataset` makes one.
"""
_ABOUT_DOCUMENTS = """\
One row is one document; `id` is in hexadecimal. The other columns are what the steps that led to it measured.
"""
