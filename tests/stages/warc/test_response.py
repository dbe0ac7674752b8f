from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest
import zstandard

from stages.warc.headers import parse_date, parse_fields
from stages.warc.response import (
    BodyTooLarge,
    UndecodableBody,
    decode_body,
    join_chunks,
    looks_like_html,
    parse_response,
)

BODY = b"<html><body>" + bytes(random.Random(1).choices(b"abcdefgh ", k=5000)) + b"</body></html>"
LIMIT = 1 << 20


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"


def raw_deflate(body: bytes) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return squeeze.compress(body) + squeeze.flush()


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_join_chunks_of_any_size_gives_the_body(size: int) -> None:
    assert join_chunks(chunked(BODY, size)) == BODY


@pytest.mark.parametrize(
    "body, expected",
    [
        (BODY, BODY),
        (b"5\r\nhello\r\nnot a size\r\nrest", b"hellonot a size\r\nrest"),
        (b"ff\r\nshort", b"short"),
        (b"5\r\nhello", b"hello"),
        (b"5\nhello\n0\n", b"hello"),
        (b"", b""),
    ],
)
def test_join_chunks_that_are_none_are_taken_as_they_are(body: bytes, expected: bytes) -> None:
    assert join_chunks(body) == expected


@pytest.mark.parametrize(
    "coding, coded",
    [
        (b"gzip", gzip.compress(BODY)),
        (b"x-gzip", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
        (b"GZIP", BODY),
        (b"deflate", zlib.compress(BODY)),
        (b"deflate", raw_deflate(BODY)),
        (b"br", brotli.compress(BODY)),
        (b"br", BODY),
        (b"zstd", zstandard.compress(BODY)),
        (b"deflate, gzip", gzip.compress(zlib.compress(BODY))),
        (b"identity", BODY),
        (b"utf-8", BODY),
    ],
)
def test_decode_body_undoes_codings_and_survives_false_ones(coding: bytes, coded: bytes) -> None:
    assert decode_body(coded, {b"content-encoding": coding}, LIMIT) == BODY
    both = {b"content-encoding": coding, b"transfer-encoding": b"chunked"}
    assert decode_body(chunked(coded, 50), both, LIMIT) == BODY


@pytest.mark.parametrize("coding", [b"gzip", b"deflate", b"br", b"zstd"])
def test_decode_body_of_noise_is_undecodable(coding: bytes) -> None:
    noise = (b"\x1f\x8b\x08" if coding == b"gzip" else b"") + random.Random(2).randbytes(500)
    with pytest.raises(UndecodableBody, match=coding.decode()):
        decode_body(noise, {b"content-encoding": coding}, LIMIT)


@pytest.mark.parametrize("coding, coded", [
    (b"gzip", gzip.compress(bytes(50 << 20))), (b"deflate", zlib.compress(bytes(50 << 20))),
    (b"br", brotli.compress(bytes(50 << 20), quality=1)), (b"zstd", zstandard.compress(bytes(50 << 20))),
    (b"", bytes(LIMIT + 1)),
])  # fmt: skip
def test_decode_body_beyond_the_limit_is_given_up(coding: bytes, coded: bytes) -> None:
    with pytest.raises(BodyTooLarge) as caught:
        decode_body(coded, {b"content-encoding": coding}, LIMIT)
    assert caught.value.args == (LIMIT + 1,)


def test_decode_body_of_a_cut_gzip_keeps_what_came_through() -> None:
    body = decode_body(gzip.compress(BODY)[:-500], {b"content-encoding": b"gzip"}, LIMIT)
    assert 0 < len(body) < len(BODY) and BODY.startswith(body)


@pytest.mark.parametrize(
    "message, status, body",
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", 200, b"body"),
        (b"HTTP/1.1 404\nA: b\n\nbody", 404, b"body"),
        (b"HTTP/2 200\r\n\r\nbody", 200, b"body"),
        (b"ICY 200 OK\r\n\r\nbody", None, b"ICY 200 OK\r\n\r\nbody"),
        (b"Content-Type: text/html\r\n\r\nbody", None, b"body"),
        (b"<html>\n\nhere: it is", None, b"<html>\n\nhere: it is"),
        (b"HTTP/1.1 200 OK\r\nA: b", 200, b""),
        (b"", None, b""),
    ],
)
def test_parse_response_whole_and_broken(message: bytes, status: int | None, body: bytes) -> None:
    data = b"before" + message + b"\r\n\r\nafter"
    response = parse_response(data, 6, 6 + len(message))
    assert response.status == status
    assert data[response.body : 6 + len(message)] == body


def test_parse_fields_first_of_doubled_wins_and_folded_lines_join() -> None:
    fields = parse_fields(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\nB : x\r\n\ty\r\nno colon\r\n: nameless")
    assert fields == {b"a": b"1", b"b": b"x y"}


@pytest.mark.parametrize(
    "text, seconds",
    [
        (b"1970-01-02T00:00:00Z", 86400),
        (b"2026-01-01T00:00:00.123456789Z", 1767225600),
        (b"1970-01-01T01:00:00+01:00", 0),
        (b"2008-10-294T05:21:46-0700", None),
        (b"", None),
        (b"\xff", None),
        (b"0001-01-01T00:00:00+14:00", None),
        (b"9999-12-31T23:59:59-01:00", None),
    ],
)
def test_parse_date_iso_and_broken(text: bytes, seconds: int | None) -> None:
    assert parse_date(text) == seconds


def test_looks_like_html_sees_tags_only_near_the_start() -> None:
    assert looks_like_html(b"\n <!-- x --> <HTML lang=en>")
    assert not looks_like_html(b"%PDF-1.4")
    assert not looks_like_html(b" " * 2000 + b"<html>")
