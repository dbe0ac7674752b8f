"""Tokens as Megatron's IndexedDataset: each document one sequence, as tools/preprocess_data.py --append-eod writes it.

Reads:  a tokens artifact
Writes: train.bin and train.idx, validation.bin and validation.idx; the prefixes are what `--data-path` takes
Cost:   that of flat_tokens.py; the index is put together from a file of lengths, a piece at a time
Source: megatron-core 0.16 (datasets/indexed_dataset.py): MMIDIDX, version 1, dtype code, counts, lengths int32, byte
        places int64, document bounds int64. It has no uint32; ids are far below 2^31, where int32 is the same
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pipeline.export.flat_files import FlatFiles
from pipeline.export.flat_tokens import LENGTH, append_shard, total_bytes
from pipeline.export.session import WORK, Receipt, Target, counts_of, file_entry
from pipeline.export.source import SPLITS, Shard, Source

_MAGIC, _VERSION = b"MMIDIDX\x00\x00", 1
_DTYPE_CODE = {"uint16": 8, "uint32": 4}
_PIECE = 1 << 20  # sequences


def _tokens(split: str) -> FlatFiles:
    return FlatFiles(name=f"{split}.bin")


def _lengths(split: str) -> str:
    return f"{split}.lengths"


def write(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Append one shard's documents, and their lengths, to those of its split."""
    return append_shard(
        source, shard, target, before, _tokens(shard.split), lengths=FlatFiles(name=_lengths(shard.split))
    )


def finish(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Put the token files into place, and write the index of each split that has any."""
    entries = []
    for split in SPLITS:
        num_documents = counts_of(receipts, split)["documents"]
        if not num_documents:
            continue
        entries += _tokens(split).finish(target, total_bytes(source, receipts, split))
        unfinished = target.folder.local_path(f"{WORK}/{split}.idx")
        lengths = target.folder.local_path(f"{WORK}/{_lengths(split)}")
        with unfinished.open("wb") as file:
            _write_index(file, lengths, num_documents, source.contract["dtype"])
        os.replace(unfinished, target.folder.local_path(f"{split}.idx"))
        entries.append(file_entry(target.folder, f"{split}.idx"))
    return entries


def _write_index(file: BinaryIO, lengths: Path, count: int, dtype: str) -> None:
    length_N = np.memmap(lengths, LENGTH, "r", shape=(count,))
    pieces = [slice(first, min(first + _PIECE, count)) for first in range(0, count, _PIECE)]
    file.write(_MAGIC + struct.pack("<QBQQ", _VERSION, _DTYPE_CODE[dtype], count, count + 1))
    for piece in pieces:
        file.write(length_N[piece].tobytes())
    place = 0
    for piece in pieces:
        bytes_N = length_N[piece].astype("<i8") * np.dtype(dtype).itemsize
        file.write((place + np.cumsum(bytes_N) - bytes_N).tobytes())
        place += int(bytes_N.sum())
    for piece in pieces:
        file.write(np.arange(piece.start, piece.stop, dtype="<i8").tobytes())
    file.write(struct.pack("<q", count))
