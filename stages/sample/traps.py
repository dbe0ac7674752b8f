"""Pages of the sample crawl that break careless crawlers and parsers, one of each, and records that are no pages.

Reads:  an English and a Chinese article
Writes: pages of kind `trap` and `not_html`
Cost:   none worth naming
Source: ours; each trap is one that real crawls hold
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator

from stages.sample.labelled import FOLDER
from stages.sample.sites import Page, paragraphs
from stages.sample.written_pages import articles

HOST = "https://traps.example"
ZH_HEAD = "<html><head><title>{title}</title></head><body><h1>{title}</h1>{body}</body></html>"


def trap_pages() -> Iterator[Page]:
    """Every trap, in a fixed order; the last part of its address says what it is."""
    title_en, text_en = articles(FOLDER / "articles_en.txt")[0]
    title_zh, text_zh = articles(FOLDER / "articles_zh.txt")[1]
    yield from _markup(paragraphs(text_en))
    yield from _charsets(ZH_HEAD.format(title=title_zh, body=paragraphs(text_zh)))
    yield from _bodies(
        f"<html><head><title>{title_en}</title></head><body>{paragraphs(text_en)}</body></html>".encode()
    )
    yield from _scripts()
    yield from _answers()


def _trap(
    name: str,
    html: str | bytes,
    content_type: str = "text/html; charset=utf-8",
    status: str = "200 OK",
    headers: tuple[tuple[str, str], ...] = (),
) -> Page:
    body = html.encode() if isinstance(html, str) else html
    return Page(kind="trap", url=f"{HOST}/{name}", body=body, content_type=content_type, status=status, headers=headers)


def _markup(text: str) -> Iterator[Page]:
    yield _trap("unclosed-tags", f"<html><body><div><b><i><ul><li><table><tr><td>{text.replace('</p>', '')}<p>The end")
    yield _trap("huge-attribute", f'<html><body><div data-state="{"x1y2z3" * 50_000}">{text}</div></body></html>')
    yield _trap(
        "nested-tables", "<html><body>" + "<table><tr><td>" * 400 + text + "</td></tr></table>" * 400 + "</body></html>"
    )
    yield _trap("deep-nesting", "<html><body>" + "<div>" * 5_000 + text + "</div>" * 5_000 + "</body></html>")
    script = "<script>var a={b:'</p>',c:[1,2,3]};function f(){return a.b}</script>" * 800
    no_script = "<noscript>Please enable JavaScript.</noscript>"
    yield _trap("script-heavy", f"<html><head>{script}</head><body>{text}{no_script}</body></html>")
    yield _trap("entities", "<html><body><p>" + "Caf&eacute; &amp; cr&#232;me &mdash; 5 &lt; 6 &#x1F600; &nosuch; &#0; "
                "&#xD800; done.</p><p>" * 40 + f"{text}</body></html>")  # fmt: skip
    yield _trap("null-bytes", f"<html><body>\x00\x00{text}\x00<p>after\x00null</p></body></html>")
    yield _trap(
        "comments", f"<html><!-- <p>hidden</p> --- > <body><!--[if IE]><p>old</p><![endif]-->{text}<!-- never closed"
    )
    yield _trap(
        "script-in-title",
        f"<html><title><script>alert(1)</script>&quot;'><img src=x></title><body>{text}</body></html>",
    )
    yield _trap("one-long-line", "<html><body><p>" + "word " * 60_000 + "</p></body></html>")


def _charsets(html: str) -> Iterator[Page]:
    yield _trap("gb2312-undeclared", html.encode("gb2312", "replace"), "text/html")
    yield _trap("gb18030-declared-utf8", html.encode("gb18030"), "text/html; charset=utf-8")
    big5 = "<html><body><p>" + "這是一個沒有宣告編碼的網頁，內容是關於河邊的水車。" * 20 + "</p></body></html>"
    yield _trap("big5-undeclared", big5.encode("big5"), "text/html")
    yield _trap("utf16-with-mark", b"\xff\xfe" + html.encode("utf-16-le"), "text/html")
    yield _trap("utf8-with-mark", b"\xef\xbb\xbf" + html.encode(), "text/html")
    german = (
        "<html><body>"
        + "<p>Die Gäste saßen schön müde im Grünen und aßen Brötchen mit Käse.</p>" * 12
        + "</body></html>"
    )
    yield _trap("latin-1-undeclared", german.encode("latin-1"), "text/html")
    yield _trap("utf8-cut-in-character", html.encode()[: -len("</body></html>") - 5])


def _bodies(html: bytes) -> Iterator[Page]:
    yield _trap("empty-body", "<html><head><title>Nothing</title></head><body></body></html>")
    yield _trap("no-bytes", b"")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (html[i : i + 999] for i in range(0, len(html), 999)))
    yield _trap("chunked", chunks + b"0\r\n\r\n", headers=(("Transfer-Encoding", "chunked"),))
    yield _trap("gzip-encoded", gzip.compress(html, 6, mtime=0), headers=(("Content-Encoding", "gzip"),))
    yield _trap("deflate-encoded", zlib.compress(html), headers=(("Content-Encoding", "deflate"),))
    yield _trap("html-called-text", html, "text/plain")
    yield _trap("no-content-type", html, "")


def _scripts() -> Iterator[Page]:
    arabic = "كان البحر هادئا في ذلك الصباح، وخرج الصيادون قبل شروق الشمس بساعة كاملة. "
    hebrew = "הים היה שקט באותו בוקר, והדייגים יצאו שעה לפני הזריחה. "
    yield _trap("right-to-left", f'<html dir="rtl"><body><p>{arabic * 12}</p><p>{hebrew * 12}</p></body></html>')
    yield _trap(
        "emoji", "<html><body><p>" + "So happy today 😀🎉👩‍👩‍👧‍👦🇨🇳 see you soon 👍🏽 " * 60 + "</p></body></html>"
    )
    zalgo = "".join(c + "\u0301\u0323\u0336" for c in "the text that climbs out of its line ")
    yield _trap("combining-marks", f"<html><body><p>{zalgo * 20}</p></body></html>")
    yield _trap(
        "zero-width",
        "<html><body><p>" + "invis\u200bible\u200d break\u00ads every\ufeff where. " * 80 + "</p></body></html>",
    )


def _answers() -> Iterator[Page]:
    gone = "<html><body><h1>404 Not Found</h1><p>The page you asked for is not here.</p></body></html>"
    yield _trap("gone", gone, status="404 Not Found")
    yield _trap("broken", "<html><body><h1>500</h1></body></html>", status="500 Internal Server Error")
    yield _trap("moved", b"", status="301 Moved Permanently", headers=(("Location", f"{HOST}/unclosed-tags"),))
    rows = json.dumps([{"id": i, "name": f"row {i}"} for i in range(50)]).encode()
    png = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
    for i, (name, kind, body) in enumerate((("data.json", "application/json", rows), ("dot.png", "image/png", png),
                                            ("paper.pdf", "application/pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"),
                                            ("style.css", "text/css", b"body{margin:0}"))):  # fmt: skip
        yield Page(kind="not_html", url=f"https://files-{i}.example/{name}", body=body, content_type=kind)
