"""Texts on the tokenizer card's page: passages cut into tokens, and the worst and best compressed documents.

Reads:  `passages`, `worst_compressed` and `best_compressed` of a card
Writes: Markup; crawled text is shown as text, its direction left to the browser
Cost:   bounded as the card's lists are
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.wording import count, number, one_line, plural, size, visible
from stages.vocab.card_page_parts import folded, language, note

MAX_TITLE_IDS = 8
PASSAGES_OPEN = 10  # the others are folded


def passages(rows: Sequence[Mapping[str, Any]]) -> Markup:
    if not rows:
        return note("No held-out document has a line that is long enough to show.")
    return fragment(
        note(
            "A line of a held-out document per language, those with the most text first. Each token has a shade; "
            "pointing at it tells its id. Dotted: one character that is spread over several tokens."
        ),
        _listed_passages(rows[:PASSAGES_OPEN]),
        folded(f"{plural(len(rows) - PASSAGES_OPEN, 'more language')}", _listed_passages(rows[PASSAGES_OPEN:]))
        if len(rows) > PASSAGES_OPEN else None,
    )  # fmt: skip


def _listed_passages(rows: Sequence[Mapping[str, Any]]) -> Markup:
    return element("ul", {"class": "passages"}, [_passage(row) for row in rows])


def _passage(row: Mapping[str, Any]) -> Markup:
    rate = number(round(row["bytes"] / row["tokens"], 2)) if row["tokens"] else "no"
    measured = f"{plural(row['tokens'], 'token')}, {rate} bytes per token"
    pieces = [_piece(n, piece) for n, piece in enumerate(row["pieces"])]
    head = (language(row["language"]), " ", element("span", {"class": "measured"}, measured))
    return element(
        "li", None, element("p", {"class": "sample-head"}, *head), element("p", {"class": "cut", "dir": "auto"}, pieces)
    )


def _piece(n: int, piece: Mapping[str, Any]) -> Markup:
    ids = piece["ids"]
    kind = f"piece {'odd' if n % 2 else 'even'}{' several' if len(ids) > 1 else ''}"
    shown = ", ".join(map(str, ids[:MAX_TITLE_IDS])) + (", …" if len(ids) > MAX_TITLE_IDS else "")
    tip = f"id {shown}" if len(ids) == 1 else f"{len(ids)} tokens: {shown}"
    return element("span", {"class": kind, "title": tip}, piece["text"])


def documents(card: Mapping[str, Any]) -> Markup:
    return fragment(
        note(
            "Of at least 200 bytes each. What compresses worst is often no prose: identifiers, encoded data, a "
            "language that the tokenizer hardly saw. What compresses best repeats itself."
        ),
        element("h3", None, "Worst compressed"), _listed(card["worst_compressed"]),
        element("h3", None, "Best compressed"), _listed(card["best_compressed"]),
    )  # fmt: skip


def _listed(rows: Sequence[Mapping[str, Any]]) -> Markup:
    if not rows:
        return note("None.")
    return element("ul", {"class": "documents"}, [_document(row) for row in rows])


def _document(row: Mapping[str, Any]) -> Markup:
    measured = element(
        "span", {"class": "measured"}, element("b", None, number(row["bytes_per_token"])),
        f" bytes per token, {size(row['bytes'])} in {count(row['tokens'])} tokens",
    )  # fmt: skip
    return element(
        "li", None,
        element("p", {"class": "sample-head"}, language(row["language"]), " ", measured),
        element("blockquote", {"dir": "auto"}, visible(one_line(row["excerpt"], len(row["excerpt"]) + 1))),
        element("p", {"class": "identity"}, "id ", element("code", None, row["id"])),
    )  # fmt: skip
