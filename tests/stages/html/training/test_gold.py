"""Gold rows, their pages, sites and folds: small files written here; the real ones where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard

from stages.html.training.gold import (
    NUM_FOLDS,
    Gold,
    Snippets,
    broken_gold,
    label_text,
    read_gold,
    read_pages,
    registered_domain,
    site_of,
    without_repeats,
)  # fmt: skip
from tests.shared_data import SHARED, needs_shared

BODY = "<html><head>%s</head><body>%s<p>Text of the page.</p></body></html>"
MADE_UP = Gold("https://made-up.example/1", "dragnet", False, "Text of the page.")


def write_record(uri: str, html: bytes) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html
    head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {uri}\r\nContent-Type: application/http\r\n"
    return f"{head}Content-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [
        {"uri": "http://a.test.org/1", "source": "dragnet", "real_url": True, "gold": "Text of the page."},
        {"uri": "http://b.test.org/2", "source": "trafilatura", "real_url": True,
         "gold": {"with": ["Text"], "without": ["Menu"]}},
        {"uri": "http://c.test.org/3", "source": "cleaneval-dev", "real_url": True, "gold": ""},
        {"uri": "http://d.test.org/4", "source": "gne", "real_url": True, "gold": None},
        {"uri": "https://dragnet.example/27", "source": "dragnet", "real_url": False, "gold": "damaged"},
    ]  # fmt: skip
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    (tmp_path / "gold-00.jsonl.zst").write_bytes(zstandard.compress(lines))
    page = (BODY % ("", "")).encode()
    (tmp_path / "pages.warc").write_bytes(b"".join(write_record(str(row["uri"]), page) for row in rows))
    return tmp_path


def test_read_gold_rows_with_gold_have_a_text_or_snippets(folder: Path) -> None:
    rows = read_gold(folder)
    assert list(rows) == ["http://a.test.org/1", "http://b.test.org/2", "https://dragnet.example/27"]
    assert rows["http://b.test.org/2"].main_text == Snippets(("Text",), ("Menu",))


def test_read_pages_joins_by_uri_and_leaves_out_broken_gold(folder: Path) -> None:
    pages = list(read_pages(folder, folder))
    assert [page.gold.uri for page in pages] == ["http://a.test.org/1", "http://b.test.org/2"]
    assert all("<p>Text of the page.</p>" in page.html for page in pages)
    assert len(list(read_pages(folder, folder, with_broken=True))) == 3


def test_read_pages_of_one_site_are_in_one_fold(folder: Path) -> None:
    first, second = read_pages(folder, folder)
    assert first.site == second.site == "test.org"
    assert first.fold == second.fold
    assert 0 <= first.fold < NUM_FOLDS


@pytest.mark.parametrize(
    "head, body, site",
    [
        ('<link href="http://www.one.co.uk/a" rel="canonical">', '<a href="http://two.org/">', "one.co.uk"),
        ('<meta property="og:url" content="https://news.one.de/x">', "", "one.de"),
        ('<base href="http://one.org/">', '<a href="http://two.org/">', "one.org"),
        ('<link rel="canonical" href="/a">', '<a href="http://a.two.org/"><img src="http://b.two.org/">', "two.org"),
        ("", '<a href="http://twitter.com/x"><a href="http://twitter.com/y"><a href="http://two.org/">', "two.org"),
        ("", '<a href="/relative">', MADE_UP.uri),
    ],
)
def test_site_of_made_up_url_is_what_the_page_says_of_itself(head: str, body: str, site: str) -> None:
    assert site_of(MADE_UP, BODY % (head, body)) == site


def test_site_of_real_url_is_its_registered_domain() -> None:
    gold = Gold("http://news.bbc.co.uk/1/x", "cleaneval-final", True, "text")
    assert site_of(gold, BODY % ('<link rel="canonical" href="http://other.org/">', "")) == "bbc.co.uk"


def test_registered_domain_of_archives_and_odd_urls() -> None:
    assert registered_domain("https://web.archive.org/web/2016id_/http://www.one.de/a") == "one.de"
    assert registered_domain("http://[broken/") == registered_domain("hard::file.html") == ""


def test_without_repeats_nested_selections_are_given_once() -> None:
    text = "Late draw\nLate draw\nThe match ended late\n\nBob\n\nThe match ended late\nBob\nBob\nscored\nBob"
    assert without_repeats(text) == "Late draw\nThe match ended late\nBob\nscored\nBob"


def test_label_text_of_sources_with_their_own_damage_is_mended() -> None:
    assert label_text("cleanportaleval", "It&#8217;s &amp; is") == "It’s & is"
    assert label_text("dragnet", "a\na &amp;") == "a\na &amp;"
    assert label_text("l3s-gn1", "a\na\n&amp;") == "a\n&amp;"


@needs_shared
def test_broken_gold_names_rows_that_exist_with_a_reason() -> None:
    rows = read_gold(SHARED / "data")
    assert set(broken_gold()) <= set(rows)
    assert set(broken_gold().values()) <= {"no_main_text", "not_in_page", "damaged_encoding", "boilerplate", "ruby"}
    assert len(broken_gold()) < 0.01 * len(rows)
