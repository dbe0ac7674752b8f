"""Text cannot become markup, and what a browser would run cannot be written by accident."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.markup import Markup, element, escape, fragment, inline, outside_link
from pipeline.wording import visible


class Events(HTMLParser):
    """Start tags with their attributes, and text, as a browser's parser would see them."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(), st.text())
def test_element_any_text_and_attribute_come_back_as_text(text: str, attribute: str) -> None:
    seen = Events(element("p", {"title": attribute}, text))
    assert seen.tags == [("p", {"title": visible(attribute)})]
    assert seen.text == visible(text)


def test_element_markup_is_kept_and_joined_markup_is_escaped_again() -> None:
    bold = element("b", None, "a & b")
    assert element("p", None, bold, None, ["x", 3]) == "<p><b>a &amp; b</b>x3</p>"
    assert element("p", None, bold + "!") == f"<p>{html.escape(bold)}!</p>"
    assert not isinstance(bold + "!", Markup)


@pytest.mark.parametrize(
    "name", ["onclick", "onLoad", "style", "src", "srcdoc", "formaction", "xlink:href", "a b", 'a"']
)
def test_element_attribute_that_runs_or_loads_is_refused(name: str) -> None:
    with pytest.raises(AssertionError):
        element("p", {name: "x"})


@pytest.mark.parametrize(
    "href", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//a.example", "", "x"]
)
def test_element_href_other_than_http_or_fragment_is_refused(href: str) -> None:
    with pytest.raises(AssertionError):
        element("a", {"href": href})


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "ftp://a.example/", "file:///etc/passwd",
        "#x", "http://", "http:///x", "http://a.example/\u202ex", "http://a.example/ x",
        "\thttp://a.example/", "//a.example/", "",
    ],
)  # fmt: skip
def test_outside_link_of_anything_but_plain_http_is_text(url: str) -> None:
    assert [tag for tag, _ in Events(outside_link(url, "shown")).tags] == ["bdi"]


def test_outside_link_http_sends_no_referrer_and_opens_apart() -> None:
    ((tag, attributes), _) = Events(outside_link('https://a.example/?q="x"&y', "shown")).tags
    assert tag == "a"
    assert attributes["href"] == 'https://a.example/?q="x"&y'
    assert attributes["rel"] == "noreferrer noopener"


def test_escape_unseen_characters_become_signs() -> None:
    assert escape("a\u202eb\x1bc\x00d\ud800") == "a⟨U+202E⟩b␛c␀d⟨U+D800⟩"
    assert escape("line\n\ttab \u200d \u05d0") == "line\n\ttab \u200d \u05d0"


def test_inline_content_that_would_end_its_element_is_refused() -> None:
    with pytest.raises(AssertionError):
        inline("script", "'</SCRIPT>'")


def test_fragment_void_element_has_no_end() -> None:
    assert fragment(element("br"), "x") == "<br>x"
