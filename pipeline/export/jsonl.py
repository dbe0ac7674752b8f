"""Documents as JSON lines: a file per shard, an object per document.

Reads:  a documents artifact
Writes: NNNNN.jsonl.zst, .jsonl.gz or .jsonl; README.md
Cost:   one batch of documents
Source: JSON lines as `datasets`, Dolma and datatrove read them; lines end at "\\n" and nowhere else
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.export.card import card
from pipeline.export.document_rows import json_objects, read_rows
from pipeline.export.session import Receipt, Target, file_entry
from pipeline.export.source import TRAIN, Shard, Source

_ABOUT = """\
One line is one document; `id` is in hexadecimal. The columns after `date` are what the steps that led to it measured.
"""
COMPRESS = {"zstd": ".zst", "gzip": ".gz", "none": ""}


def write(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Write one shard's file."""
    compress = target.options["compress"]
    name, num_documents = f"{shard.index:05d}.jsonl{COMPRESS[compress]}", 0
    with _compressed(target, name, compress) as stream:
        for batch in read_rows(source, shard):
            stream.write("".join(f"{line}\n" for line in json_objects(batch)).encode())
            num_documents += batch.num_rows
    return Receipt(split=shard.split, counts={"documents": num_documents}, files=[file_entry(target.folder, name)])


@contextlib.contextmanager
def _compressed(target: Target, name: str, compress: str) -> Iterator[Any]:
    with target.folder.open_output(name) as stream:
        if compress == "none":
            yield stream
        else:
            with pa.CompressedOutputStream(stream, compress) as compressed:
                yield compressed


def finish(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    """Write a card, without which `datasets.load_dataset(folder)` would take crawlmill.json for documents, too."""
    pattern = f"*.jsonl{COMPRESS[target.options['compress']]}"
    target.folder.write_bytes("README.md", card(source, receipts, {TRAIN: pattern}, _ABOUT).encode())
    return [file_entry(target.folder, "README.md")]
