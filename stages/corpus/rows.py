"""What a corpus file gives: documents with their share of the file, and the reasons of those that are none.

Reads:  nothing; the readers of lines.py and tables.py build these
Writes: Row, and `to_batch` for a list of them
Costs:  1 us per document and a copy of its text
Source: the reasons are this project's, listed below

    bad_json            the line is no JSON object
    invalid_utf8        the line or the text is not UTF-8 (JSON can smuggle in half a surrogate pair)
    no_text_column      the JSON object has no such column
    no_text             the text is null or not a string
    empty_text          the text is ''
    document_too_large  value: bytes; threshold: max_document_bytes
    damaged_file        the rest of the file cannot be decompressed or decoded; its share is what was read of it
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import xxhash

from pipeline.schemas import DOCUMENT, EXCERPT_CHARS
from pipeline.stage import DroppedRecord, SourceBatch
from stages.warc.headers import parse_date

_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z; what counts seconds beyond it counts something else


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """Names of a corpus's columns; empty where it has none of that kind."""

    text: str
    url: str = ""
    id: str = ""
    date: str = ""

    def named(self) -> list[str]:
        return [name for name in (self.text, self.url, self.id, self.date) if name]


@dataclass(frozen=True, slots=True)
class Row:
    """A document, or with a `reason` why it is none. `place` is the byte offset of its line, or its row number;
    `num_bytes` its share of the file. `url`, `id` and `date` are values as the corpus has them."""

    place: int
    num_bytes: int
    text: str = ""
    url: object = None
    id: object = None
    date: object = None
    reason: str = ""
    value: float | None = None
    threshold: float | None = None
    excerpt: str = ""


def to_batch(rows: Sequence[Row], file: str, counters: Counter[str], num_bytes_read: int = 0) -> SourceBatch:
    """`counters` may hold `bytes_without_document` (blank lines), which count as kept."""
    kept = [row for row in rows if not row.reason]
    dates = [seconds_of(row.date) for row in kept]
    counters["unreadable_dates"] += sum(
        1 for row, date in zip(kept, dates, strict=True) if date is None and row.date is not None
    )
    columns = {
        "id": [identity(file, row.place, row.id) for row in kept],
        "url": [row.url if isinstance(row.url, str) else None for row in kept],
        "date": dates,
        "warc_path": [file] * len(kept),
        "warc_offset": [row.place for row in kept],
        "warc_length": [row.num_bytes for row in kept],
        "text": [row.text for row in kept],
    }
    return SourceBatch(
        documents=pa.record_batch([pa.array(columns[f.name], f.type) for f in DOCUMENT], schema=DOCUMENT),
        dropped=[_dropped(row, file) for row in rows if row.reason],
        num_bytes_kept=sum(row.num_bytes for row in kept) + counters["bytes_without_document"],
        num_bytes_read=num_bytes_read,
        counters={name: count for name, count in sorted(counters.items()) if count},
    )


def identity(file: str, place: int, given: object) -> bytes:
    """xxh3-128 of the corpus's own id, or of the file's name and the place in it."""
    if isinstance(given, str | int) and given != "":
        return xxhash.xxh3_128_digest(str(given).encode("utf-8", "surrogatepass"))
    return xxhash.xxh3_128_digest(f"{file}:{place}".encode())


def seconds_of(date: object) -> int | None:
    """Seconds since 1970 of an ISO 8601 date, of a number of seconds, or of a timestamp."""
    if isinstance(date, str):
        return parse_date(date.encode())
    if isinstance(date, datetime):
        return parse_date(date.isoformat().encode())
    if isinstance(date, int | float) and 0 <= date <= _LAST_SECOND:
        return int(date)
    return None


def _dropped(row: Row, file: str) -> DroppedRecord:
    return DroppedRecord(
        reason=row.reason, num_bytes=row.num_bytes, warc_path=file, warc_offset=row.place,
        id=identity(file, row.place, row.id), url=row.url if isinstance(row.url, str) else None,
        value=row.value, threshold=row.threshold, excerpt=row.excerpt[:EXCERPT_CHARS],
    )  # fmt: skip
