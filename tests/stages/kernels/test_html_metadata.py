"""Titles, bylines, dates, names of sites and languages, held against json, email.utils, datetime and cases by hand."""

from __future__ import annotations

import datetime
import email.utils
import json
import mmap
import random
import time
from collections.abc import Sequence

import numpy as np
import pytest

from stages.kernels import html_metadata
from stages.kernels.html_metadata import BYLINES, LANGUAGES, SITES, TITLES
from tests.stages.kernels.html_notes import AUTHOR, JSON_LD, META, TIME, TITLE, Notes, laid_out, of_pages
from tests.stages.kernels.text_spans import between_closed_pages

UTC = datetime.UTC
Row = tuple[str, str, str | None, str, str]  # title, byline, date in ISO 8601, site's name, language


def read(notes: Notes, crawled: Sequence[int] = (), urls: Sequence[str] = ()) -> list[Row]:
    """What each page says; empty texts where it says nothing."""
    num_pages = len(notes.offsets) - 1
    addresses = [url.encode() for url in urls] or [b""] * num_pages
    url_bytes = np.frombuffer(b"".join(addresses) or b"\0", np.uint8)
    found = html_metadata.read_metadata(
        read_only(notes.data), notes.note_offsets, notes.kind, notes.start, notes.end,
        np.array(crawled or [-1] * num_pages, np.int64), read_only(url_bytes),
        read_only(np.cumsum([0, *map(len, addresses)], dtype=np.int64)),
    )  # fmt: skip
    texts = [
        [data[offsets[n] : offsets[n + 1]].tobytes().decode() for n in range(num_pages)]
        for data, offsets in (found.texts[k] for k in (TITLES, BYLINES, SITES, LANGUAGES))
    ]
    return [
        (texts[0][n], texts[1][n], moment(found.date_N[n]) if found.has_date_N[n] else None, texts[2][n], texts[3][n])
        for n in range(num_pages)
    ]


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def moment(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(int(seconds), UTC).isoformat()


def one(page: str, url: str = "", crawled: int = -1) -> Row:
    return read(of_pages([page.encode()]), [crawled], [url])[0]


def meta(name: str, content: str, attribute: str = "name") -> str:
    return f'<meta {attribute}="{name}" content="{content}">'


def json_ld(value: object) -> str:
    return f'<script type="application/ld+json">{json.dumps(value)}</script>'


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("<title>A &amp; B\n  &#8217;c&rsquo;</title>", "A & B ’c’"),
        (meta("og:title", "Open", "property") + "<title>Element</title>", "Open"),
        ('<meta content=Open property=og:title><title>Element</title>', "Open"),
        ("<meta\tCONTENT='It&#39;s  so'\nPROPERTY='OG:Title' /><title>x</title>", "It's so"),
        (meta("twitter:title", "Bird") + "<title>Element</title>", "Bird"),
        (json_ld({"@type": "NewsArticle", "headline": 'Of "JSON" é'}) + meta("twitter:title", "B"), 'Of "JSON" é'),
        (meta("og:title", "") + meta("og:title", "Second"), "Second"),
        (meta("og:title", "The Site") + meta("og:site_name", "the site") + "<title>A page</title>", "A page"),
        (meta("og:title", "The Site") + meta("og:site_name", "The Site"), "The Site"),
        (meta("og:site_name", "The Site") + "<title>A page - Part 2 | The Site</title>", "A page - Part 2"),
        (meta("og:site_name", "The Site") + "<title>The Site: a page</title>", "a page"),
        (meta("og:site_name", "Site - all of it") + "<title>A page – Site</title>", "A page"),
        (meta("twitter:site", "@thesite") + "<title>A page | The Site</title>", "A page"),
        ("<title>A page | Elsewhere</title>", "A page | Elsewhere"),
        ("<title>A page - example.com</title>", "A page"),
        ("<title>Use of Node.js - Node.js</title>", "Use of Node.js - Node.js"),
        (meta("og:site_name", "网站") + "<title>标题_网站</title>", "标题"),
        ("<title>Untitled Document</title>", ""),
        ("<title> \n </title>", ""),
        ('<meta name="og:title" content="He said "no" to it"><title>x</title>', 'He said "no" to it'),
        ("<title>a\x00b\x01\x7fc\u200b\ufeffd\u202ee\x85f</title>", "abcde f"),
        ("<title>" + "é" * 600 + "</title>", "é" * 500),
        (meta("og:title", "https://example.com/") + "<title>Words</title>", "Words"),
    ],
)  # fmt: skip
def test_read_title_of_a_page_is_its_first_source_without_the_sites_name(page: str, title: str) -> None:
    assert one(page)[0] == title


def test_read_title_host_of_the_address_names_the_site() -> None:
    page = "<title>A page - Example News</title>"
    assert one(page, "https://www.examplenews.co.uk/a")[0] == "A page"
    assert one(page, "https://news.example.com/a")[0] == "A page - Example News"
    assert one(page, "http://")[0] == one(page, "x" * 5000)[0] == "A page - Example News"


@pytest.mark.parametrize(
    ("page", "byline"),
    [
        (meta("author", "By Jane Smith"), "Jane Smith"),
        (meta("author", "von Hans Meier"), "Hans Meier"),
        (meta("author", "Vonnegut"), "Vonnegut"),
        (meta("author", "作者：王文"), "王文"),
        (meta("author", "BYLINE"), "BYLINE"),
        (meta("author", "admin") + '<a rel="author" href="/x">Jane Smith</a>', "Jane Smith"),
        (meta("author", "https://facebook.com/x"), ""),
        (meta("author", "@handle"), ""),
        (meta("twitter:creator", "@handle"), ""),
        (meta("twitter:creator", "Jane Smith"), ""),
        (meta("author", "www.example.com"), ""),
        (meta("author", "example.com"), ""),
        (meta("author", "The Site") + meta("og:site_name", "The Site"), ""),
        (meta("author", "Jane Smith (Reuters)"), "Jane Smith"),
        (meta("author", "jane@example.com"), ""),
        (meta("author", "Jane Smith &lt;jane@example.com&gt;"), "Jane Smith"),
        (meta("article:author", "A B") + meta("article:author", "C D") + meta("article:author", "a b"), "A B, C D"),
        (json_ld({"@type": "Article", "author": ["A B", {"@type": "Person", "name": "C D"}]}), "A B, C D"),
        (json_ld({"@type": ["Thing", "BlogPosting"], "author": {"name": ["A B", "C D"]}}), "A B, C D"),
        (json_ld({"@graph": [{"@type": "Article", "author": {"@id": "#1"}},
                             {"@type": "Person", "@id": "#1", "name": "A B"}]}), "A B"),
        (json_ld({"@type": "Product", "review": {"@type": "Review", "author": "A B"}}), ""),
        ('<div class="byline">By <a href="/x">A B</a> and <a href="/y">C D</a><br>May 4</div>', "A B and C D"),
        ('<p class="byline">By A B on May 4, 2013</p>', "A B"),
        ('<p class="byline">By A B | <time>May 4</time></p>', "A B"),
        ('<span itemprop="author" itemscope>Written by <b itemprop="name">A B</b> (x)</span>', "A B"),
        ('<div class="author"><div>A B</div><div>Editor</div></div><p>Text</p>', "A B"),
        ('<DIV CLASS=author><script>x</script><!-- C D -->A B</DIV>', "A B"),
        ('<div class="comment-author">A B</div>', ""),
        ('<div class="author">View my complete profile</div>', ""),
        ('<p class="byline">A B</p>' + "x" * 3000 + '<p class="byline">C D</p>', ""),
        ('<a rel="author">A B</a>, <a rel="author">C D</a>', "A B, C D"),
        ('<p class="byline">' + "A B " * 100 + "</p>", ""),
        ('<p class="byline">A B', "A B"),
    ],
)  # fmt: skip
def test_read_byline_of_a_page_is_the_names_alone(page: str, byline: str) -> None:
    assert one(page)[1] == byline


@pytest.mark.parametrize(
    ("page", "language"),
    [
        ('<html lang="en">', "en"),
        ("<html LANG=EN-us>", "en-US"),
        ('<html xml:lang="de_DE" lang="">', "de-DE"),
        ('<html lang="zh-cmn-Hans">', "zh-Hans"),
        ('<html lang="zh-hant-tw">', "zh-Hant-TW"),
        ('<html lang="de-DE-formal">', "de-DE"),
        ('<html lang="en-x-private">', "en"),
        ('<html lang="es-419">', "es-419"),
        ('<html lang="{{ lang }}">' + meta("og:locale", "pt_BR"), "pt-BR"),
        ('<html lang="xx">', ""),
        ('<html lang="jp">', ""),
        ('<html lang="eng">', "en"),
        (meta("content-language", "en, en-us", "http-equiv"), "en"),
        (meta("content-language", "en, sv", "http-equiv"), ""),
        (meta("content-language", "DE, AT, CH", "http-equiv"), ""),
        (meta("content-language", "utf-8", "http-equiv"), ""),
        (meta("language", "deutsch, de"), "de"),
        (meta("language", "es_AR.UTF-8"), "es-AR"),
        (meta("og:locale", "en_uk"), "en-GB"),
        (json_ld({"@type": "Article", "inLanguage": "nb-NO"}), "nb-NO"),
    ],
)  # fmt: skip
def test_read_language_of_a_page_is_bcp_47_or_nothing(page: str, language: str) -> None:
    assert one(page)[4] == language


@pytest.mark.parametrize(
    ("page", "name"),
    [
        (meta("og:site_name", "A &amp; B"), "A & B"),
        (meta("application-name", "App"), "App"),
        (json_ld({"@type": "Article", "publisher": {"@type": "Organization", "name": "Pub"}}), "Pub"),
        (json_ld([{"@type": "WebSite", "name": "Site"}, {"@type": "Article", "publisher": "Pub"}]), "Site"),
        (meta("og:site_name", "https://example.com") + meta("application-name", "App"), "App"),
        (meta("og:site_name", "Site -"), "Site"),
    ],
)  # fmt: skip
def test_read_site_name_of_a_page_is_its_first_source(page: str, name: str) -> None:
    assert one(page)[3] == name


def date_of(value: str, crawled: int = -1) -> str | None:
    return one(meta("date", value), crawled=crawled)[2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2013-05-04", "2013-05-04T00:00:00"),
        ("2013-05-04T12:30:00.123+02:00", "2013-05-04T10:30:00"),
        ("2013-05-04 12:00:00", "2013-05-04T12:00:00"),
        ("2013/5/4", "2013-05-04T00:00:00"),
        ("20130504", "2013-05-04T00:00:00"),
        ("20130504T123000Z", "2013-05-04T12:30:00"),
        ("20130504123000", "2013-05-04T12:30:00"),
        ("2013年5月4日 08:05", "2013-05-04T08:05:00"),
        ("4.5.2013", "2013-05-04T00:00:00"),
        ("14/5/2013", "2013-05-14T00:00:00"),
        ("5/14/2013", "2013-05-14T00:00:00"),
        ("5/5/2013", "2013-05-05T00:00:00"),
        ("Wednesday, October 31, 2012,  5:03 PM", "2012-10-31T17:03:00"),
        ("Mon Jul 23 21:11:10 PDT 2012", "2012-07-24T04:11:10"),
        ("Sat May 04 2013 12:00:00 GMT+0200 (CEST)", "2013-05-04T10:00:00"),
        ("4. März 2013", "2013-03-04T00:00:00"),
        ("4 de mayo de 2013", "2013-05-04T00:00:00"),
        ("May 4th, 2013", "2013-05-04T00:00:00"),
        ("1570020082", "2019-10-02T12:41:22"),
        ("1570020082000", "2019-10-02T12:41:22"),
    ],
)
def test_read_date_in_forms_of_the_web_is_the_moment_in_utc(value: str, expected: str) -> None:
    assert date_of(value) == f"{expected}+00:00"


@pytest.mark.parametrize(
    "value",
    [
        "4/5/2013", "2013", "2013-05", "2013-02-29", "2013-13-01", "1989-12-31", "2013-05-04T25:00:00", "13-05-04",
        "May 2013", "soon", "2101-01-01", "2013-05-041", "9" * 40, "2013-05-04" * 20, "May 4 at 10:00", "４月",
    ],
)  # fmt: skip
def test_read_date_impossible_or_in_doubt_is_none(value: str) -> None:
    assert date_of(value) is None


def test_read_date_more_than_a_day_after_the_crawl_is_none() -> None:
    crawled = int(datetime.datetime(2013, 5, 4, 12, tzinfo=UTC).timestamp())
    assert date_of("2013-05-05T12:00:00Z", crawled) is not None
    assert date_of("2013-05-05T12:00:01Z", crawled) is None


def test_read_date_random_moments_are_as_datetime_and_email_write_them() -> None:
    rng = random.Random(5)
    moments, pages = [], []
    for _ in range(400):
        zone = datetime.timezone(datetime.timedelta(minutes=rng.randrange(-12 * 60, 14 * 60 + 1, 15)))
        then = datetime.datetime.fromtimestamp(rng.randrange(700_000_000, 1_900_000_000), zone)
        for text in (then.isoformat(), email.utils.format_datetime(then), then.strftime("%B %d, %Y %I:%M:%S %p %z")):
            moments.append(then.astimezone(UTC).isoformat())
            pages.append(meta("date", text).encode())
    assert [row[2] for row in read(of_pages(pages))] == moments


def test_read_date_of_time_elements_counts_where_they_agree() -> None:
    one_day = '<time datetime="2013-05-04">x</time><time datetime="2013-05-04T10:00:00Z">y</time>'
    other = '<time datetime="2013-06-05">z</time>'
    assert one(one_day)[2] == "2013-05-04T00:00:00+00:00"
    assert one(one_day + other)[2] is None
    assert one(one_day + other + '<time datetime="2013-07-08" pubdate></time>')[2] == "2013-07-08T00:00:00+00:00"
    assert one('<time class="updated" datetime="2013-05-04">')[2] is None


def headline_by_json(document: str) -> str:
    """The headline of the first article among the entities, by json."""
    found: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, dict):
            walk(value.get("@graph"))
            if value.get("@type") == "Article" and isinstance(value.get("headline"), str) and value["headline"]:
                found.append(value["headline"])

    walk(json.loads(document))
    return found[0] if found else ""


def test_read_json_ld_random_documents_give_what_json_gives() -> None:
    rng = random.Random(3)
    words = ["Article", "a", 'q"\\', "é\n", "", "{", "]", "\u2028", "😀", "</b>"]

    def value(depth: int) -> object:
        kind = rng.random() + 0.3 * (depth > 3)
        if depth == 0 or kind < 0.4:
            return rng.choice([*words, 1.5, -3, True, None])
        if kind < 0.6:
            return [value(depth - 1) for _ in range(rng.randint(0, 3))]
        keys = rng.sample(["@type", "headline", "x", "author", "@graph", "y"], rng.randint(2, 6))
        return {
            key: rng.choice(["Article", "Article", "Thing"]) if key == "@type" else value(depth - 1) for key in keys
        }

    documents = [
        json.dumps(value(5), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1])) for _ in range(3000)
    ]
    rows = read(laid_out([d.encode() for d in documents], [[(JSON_LD, 0, len(d.encode()))] for d in documents]))
    expected = [" ".join(headline_by_json(d).split()) for d in documents]
    different = [
        (d, row[0], e)
        for d, row, e in zip(documents, rows, expected, strict=True)
        if row[0] != e and any(c.isalnum() for c in e)
    ]
    assert different == []
    assert sum(any(c.isalnum() for c in e) for e in expected) > 100


@pytest.mark.parametrize(
    ("document", "title"),
    [
        ('<!-- <![CDATA[ {"@type": "Article", "headline": "A"} ]]> -->', "A"),
        ('{"@type": "Article", "headline": "A\nB",}', "A B"),
        ('{"@type": "Article", "headline": "A &amp; B"}', "A & B"),
        ('{"@type": "schema.org/Article", "headline": "\\ud83d\\ude00 x \\ud83d y \\u00e9"}', "😀 x \ufffd y é"),
        ('{"@type": "Article", "headline": "A" "B"}', ""),
        ('{"@type": "Article", "headline": "A"', ""),
        ('{"headline": "A", "@type": "Article"}{"headline": "B", "@type": "Article"}', "A"),
        ('{"x": ' + "[" * 500 + "]" * 500 + ', "@type": "Article", "headline": "A"}', "A"),
        ('{"x": ' + '{"y":[' * 50 + "1" + "]}" * 50 + ', "@type": "Article", "headline": "A"}', "A"),
        ("[" * 100_000, ""),
        ('{"@type":' * 100_000, ""),
        ('{"@type": "Article", "headline": "A\\', ""),
        ('{"@type": "Article", "headline": "A\\u12', ""),
    ],
)  # fmt: skip
def test_read_json_ld_out_of_the_ordinary_is_read_as_far_as_it_fits(document: str, title: str) -> None:
    raw = document.encode()
    assert read(laid_out([raw], [[(JSON_LD, 0, len(raw))]]))[0][0] == title


REGIONS = [
    (TITLE, "A &am"), (TITLE, "A &#x"), (TITLE, "A &"), (TITLE, "A é"), (META, ' name="author" content="A B'),
    (META, " content=2013-05-04 name=date"), (META, " name=author content"), (META, " content="),
    (META, ' name="og:title" content="A "b'), (TIME, ' datetime="2013-05-04'), (TIME, " datetime="),
    (JSON_LD, '{"@type": "Article", "headline": "A'), (JSON_LD, '{"@type": "Article", "author": ["A B'),
    (JSON_LD, '["'), (JSON_LD, "["), (JSON_LD, '{"headline"'), (AUTHOR, '<p class="byline">A B'),
    (AUTHOR, '<p class="byline"'), (AUTHOR, "<p"), (AUTHOR, '<p class=author>A <'), (AUTHOR, "<p class=author>A <!-"),
    (AUTHOR, "<p class=author>A B<script>x</scrip"), (AUTHOR, "<p class=author>A B</"),
    (2, ' lang="en'), (2, " lang=e"),
]  # fmt: skip


def test_read_regions_cut_anywhere_are_read_no_further_than_their_end() -> None:
    """A region says the same whatever stands around it; before a page that cannot be read, it is read at all."""
    cut = [(kind, text.encode()[:k]) for kind, text in REGIONS for k in range(len(text.encode()) + 1)]
    alone = read(laid_out([raw for _, raw in cut], [[(kind, 0, len(raw))] for kind, raw in cut]))
    for before, after in ((b"CDATA[\"'", b"mp; \"'>A B</p>]}=en"), (b"<", b"\xbf\xbf0123456789")):
        pages = [before + raw + after for _, raw in cut]
        notes = [[(kind, len(before), len(before) + len(raw))] for kind, raw in cut]
        assert read(laid_out(pages, notes)) == alone
    for kind, raw in cut:
        page = raw.rjust(mmap.PAGESIZE)
        with between_closed_pages(page) as data:
            last = laid_out([page], [[(kind, len(page) - len(raw), len(page))]])
            read(Notes(data, last.offsets, last.note_offsets, last.kind, last.start, last.end))


def test_read_random_bytes_give_clean_lines_of_bounded_length() -> None:
    rng = np.random.default_rng(4)
    alphabet = np.frombuffer("<>&#;x=/\"'\\{}[],: \0\n\x85authorcontentp20139-é中".encode(), np.uint8)
    pages = [rng.choice(alphabet, 300).tobytes().decode(errors="ignore").encode() for _ in range(600)]
    pages += [b"name=og:title content='" + page for page in pages[:200]]
    notes = [[(int(kind), 0, len(page)) for kind in rng.integers(0, 6, 4)] for page in pages]
    for row in read(laid_out(pages, notes)):
        for text in (row[0], row[1], row[3], row[4]):
            assert text == " ".join(text.split()) and len(text) <= 500
            assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in text)
        assert len(row[1]) <= 200


@pytest.mark.parametrize(
    ("kind", "piece"),
    [
        (META, b"a "), (META, b"content='x' "), (META, b"=\""), (META, b"name=author "), (TITLE, b"&amp;"),
        (TITLE, b" - "), (JSON_LD, b'{"@graph":['), (JSON_LD, b'"a",'), (JSON_LD, b'["\\"'),
        (AUTHOR, b"<p class=author>"),
        (AUTHOR, b"<script>"), (AUTHOR, b"<a "), (TIME, b"class=a\n"), (2, b"lang=' "), (JSON_LD, b"<![CDATA["),
    ],
)  # fmt: skip
def test_read_ten_megabytes_in_one_region_take_linear_time(kind: int, piece: bytes) -> None:
    page = b'<p class="author">' * (kind == AUTHOR) + piece * (10_000_000 // len(piece))
    notes = laid_out([page], [[(kind, 0, len(page))] * 2])
    read(of_pages([b"<title>x</title>"]))  # compiled
    start = time.process_time()
    read(notes)
    assert time.process_time() - start < 1


def test_read_many_pages_are_as_each_alone() -> None:
    pages = [
        (meta("og:title", f"Title {n}") * (n % 2) + meta("author", "A B") * (n % 3 == 0) + "<title>T</title>").encode()
        for n in range(30)
    ]
    assert read(of_pages(pages)) == [read(of_pages([page]))[0] for page in pages]
    assert read(of_pages([])) == []
