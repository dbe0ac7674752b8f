"""Writes the WARC files that tests read, record by record, so that every byte is known."""

from __future__ import annotations

import gzip
import uuid
from collections.abc import Iterable

HTML = b"<html><head><title>A page</title></head><body><p>Some text of page %d.</p></body></html>"


def http(body: bytes, *headers: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    lines = [status, *(headers or ("Content-Type: text/html; charset=utf-8",))]
    return "\r\n".join(line for line in lines if line).encode() + b"\r\n\r\n" + body


def record(
    block: bytes,
    kind: str = "response",
    url: str = "http://example.org/",
    *extra: str,
    length: int | None = None,
    content_type: str = "application/http; msgtype=response",
    version: str = "WARC/1.0",
    number: int = 0,
) -> bytes:
    """A record with the two line ends after its block; `length` lies about Content-Length, -1 leaves it out."""
    lines = [
        version, f"WARC-Type: {kind}", f"WARC-Record-ID: <urn:uuid:{uuid.UUID(int=number + 1)}>",
        "WARC-Date: 2026-03-04T05:06:07Z", f"WARC-Target-URI: {url}", f"Content-Type: {content_type}", *extra,
    ]  # fmt: skip
    if length != -1:
        lines.append(f"Content-Length: {len(block) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def page(number: int, size: int = 0) -> bytes:
    """A response record with an HTML page, of at least `size` bytes of text that does not compress to nothing."""
    filler = " ".join(f"{number * 7919 + i * i:x}" for i in range(size // 6)).encode()
    return record(http(HTML % number + filler), url=f"http://example.org/{number}", number=number)


def members(records: Iterable[bytes]) -> bytes:
    """One gzip member per record, as crawlers write them."""
    return b"".join(gzip.compress(r, mtime=0) for r in records)


def crawl(num_pages: int, size: int = 0) -> list[bytes]:
    """warcinfo, then a request and a response per page."""
    records = [record(b"software: test\r\n", "warcinfo", content_type="application/warc-fields", number=10**6)]
    for i in range(num_pages):
        request = record(b"GET / HTTP/1.1\r\n\r\n", "request", f"http://example.org/{i}", number=2 * 10**6 + i)
        records += [request, page(i, size)]
    return records
