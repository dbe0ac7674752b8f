"""Lines of JSON and whole text files, plain or compressed, in bounded memory.

Reads:  a stream; `.gz` and `.zst` names say how it is compressed
Writes: Rows; the sum of their `num_bytes` (with blank lines) is the size of the decompressed text
Costs:  the JSON parser's time; one line of up to `max_bytes` in memory
Source: https://jsonlines.org (UTF-8, one value a line, blank lines skipped here)
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipeline.remote import InputStream
from stages.corpus.rows import Columns, Row

_BLOCK_BYTES = 1 << 16  # of decompressed text; what is lost before damage in a compressed file is less than this
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BOM = b"\xef\xbb\xbf"
_EXCERPT_BYTES = 200


@dataclass(frozen=True, slots=True)
class Line:
    """`data` without its line end; None where that is larger than the limit. `damaged`: the file's last bytes,
    after which nothing could be decompressed."""

    place: int
    num_bytes: int
    data: bytes | None
    damaged: str = ""


class DamagedStream(Exception):  # noqa: N818 - a signal to the caller, not a user's error
    """A compressed stream cannot be read on; the argument says why."""


def without_codec(name: str) -> str:
    """`a.jsonl` of `a.jsonl.zst`."""
    for suffix in _CODECS:
        if name.endswith(suffix):
            return name[: -len(suffix)]
    return name


def blocks(stream: InputStream, name: str) -> Iterator[bytes]:
    """The stream decompressed. Raises DamagedStream; StoreError where the reading itself fails."""
    codec = next((codec for suffix, codec in _CODECS.items() if name.endswith(suffix)), None)
    source = stream if codec is None else pa.CompressedInputStream(pa.PythonFile(stream, "r"), codec)
    while True:
        try:
            block = bytes(source.read(_BLOCK_BYTES))
        except OSError as error:
            raise DamagedStream(str(error).partition("\n")[0]) from None
        if not block:
            return
        yield block


def split_lines(parts: Iterator[bytes], max_bytes: int) -> Iterator[Line]:
    """Lines ended by \\n; the last may lack it. A longer line than `max_bytes` is read over, not kept."""
    kept: list[bytes] = []
    place = size = 0
    damaged = ""
    while not damaged:
        try:
            block = next(parts, b"")
        except DamagedStream as signal:
            block, damaged = b"", str(signal) or "damaged"
        if not block:
            break
        start = 0
        while (end := block.find(b"\n", start)) >= 0:
            size += end + 1 - start
            data = block[start:end] if not kept else b"".join([*kept, block[start:end]])
            yield Line(place, size, data if size - 1 <= max_bytes else None)
            place, start, size, kept = place + size, end + 1, 0, []
        size += len(block) - start
        kept = [*kept, block[start:]] if size <= max_bytes else [b""]
    if size or damaged:
        yield Line(place, size, b"".join(kept) if size <= max_bytes else None, damaged)


def json_row(line: Line, columns: Columns, max_bytes: int) -> Row | None:
    """The document in a line; None for a blank one."""
    place, num_bytes, data = line.place, line.num_bytes, line.data
    if line.damaged:
        return Row(place, num_bytes, reason="damaged_file", excerpt=line.damaged)
    if data is None:
        return Row(place, num_bytes, reason="document_too_large", value=num_bytes, threshold=max_bytes)
    if place == 0:
        data = data.removeprefix(_BOM)
    if not data.strip():
        return None
    excerpt = data[:_EXCERPT_BYTES].decode("utf-8", "replace")
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return Row(place, num_bytes, reason="invalid_utf8", excerpt=excerpt)
    except (ValueError, RecursionError):
        return Row(place, num_bytes, reason="bad_json", excerpt=excerpt)
    if not isinstance(value, dict):
        return Row(place, num_bytes, reason="bad_json", excerpt=excerpt)
    return _row_of(value, line, columns, b"\\u" in data)


def _row_of(value: dict[str, object], line: Line, columns: Columns, escaped: bool) -> Row:
    """`escaped`: the line holds \\u escapes, which alone can make text that is not Unicode."""
    text = value.get(columns.text)
    url, date = value.get(columns.url), value.get(columns.date)
    if escaped and isinstance(url, str) and not _is_unicode(url):
        url = None
    row = Row(line.place, line.num_bytes, url=url, id=value.get(columns.id), date=date)
    if columns.text not in value:
        return _drop(row, "no_text_column", "columns: " + ascii(", ".join(value)))
    if not isinstance(text, str):
        return _drop(row, "no_text", "columns: " + ascii(", ".join(value)))
    if not text:
        return _drop(row, "empty_text", "")
    if escaped and not _is_unicode(text):
        return _drop(row, "invalid_utf8", ascii(text[:_EXCERPT_BYTES]))
    return Row(row.place, row.num_bytes, text, row.url, row.id, row.date)


def _drop(row: Row, reason: str, excerpt: str) -> Row:
    return Row(row.place, row.num_bytes, "", row.url, row.id, row.date, reason, excerpt=excerpt)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def text_row(parts: Iterator[bytes], max_bytes: int) -> Row:
    """A whole file as one document."""
    kept: list[bytes] = []
    size = 0
    try:
        for block in parts:
            size += len(block)
            kept = [*kept, block] if size <= max_bytes else []
    except DamagedStream as signal:
        return Row(0, size, reason="damaged_file", excerpt=str(signal))
    if size > max_bytes:
        return Row(0, size, reason="document_too_large", value=size, threshold=max_bytes)
    raw = b"".join(kept)
    try:
        text = raw.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError:
        return Row(0, size, reason="invalid_utf8", excerpt=raw[:_EXCERPT_BYTES].decode("utf-8", "replace"))
    return Row(0, size, text) if text else Row(0, size, reason="empty_text")
