"""Documents as WebDataset shards: a tar file per shard, in it `ID.txt` and `ID.json` for each document.

Reads:  a documents artifact
Writes: NNNNN.tar
Cost:   one batch of documents; 3 us per member beside the copy
Source: POSIX.1-1988 ustar headers. Owner, mode and time are the same in all, so equal documents make equal bytes
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from pipeline.errors import DataError
from pipeline.export.document_rows import json_objects, read_rows
from pipeline.export.session import Receipt, Target, file_entry
from pipeline.export.source import Shard, Source

_BLOCK = 512
_RECORD = 20 * _BLOCK  # what a tar file's length is a multiple of
_MAX_BYTES = 8**11 - 1  # of a member: eleven octal digits
# Fields of a header: name[100] mode[8] uid[8] gid[8] size[12] mtime[12] checksum[8] type[1] linkname[100] magic[8] ...
_AFTER_NAME = b"0000444\0" + b"0000000\0" * 2
_AFTER_SIZE = b"00000000000\0"
_AFTER_SUM = b"0" + bytes(100) + b"ustar\x0000"
_FIXED_SUM = sum(_AFTER_NAME) + sum(_AFTER_SIZE) + sum(_AFTER_SUM) + 8 * 32  # the checksum counts as spaces


def write(source: Source, shard: Shard, target: Target, before: dict[str, int]) -> Receipt:
    """Write one shard's tar file. DataError where two documents in a row have one id: they would be one sample."""
    name, num_documents, previous = f"{shard.index:05d}.tar", 0, b""
    with target.folder.open_output(name) as stream:
        for batch in read_rows(source, shard):
            members = []
            for id_, text, about in _documents(batch):
                if id_ == previous:
                    raise DataError(
                        f"two documents with the id {id_.decode()}", where=source.folder.shown(shard.name),
                        expected="an id of its own for each document, since samples are told apart by it",
                        mend="Drop repeated ones with stages.exact, and run again.",
                    )  # fmt: skip
                members += [*_member(id_ + b".txt", text), *_member(id_ + b".json", about)]
                previous = id_
            stream.write(b"".join(members))
            num_documents += batch.num_rows
        stream.write(bytes(2 * _BLOCK + -(stream.tell() + 2 * _BLOCK) % _RECORD))
    return Receipt(split=shard.split, counts={"documents": num_documents}, files=[file_entry(target.folder, name)])


def _documents(batch: pa.RecordBatch) -> zip:
    """Id, text and the other columns as JSON, bytes each."""
    about = (line.encode() for line in json_objects(batch.drop_columns(["text"])))
    ids, texts = (batch.column(name).cast(pa.large_binary()).to_pylist() for name in ("id", "text"))
    return zip(ids, (text or b"" for text in texts), about, strict=True)


def _member(name: bytes, data: bytes) -> tuple[bytes, ...]:
    if len(data) > _MAX_BYTES:
        raise DataError(f"{len(data)} bytes", where=name.decode(), expected=f"at most {_MAX_BYTES} bytes in a tar file")
    size = b"%011o\0" % len(data)
    checksum = b"%06o\0 " % (_FIXED_SUM + sum(name) + sum(size))
    header = name.ljust(100, b"\0") + _AFTER_NAME + size + _AFTER_SIZE + checksum + _AFTER_SUM
    return header.ljust(_BLOCK, b"\0"), data, bytes(-len(data) % _BLOCK)


def finish(source: Source, target: Target, receipts: Sequence[Receipt]) -> list[dict[str, Any]]:
    return []
