"""Directives in headers and heads: cases by hand, and Python's html.parser as the oracle on real and broken pages."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from pipeline.stage import NarrowContext
from stages.commoncrawl import Config, commoncrawl
from stages.kernels.meta_robots import CUT, DIRECTIVES, HEAD_BYTES, TO_THE_END, UTF16, find
from tests.shared_data import SHARED, needs_shared

AGENTS = ("CCBot", "crawlmill")
NOINDEX = b'<meta name="robots" content="noindex">'


def seen(pages: Sequence[bytes | None], headers: Sequence[str | None] | None = None) -> list[set[str]]:
    """The names of the directives found in each page and its headers."""
    found = find(pa.array(pages, pa.large_binary()), pa.array(headers or [None] * len(pages), pa.string()), AGENTS)
    return [{name for k, name in enumerate(DIRECTIVES) if bits >> k & 1} for bits in found.seen_N.tolist()]


class Oracle(HTMLParser):
    """The directives of the meta tags before `<body>`."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.found: set[str] = set()
        self.reached_body = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.reached_body |= tag == "body"
        if tag != "meta" or self.reached_body:
            return
        first: dict[str, str] = {}
        for key, value in attrs:
            first.setdefault(key, value or "")
        name = first.get("name", "").strip().lower()
        tokens = re.split(r"[\s,;]+", first.get("content", "").lower().strip(" \t\r\n\f,;"))
        if name in ("robots", *(agent.lower() for agent in AGENTS)):
            self.found |= {t for t in tokens if t in DIRECTIVES} - {"tdm-reservation"}
        if name == "tdm-reservation" and tokens[0] == "1":
            self.found.add("tdm-reservation")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)


def by_parser(page: bytes) -> set[str]:
    oracle = Oracle()
    text = page[:HEAD_BYTES].decode("latin-1")
    for i in range(0, len(text), 1 << 14):
        if not oracle.reached_body:
            oracle.feed(text[i : i + (1 << 14)])
    return oracle.found


@pytest.mark.parametrize(
    "page, expected",
    [
        (NOINDEX, {"noindex"}),
        (b"<META CONTENT='NoIndex,NOAI' Name=Robots>", {"noindex", "noai"}),
        (b"<meta content=noai name=robots/>", set()),  # an unquoted value takes the slash
        (b"<meta content=noai name=robots />", {"noai"}),
        (b"<meta name = 'robots'\n\tcontent = 'noai;noimageai noarchive'>", {"noai", "noimageai", "noarchive"}),
        (b'<meta name=" robots " content=" none ">', {"none"}),
        (b'<meta name="ccbot" content="noindex"><meta name="CrawlMill" content="noai">', {"noindex", "noai"}),
        (b'<meta name="googlebot" content="noindex">', set()),
        (b'<meta name="robots" content="index" content="noindex">', set()),
        (b'<meta name="x" name="robots" content="noindex">', set()),
        (b'<meta property="robots" content="noindex">', set()),
        (b'<meta name="robots"><meta content="noindex">', set()),
        (b'<meta name="robots" content="noindexed, max-snippet:-1">', set()),
        (b'<meta name="tdm-reservation" content="1">', {"tdm-reservation"}),
        (b'<meta name="tdm-reservation" content="0">', set()),
        (b'<meta name="robots" content="tdm-reservation">', set()),
        (b'<metaname="robots" content="noindex">', set()),
        (b"<a title='" + NOINDEX + b"'>", set()),
        (b'<a title="x>" b=\'' + NOINDEX, set()),
        (b"a < b " + NOINDEX, {"noindex"}),
        (b"<<" + NOINDEX, {"noindex"}),
        (b"</ " + NOINDEX + NOINDEX, {"noindex"}),
        (b"<!-- " + NOINDEX + b" -->", set()),
        (b"<!-->" + NOINDEX, {"noindex"}),
        (b"<!--->" + NOINDEX, {"noindex"}),
        (b"<!-- --!>" + NOINDEX, {"noindex"}),
        (b"<!-- never closed " + NOINDEX, set()),
        (b"<!DOCTYPE html>" + NOINDEX, {"noindex"}),
        (b"<![CDATA[" + NOINDEX + b"]]>", set()),
        (b"<?xml version='1.0'?>" + NOINDEX, {"noindex"}),
        (b"<script>'" + NOINDEX + b"'</script>", set()),
        (b"<script>'</scripted>" + NOINDEX + b"</SCRIPT >", set()),
        (b"<STYLE>" + NOINDEX + b"</style>" + NOINDEX.replace(b"noindex", b"noai"), {"noai"}),
        (b"<title>" + NOINDEX + b"</title>", set()),
        (b"<noscript>" + NOINDEX + b"</noscript>", {"noindex"}),
        (b"<head></head><body class=x>" + NOINDEX, set()),
        (b"<head></head><p>" + NOINDEX, {"noindex"}),
        (NOINDEX[:-1], set()),
        (b"", set()),
        (None, set()),
    ],
)
def test_find_tags_are_read_as_browsers_do(page: bytes | None, expected: set[str]) -> None:
    assert seen([page]) == [expected]
    assert seen([b"x", page, NOINDEX]) == [set(), expected, {"noindex"}]  # nothing is read past a page's end


@pytest.mark.parametrize(
    "header, expected",
    [
        ("noindex", {"noindex"}),
        ("NoIndex, nofollow,NOAI", {"noindex", "noai"}),
        ("googlebot: noindex, none", set()),
        ("googlebot: noindex, none\nnoai", {"noai"}),
        ("googlebot: noindex, ccbot: noai, nofollow", {"noai"}),
        ("noai, googlebot:noindex", {"noai"}),
        ("CCBot:noindex", {"noindex"}),
        ("googlebot: noindex, *: noai", {"noai"}),
        ("unavailable_after: 25 Jun 2027 15:00:00 PST, noindex", {"noindex"}),
        ("max-snippet:-1, max-image-preview: large, noarchive", {"noarchive"}),
        ("tdm-reservation: 1", {"tdm-reservation"}),
        ("noai\ntdm-reservation: 0", {"noai"}),
        ("tdm-reservation:1", {"tdm-reservation"}),
        ("tdm-reservation, tdm-reservation:", set()),
        ("noindexed; ;;\n\n,:", set()),
        ("", set()),
        (None, set()),
    ],
)
def test_find_headers_are_read_by_line_and_user_agent(header: str | None, expected: set[str]) -> None:
    assert seen([b"<p>"], [header]) == [expected]
    assert seen([None, b""], [header, "noimageai"]) == [expected, {"noimageai"}]


def test_find_how_much_of_a_head_was_looked_at_is_told() -> None:
    long = b"<style>" + b" " * HEAD_BYTES + b"</style>" + NOINDEX
    utf16 = NOINDEX.decode().encode("utf-16")
    last = b" " * (HEAD_BYTES - len(NOINDEX)) + NOINDEX
    pages = [NOINDEX, long, utf16, utf16[2:], b"<body>" + b" " * HEAD_BYTES, last]
    found = find(pa.array(pages, pa.large_binary()), pa.nulls(len(pages), pa.string()), ())
    assert found.head_N.tolist() == [TO_THE_END, CUT, UTF16, UTF16, TO_THE_END, TO_THE_END]
    assert found.seen_N.tolist() == [1, 0, 0, 0, 0, 1]


def pages_of(folder: str) -> Iterator[bytes]:
    reader = commoncrawl.function(Config(source=str(SHARED / "data" / folder)), NarrowContext(step="crawl"))
    for shard in reader.shards():
        for batch in reader.read(shard):
            yield from batch.documents["payload"].to_pylist()


@needs_shared
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["warc", "realwarc"])
def test_find_real_pages_are_as_html_parser_has_them(folder: str) -> None:
    pages = list(pages_of(folder))
    assert seen(pages) == [by_parser(page) for page in pages]


@needs_shared
def test_find_real_pages_of_one_shard_are_as_html_parser_has_them() -> None:
    pages = list(pages_of("warc/DEV-MAIN-00000.warc.gz"))[::4]
    found = seen(pages)
    assert found == [by_parser(page) for page in pages] and any(found)


def test_find_random_tags_are_as_html_parser_has_them() -> None:
    """Made of pieces on which the parser follows the standard: not `-- >`, `<!x`, open quotes, tags in titles."""
    rng = np.random.default_rng(7)
    pieces = [
        b"<meta ", b"<META\n", b"name=robots ", b'name="Robots" ', b"content=noindex ", b"content='noai, none' ",
        b"> ", b"/>", b"<script>", b"</script >", b"<!-- c ", b" -->", b"text ", b"<p a='>'>", b"<body>",
        b'<meta name="ccbot" content="noarchive">', b"<noscript>", b"</noscript>",
    ]  # fmt: skip
    pages = [b"".join(pieces[i] for i in rng.integers(0, len(pieces), 12)) for _ in range(4000)]
    closed = [page + b" --></script>" for page in pages]
    different = [p for p, ours, its in zip(closed, seen(closed), map(by_parser, closed), strict=True) if ours != its]
    assert different == []
    assert sum(map(bool, seen(closed))) > 300


def test_find_random_bytes_and_cuts_stay_inside_the_page() -> None:
    """Each page alone and among others gives the same: nothing is read beyond its end."""
    rng = np.random.default_rng(9)
    whole = (
        b"<!DOCTYPE html><head><!-- a --><script>x</script>" + NOINDEX + b"<meta content=\"noai\" name='robots'><body>"
    )
    pages = [whole[:k] for k in range(len(whole) + 1)]
    pages += [rng.integers(0, 256, 60, np.uint8).tobytes() for _ in range(200)]
    alphabet = np.frombuffer(b"<>!-/='\" metanrobsc[]?\0", np.uint8)
    pages += [b"<meta " + rng.choice(alphabet, 50).tobytes() for _ in range(500)]
    assert [seen([page])[0] for page in pages] == seen(pages)


@pytest.mark.parametrize(
    "piece", [b"<meta ", b"<", b"<!--", b"<![CDATA[", b"<script>", b"</", b"<a b='", b"=", NOINDEX, b"<title></title>"]
)
def test_find_fifty_megabytes_take_linear_time(piece: bytes) -> None:
    page = piece * (50_000_000 // len(piece))
    seen([NOINDEX], ["noai"])  # compiled
    start = time.process_time()
    assert seen([page]) == [{"noindex"} if piece == NOINDEX else set()]
    assert seen([b""], [("googlebot:" + piece.decode()) * 500_000]) == [set()]
    assert time.process_time() - start < 3
