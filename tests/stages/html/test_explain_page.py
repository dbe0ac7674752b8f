"""The page that explains a page's text: hostile pages stay text, blocks are as they were judged, sizes are bounded."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import DataError
from stages.extract import Config
from stages.html import explain_blocks, explain_page
from stages.html.assembling import TextOptions, kept
from stages.html.explain_page import Page as Explained
from stages.html.explain_page import read_page, render
from stages.html.model import Model, save_model
from stages.kernels.html_verdicts import KEPT, NOT_MAIN
from tests.pipeline.parsed_page import Page
from tests.stages.html.random_model import random_model

ARTICLE = """<!doctype html><html lang="en-GB"><head><title>The tide tables</title>
<meta property="og:site_name" content="Harbour News"><meta name="author" content="Jane Doe">
<meta property="article:published_time" content="2024-03-05T10:20:00Z"></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/n">News</a></li></ul></nav>
<div><h1>The tide tables</h1><p>The sea rose by <b>two metres</b>, as it does in spring.</p><blink><p>And fell.</p>
</blink></div><footer>Copyright Harbour News</footer></body></html>"""
HOSTILE = """<title>&lt;script>alert(1)&lt;/script> &#x202e;gpj.exe</title><body>
<p>&lt;img src=x onerror=alert(2)&gt; &lt;/style>&lt;script>alert(3)&lt;/script>
<div class='"><script>alert(4)</script>'>&lt;/p>&lt;/li>&lt;/ol> {{7*7}} \u202e\u2066 evil \u202c \x1b[31m red</div>
<p>مرحبا بالعالم <ul><li>&quot; onmouseover=&quot;alert(5) <table><tr><td>x<td>y</table>"""


@pytest.fixture(scope="module")
def model() -> Model:
    return random_model(5)


def explained(html: str, model: Model, **row: Any) -> Explained:
    given = {"payload": html.encode(), "content_type": "text/html", "url": "https://a.example/x", "text": None}
    return read_page({**given, "date": datetime(2024, 6, 1, tzinfo=UTC), **row}, model, TextOptions())


def test_render_article_shows_metadata_and_every_block_in_order(model: Model) -> None:
    found = explained(ARTICLE, model)
    page = Page(render(found))
    text = "".join(t for _, t in page.texts)
    for wanted in ("Harbour News", "Jane Doe", "5 March 2024, 10:20 UTC", "en-GB", "utf-8: its bytes are valid UTF-8"):
        assert wanted in text
    assert page.inside("h1") == ["The tide tables"]
    blocks = [a for a in page.attributes("li") if "block" in (a.get("class") or "").split()]
    assert len(blocks) == len(found.extracted.verdict_B) == 6
    said = [t for where, t in page.texts if where == "p"]
    places = [said.index(words) for words in ("Home", "The sea rose by two metres, as it does in spring.", "And fell.")]
    assert places == sorted(places)
    assert "html › body › div › ? › p" in page.inside("code")
    assert "100.0 % linked" in text


def test_render_kept_blocks_and_scores_are_those_of_the_extraction(model: Model) -> None:
    found = explained(ARTICLE, model)
    page = Page(render(found))
    classes = [(a.get("class") or "").split() for a in page.attributes("li")]
    kept_B = kept(found.extracted.verdict_B)
    assert [("kept" in c) for c in classes if "block" in c] == kept_B.tolist()
    scores = [float(a.strip()) for where, a in page.texts if where == "div" and re.fullmatch(r"\d\.\d\d", a.strip())]
    expected = 1 / (1 + np.exp(-found.extracted.judged.logit_B / 4096))
    assert scores == pytest.approx(expected, abs=0.0051)
    near = [("near" in c) for c in classes if "block" in c]
    assert near == ((expected >= 0.3) & (expected <= 0.7)).tolist()


def test_render_hostile_page_adds_no_element_and_no_attribute(model: Model) -> None:
    html = render(explained(HOSTILE, model))
    page, honest = Page(html), Page(render(explained(ARTICLE, model)))
    known = {(tag, name) for tag, attributes in honest.tags for name in attributes}
    assert {(tag, name) for tag, attributes in page.tags for name in attributes} <= known
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "form", "base", "link"}
    assert len(page.attributes("style")) == 1
    assert all(not name.startswith("on") and name != "style" for _, attributes in page.tags for name in attributes)
    text = "".join(t for _, t in page.texts)
    assert "<img src=x onerror=alert(2)>" in text and "</p></li></ol> {{7*7}}" in text
    assert "⟨U+202E⟩" in text and not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


def test_render_policy_allows_exactly_our_style(model: Model) -> None:
    html = render(explained(ARTICLE, model))
    style = html.partition("<style>")[2].partition("</style>")[0]
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(a["content"] for a in Page(html).attributes("meta") if "http-equiv" in a)
    assert policy is not None
    assert f"style-src 'sha256-{hashed}'" in policy and "default-src 'none'" in policy and "script-src" not in policy


def test_render_same_page_is_the_same_bytes(model: Model) -> None:
    assert render(explained(ARTICLE, model)) == render(explained(ARTICLE, model))


def test_render_long_block_is_cut_with_a_count(model: Model) -> None:
    html = render(explained(f"<p>{'word ' * 2000}end", model))
    assert "8,503 more characters" in html
    assert len(html) < 60_000


def test_render_100000_blocks_shows_the_kept_ones_first_and_counts_the_rest(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_blocks, "MAX_BLOCKS", 50)
    found = explained("".join(f"<p>block {i}" for i in range(100_000)), model)
    found.extracted.verdict_B[:] = NOT_MAIN
    found.extracted.verdict_B[90_000:90_010] = KEPT
    found.extracted.judged.logit_B[:] = -5 * 4096
    html = render(found)
    page = Page(html)
    classes = [(a.get("class") or "").split() for a in page.attributes("li")]
    assert sum("block" in c for c in classes) == 50 and sum("kept" in c for c in classes) == 10
    left = [t for where, t in page.texts if where == "li"]
    assert [int(t.split(" ")[0].replace(",", "")) for t in left] == [100_000 - 9_990 - 50, 9_990]
    assert len(html) < 400_000  # the whole text, cut, among it


def test_render_page_without_text_says_so(model: Model) -> None:
    for html in ("", "<html><body></body></html>", "<!-- never closed <p>text"):
        page = Page(render(explained(html, model, url=None)))
        assert "The page has no text." in page.inside("p")
    assert any("not closed" in t for t in page.inside("p"))


def test_render_deep_page_shortens_its_paths(model: Model) -> None:
    page = Page(render(explained("<div>" * 700 + "text", model)))
    (path,) = page.inside("code")
    assert "more)" in path and len(path) < 120


def settings(**changed: Any) -> Config:
    return Config(**{"engine": "crawlmill", **changed})


@pytest.mark.parametrize(
    ("changed", "row", "expected"),
    [
        ({"engine": "trafilatura"}, {}, "engine trafilatura.*engine: crawlmill, the only one"),
        ({"engine": "resiliparse"}, {}, "resiliparse does not say what it thinks"),
        ({}, {"text": "given"}, "came as text"),
        ({}, {"payload": None}, "came as text"),
        ({"max_payload_bytes": 3}, {}, "max_payload_bytes"),
        ({"max_blocks": 2}, {"payload": b"<p>a<p>b<p>c"}, "more than 2 blocks"),
    ],
)
def test_explain_page_of_what_no_block_was_judged_in_says_why(
    changed: dict[str, Any], row: dict[str, Any], expected: str, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_page, "load_model", lambda path: model)
    with pytest.raises(DataError, match=expected):
        explain_page.explain_page(settings(**changed), {"payload": b"<p>x", "text": None, **row})


def test_explain_page_reads_with_the_settings_and_the_model_of_its_step(model: Model, tmp_path: Path) -> None:
    save_model(model, tmp_path / "model.npz")
    cfg = settings(list_bullets=True, comments=True, alt_texts=True, model=str(tmp_path / "model.npz"))
    html = explain_page.explain_page(cfg, {"payload": b"<img alt='a cat'>", "text": None})
    assert "list_bullets: true" in html and "comments: true" in html and "a cat" in html
    (tmp_path / "other.npz").write_bytes(b"no model")
    with pytest.raises(DataError, match="no model of main text"):
        explain_page.explain_page(settings(model=str(tmp_path / "other.npz")), {"payload": b"<p>x", "text": None})
