"""Tokens as llm.c and modded-nanogpt read them: files with a header, of at most 100 million ids.

Reads:  a tokens artifact
Writes: train_NNNNNN.bin, val_NNNNNN.bin (where there is a validation split)
Cost:   that of flat_tokens.py
Source: llm.c's dev/data/data_common.py and fineweb.py: 256 int32 (magic, version, number of ids), then ids, uint16 in
        version 1, uint32 in version 7; one end-of-text token stands before each document
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.export.flat_files import FlatFiles
from pipeline.export.flat_tokens import append_shard, id_bytes, total_bytes
from pipeline.export.session import Receipt, Target
from pipeline.export.source import TRAIN, VALIDATION, Shard, Source

HEADER_INTS = 256
TOKENS_PER_FILE = 100_000_000
_MAGIC_AND_VERSION = {"uint16": (20240520, 1), "uint32": (20240801, 7)}
_STEMS = {TRAIN: "train", VALIDATION: "val"}


def _files(source: Source, split: str) -> FlatFiles:
    part_bytes = TOKENS_PER_FILE * id_bytes(source)
    return FlatFiles(name=_STEMS[split] + "_{:06d}.bin", header_bytes=4 * HEADER_INTS, part_bytes=part_bytes)


def write(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Append one shard's documents to its split's files."""
    return append_shard(source, shard, target, before, _files(source, shard.split), end_first=True)


def finish(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Put the headers, and the files into place."""

    def header(num_bytes: int) -> bytes:
        ints = np.zeros(HEADER_INTS, "<i4")
        ints[:3] = *_MAGIC_AND_VERSION[source.contract["dtype"]], num_bytes // id_bytes(source)
        return ints.tobytes()

    return [
        entry
        for split in _STEMS
        for entry in _files(source, split).finish(target, total_bytes(source, receipts, split), header)
    ]
