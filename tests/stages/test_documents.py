from __future__ import annotations

import datetime as dt
import gzip
import json
import random
import tracemalloc
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
import zstandard

from pipeline.errors import DataError, FieldError
from pipeline.schemas import DOCUMENT
from pipeline.stage import DroppedRecord, NarrowContext, SourceBatch
from stages.documents import Config, documents
from tests.shared_data import SHARED, needs_shared
from tests.stages.commoncrawl_server import CrawlServer, Fault

TEXTS = ["a first text", "naïve 世界 🦜", "line\nbreak", "x" * 3000]


@dataclass
class Reading:
    """All that the source gave; that its bytes add up was checked for every shard."""

    batches: list[SourceBatch] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, object]]:
        return pa.Table.from_batches([b.documents for b in self.batches], DOCUMENT).to_pylist()

    @property
    def texts(self) -> list[object]:
        return [row["text"] for row in self.rows]

    @property
    def dropped(self) -> list[DroppedRecord]:
        return [d for b in self.batches for d in b.dropped]

    @property
    def counters(self) -> Counter[str]:
        return sum((Counter(b.counters) for b in self.batches), Counter())


def read(source: str | Path, num_bytes: int | None = None, **settings: object) -> Reading:
    """`num_bytes`: what the bytes must add up to."""
    reading = Reading()
    reader = documents.function(Config(source=str(source), **settings), NarrowContext(step="books"))  # type: ignore[arg-type]
    total = 0
    for shard in reader.shards():
        batches = list(reader.read(shard))
        spans = sum(b.num_bytes_kept + sum(d.num_bytes for d in b.dropped) for b in batches)
        assert spans == sum(b.num_bytes_read for b in batches)
        total += spans
        reading.batches += batches
        reading.names.append(shard.name)
    assert num_bytes is None or total == num_bytes
    return reading


def write(folder: Path, name: str, content: bytes) -> Path:
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}.get(Path(name).suffix, bytes)
    (folder / name).write_bytes(compress(content))
    return folder / name


def json_lines(texts: list[str]) -> bytes:
    return b"".join(json.dumps({"text": text}).encode() + b"\n" for text in texts)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson", "a.jsonl.gz", "a.jsonl.zst"])
def test_json_lines_in_every_compression_give_texts_and_offsets(tmp_path: Path, name: str) -> None:
    content = json_lines(TEXTS)
    reading = read(write(tmp_path, name, content), len(content))
    assert reading.texts == TEXTS
    offsets = [row["warc_offset"] for row in reading.rows]
    assert [json.loads(content[o:].splitlines()[0])["text"] for o in offsets] == TEXTS
    assert reading.rows[1]["id"] == xxhash.xxh3_128_digest(f"{name}:{offsets[1]}".encode())
    assert {row["warc_path"] for row in reading.rows} == {name}


def test_json_lines_joined_members_and_frames_are_read_through(tmp_path: Path) -> None:
    parts = [json_lines([text]) for text in TEXTS]
    (tmp_path / "a.jsonl.gz").write_bytes(b"".join(gzip.compress(p) for p in parts))
    (tmp_path / "b.jsonl.zst").write_bytes(b"".join(zstandard.compress(p) for p in parts))
    assert read(tmp_path).texts == TEXTS * 2


@pytest.mark.parametrize(
    "line, reason",
    [
        (b'{"text": "cut', "bad_json"),
        (b'["text"]', "bad_json"),
        (b'"text"', "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"n": ' + b"9" * 5000 + b"}", "bad_json"),
        (b'{"text": "caf\xe9"}', "invalid_utf8"),
        (b'{"text": "half \\ud83d"}', "invalid_utf8"),
        (b'{"text": null}', "no_text"),
        (b'{"text": 5}', "no_text"),
        (b'{"body": "elsewhere"}', "no_text_column"),
        (b'{"text": ""}', "empty_text"),
        (b'{"text": "' + b"x" * 200_000 + b'"}', "document_too_large"),
    ],
)
@pytest.mark.parametrize("at_end", [True, False])
def test_json_line_that_is_no_document_is_dropped_by_name(
    tmp_path: Path, line: bytes, reason: str, at_end: bool
) -> None:
    good = json_lines(TEXTS[:2])
    content = good + line if at_end else line + b"\n" + good
    reading = read(write(tmp_path, "a.jsonl", content), len(content), max_document_bytes=150_000)
    (dropped,) = reading.dropped
    assert (dropped.reason, dropped.warc_offset) == (reason, len(good) if at_end else 0)
    assert dropped.num_bytes == len(line) + (not at_end)
    if reason == "document_too_large":
        assert (dropped.value, dropped.threshold) == (dropped.num_bytes, 150_000)
    assert reading.texts == TEXTS[:2]


def test_json_line_at_the_limit_is_kept_and_one_byte_more_is_not(tmp_path: Path) -> None:
    line = json.dumps({"text": "x" * 100}).encode()
    for end in (b"", b"\n"):
        source = write(tmp_path, "a.jsonl", line + end)
        assert len(read(source, max_document_bytes=len(line)).texts) == 1
        assert [d.reason for d in read(source, max_document_bytes=len(line) - 1).dropped] == ["document_too_large"]


def test_json_lines_with_mark_blank_lines_and_carriage_returns(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"text": "one"}\r\n\r\n  \n{"text": "two"}\r\n'
    reading = read(write(tmp_path, "a.jsonl", content), len(content))
    assert reading.texts == ["one", "two"] and not reading.dropped
    assert reading.counters == {"blank_lines": 2, "bytes_without_document": 5}


def test_json_columns_are_named_by_the_config(tmp_path: Path) -> None:
    values = [
        {"body": "a", "link": "http://a", "key": "k1", "when": "2026-01-02T03:04:05Z"},
        {"body": "b", "link": 5, "key": 17, "when": 86400},
        {"body": "c", "link": "\ud83d", "key": None, "when": "soon"},
    ]
    content = b"".join(json.dumps(v).encode() + b"\n" for v in values)
    source = write(tmp_path, "a.jsonl", content)
    reading = read(source, text_column="body", url_column="link", id_column="key", date_column="when")
    assert [row["url"] for row in reading.rows] == ["http://a", None, None]
    assert [row["id"] for row in reading.rows[:2]] == [xxhash.xxh3_128_digest(k) for k in (b"k1", b"17")]
    epoch = dt.datetime(1970, 1, 2, tzinfo=dt.UTC)
    assert [row["date"] for row in reading.rows] == [dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC), epoch, None]
    assert reading.counters == {"unreadable_dates": 1}


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_json_lines_damaged_compression_keeps_what_came_before(tmp_path: Path, name: str) -> None:
    rng = random.Random(3)
    texts = ["".join(rng.choices("abcdefgh", k=500)) for _ in range(2000)]
    source = write(tmp_path, name, json_lines(texts))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    reading = read(source)
    assert len(reading.texts) > 700 and reading.texts == texts[: len(reading.texts)]
    assert [d.reason for d in reading.dropped] == ["damaged_file"]


def test_json_line_without_end_stays_in_bounded_memory(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl.zst"
    source.write_bytes(zstandard.compress(bytes(200 << 20)))
    tracemalloc.start()
    reading = read(source, 200 << 20, max_document_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [d.reason for d in reading.dropped] == ["document_too_large"]
    assert peak < 8 << 20


def test_json_lines_batches_are_bounded_and_change_nothing(tmp_path: Path) -> None:
    source = write(tmp_path, "a.jsonl", json_lines(TEXTS * 50))
    small, by_bytes = read(source, batch_rows=7), read(source, batch_bytes=5000)
    assert max(len(b.documents) for b in small.batches) == 7 and len(by_bytes.batches) > 20
    assert small.rows == by_bytes.rows == read(source).rows


def test_text_files_are_one_document_each(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt.gz", "c.txt.zst"):
        write(tmp_path, name, "\ufeffGrüße\n世界\n".encode())
    write(tmp_path, "d.txt", b"caf\xe9")
    write(tmp_path, "e.txt", b"")
    write(tmp_path, "f.txt", b"x" * 1001)
    write(tmp_path, "g.md", b"not asked for")
    (tmp_path / "h.txt.gz").write_bytes(gzip.compress(b"cut")[:-5])
    reading = read(tmp_path, max_document_bytes=1000)
    assert reading.texts == ["Grüße\n世界\n"] * 3
    reasons = ["invalid_utf8", "empty_text", "document_too_large", "damaged_file"]
    assert [d.reason for d in reading.dropped] == reasons


def parquet(path: Path, columns: dict[str, pa.Array], row_group_size: int = 100) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_text_of_every_string_type_is_read(tmp_path: Path, kind: pa.DataType) -> None:
    texts = [*TEXTS, None, ""] * 60
    source = parquet(tmp_path / "a.parquet", {"text": pa.array(texts).cast(kind), "n": pa.array(range(360))})
    reading = read(source, sum(len((t or "").encode()) for t in texts), batch_rows=50)
    assert reading.texts == TEXTS * 60
    assert Counter(d.reason for d in reading.dropped) == {"no_text": 60, "empty_text": 60}
    assert [row["warc_offset"] for row in reading.rows[:5]] == [0, 1, 2, 3, 6]
    assert max(len(b.documents) for b in reading.batches) <= 50


def test_parquet_columns_are_named_by_the_config(tmp_path: Path) -> None:
    when = pa.array([dt.datetime(2026, 1, 2, 3), None], pa.timestamp("us"))
    columns = {"body": pa.array(["a", "b"]), "u": pa.array(["http://a", None]), "k": pa.array([1, 2]), "when": when}
    source = parquet(tmp_path / "a.parquet", columns)
    rows = read(source, text_column="body", url_column="u", id_column="k", date_column="when").rows
    assert [row["url"] for row in rows] == ["http://a", None]
    assert rows[0]["id"] == xxhash.xxh3_128_digest(b"1")
    assert rows[0]["date"] == dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC) and rows[1]["date"] is None


def test_parquet_bad_values_are_dropped_by_name(tmp_path: Path) -> None:
    texts = pa.array([b"good", b"caf\xe9", b"x" * 2000])
    reading = read(parquet(tmp_path / "a.parquet", {"text": texts}), 2008, max_document_bytes=1000)
    assert reading.texts == ["good"]
    assert [(d.reason, d.warc_offset) for d in reading.dropped] == [("invalid_utf8", 1), ("document_too_large", 2)]
    numbers = read(parquet(tmp_path / "a.parquet", {"text": pa.array([1, 2])}))
    assert [d.reason for d in numbers.dropped] == ["no_text", "no_text"]


def test_parquet_missing_column_is_an_error_that_offers_the_near_one(tmp_path: Path) -> None:
    source = parquet(tmp_path / "a.parquet", {"texts": pa.array(["a"])})
    with pytest.raises(DataError, match="Did you mean 'texts'"):
        read(source)


def test_parquet_damaged_file_is_dropped_by_name(tmp_path: Path) -> None:
    source = parquet(tmp_path / "a.parquet", {"text": pa.array(TEXTS * 100)})
    source.write_bytes(source.read_bytes()[:-50])
    reading = read(source, 0)
    assert [d.reason for d in reading.dropped] == ["damaged_file"] and not reading.texts


def test_parquet_large_texts_come_in_batches_of_bounded_bytes(tmp_path: Path) -> None:
    rng = random.Random(4)
    texts = ["".join(rng.choices("abcdefghij", k=20_000)) for _ in range(200)]
    source = parquet(tmp_path / "a.parquet", {"text": pa.array(texts)}, row_group_size=200)
    reading = read(source, batch_bytes=200_000)
    assert reading.texts == texts
    assert max(len(b.documents) for b in reading.batches) <= 11


def test_documents_over_http_through_cuts_equal_those_from_disk(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl.zst", json_lines([f"{i * i} text" for i in range(20_000)]))
    parquet(tmp_path / "b.parquet", {"text": pa.array([f"{i * i} text" for i in range(20_000)])})
    with CrawlServer(tmp_path) as server:
        for name in ("a.jsonl.zst", "b.parquet"):
            server.faults = deque([Fault(cut_after=30_000), None])
            assert read(f"{server.url}/{name}").rows == read(tmp_path / name).rows


def test_documents_unknown_format_and_empty_names_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\*\.jsonl"):
        read(write(tmp_path, "a.csv", b"x"))
    with pytest.raises(FieldError, match="text_column"):
        Config(source="x", text_column="")
    with pytest.raises(FieldError, match="batch_rows"):
        Config(source="x", batch_rows=0)


@needs_shared
def test_shared_corpus_is_read_whole() -> None:
    source = SHARED / "data" / "text" / "quality-00.jsonl.zst"
    with zstandard.open(source, "rb") as raw:
        content = raw.read()
    assert read(source, len(content)).texts == [json.loads(line)["text"] for line in content.splitlines()]


def test_documents_texts_too_long_for_the_kernels_are_refused_in_the_settings() -> None:
    with pytest.raises(FieldError, match="max_document_bytes"):
        Config(source="x", max_document_bytes=1 << 31)
