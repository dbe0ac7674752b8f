"""The small pieces of the tokenizer card's page: a token one can see, a note, a row with a bar.

Reads:  values of a card
Writes: Markup
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipeline.markup import Child, Markup, element
from pipeline.report_parts import row_bar
from pipeline.wording import one_line, visible

MAX_TOKEN_CHARS = 80
MAX_LANGUAGE_CHARS = 24
_RUN = re.compile(r"(.)\1{8,}")  # one character over and over, which is written as `=×64`
_SIGNS = str.maketrans({"\n": "↵", "\r": "␍", "\t": "⇥"})


def token(text: str) -> Markup:
    """A token on a ground of its own, so that the spaces at its ends are seen; newlines, tabs, nothing but spaces as
    signs."""
    signs = _RUN.sub(_counted, text.translate(_SIGNS) if text.strip(" ") else text.replace(" ", "␣"))
    if len(signs) > MAX_TOKEN_CHARS:
        signs = signs[:MAX_TOKEN_CHARS] + "…"
    return element("code", {"class": "token", "dir": "auto"}, visible(signs))


def _counted(run: re.Match[str]) -> str:
    return f"{'␣' if run[1] == ' ' else run[1]}×{len(run[0])}"


def tokens(texts: Sequence[str]) -> Markup:
    return element("ul", {"class": "tokens"}, [element("li", None, token(text)) for text in texts])


def language(name: str) -> Markup:
    """A language as the documents name it."""
    return element("bdi", None, one_line(name, MAX_LANGUAGE_CHARS))


def note(*words: Child) -> Markup:
    return element("p", {"class": "note"}, *words)


def folded(summary: str, body: Markup) -> Markup:
    """What is shown when its summary is clicked."""
    return element("details", {"class": "samples"}, element("summary", None, summary), body)


def num(value: Child, kind: str = "num") -> Markup:
    """A cell of a number."""
    return element("td", {"class": kind}, value)


def bar_row(label: Child, value: float, most: float, cells: Sequence[Child], kind: str | None = None) -> Markup:
    """A table's row: what it is of, a bar of `value`, and numbers."""
    bar = element("td", {"class": "bar-cell"}, row_bar([("plain", value)], most))
    return element("tr", {"class": kind}, element("th", {"scope": "row"}, label), bar, [num(cell) for cell in cells])
