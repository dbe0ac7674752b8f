"""A shard's documents appended to flat files of ids, and of their lengths where a format has those.

Reads:  a tokens artifact
Writes: FlatFiles; local folders only, since they grow shard by shard
Cost:   one block of documents
Source: -
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from pipeline.export.flat_files import FlatFiles
from pipeline.export.session import Receipt, Target, counts_of
from pipeline.export.source import Shard, Source
from pipeline.export.token_shard import open_shard
from pipeline.export.whole_documents import whole_documents

LENGTH = np.dtype("<i4")


def id_bytes(source: Source) -> int:
    return int(np.dtype(source.contract["dtype"]).itemsize)


def append_shard(
    source: Source, shard: Shard, target: Target, before: dict[str, int], files: FlatFiles, *,
    lengths: FlatFiles | None = None, end_first: bool = False,
) -> Receipt:  # fmt: skip
    """Append the documents behind those of the shards before, and count them."""
    documents = tokens = 0
    with contextlib.ExitStack() as stack:
        append = stack.enter_context(files.appending(target, before["tokens"] * id_bytes(source)))
        append_lengths = None
        if lengths is not None:
            append_lengths = stack.enter_context(lengths.appending(target, before["documents"] * LENGTH.itemsize))
        for block in whole_documents(source, open_shard(source, shard), end_first=end_first):
            append(block.ids_T)
            if append_lengths is not None:
                append_lengths(block.num_tokens_D.astype(LENGTH))
            documents += len(block.num_tokens_D)
            tokens += len(block.ids_T)
    return Receipt(split=shard.split, counts={"documents": documents, "tokens": tokens})


def total_bytes(source: Source, receipts: Any, split: str) -> int:
    """Of all ids of a split."""
    return counts_of(receipts, split)["tokens"] * id_bytes(source)
