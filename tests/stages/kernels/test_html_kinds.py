"""Kinds of blocks on constructed pages, through the scanner."""

from __future__ import annotations

import pyarrow as pa
import pytest

from stages.html.scanning import Scan, scan
from stages.kernels import utf8
from stages.kernels.html_kinds import KINDS, NUM_SLOTS, kinds

LONG = "The committee met on Tuesday, and after an hour of debate it agreed to put the question off until spring."
MAIN = f"<main><p>{' '.join([LONG] * 9)}</p></main>"  # most of the page's text, so that no other container is


def scan_of(*pages: str) -> Scan:
    return scan(utf8.padded(utf8.view(pa.array(pages, pa.large_string()))))


def named(found: Scan) -> list[str]:
    kind_B = kinds(found.rows, found.block_offsets, found.element_offsets, found.token_offsets)
    return [KINDS[k] for k in kind_B]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<div style='display: none'><p>x</p></div>", ["hidden"]),
        ("<nav hidden>x</nav>", ["hidden"]),
        ("<div id='comments'><p>I liked it</p><h3>Reply</h3></div>", ["comment", "comment"]),
        ("<ol class='commentlist'><li>So did I</li></ol>", ["comment"]),
        ("<div class='userComment2'>So did I</div>", ["comment"]),
        ("<div class='no-comments'><p>x y</p></div>", ["paragraph"]),
        (f"<pre>{LONG} <span class='comment'>// no</span></pre>", ["code"]),
        ("<pre><div class='comment'>// no</div></pre>", ["code"]),
        ("<nav><p>x</p></nav>", ["navigation"]),
        ("<div role=navigation>x</div>", ["navigation"]),
        ("<ul class=breadcrumbs><li>x</li></ul>", ["navigation"]),
        ("<p><a href=x>all of it</a></p>", ["navigation"]),
        ("<h2><a href=x>all of it</a></h2>", ["heading"]),
        (f"<p><a href=x>{LONG * 3}</a></p>", ["paragraph"]),
        ("<header><p>x</p></header>", ["header"]),
        ("<article><header><h1>x</h1></header></article>", ["heading"]),
        ("<div class='entry-header'><h1>x</h1></div>", ["heading"]),
        ("<div class='site-header'>x</div>", ["header"]),
        ("<footer>x</footer>", ["footer"]),
        ("<div id=sidebar><h2>x</h2></div><aside>y</aside>", ["aside", "aside"]),
        ("<div class='with-sidebar'><h2>x</h2></div>", ["heading"]),
        ("<form><p>x</p></form><button>y</button><label>z</label>", ["form", "form", "form"]),
        ("<figure>f<figcaption>x</figcaption></figure>", ["other", "caption"]),
        ("<div class='wp-caption-text'>x</div>", ["caption"]),
        ("<p class=byline>By Ann</p><p><time>May 5</time></p>", ["byline", "byline"]),
        ("<div class=entry-meta><p><span>x</span></p></div>", ["byline"]),
        (f"<div class=author><p>{LONG} {LONG}</p></div>", ["paragraph"]),
        ("<div class=author><div><div><div><p>x</p></div></div></div></div>", ["paragraph"]),
        ("<span itemprop='datePublished'>May 5</span>", ["byline"]),
        ("<h4>x</h4>", ["heading"]),
        ("<ul><li>x</li></ul><dl><dt>y<dd>z</dl>", ["list item"] * 3),
        ("<table><tr><th>x<td>y</table>", ["table cell"] * 2),
        (f"<table><tr><td><p>{LONG}</p><p>{LONG} {LONG}</p></table>", ["table cell", "paragraph"]),
        ("<table><tr><td><ul><li>x</li></ul></table>", ["list item"]),
        ("<ul><li><table><tr><td>x</table></li></ul>", ["table cell"]),
        ("<blockquote><p>x</p></blockquote>", ["quote"]),
        (f"<p>x</p><div>{LONG}</div><div>y</div>", ["paragraph", "paragraph", "other"]),
    ],
)  # fmt: skip
def test_kinds_blocks_have_the_kind_of_the_elements_around_them(html: str, expected: list[str]) -> None:
    assert named(scan_of(f"<html><body>{html}{MAIN}</body></html>"))[:-1] == expected


def test_kinds_words_of_the_body_say_nothing_of_blocks() -> None:
    page = "<html class=comments><body class='comments sidebar menu'><p>x</p></body></html>"
    assert named(scan_of(page)) == ["paragraph"]


@pytest.mark.parametrize("start", ["<form>", "<div class=sidebar>", "<div class=menu>", "<div class=author>"])
def test_kinds_container_of_most_of_the_text_is_none(start: str) -> None:
    assert named(scan_of(f"<body>{start}<p>{LONG}</p></{start[1:4]}><p>x</p></body>")) == ["paragraph", "paragraph"]


def test_kinds_comment_word_around_the_headline_is_none() -> None:
    assert named(scan_of("<div class='page comments'><h1>x</h1><p>y</p></div>")) == ["heading", "paragraph"]


def test_kinds_page_has_the_same_kinds_whatever_stands_before_it() -> None:
    pages = [f"<div class=comments><p>{LONG}</p></div>", "", "<nav>x", f"<p>{LONG}</p><aside>x</aside>", "<ul><li>x"]
    alone = [named(scan_of(page)) for page in pages]
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3, 3]):
        assert named(scan_of(*(pages[k] for k in order))) == [kind for k in order for kind in alone[k]]


def test_kinds_no_pages_give_no_kinds() -> None:
    assert named(scan_of()) == []
    assert NUM_SLOTS & (NUM_SLOTS - 1) == 0
