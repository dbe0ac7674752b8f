from __future__ import annotations

import gzip
import io
import os
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from pipeline.errors import DataError, FieldError, StoreError
from pipeline.schemas import PAGE
from pipeline.stage import NarrowContext, SourceBatch
from stages.commoncrawl import Config, commoncrawl
from tests.shared_data import SHARED, needs_shared
from tests.stages.commoncrawl_server import CrawlServer, Fault
from tests.stages.warc_files import HTML, crawl, http, members, page, record

CRAWL = "CC-MAIN-2026-43"
SEGMENT = f"crawl-data/{CRAWL}/segments/1/warc"


@dataclass
class Reading:
    """All that a source gave, its two laws checked for every shard."""

    batches: list[SourceBatch] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, object]]:
        return pa.Table.from_batches([b.documents for b in self.batches], PAGE).to_pylist()


def read(source: str | Path, **settings: object) -> Reading:
    reading = Reading()
    reader = commoncrawl.function(Config(source=str(source), **settings), NarrowContext(step="crawl"))  # type: ignore[arg-type]
    for shard in reader.shards():
        batches = list(reader.read(shard))
        spans = sum(b.num_bytes_kept + sum(d.num_bytes for d in b.dropped) for b in batches)
        assert spans == sum(b.num_bytes_read for b in batches)
        assert all(b.num_bytes_read == 0 for b in batches[:-1])
        if shard.num_bytes >= 0:
            assert spans == shard.num_bytes
        reading.batches += batches
        reading.names.append(shard.name)
    for batch in reading.batches:
        reading.reasons.update(d.reason for d in batch.dropped)
        reading.counters.update(batch.counters)
    return reading


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small crawl as Common Crawl lays it out, listed in an order that is not that of the names."""
    names = [f"{SEGMENT}/CC-MAIN-{i:05}.warc.gz" for i in range(4)]
    for i, name in enumerate(names):
        write(tmp_path / "site", name, members(crawl(30, 6000 + 1000 * i)))
    listing = gzip.compress("".join(f"{name}\n" for name in reversed(names)).encode())
    write(tmp_path / "site", f"crawl-data/{CRAWL}/warc.paths.gz", listing)
    return tmp_path / "site"


def test_read_gives_pages_with_provenance_and_counts_the_rest(tmp_path: Path) -> None:
    written = [gzip.compress(r, mtime=0) for r in crawl(2)]
    reading = read(write(tmp_path, "a.warc.gz", b"".join(written)))
    first = reading.rows[0]
    assert first["id"] == xxhash.xxh3_128_digest(b"<urn:uuid:00000000-0000-0000-0000-000000000001>")
    assert first["url"] == "http://example.org/0"
    assert str(first["date"]) == "2026-03-04 05:06:07+00:00"
    assert (first["warc_path"], first["warc_offset"]) == ("a.warc.gz", len(written[0]) + len(written[1]))
    assert first["warc_length"] == len(written[2])
    assert first["content_type"] == "text/html; charset=utf-8"
    assert first["payload"] == HTML % 0 and first["text"] is None
    assert reading.reasons == {}
    others = len(written[0]) + len(written[1]) + len(written[3])
    assert reading.counters == {
        "records_warcinfo": 1, "records_request": 2, "records_response": 2, "bytes_of_other_records": others,
    }  # fmt: skip


@pytest.mark.parametrize(
    "written, reason, value",
    [
        (record(http(HTML % 1, status="HTTP/1.1 404 Not Found")), "http_status", 404),
        (record(http(b"%PDF", "Content-Type: application/pdf")), "not_html", None),
        (record(http(b"%PDF", "Server: x")), "not_html", None),
        (record(http(b"")), "empty_payload", None),
        (record(http(bytes(5000))), "payload_too_large", 5000),
        (record(http(bytes(90_000))), "payload_too_large", len(http(bytes(90_000)))),
        (record(http(gzip.compress(bytes(9000)), "Content-Encoding: gzip")), "payload_too_large", 4001),
        (record(http(b"\x1f\x8b\x08\0" + b"x" * 99, "Content-Encoding: gzip")), "undecodable_body", None),
        (record(b"", "revisit"), "revisit", None),
        (record(http(HTML % 1), "continuation"), "record_type_continuation", None),
        (record(http(HTML % 1), "Odd\ttype"), "record_type_unknown", None),
        (record(http(HTML % 1), "response", "http://a", "WARC-Segment-Number: 1"), "segmented_record", None),
        (record(b"a.org 1 IN A", url="dns:a.org", content_type="text/dns"), "not_a_response", None),
        (record(b"\x89PNG", "conversion", content_type="image/png"), "not_text", None),
        (record(b"%PDF", "resource", content_type="application/pdf"), "not_html", None),
        (b"WARC/1.0\r\nContent-Length: 4\r\n\r\nbody\r\n\r\n", "broken_header", None),
    ],
)
def test_read_drops_what_is_no_page_and_names_the_reason(
    tmp_path: Path, written: bytes, reason: str, value: float | None
) -> None:
    reading = read(write(tmp_path, "a.warc.gz", members([page(0), written, page(2)])), max_record_bytes=4000)
    (dropped,) = [d for b in reading.batches for d in b.dropped]
    assert (dropped.reason, dropped.value) == (reason, value)
    assert dropped.threshold == (4000 if reason == "payload_too_large" else None)
    assert dropped.num_bytes == len(gzip.compress(written))
    assert len(reading.rows) == 2


@pytest.mark.parametrize(
    "written",
    [
        record(http(HTML % 1), url="http://example.org/a page with spaces"),
        record(http(HTML % 1), url="<http://example.org/in-brackets>"),
        record(http(HTML % 1), length=-1),
        record(http(HTML % 1, "Content-Type: TEXT/HTML ;charset=gbk")),
        record(http(HTML % 1, "Content-Type: text/html, text/html")),
        record(http(HTML % 1, "Content-Type: application/xhtml+xml")),
        record(http(HTML % 1, "Server: no type")),
        record(http(HTML % 1, "Content-Type: text/html", "Content-Type: image/png")),
        record(http(HTML % 1, "Content-Type: text/html", status="")),
        record(HTML % 1),
        record(HTML % 1, "resource", content_type="text/html"),
        record(http(HTML % 1), version="WARC/1.1"),
        record(http(HTML % 1), version="WARC/0.18"),
        record(http(HTML % 1, "Content-Type: text/html", "Transfer-Encoding: chunked")),
        record(http(gzip.compress(HTML % 1), "Content-Type: text/html", "Content-Encoding: gzip")),
    ],
)
def test_read_survives_what_crawlers_write(tmp_path: Path, written: bytes) -> None:
    for name, content in (("a.warc.gz", members([written, page(2)])), ("b.warc", written + page(2))):
        rows = read(write(tmp_path, name, content)).rows
        assert [row["payload"] for row in rows] == [HTML % 1, HTML % 2]


def test_read_wet_gives_text_and_counts_repairs(tmp_path: Path) -> None:
    written = [
        record("Grüße\n世界".encode(), "conversion", content_type="text/plain", number=1),
        record(b"caf\xe9", "conversion", content_type="text/plain", number=2),
    ]
    write(tmp_path, "a.warc.wet.gz", members(written))
    write(tmp_path, "a.warc.gz", members([page(0)]))
    reading = read(tmp_path, kind="wet")
    assert [row["text"] for row in reading.rows] == ["Grüße\n世界", "caf\ufffd"]
    assert [row["payload"] for row in reading.rows] == [None, None]
    assert reading.counters["texts_with_invalid_utf8"] == 1
    assert read(tmp_path).names == ["a.warc.gz"]


def test_read_records_without_ids_in_one_member_get_different_ids(tmp_path: Path) -> None:
    block = http(HTML % 1)
    anonymous = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (len(block), block)
    source = write(tmp_path, "a.warc.gz", gzip.compress(anonymous * 3) + gzip.compress(anonymous))
    ids = [row["id"] for row in read(source).rows]
    assert len(set(ids)) == 4
    assert ids == [row["id"] for row in read(source, batch_rows=1).rows]
    assert ids[0] == xxhash.xxh3_128_digest(b"a.warc.gz:0")


def test_read_batches_are_bounded_by_rows_and_bytes(tmp_path: Path) -> None:
    source = write(tmp_path, "a.warc.gz", members(crawl(50, 2000)))
    by_rows, by_bytes = read(source, batch_rows=7), read(source, batch_bytes=10_000)
    assert max(len(b.documents) for b in by_rows.batches) == 7
    sizes = [sum(len(p.as_py()) for p in b.documents["payload"]) for b in by_bytes.batches]
    assert max(sizes) < 10_000 + max(len(str(row["payload"])) for row in by_bytes.rows)
    assert by_rows.rows == by_bytes.rows == read(source).rows


def test_read_file_of_drops_only_has_bounded_batches(tmp_path: Path) -> None:
    source = write(tmp_path, "a.warc", record(b"", "revisit") * 9000)
    batches = read(source).batches
    assert [len(b.dropped) for b in batches] == [4096, 4096, 808]


@pytest.mark.parametrize("compressed", [True, False])
def test_read_damaged_files_never_raise_and_conserve_bytes(tmp_path: Path, compressed: bool) -> None:
    clean = members(crawl(10, 500)) if compressed else b"".join(crawl(10, 500))
    rng = random.Random(9)
    name = "a.warc.gz" if compressed else "a.warc"
    for _ in range(150):
        data = bytearray(clean)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        read(write(tmp_path, name, bytes(data[: rng.randrange(len(data) // 2, len(data))])))


def test_crawl_name_reads_over_http_what_the_disk_holds(site: Path) -> None:
    expected = read(site / "crawl-data").rows
    with CrawlServer(site) as server:
        reading = read(CRAWL, base_url=server.url)
        assert reading.names == [f"{SEGMENT}/CC-MAIN-{i:05}.warc.gz" for i in range(4)]
        assert without_path(reading.rows) == without_path(expected)
        assert read(CRAWL, base_url=server.url, num_shards=2).names == reading.names[:2]
        assert read(f"{server.url}/crawl-data/{CRAWL}/warc.paths.gz").rows == reading.rows
        one = read(f"{server.url}/{SEGMENT}/CC-MAIN-00001.warc.gz?key=1")
    assert one.names == ["CC-MAIN-00001.warc.gz"] and len(one.rows) == 30
    assert read(CRAWL, base_url=str(site)).rows == reading.rows


def without_path(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k != "warc_path"} for row in rows]


def test_crawl_through_busy_server_and_cut_connections_reads_the_same(site: Path) -> None:
    with CrawlServer(site) as server:
        expected = read(CRAWL, base_url=server.url, num_shards=1).rows
        busy, cut = Fault(status=503, retry_after="0"), Fault(cut_after=20_011)  # in the middle of a member
        server.faults = deque([busy, None, busy, busy, cut, busy, cut, None])
        server.requests.clear()
        reading = read(CRAWL, base_url=server.url, num_shards=1)
        asked = [ranged for _, _, ranged in server.requests]
    assert reading.rows == expected
    assert asked == ["", "", "", "", "", "bytes=20011-", "bytes=20011-", "bytes=40022-"]


def test_crawl_that_is_not_there_is_an_error_with_its_address(site: Path) -> None:
    with CrawlServer(site) as server:
        with pytest.raises(StoreError, match=r"crawl-data/CC-MAIN-1999-01/warc\.paths\.gz: HTTP status 404"):
            read("CC-MAIN-1999-01", base_url=server.url)
        write(site, "crawl-data/x/warc.paths.gz", gzip.compress(b"a\nb\n")[:-4])
        with pytest.raises(DataError, match="truncated member"):
            read(f"{server.url}/crawl-data/x/warc.paths.gz")
        write(site, "crawl-data/x/warc.paths.gz", gzip.compress(b"\n"))
        with pytest.raises(DataError, match="names no file"):
            read(f"{server.url}/crawl-data/x/warc.paths.gz")


def test_shards_stamps_tell_contents_apart_and_places_not(tmp_path: Path) -> None:
    for folder, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        write(tmp_path / folder, "x.warc", content)
    listed = [
        commoncrawl.function(Config(source=str(tmp_path / f)), NarrowContext(step="crawl")).shards()[0] for f in "abc"
    ]
    stamps = [(shard.name, shard.stamp) for shard in listed]
    assert stamps[0] == stamps[1] != stamps[2]


@pytest.mark.parametrize("field_name", ["num_shards", "max_record_bytes", "batch_rows", "batch_bytes"])
def test_config_rejects_numbers_below_one(field_name: str) -> None:
    with pytest.raises(FieldError, match=field_name):
        Config(source="x", **{field_name: 0})  # type: ignore[arg-type]


def test_source_with_no_warc_file_says_what_was_expected(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", b"x")
    with pytest.raises(DataError, match=r"\*\.warc\.gz"):
        read(tmp_path)


@pytest.fixture
def bucket(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The site in a bucket of a local S3 server; the options every location on it needs."""
    import boto3
    from moto.server import ThreadedMotoServer

    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="commoncrawl")
    for path in sorted(site.rglob("*.gz")):
        client.put_object(Bucket="commoncrawl", Key=str(path.relative_to(site)), Body=path.read_bytes())
    yield f"region=us-east-1&scheme=http&endpoint_override={host}:{port}"
    server.stop()


def test_s3_prefix_file_and_crawl_name_read_what_the_disk_holds(site: Path, bucket: str) -> None:
    expected = read(site / SEGMENT).rows
    assert read(f"s3://commoncrawl/{SEGMENT}?{bucket}").rows == expected
    one = read(f"s3://commoncrawl/{SEGMENT}/CC-MAIN-00002.warc.gz?{bucket}")
    assert one.rows == [row for row in expected if row["warc_path"] == "CC-MAIN-00002.warc.gz"]
    named = read(CRAWL, base_url=f"s3://commoncrawl?{bucket}")
    assert named.rows == read(CRAWL, base_url=str(site)).rows
    with pytest.raises(DataError, match="no file to read") as caught:
        read(f"s3://commoncrawl/none?{bucket}")
    assert "endpoint" not in str(caught.value)
    with pytest.raises(StoreError, match="no/such"):
        read(f"s3://commoncrawl/no/such.warc.paths.gz?{bucket}")


# What the archives of other tools hold: pages, drops by reason.
REAL = {
    "IAH-20080430204825-00000-blackbook.arc.gz": (94, {"not_a_response": 38, "not_html": 120, "http_status": 47}),
    "IAH-20080430204825-00000-blackbook.warc.gz": (94, {"not_a_response": 38, "not_html": 120, "http_status": 47}),
    "clipped.warc.gz": (0, {"truncated_member": 1}),
    "clueweb-quirk.warc.gz": (29, {}),
    "dupes.warc.gz": (1, {"http_status": 1, "revisit": 9, "not_html": 1}),
    "example-bad-non-chunked.warc.gz": (1, {"revisit": 1}),
    "example-digest.warc": (0, {}),
    "example-space-in-target-uri.warc.gz": (0, {"not_html": 1}),
    "example-trunc.warc": (1, {"broken_header": 1}),
    "example-wget-1-14.warc.gz": (1, {"not_html": 3}),
    "example-wrong-chunks.warc.gz": (1, {}),
    "example.warc.gz": (1, {"revisit": 1, "http_status": 1}),
    "iana.warc.gz": (16, {"not_html": 28, "revisit": 123, "http_status": 4}),
    "parseMe.warc.gz": (1, {"http_status": 6, "not_html": 7}),
    "sample-0000.warc.gz": (22, {"not_html": 2}),
    "sample-1.warc.gz": (63, {"not_a_response": 5, "revisit": 10, "not_html": 1, "http_status": 1}),
}  # fmt: skip


@needs_shared
@pytest.mark.parametrize("name", REAL)
def test_real_archives_read_to_the_end_with_known_counts(name: str) -> None:
    reading = read(SHARED / "data" / "realwarc" / name)
    assert (len(reading.rows), dict(reading.reasons)) == REAL[name]


@needs_shared
@pytest.mark.parametrize("name", [n for n in REAL if "wrong-chunks" not in n and "clipped" not in n])
def test_real_archives_give_the_bodies_that_warcio_gives(name: str) -> None:
    source = SHARED / "data" / "realwarc" / name
    ours = {(row["url"], row["warc_offset"]): row["payload"] for row in read(source).rows}
    theirs = warcio_pages(source.read_bytes())
    assert theirs.items() <= ours.items()
    assert theirs == ours or name == "example-bad-non-chunked.warc.gz"  # there warcio stops


def warcio_pages(content: bytes) -> dict[tuple[str, int], bytes]:
    pages = {}
    iterator = ArchiveIterator(io.BytesIO(content), arc2warc=True)
    try:
        for found in iterator:
            if found.rec_type == "response" and found.http_headers:
                kind = (found.http_headers.get_header("Content-Type") or "").partition(";")[0].strip().lower()
                if found.http_headers.get_statuscode() == "200" and kind == "text/html":
                    place = (found.rec_headers.get_header("WARC-Target-URI"), iterator.offset)
                    pages[place] = found.content_stream().read()
    except ArchiveLoadFailed:
        pass
    return pages


@needs_shared
def test_shared_shards_give_every_page_over_http_as_from_disk(tmp_path: Path) -> None:
    folder = SHARED / "data" / "warc"
    names = ["DEV-MAIN-00019.warc.gz", "DEV-MAIN-00020.warc.gz"]
    for name in names:
        write(tmp_path, f"crawl-data/{CRAWL}/{name}", b"").unlink()
        os.symlink(folder / name, tmp_path / f"crawl-data/{CRAWL}/{name}")
    listing = "".join(f"crawl-data/{CRAWL}/{name}\n" for name in names)
    write(tmp_path, f"crawl-data/{CRAWL}/warc.paths.gz", gzip.compress(listing.encode()))
    with CrawlServer(tmp_path) as server:
        server.faults = deque([None, Fault(cut_after=1_000_003), Fault(status=503, retry_after="0"), None])
        reading = read(CRAWL, base_url=server.url)
    expected = [row for name in names for row in read(folder / name).rows]
    assert without_path(reading.rows) == without_path(expected)
    assert len(expected) == reading.counters["records_response"] > 100 and not reading.reasons


def test_read_robots_headers_are_all_carried_a_line_each(tmp_path: Path) -> None:
    several = (
        "Content-Type: text/html", "X-Robots-Tag: googlebot: noindex", "tdm-reservation: 1", "x-robots-tag: noai,",
        " nofollow",
    )  # fmt: skip
    written = [
        record(http(HTML % 1, *several), number=1), record(http(HTML % 2), number=2),
        record(HTML % 3, "resource", content_type="text/html", number=3),
        record(b"text", "conversion", content_type="text/plain", number=4),
    ]  # fmt: skip
    rows = read(write(tmp_path, "a.warc.gz", members(written))).rows
    first = "googlebot: noindex\nnoai, nofollow\ntdm-reservation: 1"
    assert [row["robots"] for row in rows] == [first, None, None, None]


def test_commoncrawl_texts_too_long_for_the_kernels_are_refused_in_the_settings() -> None:
    with pytest.raises(FieldError, match="max_record_bytes"):
        Config(source="x", max_record_bytes=1 << 31)
