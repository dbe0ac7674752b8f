"""WARC records as Common Crawl has them: warcinfo, then request, response and metadata per page, a gzip member each.

Reads:  pages
Writes: bytes of a WARC 1.0 file; equal pages give equal bytes
Cost:   deflate, 30 MB/s
Source: ISO 28500; the fields are those of Common Crawl's own files
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from stages.sample.sites import Page

FIRST_DATE = datetime(2026, 3, 1, 6, 0, 0, tzinfo=UTC)
SOFTWARE = "crawlmill sample"


def shard(
    name: str, number: int, pages: Sequence[Page], revisits: Sequence[Page] = (), truncated: bool = False
) -> bytes:
    """One WARC file. `revisits` become records without a body; `truncated` ends the file in the middle of
    the last page's response, as an interrupted download does."""
    info = _record_id(f"warcinfo {name}")
    members = [_warcinfo(name, info)]
    for i, page in enumerate(pages):
        date = FIRST_DATE + timedelta(days=number, seconds=2 * i)
        members.extend(_page_records(page, _when(date), info))
    members.extend(_revisit(page, _when(FIRST_DATE + timedelta(days=number, hours=12)), info) for page in revisits)
    if truncated:
        members.pop()  # the last page's metadata; its response is the last record now
    data = [gzip.compress(member, 6, mtime=0) for member in members]
    if truncated:
        data[-1] = data[-1][: len(data[-1]) // 2]
    return b"".join(data)


def _when(date: datetime) -> str:
    return date.strftime("%Y-%m-%dT%H:%M:%SZ")


def _record_id(key: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, key)}>"


def _sha1(data: bytes) -> str:
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _record(kind: str, record_id: str, date: str, fields: Sequence[tuple[str, str]], block: bytes) -> bytes:
    head = [
        ("WARC-Type", kind),
        ("WARC-Date", date),
        ("WARC-Record-ID", record_id),
        ("Content-Length", str(len(block))),
    ]
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*head, *fields))
    return b"WARC/1.0\r\n" + lines.encode() + b"\r\n" + block + b"\r\n\r\n"


def _warcinfo(name: str, record_id: str) -> bytes:
    block = f"software: {SOFTWARE}\r\nformat: WARC File Format 1.0\r\nisPartOf: SAMPLE\r\n\r\n".encode()
    fields = (("Content-Type", "application/warc-fields"), ("WARC-Filename", name))
    return _record("warcinfo", record_id, _when(FIRST_DATE), fields, block)


def _page_records(page: Page, date: str, info: str) -> Iterator[bytes]:
    response_id, request_id = _record_id(f"response {page.url}"), _record_id(f"request {page.url}")
    shared = (("WARC-Warcinfo-ID", info), ("WARC-IP-Address", "192.0.2.1"), ("WARC-Target-URI", page.url))
    host, _, path = page.url.removeprefix("https://").partition("/")
    asked = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {SOFTWARE}\r\nAccept: text/html\r\n\r\n".encode()
    kind = "Content-Type", "application/http; msgtype=request"
    yield _record("request", request_id, date, (kind, *shared, ("WARC-Block-Digest", _sha1(asked))), asked)
    answer = _http_head(page) + page.body
    fields = (
        ("Content-Type", "application/http; msgtype=response"), *shared, ("WARC-Concurrent-To", request_id),
        ("WARC-Payload-Digest", _sha1(page.body)), ("WARC-Block-Digest", _sha1(answer)),
    )  # fmt: skip
    yield _record("response", response_id, date, fields, answer)
    about = b"fetchTimeMs: 120\r\n\r\n"
    about_fields = (("Content-Type", "application/warc-fields"), *shared, ("WARC-Concurrent-To", response_id))
    yield _record("metadata", _record_id(f"metadata {page.url}"), date, about_fields, about)


def _http_head(page: Page) -> bytes:
    headers = [("Date", "Sun, 01 Mar 2026 06:00:00 GMT"), ("Server", "sample")]
    headers += [("Content-Type", page.content_type)] if page.content_type else []
    if not any(name == "Transfer-Encoding" for name, _ in page.headers):
        headers.append(("Content-Length", str(len(page.body))))
    lines = "".join(f"{name}: {value}\r\n" for name, value in (*headers, *page.headers))
    return f"HTTP/1.1 {page.status}\r\n{lines}\r\n".encode()


def _revisit(page: Page, date: str, info: str) -> bytes:
    block = f"HTTP/1.1 304 Not Modified\r\nContent-Type: {page.content_type}\r\n\r\n".encode()
    fields = (
        ("Content-Type", "application/http; msgtype=response"), ("WARC-Warcinfo-ID", info),
        ("WARC-Target-URI", page.url),
        ("WARC-Profile", "http://netpreserve.org/warc/1.0/revisit/identical-payload-digest"),
        ("WARC-Refers-To", _record_id(f"response {page.url}")), ("WARC-Payload-Digest", _sha1(page.body)),
    )  # fmt: skip
    return _record("revisit", _record_id(f"revisit {page.url}"), date, fields, block)
