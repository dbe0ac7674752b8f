"""Web crawls: WARC, WET and ARC files from a folder, a bucket, a web server, or Common Crawl by name.

Reads:  shards of records, gzip or plain, WARC 0.17 to 1.1
Writes: PAGE, a row per HTML page with status 200 (`payload`) or per WET conversion record (`text`)
Costs:  see docs/log.md for pages per second; one batch, one record and a window of 1 MiB in memory
Source: https://commoncrawl.org/get-started (layout); stages/warc/ for the formats and the reasons of drops

Each byte of a shard belongs to a page, to a dropped record or gap, or to a record that is no document by nature
(request, metadata, warcinfo). The last are counted as `records_<kind>` and `bytes_of_other_records`, and their bytes
are part of `num_bytes_kept`: half of a crawl's records are requests, which would swamp the ledger and tell nobody
anything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
import xxhash

from pipeline.config import location
from pipeline.errors import DataError, FieldError
from pipeline.http_reader import is_http, shown
from pipeline.inputs import list_files
from pipeline.remote import open_stream
from pipeline.schemas import EXCERPT_CHARS, PAGE
from pipeline.stage import DroppedRecord, NarrowContext, SourceBatch, SourceReader, SourceShard, source
from pipeline.store import Folder
from stages.warc.headers import HEAD_BYTES
from stages.warc.members import pieces
from stages.warc.pages import KINDS, KINDS_WITHOUT_DOCUMENT, Drop, Page, date_of, kind_of, page_of, url_of
from stages.warc.records import Record, cut_records

COMMON_CRAWL = "https://data.commoncrawl.org"
_CRAWL_NAME = re.compile(r"CC-[A-Z]+[-/][0-9][0-9/-]*[0-9]")
_SUFFIXES = {
    "warc": (".warc.gz", ".warc", ".arc.gz", ".arc"),
    "wet": (".wet.gz", ".wet"),
}
_MAX_DROPS_PER_BATCH = 4096

MAX_TEXT_BYTES = (1 << 31) - 1  # words and lines of a text are counted in 32 bits


@dataclass(frozen=True, kw_only=True)
class Config:
    """`source` is a folder, a file, an https:// URL of a file or of a `*.paths.gz` listing, an s3:// or gs:// prefix, a
    crawl's name such as CC-MAIN-2026-43, or `sample`."""

    source: str = location()
    base_url: str = location(COMMON_CRAWL)  # what a listing's paths are relative to; s3://commoncrawl works as well
    kind: Literal["warc", "wet"] = "warc"  # which of a crawl's files: pages as fetched, or Common Crawl's own text
    num_shards: int | None = None  # the first n in the order of their names; null takes all
    max_record_bytes: int = 16 << 20  # of a payload, decoded; Common Crawl itself stops at 1 MiB, since 2025 at 5 MiB
    batch_rows: int = 256
    batch_bytes: int = 16 << 20  # of payload in a batch, before the page that crosses it

    def __post_init__(self) -> None:
        if not self.source:
            raise FieldError("source", self.source, "a folder, an address, a crawl's name or `sample`")
        for name in ("num_shards", "max_record_bytes", "batch_rows", "batch_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FieldError(name, value, "a whole number of 1 or more")
        if self.max_record_bytes > MAX_TEXT_BYTES:
            raise FieldError("max_record_bytes", self.max_record_bytes, f"at most {MAX_TEXT_BYTES}")


@source(version=2, schema=PAGE)
def commoncrawl(cfg: Config, ctx: NarrowContext) -> SourceReader:
    """List the crawl's shards; read one into pages, naming every record that is none."""
    return SourceReader(shards=partial(list_shards, cfg), read=partial(read_shard, cfg))


def list_shards(cfg: Config) -> list[SourceShard]:
    """The shards `source` names, in order. Raises StoreError, DataError."""
    shards = _listed(cfg) if listing_of(cfg) else _found(cfg)
    return sorted(shards, key=lambda shard: shard.name)[: cfg.num_shards]


def listing_of(cfg: Config) -> str:
    """Where the source's `*.paths.gz` listing is; empty for a source that has none."""
    if cfg.source.partition("?")[0].endswith((".paths.gz", ".paths")):
        return cfg.source
    if _CRAWL_NAME.fullmatch(cfg.source):
        return Folder(cfg.base_url).join(f"crawl-data/{cfg.source}/{cfg.kind}.paths.gz")
    return ""


def _listed(cfg: Config) -> list[SourceShard]:
    """Files a listing names. Common Crawl never changes a file, so its path stands for its content."""
    listing = listing_of(cfg)
    names = _read_listing(listing)
    if not names:
        raise DataError("the listing names no file", where=shown(listing), expected="one path a line")
    root = _listing_root(cfg, listing)
    locations = [name if "://" in name else _joined(root, name) for name in names]
    return [
        SourceShard(name=shown(name), location=location, stamp=f"path:{shown(name)}")
        for name, location in zip(names, locations, strict=True)
    ]


def _joined(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}" if is_http(root) else Folder(root).join(name)


def _listing_root(cfg: Config, listing: str) -> str:
    """What the listing's paths are relative to: `base_url`; where that was left alone, the server the listing is on."""
    above, found, _ = listing.partition("/crawl-data/")
    return above if found and cfg.base_url == COMMON_CRAWL else cfg.base_url


def _read_listing(listing: str) -> list[str]:
    with open_stream(listing) as stream:
        inflated = list(pieces(stream, listing.partition("?")[0]))
    damaged = next((piece.problem for piece in inflated if piece.problem), "")
    if damaged:
        raise DataError(damaged.replace("_", " "), where=shown(listing), expected="a gzip file with one path a line")
    lines = b"".join(piece.data for piece in inflated).decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip()]


def _found(cfg: Config) -> list[SourceShard]:
    location = cfg.source
    if location == "sample":
        from stages.sample.build import sample_crawl  # builds the sample where it is not yet

        location = sample_crawl()
    suffixes = _SUFFIXES[cfg.kind]
    return list_files(location, lambda name: name.endswith(suffixes), f"files named *{', *'.join(suffixes)}")


def read_shard(cfg: Config, shard: SourceShard) -> Iterator[SourceBatch]:
    """A shard's pages in file order, and everything in it that is no page. Raises StoreError where reading fails."""
    with open_stream(shard.location) as stream:
        batch = _Batch(shard.name)
        for record in cut_records(pieces(stream, shard.name), cfg.max_record_bytes + HEAD_BYTES):
            batch.add(record, cfg.max_record_bytes)
            full = len(batch.rows) >= cfg.batch_rows or batch.payload_bytes >= cfg.batch_bytes
            if full or len(batch.dropped) >= _MAX_DROPS_PER_BATCH:
                yield batch.finish(0)
                batch = _Batch(shard.name, batch.last_offset, batch.num_at_offset)
        yield batch.finish(stream.num_bytes_read)


class _Batch:
    """Rows and drops gathered since the batch before. `last_offset` and `num_at_offset` tell apart the records of one
    gzip member, whose offsets are the same."""

    def __init__(self, shard_name: str, last_offset: int = -1, num_at_offset: int = 0) -> None:
        self.rows: list[tuple[Page, bytes, Record]] = []
        self.dropped: list[DroppedRecord] = []
        self.payload_bytes = 0
        self.last_offset, self.num_at_offset = last_offset, num_at_offset
        self._shard_name = shard_name
        self._num_bytes_kept = 0
        self._counters: Counter[str] = Counter()

    def add(self, record: Record, max_record_bytes: int) -> None:
        kind = kind_of(record)
        self._counters[f"records_{kind}" if kind in KINDS else "records_of_unknown_type"] += 1
        identity = self._id(record)
        if kind in KINDS_WITHOUT_DOCUMENT and not record.problem:
            self._counters["bytes_of_other_records"] += record.num_bytes
            self._num_bytes_kept += record.num_bytes
            return
        outcome = page_of(record, max_record_bytes)
        if isinstance(outcome, Drop):
            self.dropped.append(self._dropped(record, outcome, identity))
            return
        self._counters.update(outcome.notes)
        self._num_bytes_kept += record.num_bytes
        self.payload_bytes += len(outcome.payload or outcome.text or b"")
        self.rows.append((outcome, identity, record))

    def _id(self, record: Record) -> bytes:
        """xxh3-128 of the record's id, or of the file's name, the offset and, in one member, the count."""
        again = record.offset == self.last_offset
        self.last_offset, self.num_at_offset = record.offset, self.num_at_offset + 1 if again else 0
        given = record.fields.get(b"warc-record-id")
        if given:
            return xxhash.xxh3_128_digest(given)
        count = f":{self.num_at_offset}" if self.num_at_offset else ""
        return xxhash.xxh3_128_digest(f"{self._shard_name}:{record.offset}{count}".encode())

    def _dropped(self, record: Record, drop: Drop, identity: bytes) -> DroppedRecord:
        return DroppedRecord(
            reason=drop.reason, num_bytes=record.num_bytes, warc_path=self._shard_name, warc_offset=record.offset,
            id=identity, url=url_of(record), value=drop.value, threshold=drop.threshold,
            excerpt=drop.excerpt[:EXCERPT_CHARS],
        )  # fmt: skip

    def finish(self, num_bytes_read: int) -> SourceBatch:
        records = [record for _, _, record in self.rows]
        dates = [date_of(record) for record in records]
        self._counters["pages_without_date"] += dates.count(None)
        columns = {
            "id": [identity for _, identity, _ in self.rows],
            "url": [url_of(record) for record in records],
            "date": dates,
            "warc_path": [self._shard_name] * len(records),
            "warc_offset": [record.offset for record in records],
            "warc_length": [record.length for record in records],
            "content_type": [page.content_type for page, _, _ in self.rows],
            "robots": [page.robots for page, _, _ in self.rows],
            "text": [page.text for page, _, _ in self.rows],
        }
        payload = _payload_array([page.payload for page, _, _ in self.rows])
        arrays = [payload if f.name == "payload" else pa.array(columns[f.name], f.type) for f in PAGE]
        return SourceBatch(
            documents=pa.record_batch(arrays, schema=PAGE),
            dropped=self.dropped, num_bytes_kept=self._num_bytes_kept, num_bytes_read=num_bytes_read,
            counters={name: count for name, count in sorted(self._counters.items()) if count},
        )  # fmt: skip


def _payload_array(payloads: list[bytes | None]) -> pa.Array:
    """large_binary; pages are joined in one copy, where Arrow's builder would grow and copy several times."""
    if None in payloads:
        return pa.array(payloads, pa.large_binary())
    ends = np.cumsum([0, *(len(p) for p in payloads if p is not None)], dtype=np.int64)
    joined = b"".join(p for p in payloads if p is not None)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(joined)]
    return pa.Array.from_buffers(pa.large_binary(), len(payloads), buffers)
