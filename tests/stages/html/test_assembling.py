"""Texts of pages: the layout against an oracle in plain Python, every option, hostile pages within their buffers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from stages.html.assembling import TextOptions, texts
from stages.html.scanning import Scan, scan
from stages.kernels import utf8
from stages.kernels.html_assemble import assemble, capacity
from stages.kernels.html_assemble_links import MARKDOWN, MOST_HREF_BYTES
from tests.shared_data import REPOSITORY
from tests.stages.html.layout_oracle import blocks_of, random_document, text_of


def view(pages: Sequence[str]) -> utf8.Utf8:
    return utf8.padded(utf8.view(pa.array(list(pages), pa.large_string())))


def text(page: str, keep: Sequence[bool] | None = None, **options: object) -> str:
    """The text of one page, of all its blocks or those of `keep`."""
    pages = view([page])
    found = scan(pages)
    keep_B = np.ones(len(found.rows.blocks), bool) if keep is None else np.array(keep, bool)
    assert len(keep_B) == len(found.rows.blocks)
    return str(texts(pages, found, keep_B, TextOptions(**options))[0].as_py())  # type: ignore[arg-type]


def block_texts(found: Scan) -> list[str]:
    return [found.rows.text[a:b].tobytes().decode() for a, b in found.rows.blocks[:, :2]]


@pytest.mark.parametrize("bullets", [False, True])
def test_texts_random_documents_are_laid_out_as_the_oracle_does(bullets: bool) -> None:
    rng = random.Random(11)
    documents = [random_document(rng) for _ in range(500)]
    oracle = [blocks_of(html) for html in documents]
    pages = view(documents)
    found = scan(pages)
    assert block_texts(found) == [block.text for blocks in oracle for block in blocks]
    for share in (1.0, 0.7, 0.2):
        keep = [[rng.random() < share for _ in blocks] for blocks in oracle]
        keep_B = np.array([k for page in keep for k in page], bool)
        expected = [text_of(blocks, page, bullets) for blocks, page in zip(oracle, keep, strict=True)]
        assert texts(pages, found, keep_B, TextOptions(list_bullets=bullets)).to_pylist() == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>a</h1><p>b<p>c", "a\n\nb\n\nc"),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul><ul><li>e</ul>", "a\nb\nc\nd\n\ne"),
        ("<ul><li><p>a<p>b<li>c<li>d</ul>", "a\n\nb\n\nc\nd"),
        ("<li>a<li>b", "a\nb"),
        ("<dl><dt>a<dd>b<dt>c</dl>", "a\nb\nc"),
        ("<table><tr><th>a<th>b<tr><td>c<td>d</table>", "a\tb\nc\td"),
        ("<table><tr><td>a<td><p>b<p>c<td>d<tr><td>e<td>f</table>", "a\n\nb\n\nc\n\nd\ne\tf"),
        ("<table><tr><td>1<br>2<td>x</table>", "1\n2\n\nx"),
        ("<table><tr><td><table><tr><td>a<td>b</table><td>c</table>", "a\tb\n\nc"),
        ("<td>a<td>b", "a\tb"),
        ("<pre>a\n  b\n\n\tc\n</pre><p>d", "a\n  b\n\n\tc\n\nd"),
        ("<pre><div>a</div><div>  b</div>c</pre>", "a\nb\nc"),
        ("<table><tr><td><pre>1\n2</pre><td><pre>a\nb</pre></table>", "1\n2\n\na\nb"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("", ""),
    ],
)
def test_texts_blocks_are_parted_as_on_the_page(html: str, expected: str) -> None:
    assert text(html) == expected


def test_texts_dropped_blocks_leave_a_cell_one_line() -> None:
    html = "<table><tr><td><p>a<p>share<td>b</table>"
    assert text(html) == "a\n\nshare\n\nb"
    assert text(html, [True, False, True]) == "a\tb"


@pytest.mark.parametrize(
    ("html", "keep", "expected"),
    [
        ("<ul><li>a<li>b</ul>", None, "• a\n• b"),
        ("<ol><li>a<ul><li>x</ul><li>b<ol><li>y</ol></ol>", None, "1. a\n• x\n2. b\n1. y"),
        ("<ol><li>a<li>b<li>c</ol>", [True, False, True], "1. a\n3. c"),
        ("<ol><li><p>a<p>b<li>c</ol>", None, "1. a\n\nb\n\n2. c"),
        ("<ol><li><p>a<p>b</ol>", [False, True], "1. b"),
        ("<ul><li><table><tr><td>a</table><p>b</ul>", None, "a\n\n• b"),
        ("<dl><dt>a<dd>b</dl>", None, "a\nb"),
        ("<ul><li><h2>a</h2><p>b<li>c</ul>", None, "a\n\nb\n\n• c"),
        ("<pre><ol><li>a<li>b</ol></pre>", None, "a\nb"),
        ("<ol>" + "<li>x" * 11 + "</ol>", [False] * 9 + [True] * 2, "10. x\n11. x"),
    ],
)  # fmt: skip
def test_texts_list_bullets_mark_the_first_block_of_an_item(
    html: str, keep: list[bool] | None, expected: str
) -> None:  # fmt: skip
    assert text(html, keep, list_bullets=True) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>See <a href=x>the page</a> of today.", "See of today."),
        ("<p><a href=x>A</a> b <a href=y>c</a>", "b"),
        ("<p>a<a href=x>b</a>c", "ac"),
        ("<p>a<p><a href=x>b</a><p>c", "a\n\nc"),
        ("<ul><li>a<li><a href=x>b</a><li>c</ul>", "a\nc"),
        ("<pre>a\n<a href=x>b</a>\n  c</pre>", "a\n\n  c"),
        ("<p><a>no address</a> b", "no address b"),
    ],
)
def test_texts_links_dropped_leave_one_space_and_no_empty_blocks(html: str, expected: str) -> None:
    assert text(html, links="drop") == expected


@pytest.mark.parametrize(
    ("href", "address"),
    [
        ("http://a.b/c?d=e&amp;f=g#h", "http://a.b/c?d=e&f=g#h"), ("HTTPS://a.b", "HTTPS://a.b"), ("/x", "/x"),
        ("//a.b/x", "//a.b/x"), ("x.html", "x.html"), ("?q=a:b", "?q=a:b"), ("./a:b", "./a:b"), ("1a:b", "1a:b"),
        ("a b(c)&lt;d>", "a%20b%28c%29%3Cd%3E"), ("&#32; /x &#32;", "/x"), ("/caf&eacute;/日", "/café/日"),
        ("/a&copy=1", "/a&copy=1"), ("/a&NotEqualTilde;", "/a≂̸"), ("/" + "x" * (MOST_HREF_BYTES - 1), None),
        ("javascript:alert(1)", ""), ("java&Tab;script:x", ""), (" &#106;avascript&colon;x", ""), ("JaVaScRiPt:x", ""),
        ("data:text/html,x", ""), ("mailto:a@b.c", ""), ("tel:1", ""), ("ftp://a.b", ""), ("httpx://a", ""),
        ("http&#x3a;//a", "http://a"), ("#top", ""), ("", ""), ("  ", ""), ("/" + "x" * MOST_HREF_BYTES, ""),
    ],
)  # fmt: skip
def test_texts_links_in_markdown_keep_addresses_that_lead_to_pages(href: str, address: str | None) -> None:
    address = href if address is None else address
    expected = f"a [link]({address}) b" if address else "a link b"
    assert text(f'<p>a <a href="{href}">link</a> b', links="markdown") == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p><a href=x> a <b>b</b> </a>c", "[a b](x) c"),
        ("<p>a<a href=x><br>b</a>", "a\n[b](x)"),
        ("<p><a href=x>a</a><a href=y>b</a>", "[a](x)[b](y)"),
        ("<a href=x><h2>a</h2><p>b</p></a>", "[a](x)\n\nb"),
        ("<p><a href=x><img src=y></a>a", "a"),
    ],
)
def test_texts_links_in_markdown_stand_around_their_text(html: str, expected: str) -> None:
    assert text(html, links="markdown") == expected


def test_texts_link_over_blocks_has_its_address_at_the_first_kept_one() -> None:
    assert text("<a href=x><p>a</p><p>b</p><p>c</p></a>", [False, True, True], links="markdown") == "[b](x)\n\nc"


def test_texts_address_over_many_blocks_is_written_once() -> None:
    num_blocks, href = 3000, "(" * MOST_HREF_BYTES
    page = f"<a href='{href}'>" + "<div>x</div>" * num_blocks
    assert len(text(page, links="markdown")) < 4 * num_blocks + 3 * MOST_HREF_BYTES + 4


def test_capacity_worst_page_fills_its_buffer_to_the_last_marker() -> None:
    page = "<ol>" + "".join(f"<li><p><a href='{'(' * k}'>x</a></p>" for k in range(1, 40)) + "</ol>"
    pages = view([page])
    found = scan(pages)
    keep_B = np.ones(len(found.rows.blocks), bool)
    size = capacity(found.rows, found.block_offsets, keep_B, MARKDOWN, True)
    written = len(text(page, links="markdown", list_bullets=True).encode())
    unused = sum(12 - len(f"{k}. ") for k in range(1, 40)) + 38 + 2  # shorter markers, single line feeds, none at last
    assert size == written + unused


def test_texts_page_has_the_same_text_whatever_stands_before_it() -> None:
    rng = random.Random(5)
    documents = [random_document(rng) for _ in range(40)] + ["", "<a href=x>a", "<p>b", "<ul><li><a href=x>z</a>"]
    for options in ({}, {"list_bullets": True}, {"links": "drop"}, {"links": "markdown"}):
        alone = {html: text(html, **options) for html in documents}
        order = rng.choices(documents, k=60)
        pages = view(order)
        found = scan(pages)
        together = texts(pages, found, np.ones(len(found.rows.blocks), bool), TextOptions(**options))
        assert together.to_pylist() == [alone[html] for html in order]


def test_texts_bytes_behind_the_last_text_are_padding() -> None:
    pages = view(["<p>a", "<p>b"])
    found = scan(pages)
    assert utf8.is_padded(utf8.view(texts(pages, found, np.ones(2, bool), TextOptions())))
    assert texts(pages, found, np.zeros(2, bool), TextOptions()).to_pylist() == ["", ""]
    none = view([])
    assert texts(none, scan(none), np.zeros(0, bool), TextOptions()).to_pylist() == []


def test_options_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="'html' is none of text, drop, markdown"):
        TextOptions(links="html")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="neither article nor body"):
        TextOptions(mode="all")  # type: ignore[arg-type]


FRAGMENTS = (
    "<p>", "</p>", "<ul>", "</ul>", "<ol>", "<li>", "<table>", "</table>", "<tr>", "<td>", "</td>", "<pre>", "</pre>",
    "<br>", "<a href='x'>", "<a href=\"&#40;(((&lt\">", "<a href='&", "</a>", "<h1>", "</h1>", "<dl><dt>", "<dd>", "\n",
    "<div class='comment'>", "<div class=byline>", "</div>", "By Ann Lee", "May 5, 2021", " ", "word", "日本", "é",
    "&amp;", "&NewLine;", "&Tab;", "<", ">", '"', "'", "<span>", "</span>", "<form>", "<time>", "<aside>", "<!--",
    "<script>", "\0",
)  # fmt: skip


def hostile_pages(seed: int, num_pages: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(FRAGMENTS, k=rng.randint(0, 80))) for _ in range(num_pages)]


def check_hostile(num_pages: int) -> None:
    """Every option over hostile pages, into buffers of just the capacity; the texts are UTF-8."""
    from stages.html.assembling import kept, verdicts
    from stages.kernels.html_features import OWN_FEATURES
    from stages.kernels.html_kinds import kinds
    from stages.kernels.html_words import NUM_COUNTS

    rng = np.random.default_rng(3)
    pages = view(hostile_pages(1, num_pages))
    found = scan(pages)
    num_blocks = len(found.rows.blocks)
    kind_B = kinds(found.rows, found.block_offsets, found.element_offsets, found.token_offsets)
    counts = rng.integers(0, 50, (num_blocks, NUM_COUNTS), np.int32)
    features = rng.integers(0, 255, (num_blocks, len(OWN_FEATURES)), np.uint8)
    for k in range(24):
        options = TextOptions(
            links=("text", "drop", "markdown")[k % 3], list_bullets=k % 2 > 0, mode=("article", "body")[k // 12],
            comments=k // 6 % 2 > 0,
        )  # fmt: skip
        main_B = rng.random(num_blocks) < rng.random()
        keep_B = kept(verdicts(found, main_B, kind_B, counts, features, options))
        size = capacity(found.rows, found.block_offsets, keep_B, k % 3, options.list_bullets)
        exact, offsets = np.full(size, 255, np.uint8), np.full(len(pages) + 1, -1, np.int64)
        assemble(
            pages.data, found.rows, found.block_offsets, found.element_offsets, keep_B, k % 3, options.list_bullets,
            exact, offsets,
        )  # fmt: skip
        assert offsets[0] == 0 and (np.diff(offsets) >= 0).all() and offsets[-1] <= size
        assert exact[: offsets[-1]].tobytes().decode() == "".join(texts(pages, found, keep_B, options).to_pylist())


def test_texts_hostile_pages_fit_their_buffers() -> None:
    check_hostile(400)


@pytest.mark.slow
def test_kernels_index_nothing_out_of_bounds(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    program = "from tests.stages.html.test_assembling import check_hostile; check_hostile(300)"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
