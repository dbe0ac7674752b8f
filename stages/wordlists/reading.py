"""Lists of words, hosts or URLs, from wherever they are: one entry a line, plain or gzip.

Reads:  a local path, s3://, gs://, http:// or https://
Writes: blocks of whole lines; words
Cost:   16 MiB of a list in memory at a time
Source: the layout of the UT1 blocklist's `domains` and `urls` files (dsi.ut-capitole.fr/blacklists)

White space around an entry, empty lines and lines that begin with # do not count. What is no such list (a page of
HTML, a table, binary data) is refused, and so is one larger than `max_bytes`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.errors import DataError, FieldError
from pipeline.http_reader import is_http, shown
from pipeline.remote import open_stream
from pipeline.store import is_remote
from stages.kernels.list_entries import entry_spans

MAX_WORDS_BYTES = 16 << 20
MAX_LINE_BYTES = 1 << 20
_BLOCK_BYTES = 16 << 20
_GZIP, _BOM = b"\x1f\x8b", b"\xef\xbb\xbf"
_EXPECTED = "a list with one entry a line, plain or gzip"


def absolute(field: str, locations: Sequence[str]) -> tuple[str, ...]:
    """Local paths from the root on, as a worker's current folder may be another one; FieldError for an empty one."""
    if not all(locations):
        raise FieldError(field, "", "a path or address of a list")
    return tuple(x if is_http(x) or is_remote(x) else os.path.abspath(x) for x in locations)


def line_blocks(location: str, max_bytes: int) -> Iterator[np.ndarray]:
    """The list as uint8 arrays of whole lines. StoreError where it cannot be read, DataError where it is none."""
    where = shown(location)
    num_bytes, kept = 0, b""
    for part in _decompressed(location):
        if num_bytes == 0:
            part = part.removeprefix(_BOM)
        num_bytes += len(part)
        if num_bytes > max_bytes:
            raise DataError(f"a list of more than {max_bytes} bytes", where=where, expected="a smaller one")
        if b"\0" in part:
            raise DataError("a zero byte", where=where, expected=_EXPECTED)
        lines, line_end, rest = part.rpartition(b"\n")
        if line_end:
            yield np.frombuffer(kept + lines + line_end, np.uint8)
            kept = b""
        kept += rest
        if len(kept) > MAX_LINE_BYTES:
            raise DataError(f"a line of more than {MAX_LINE_BYTES} bytes", where=where, expected=_EXPECTED)
    if kept:
        yield np.frombuffer(kept, np.uint8)


def words(location: str) -> list[str]:
    """The entries as text. DataError where the list is empty or not UTF-8."""
    entries: list[str] = []
    for block in line_blocks(location, MAX_WORDS_BYTES):
        data = block.tobytes()
        try:
            entries += [data[a:b].decode("utf-8").strip() for a, b in zip(*entry_spans(block), strict=True)]
        except UnicodeDecodeError:
            raise DataError("bytes that are not UTF-8", where=shown(location), expected=_EXPECTED) from None
    if not entries:
        raise DataError("no entries", where=shown(location), expected=_EXPECTED)
    odd = next((entry for entry in entries if "\t" in entry or entry.startswith("<")), None)
    if odd is not None:
        what = "a line of HTML" if odd.startswith("<") else "a line of a table"
        raise DataError(f"{what}, {odd[:60]!r}", where=shown(location), expected=_EXPECTED)
    return entries


def _decompressed(location: str) -> Iterator[bytes]:
    with open_stream(location) as stream:
        part = stream.read(_BLOCK_BYTES)
        if not part.startswith(_GZIP):
            while part:
                yield part
                part = stream.read(_BLOCK_BYTES)
            return
        member = zlib.decompressobj(wbits=31)
        while part:
            try:
                block = member.decompress(part, _BLOCK_BYTES)
            except zlib.error as error:
                raise DataError(f"damaged gzip: {error}", where=shown(location), expected=_EXPECTED) from None
            if block:
                yield block
            part = member.unconsumed_tail or member.unused_data
            if member.eof and part:
                member = zlib.decompressobj(wbits=31)
            part = part or stream.read(_BLOCK_BYTES)
            if member.eof and part:
                member = zlib.decompressobj(wbits=31)
        if not member.eof:
            raise DataError("gzip that is cut off", where=shown(location), expected=_EXPECTED)
