"""Character references against Python's `html.unescape`, which has the standard's list and rules for text."""

from __future__ import annotations

import html
import re
from html.entities import html5

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stages.kernels.compiled import kernel
from stages.kernels.html_entities import put_code, reference_at

_NO_TEXT = "\r\x81\x8d\x8f\x90\x9d"  # controls that html.unescape leaves as they are; others it leaves out


@kernel
def _decoded(data: np.ndarray, end: int, in_attribute: bool, out: np.ndarray) -> int:
    i = at = 0
    while i < end:
        code, second, size = 0, 0, 0
        if data[i] == 38:
            code, second, size = reference_at(data, i, end, in_attribute)
        if not size:
            out[at] = data[i]
            at, i = at + 1, i + 1
            continue
        at = put_code(out, at, code)
        if second:
            at = put_code(out, at, second)
        i += size
    return at


def decoded(text: str, in_attribute: bool = False) -> str:
    data = np.frombuffer(text.encode() + bytes(8), np.uint8)
    out = np.zeros(2 * len(data) + 8, np.uint8)
    size = _decoded(data, len(data) - 8, in_attribute, out)
    return out[:size].tobytes().decode()


def test_references_every_name_means_what_the_standard_says() -> None:
    for suffix in ("", "x", "=", " ", ";", "&amp", "1"):
        text = "".join(f"&{name}{suffix}\n" for name in html5)
        assert decoded(text) == html.unescape(text)


def test_references_names_cut_short_mean_the_longest_old_name_in_them() -> None:
    text = "\n".join(f"&{name[:k]}" for name in sorted(html5) for k in range(1, len(name)))
    assert decoded(text) == html.unescape(text)


def test_references_in_attributes_need_a_semicolon_before_letters_and_equals() -> None:
    assert decoded("?a=1&copy=2&lt3&amp;b&ampx&lt", in_attribute=True) == "?a=1&copy=2&lt3&b&ampx<"
    assert decoded("&copy=2&notit;&notin;", in_attribute=False) == "©=2¬it;∉"


@pytest.mark.parametrize("form", ["&#{};", "&#{} ", "&#x{:x};", "&#X{:X}z", "&#000{}"])
def test_references_numbers_are_characters(form: str) -> None:
    numbers = [*range(160, 0x2FFF), *range(32, 127), 9, 10, 0xD7FF, 0xE000, 0x10FFFD, 0x1F600, 0xFFFD]
    numbers += [c for c in range(0x80, 0xA0) if bytes([c]).decode("cp1252", "ignore")]
    for number in numbers:
        assert decoded(form.format(number)) == html.unescape(form.format(number))


def test_references_impossible_numbers_are_replacement_characters() -> None:
    for number in (0, 0xD800, 0xDFFF, 0x110000, 10**30):
        assert decoded(f"&#{number};") == html.unescape(f"&#{number};") == "\ufffd"
    assert decoded("&#x81;&#x9d;") == "\ufffd\ufffd"  # windows-1252 has no such characters


def test_references_controls_are_spaces_but_for_tabs_and_line_ends() -> None:
    assert decoded("".join(f"&#{k};" for k in range(1, 32))) == " " * 8 + "\t\n" + "  \r" + " " * 18
    assert decoded("&#127;") == " "


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="&#xX;abglmnopqrstuAEGL0159 =\né", max_size=40))
def test_references_any_text_is_decoded_as_html_unescape_does(text: str) -> None:
    references = re.findall("&#(?:[xX][0-9a-fA-F]+|[0-9]+);?", text)
    assume(all(html.unescape(reference).strip(_NO_TEXT) for reference in references))
    assert decoded(text) == html.unescape(text)


def test_references_are_at_most_a_sixth_shorter_than_what_they_stand_for() -> None:
    names = [name for name in html5 if len(html5[name].encode()) > len(name) + 1]
    assert all(5 * len(html5[name].encode()) <= 6 * (len(name) + 1) for name in names)
    assert {html5[name] for name in names} == {"≫⃒", "≪⃒"}  # &nGt; and &nLt;


@pytest.mark.parametrize(
    "text", ["&", "&#", "&#x", "&a", "&#65", "&amp", "&lt", "&#x1F60", "é&", "&CounterClockwiseContourIntegra"]
)  # fmt: skip
def test_references_cut_off_at_the_end_read_no_further(text: str) -> None:
    data = np.frombuffer(text.encode() + b";mp;;;;;", np.uint8)
    out = np.zeros(100, np.uint8)
    size = _decoded(data, len(text.encode()), False, out)
    assert out[:size].tobytes().decode() == html.unescape(text)


def test_put_code_every_length_is_utf8() -> None:
    for character in "a\x7f\x80߿ࠀ\uffff\U00010000\U0010ffff":
        out = np.zeros(8, np.uint8)
        assert out[: put_code(out, 0, ord(character))].tobytes() == character.encode()
