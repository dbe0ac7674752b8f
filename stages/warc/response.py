"""An HTTP response as a crawler stored it: status, headers, and the body with its codings undone.

Reads:  the block of a `response` record
Writes: Response; `decode_body` gives the payload, never more than `limit` bytes of it
Costs:  1 us plus a copy of the body; inflating at isal's speed where it is compressed
Source: RFC 9112 section 7.1 (chunked), RFC 9110 section 8.4 (content codings)

Crawlers often undo a coding and keep its header. So a body that does not begin as its header says is taken as it is:
chunked without a chunk size, gzip without its magic number, any coding on what plainly is HTML. Chunks that stop making
sense half-way leave the rest of the body as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from stages.warc.headers import HEAD_BYTES, HEAD_END, Fields, parse_fields
from stages.warc.inflate import GZIP_WBITS, RAW_WBITS, ZLIB_WBITS, InflateError, inflater

_HEADER_LINE = re.compile(rb"[A-Za-z][A-Za-z0-9-]*:[^\n]*\n")
_STATUS = re.compile(rb"HTTP/?[0-9.]*[ \t]+(\d{3})")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_HTML = re.compile(rb"<(?:!doctype\s+html|html|head|body|title|meta|script|frameset|div|table|p|h1)\b", re.IGNORECASE)
SNIFF_BYTES = 1024  # where browsers look for a page's first tag


class BodyTooLarge(Exception):  # noqa: N818 - a signal to the caller, not a user's error
    """More than `limit` bytes came out of a body; the argument is how many had when it was given up."""


class UndecodableBody(Exception):  # noqa: N818
    """The body is not in the coding its headers name, and not HTML as it is; the argument is the coding."""


@dataclass(frozen=True, slots=True)
class Response:
    """`status` is None where there is no status line; the body is what lies from `body` on."""

    status: int | None
    fields: Fields
    body: int


def parse_response(data: bytes, start: int, end: int) -> Response:
    """The response in `data[start:end]`; without any header lines all of it is body."""
    status = _STATUS.match(data, start, end)
    if status is None and _HEADER_LINE.match(data, start, end) is None:
        return Response(None, {}, start)
    head_end = HEAD_END.search(data, start, min(end, start + HEAD_BYTES))
    if status is None and head_end is None:
        return Response(None, {}, start)
    fields = parse_fields(data[start : head_end.start() if head_end else end])
    return Response(int(status[1]) if status else None, fields, head_end.end() if head_end else end)


def looks_like_html(body: bytes) -> bool:
    return _HTML.search(body[:SNIFF_BYTES]) is not None


def decode_body(body: bytes, fields: Fields, limit: int) -> bytes:
    """The body without transfer and content codings. Raises BodyTooLarge, UndecodableBody."""
    if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
        body = join_chunks(body)
    codings = fields.get(b"content-encoding", b"").lower()
    for coding in reversed(codings.split(b",")) if codings else ():
        body = _decode(body, coding.strip(), limit)
    if len(body) > limit:
        raise BodyTooLarge(len(body))
    return body


def join_chunks(body: bytes) -> bytes:
    """A chunked body's data; from the first thing on that is no chunk, the bytes as they are."""
    parts = []
    at = 0
    while at < len(body):
        size = _CHUNK_SIZE.match(body, at)
        if size is None:
            parts.append(body[at:])
            break
        num_bytes = int(size[1], 16)
        if num_bytes == 0:
            break
        parts.append(body[size.end() : size.end() + num_bytes])
        at = size.end() + num_bytes
        if body.startswith(b"\r\n", at):
            at += 2
        elif body.startswith(b"\n", at):
            at += 1
    return b"".join(parts)


def _decode(body: bytes, coding: bytes, limit: int) -> bytes:
    if coding in (b"gzip", b"x-gzip"):
        return _inflate(body, GZIP_WBITS, coding, limit) if body.startswith(b"\x1f\x8b") else body
    if coding == b"deflate" and body and not looks_like_html(body):
        return _inflate(body, ZLIB_WBITS if _has_zlib_header(body) else RAW_WBITS, coding, limit)
    if coding in (b"br", b"zstd") and body and not looks_like_html(body):
        return _decompress(body, "brotli" if coding == b"br" else "zstd", limit)
    return body


def _has_zlib_header(body: bytes) -> bool:
    """RFC 1950: method 8, and the first two bytes a multiple of 31. Many servers send raw deflate instead."""
    return len(body) >= 2 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0


def _inflate(body: bytes, wbits: int, coding: bytes, limit: int) -> bytes:
    """All members of a gzip body, or a deflate body. What a cut stream gave before its end counts."""
    parts: list[bytes] = []
    size = 0
    while body:
        stream = inflater(wbits)
        try:
            parts.append(stream.decompress(body, limit + 1 - size))
        except InflateError:
            if not size:
                raise UndecodableBody(coding.decode("ascii")) from None
            break
        size += len(parts[-1])
        if size > limit:
            raise BodyTooLarge(size)
        if not size and not stream.eof:
            raise UndecodableBody(coding.decode("ascii"))
        body = stream.unused_data
        if wbits != GZIP_WBITS or not body.startswith(b"\x1f\x8b"):
            break
    return b"".join(parts)


def _decompress(body: bytes, codec: str, limit: int) -> bytes:
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), codec) as stream:
            data = bytes(stream.read(limit + 1))
    except OSError:
        raise UndecodableBody("br" if codec == "brotli" else codec) from None
    if len(data) > limit:
        raise BodyTooLarge(len(data))
    return data
