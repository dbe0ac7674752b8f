"""Attributes against Python's html.parser and regular expressions that split names into words."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels.html_attributes import ITEMPROP_SALT, MAX_TOKENS, ROLE_SALT, token_hash
from stages.kernels.html_scan import NOTE_AUTHOR, NOTE_JSON_LD
from stages.kernels.html_text import E_FIRST_TOKEN, E_FLAGS, E_HIDDEN
from tests.stages.kernels.html_pages import blocks_of, scanned

_SALTS = {"class": 0, "id": 0, "role": ROLE_SALT, "itemprop": ITEMPROP_SALT, "rel": ITEMPROP_SALT}


def tokens_of(page: str) -> list[int]:
    """The tokens of the page's last element."""
    rows = scanned([page]).rows
    return [int(token) for token in rows.tokens[rows.elements[-1, E_FIRST_TOKEN] :]]


def words(value: str) -> list[str]:
    """entry-content postBody2: entry, content, entry-content, post, body, postbody."""
    found = []
    for name in re.split("[\x00-\x20]+", value):
        parts = re.findall("[A-Za-z\x80-\U0010ffff]+", name)
        cut = [piece for part in parts for piece in re.split("(?<=[a-z\x80-\U0010ffff])(?=[A-Z])", part)]
        found += [_lower(piece) for piece in cut if len(piece.encode()) > 1]
        if len(cut) > 1:
            found.append(_lower(re.sub("[^A-Za-z\x80-\U0010ffff_-]", "", name)).replace("_", "-"))
    return found


def _lower(word: str) -> str:
    return re.sub("[A-Z]", lambda match: match[0].lower(), word)


class _Attributes(HTMLParser):
    """The attributes of the first start tag, the first of each name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.found is None:
            self.found = {name: value or "" for name, value in reversed(attrs)}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("entry-content", ["entry", "content", "entry-content"]),
        ("postBody2", ["post", "body", "postbody"]),
        ("post_body  a b2c", ["post", "body", "post-body", "bc"]),
        ("HTMLText x1 12 -", ["htmltext"]),
        ("größe-Ä", ["größe", "Ä", "größe-Ä"]),
        ("", []),
    ],
)
def test_tokens_of_a_class_are_its_words(value: str, expected: list[str]) -> None:
    assert tokens_of(f'<div class="{value}">') == [token_hash(word) for word in expected]
    assert words(value) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(_SALTS)), st.text(alphabet="abcXYZé019-_ \n\t:/中", max_size=40), st.sampled_from(["'", '"'])
)  # fmt: skip
def test_tokens_any_value_has_those_of_its_words(name: str, value: str, quote: str) -> None:
    expected = [token_hash(word, _SALTS[name]) for word in words(value)]
    assert tokens_of(f"<div {name}={quote}{value}{quote}>") == expected[:MAX_TOKENS]


def test_tokens_same_value_again_has_the_same_tokens() -> None:
    values = ["entry-content", "nav", "entry-content", "entry-contenT", "entry-content nav", "entry-content", "nav", ""]
    page = "".join(f"<div id=x class='{value}'><b class='{value}'>t</b><i>" for value in values)
    rows = scanned([page, page]).rows
    expected = [[token_hash(word) for word in words(value)] for value in values]
    starts = [*rows.elements[:, E_FIRST_TOKEN], len(rows.tokens)]
    found = [rows.tokens[a:b].tolist() for a, b in itertools.pairwise(starts)]
    assert found == [[], *expected] * 2
    salted = "<p rel='author x'><p class='author x'><p role='author x'><p class='author x'>"
    rows = scanned([salted]).rows
    assert rows.tokens.tolist() == [token_hash("author", s) for s in (ITEMPROP_SALT, 0, ROLE_SALT, 0)]


def test_tokens_of_one_tag_are_at_most_max_tokens() -> None:
    long = " ".join(f"word{'abcdefgh'[k % 8] * (k + 1)}" for k in range(60))
    assert len(tokens_of(f"<div class='{long}' id='{long}'>")) == MAX_TOKENS
    assert len(tokens_of(f"<div class='{long}'><div id='{long}'>")) == MAX_TOKENS


_NAMES = [
    "class",
    "id",
    "role",
    "itemprop",
    "rel",
    "href",
    "alt",
    "style",
    "hidden",
    "aria-hidden",
    "type",
    "src",
    "data-x",
    "title",
    "content",
    "x",
    "a",
]
_PLAIN = st.text(alphabet="abYZ-_19/:;.é#?", min_size=1, max_size=12)


@st.composite
def _tags(draw: st.DrawFn) -> str:
    written = []
    for name in draw(st.lists(st.sampled_from(_NAMES), max_size=6, unique=True)):
        name = draw(st.sampled_from([name, name.upper(), name.title()]))
        equals = draw(st.sampled_from(["=", " = ", "=\n", "\t="]))
        quote = draw(st.sampled_from(["", "'", '"']))
        value = (
            draw(_PLAIN) if not quote else draw(_PLAIN) + draw(st.sampled_from(["", " >", "<b> ", " display:none "]))
        )
        written.append(draw(st.sampled_from([name, f"{name}{equals}{quote}{value}{quote}"])))
    return f"<a {draw(st.sampled_from([' ', chr(10), '  '])).join(written)} >"


@settings(max_examples=300, deadline=None)
@given(_tags())
def test_attributes_any_well_formed_tag_is_read_as_html_parser_reads_it(tag: str) -> None:
    attributes = _Attributes(tag).found or {}
    [block] = blocks_of(f"{tag}text")
    assert block.text == "text"
    assert block.links == ((("text", attributes["href"]),) if "href" in attributes else ())
    if "href" in attributes:
        expected = [token_hash(w, _SALTS[n]) for n in attributes if n in _SALTS for w in words(attributes[n])]
        assert sorted(tokens_of(tag)) == sorted(expected[:MAX_TOKENS])
        hidden = "hidden" in attributes or "display:none" in re.sub(r"\s", "", attributes.get("style", "")).lower()
        hidden |= "true" in attributes.get("aria-hidden", "")
        assert bool(scanned([tag]).rows.elements[-1, E_FLAGS] & E_HIDDEN) == hidden


@pytest.mark.parametrize(
    ("tag", "hidden"),
    [
        ("<div hidden>", True), ("<div aria-hidden=true>", True), ("<div aria-hidden=false>", False),
        ("<div aria-hid=true>", False), ("<div data-hidden>", False), ("<div style='DISPLAY : none'>", True),
        ("<div style='display:block'>", False), ("<div style=ddisplay:none>", True), ("<div xhidden>", False),
        ("<div aria-hiddex=true>", False), ("<div style='display:nodisplay:none'>", True),
    ],
)  # fmt: skip
def test_hidden_elements_are_marked_with_all_that_is_in_them(tag: str, hidden: bool) -> None:
    rows = scanned([f"{tag}<p>x"]).rows
    assert (rows.elements[1:, E_FLAGS] & E_HIDDEN).tolist() == [int(hidden)] * 2


def test_href_of_several_is_the_first() -> None:
    assert blocks_of("<a href=x href=y>t</a>")[0].links == (("t", "x"),)
    assert blocks_of("<a href>t</a>")[0].links == (("t", ""),)
    assert blocks_of("<a name=x>t</a>")[0].links == ()


def test_alt_texts_are_text_where_they_are_asked_for() -> None:
    page = "<p>a<img alt='b &amp; c' src=x>d<img>"
    assert [block.text for block in blocks_of(page, alt_texts=True)] == ["ab & cd"]
    assert [block.text for block in blocks_of(page)] == ["ad"]


@pytest.mark.parametrize(
    "attributes", ["class=author", "id='postAuthor'", "rel=author", "itemprop=author", "class='by-line byline'"]
)
def test_elements_of_authors_are_noted(attributes: str) -> None:
    page = f"<p>x<span {attributes}>Jo</span><span class=authority rol=author role=author>"
    notes = scanned([page]).rows.notes
    assert notes.tolist() == [[NOTE_AUTHOR, 4, len(page)]]


def test_scripts_of_json_ld_are_noted() -> None:
    page = "<script type='Application/LD+JSON; charset=x'>{}</script><script type=text/json>[]</script>"
    assert scanned([page]).rows.notes.tolist() == [[NOTE_JSON_LD, 46, 48]]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<div class='x>y' id=q>z", ["z"]),
        ("<a href='unclosed>q</a> rest", ["q rest"]),
        ("<a title=\"x'>q</a><b title='y\">r", ["r"]),
        ("<p a=>b", ["b"]),
        ("<p a='1'b='2'>c", ["c"]),
        ("<p =x='>'>c", ["c"]),
        ("<p a=b'>c", ["c"]),
        ("<p/a/b='>'/>c", ["c"]),
        ('<img src="x"</a>y', ["y"]),
        ("a<p class", ["a"]),
        ("a<p class='x", ["a"]),
        ("a<p class='x'", ["a"]),
        ("a<p class=", ["a"]),
    ],
)
def test_tags_end_where_browsers_end_them_but_for_quotes_that_never_close(page: str, expected: list[str]) -> None:
    assert "".join(block.text for block in blocks_of(page)) == "".join(expected)
