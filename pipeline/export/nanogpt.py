"""Tokens as nanoGPT reads them: train.bin and val.bin, flat files of uint16 and nothing else.

Reads:  a tokens artifact
Writes: train.bin, val.bin (where there is a validation split), meta.pkl
Cost:   that of flat_tokens.py
Source: nanoGPT's data/openwebtext/prepare.py: each document is followed by one end-of-text token; train.py takes the
        size of the vocabulary from meta.pkl
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

from pipeline.errors import DataError
from pipeline.export.flat_files import FlatFiles
from pipeline.export.flat_tokens import append_shard, total_bytes
from pipeline.export.session import Receipt, Target, file_entry
from pipeline.export.source import TRAIN, VALIDATION, Shard, Source

META = "meta.pkl"
_FILES = {TRAIN: FlatFiles(name="train.bin"), VALIDATION: FlatFiles(name="val.bin")}


def check(source: Source) -> None:
    """DataError where the ids do not fit into the format."""
    if source.contract["dtype"] != "uint16":
        raise DataError(
            f"{source.title()} has ids of {source.contract['dtype']}", where=source.folder.shown(),
            expected="a vocabulary of at most 65,536, which is what nanoGPT can read",
            mend="Use another format: llmc, megatron, litdata, mds or hf.",
        )  # fmt: skip


def write(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Append one shard's documents to its split's file."""
    return append_shard(source, shard, target, before, _FILES[shard.split])


def finish(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Put the files into place, and meta.pkl beside them."""
    entries = []
    for split, files in _FILES.items():
        entries += files.finish(target, total_bytes(source, receipts, split))
    target.folder.write_bytes(META, pickle.dumps(dict(sorted(source.contract.items())), protocol=4))
    return [*entries, file_entry(target.folder, META)]
