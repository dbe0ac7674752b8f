"""Tokens as optimised chunks of litdata, for StreamingDataset with TokensLoader.

Reads:  a tokens artifact
Writes: train/ and validation/, each with chunk-0-N.bin and index.json
Cost:   that of flat_tokens.py
Source: litdata 0.2 (streaming/writer.py, item_loader.py): uint32 number of items, uint32 offsets, items

A chunk holds 64 MiB of the flat stream, each document followed by one end-of-text token, as one item. TokensLoader cuts
it into blocks of any length and drops what is left at a chunk's end. Chunks do not end where shards do: little is left.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.export.flat_files import FlatFiles
from pipeline.export.flat_tokens import append_shard, id_bytes, total_bytes
from pipeline.export.session import Receipt, Target, file_entry
from pipeline.export.source import SPLITS, Shard, Source

CHUNK_BYTES = 1 << 26
HEADER_BYTES = 12  # the number of items, which is 1, and where it begins and ends
# Numbers of torch dtypes in litdata/constants.py. It has no uint32; ids are far below 2^31, where int32 is the same.
_FORMAT = {"uint16": "no_header_tensor:20", "uint32": "no_header_tensor:16"}
_ONE_LEAF = '[1, {"type": null, "context": null, "children_spec": []}]'  # torch's description of a lone tensor


def _files(split: str) -> FlatFiles:
    return FlatFiles(name=split + "/chunk-0-{}.bin", header_bytes=HEADER_BYTES, part_bytes=CHUNK_BYTES)


def write(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Append one shard's documents to its split's chunks."""
    return append_shard(source, shard, target, before, _files(shard.split))


def finish(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Put the chunks into place, and an index beside those of each split that has any."""
    entries = []
    for split in SPLITS:
        total = total_bytes(source, receipts, split)
        if not total:
            continue
        entries += _files(split).finish(target, total, _header)
        chunks = [
            {
                "chunk_bytes": HEADER_BYTES + num_bytes, "chunk_size": 1, "dim": num_bytes // id_bytes(source),
                "filename": name.removeprefix(f"{split}/"),
            }
            for name, num_bytes in _files(split).parts(total)
        ]  # fmt: skip
        index = {"chunks": chunks, "config": _config(source), "crawlmill": dict(source.contract), "updated_at": "0"}
        target.folder.write_bytes(f"{split}/index.json", json.dumps(index, sort_keys=True).encode())
        entries.append(file_entry(target.folder, f"{split}/index.json"))
    return entries


def _header(num_bytes: int) -> bytes:
    return np.array([1, HEADER_BYTES, HEADER_BYTES + num_bytes], "<u4").tobytes()


def _config(source: Source) -> dict[str, Any]:
    return {
        "chunk_bytes": CHUNK_BYTES, "chunk_size": None, "compression": None, "encryption": None,
        "data_format": [_FORMAT[source.contract["dtype"]]], "data_spec": _ONE_LEAF, "item_loader": "TokensLoader",
    }  # fmt: skip
