"""Corpora that already are text: books, code, domain data as JSON lines, Parquet tables or text files.

Reads:  .jsonl, .json, .ndjson and .txt, plain or .gz or .zst; .parquet; from a folder, a file, s3:// or https://
Writes: DOCUMENT; `warc_path` is the file's name, `warc_offset` the byte offset of the line in the decompressed text, or
        the row number of a table, `warc_length` the document's bytes
Costs:  see docs/log.md for documents per second; one batch and one document in memory
Source: stages/corpus/ for the formats and the reasons of drops

Bytes are those of the decompressed text (line ends and blank lines included); of a table, those of its text column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pipeline.config import location
from pipeline.errors import DataError, FieldError
from pipeline.http_reader import shown
from pipeline.inputs import list_files
from pipeline.remote import open_stream
from pipeline.schemas import DOCUMENT
from pipeline.stage import NarrowContext, SourceBatch, SourceReader, SourceShard, source
from stages.corpus.lines import blocks, json_row, split_lines, text_row, without_codec
from stages.corpus.rows import Columns, Row, to_batch
from stages.corpus.tables import table_rows

_LINES = (".jsonl", ".json", ".ndjson")
_EXPECTED = "files named *.jsonl, *.json, *.ndjson or *.txt (also .gz, .zst), or *.parquet"

MAX_TEXT_BYTES = (1 << 31) - 1  # words and lines of a text are counted in 32 bits


@dataclass(frozen=True, kw_only=True)
class Config:
    """`source` is a folder, a file, an s3:// or gs:// prefix, or an https:// URL of a file."""

    source: str = location()
    text_column: str = "text"
    url_column: str | None = None
    id_column: str | None = None  # hashed into the document's id; without it the file and the place in it are
    date_column: str | None = None  # ISO 8601 text, seconds since 1970, or a timestamp
    num_shards: int | None = None  # the first n in the order of their names; null takes all
    max_document_bytes: int = 16 << 20
    batch_rows: int = 1024
    batch_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for name in ("source", "text_column"):
            if not getattr(self, name):
                raise FieldError(name, getattr(self, name), "text that is not empty")
        for name in ("num_shards", "max_document_bytes", "batch_rows", "batch_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FieldError(name, value, "a whole number of 1 or more")
        if self.max_document_bytes > MAX_TEXT_BYTES:
            raise FieldError("max_document_bytes", self.max_document_bytes, f"at most {MAX_TEXT_BYTES}")

    def columns(self) -> Columns:
        return Columns(
            text=self.text_column, url=self.url_column or "", id=self.id_column or "", date=self.date_column or ""
        )


@source(version=1, schema=DOCUMENT)
def documents(cfg: Config, ctx: NarrowContext) -> SourceReader:
    """List the corpus's files; read one into documents, naming every entry that is none."""
    return SourceReader(shards=partial(list_shards, cfg), read=partial(read_shard, cfg))


def list_shards(cfg: Config) -> list[SourceShard]:
    """The corpus's files, in the order of their names. Raises StoreError, DataError."""
    return list_files(cfg.source, _is_readable, _EXPECTED)[: cfg.num_shards]


def _is_readable(name: str) -> bool:
    return name.endswith(".parquet") or without_codec(name).endswith((*_LINES, ".txt"))


def read_shard(cfg: Config, shard: SourceShard) -> Iterator[SourceBatch]:
    """A file's documents in order. Raises StoreError where reading fails, DataError for an unknown format or column."""
    plain_name = without_codec(shard.name)
    if shard.name.endswith(".parquet"):
        return _read_table(cfg, shard)
    if plain_name.endswith(".txt"):
        return _read_text(cfg, shard)
    if plain_name.endswith(_LINES):
        return _read_lines(cfg, shard)
    raise DataError("a file of an unknown format", where=shown(shard.location), expected=_EXPECTED)


def _read_lines(cfg: Config, shard: SourceShard) -> Iterator[SourceBatch]:
    columns = cfg.columns()
    rows: list[Row] = []
    counters: Counter[str] = Counter()
    num_bytes_read = size = 0
    with open_stream(shard.location) as stream:
        for line in split_lines(blocks(stream, shard.name), cfg.max_document_bytes):
            num_bytes_read += line.num_bytes
            row = json_row(line, columns, cfg.max_document_bytes)
            if row is None:
                counters["blank_lines"] += 1
                counters["bytes_without_document"] += line.num_bytes
                continue
            rows.append(row)
            size += line.num_bytes if row.text else 0
            if len(rows) >= cfg.batch_rows or size >= cfg.batch_bytes:
                _check_text_column(cfg, shard, rows)
                yield to_batch(rows, shard.name, counters)
                rows, counters, size = [], Counter(), 0
    _check_text_column(cfg, shard, rows)
    yield to_batch(rows, shard.name, counters, num_bytes_read)


def _check_text_column(cfg: Config, shard: SourceShard, rows: Sequence[Row]) -> None:
    """DataError where not one line of a batch has the text column: a misspelt name, not a corpus of empty documents."""
    if rows and all(row.reason == "no_text_column" for row in rows):
        raise DataError(
            f"no line of {len(rows)} has the column {cfg.text_column!r}", where=shown(shard.location),
            expected=f"a JSON object with it; the first has {rows[0].excerpt}", mend="Set text_column.",
        )  # fmt: skip


def _read_table(cfg: Config, shard: SourceShard) -> Iterator[SourceBatch]:
    num_bytes_read = 0
    limits = (cfg.max_document_bytes, cfg.batch_rows, cfg.batch_bytes)
    for rows in table_rows(shard.location, cfg.columns(), *limits):
        num_bytes_read += sum(row.num_bytes for row in rows)
        yield to_batch(rows, shard.name, Counter())
    yield to_batch([], shard.name, Counter(), num_bytes_read)


def _read_text(cfg: Config, shard: SourceShard) -> Iterator[SourceBatch]:
    with open_stream(shard.location) as stream:
        row = text_row(blocks(stream, shard.name), cfg.max_document_bytes)
    yield to_batch([row], shard.name, Counter(), row.num_bytes)
