"""One export: shard by shard, each with its receipt, then what belongs to no shard, then the record.

Reads:  an artifact
Writes: the files of a format, and crawlmill.json
Cost:   that of the format
Source: -
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import DataError
from pipeline.export import session
from pipeline.export.formats import FORMATS, Format
from pipeline.export.session import Receipt, Target
from pipeline.export.source import Source
from pipeline.store import Folder, is_remote


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The record of the export, and how many shards it found done."""

    record: Mapping[str, Any]
    num_shards: int
    num_reused: int


def export(
    source: Source, format_name: str, into: Folder, options: Mapping[str, str], shard_done: Callable[[int, int], None]
) -> Exported:
    """Export `source` to a format that takes its kind; `shard_done(done, total)` is called after each shard.

    DataError where the folder holds anything else, or the artifact does not fit the format.
    """
    chosen = FORMATS[format_name][source.artifact.kind]
    if chosen.local and is_remote(into.location):
        raise DataError(
            f"{format_name} is a file that grows shard by shard", where=into.shown(), expected="a local folder",
            mend="Export into one with --into, and copy it.",
        )  # fmt: skip
    chosen.check(source)
    who = session.identity(source, format_name, options)
    total = len(source.shards)
    with session.opened(into, who) as record:
        if record is not None:
            return Exported(record=record, num_shards=total, num_reused=total)
        target = Target(folder=into, options=options)
        receipts = session.read_receipts(target, source.shards)
        num_reused = len(receipts)
        _write_shards(source, chosen, target, receipts, shard_done)
        files = [entry for receipt in receipts for entry in receipt.files]
        files += chosen.finish(source, target, receipts)
        for name, data in source.tokenizer_files.items():
            into.write_bytes(name, data)
            files.append(session.file_entry(into, name))
        return Exported(
            record=session.finish(target, who, source, receipts, files), num_shards=total, num_reused=num_reused
        )


def _write_shards(
    source: Source, chosen: Format, target: Target, receipts: list[Receipt], shard_done: Callable[[int, int], None]
) -> None:
    """Write what has no receipt, and add its receipts to those there are."""
    for place in range(len(receipts), len(source.shards)):
        shard = source.shards[place]
        before = session.counts_of(receipts, shard.split)
        receipts.append(chosen.write(source, shard, target, before))
        session.write_receipt(target, place, receipts[-1])
        shard_done(place + 1, len(source.shards))
