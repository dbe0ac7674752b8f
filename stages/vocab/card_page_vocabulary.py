"""The vocabulary on the tokenizer card's page: how it is used, what is in it, what is of no use.

Reads:  `seen_in_held_out`, `kinds`, `lengths`, `rank_frequency`, `unused_in_held_out`, `unreachable`, `longest_tokens`
        and `first_merges` of a card
Writes: Markup; the curve as inline SVG, both of its axes logarithmic
Cost:   bounded as the card's lists are
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Attributes, Markup, element, fragment
from pipeline.report_axes import Frame, figure, short, svg
from pipeline.report_parts import table
from pipeline.wording import count, plural, share
from stages.vocab.card_page_parts import bar_row, note, num, token, tokens

MAX_GIVES = 12
Card = Mapping[str, Any]


def use(card: Card) -> Markup:
    return fragment(
        element("div", {"class": "charts"}, rank_frequency(card["rank_frequency"])),
        element("div", {"class": "tallies"}, _classes(card), _lengths(card["lengths"], card["kinds"])),
        _kinds(card["kinds"]),
    )


def rank_frequency(data: Mapping[str, Sequence[int]]) -> Markup:
    """How often the most frequent entry occurs, the second, and so on."""
    name = "occurrences by rank"
    if not data["rank"]:
        return figure(name, note("No tokens."), None)
    frame = Frame(
        width=560, height=270, left=58, right=16, top=14, bottom=42, x_low=0, y_low=0,
        x_high=max(1.0, math.log10(data["rank"][-1])), y_high=max(1.0, math.log10(data["occurrences"][0])),
    )  # fmt: skip
    points = [
        f"{frame.x(math.log10(rank)):.1f} {frame.y(math.log10(n)):.1f}"
        for rank, n in zip(data["rank"], data["occurrences"], strict=True)
    ]
    words = (
        f"From {count(data['occurrences'][0])} occurrences of the most frequent entry down to "
        f"{count(data['occurrences'][-1])} of the one at rank {count(data['rank'][-1])}"
    )
    drawing = svg(
        frame, "Occurrences by rank", words, _powers(frame),
        element("path", {"class": "line line-0", "d": "M" + "L".join(points if len(points) > 1 else points * 2)}),
        element("text", {"class": "axis-name", "x": (frame.left + frame.width) / 2, "y": frame.height - 6}, "Rank"),
    )  # fmt: skip
    return figure(name, drawing, f"{words}. Both axes are logarithmic.", wide=True)


def _powers(frame: Frame) -> Markup:
    """Axes with a tick at every power of ten."""
    base, right = frame.height - frame.bottom, frame.width - frame.right
    parts = [element("line", {"class": "axis", "x1": frame.left, "x2": right, "y1": base, "y2": base})]
    for power in range(int(frame.y_high) + 1):
        y = frame.y(power)
        parts.append(element("line", {"class": "grid", "x1": frame.left, "x2": right, "y1": y, "y2": y}))
        place: Attributes = {"class": "tick", "text-anchor": "end", "x": frame.left - 6, "y": y + 3.5}
        parts.append(element("text", place, short(10**power)))
    for power in range(int(frame.x_high) + 1):
        x = frame.x(power)
        parts.append(element("line", {"class": "axis", "x1": x, "x2": x, "y1": base, "y2": base + 4}))
        place = {"class": "tick", "text-anchor": "middle", "x": x, "y": base + 16}
        parts.append(element("text", place, short(10**power)))
    return fragment(parts)


def _classes(card: Card) -> Markup:
    """Learned entries by how often they occur."""
    seen = card["seen_in_held_out"]
    rows = seen["classes"]
    most = max(row["entries"] for row in rows)

    def label(first: int, last: int | None) -> str:
        if last is None:
            return f"{count(first)} or more"
        return "never" if last == 0 else f"{count(first)} to {count(last)}"

    body = [
        bar_row(
            label(row["from"], row["to"]), row["entries"], most,
            [count(row["entries"]), _percent(row["share_of_vocabulary"]), _percent(row["share_of_tokens"])],
        )
        for row in rows
    ]  # fmt: skip
    columns = ("Occurrences", "", "Entries", "Of entries", "Of tokens")
    caption = f"Learned entries by how often they occur among {count(seen['tokens'])} tokens"
    return table("tally", caption, columns, [element("tbody", None, body)], columns[2:])


def _percent(value: float | None) -> str:
    return share(value, 1)


def _lengths(rows: Sequence[Mapping[str, int]], kinds: Sequence[Mapping[str, Any]]) -> Markup:
    entries, occurrences = sum(row["entries"] for row in rows), sum(row["occurrences"] for row in rows)
    most = max(row["entries"] for row in rows)
    body = [
        bar_row(
            f"{row['bytes']}{' or more' if row is rows[-1] else ''}", row["entries"], most,
            [count(row["entries"]), share(row["entries"], entries), share(row["occurrences"], occurrences)],
        )
        for row in rows
    ]  # fmt: skip
    columns = ("Bytes", "", "Entries", "Of entries", "Of tokens")
    return table("tally", "Entries by their length", columns, [element("tbody", None, body)], columns[2:])


def _kinds(rows: Sequence[Mapping[str, Any]]) -> Markup:
    entries, occurrences = sum(row["entries"] for row in rows), sum(row["occurrences"] for row in rows)
    most = max((row["entries"] for row in rows), default=0)
    body = [
        bar_row(
            row["kind"], row["entries"], most,
            [
                count(row["entries"]), share(row["entries"], entries), share(row["occurrences"], occurrences),
                count(row["never_seen"]), share(row["never_seen"], row["entries"]),
            ],
        )
        for row in rows
    ]  # fmt: skip
    columns = ("Kind", "", "Entries", "Of entries", "Of tokens", "Never seen", "Of the kind")
    return table("measures", "Entries by what they are made of", columns, [element("tbody", None, body)], columns[2:])


def unused(card: Card) -> Markup:
    never, out_of_reach = card["unused_in_held_out"], card["unreachable"]
    not_text, bound = out_of_reach["no_text_by_themselves"], card["seen_in_held_out"]["never_seen_is_rarer_than"]
    rarest = float(f"{1 / bound:.2g}") if bound else 0.0
    rarer = f" Such an entry is rarer than one in {count(rarest)} tokens (95% confidence)." if bound else ""
    return fragment(
        note(
            f"{count(never['number'])} of {count(never['of'])} learned entries never occur in the held-out text."
            f"{rarer} {count(never['parts_of_longer'])} of them are parts of longer entries, learned on the way to "
            "those. A model hardly trains the embeddings of such entries; many of them speak for a smaller vocabulary, "
            "or for more of the text that they came from."
        ),
        tokens(never["first"]),
        element("h3", None, "Out of reach"),
        _out_of_reach(out_of_reach),
        note(
            f"{plural(not_text['number'], 'entry').replace('entrys', 'entries')} could not be asked: no UTF-8 by "
            f"themselves. {count(not_text['never_seen'])} of these never occur in the held-out text."
        ),
    )  # fmt: skip


def _out_of_reach(data: Mapping[str, Any]) -> Markup:
    if not data["of"]:
        return note("Not asked: this tokenizer puts a space before every text.")
    if not data["number"]:
        return note(f"None: each of {count(data['of'])} entries is what its own text is encoded to.")
    body = [
        element(
            "tr", None, element("td", None, token(row["token"])),
            element("td", None, [fragment(token(text), " ") for text in row["gives"][:MAX_GIVES]]),
            num(count(row["occurrences"])), num(count(row["id"])),
        )
        for row in data["first"]
    ]  # fmt: skip
    caption = f"The first {len(body)} of {count(data['number'])}" if len(body) < data["number"] else "All of them"
    columns = ("Entry", "Its text gives", "Occurrences", "Id")
    return fragment(
        note(
            f"{count(data['number'])} of {count(data['of'])} entries are not what their own text is encoded to; "
            f"{count(data['seen_in_held_out'])} of them do occur within longer text."
        ),
        table("measures", caption, columns, [element("tbody", None, body)], columns[2:]),
    )


def learned(card: Card) -> Markup:
    longest = [
        element(
            "tr", None, element("td", None, token(row["token"])), num(count(row["bytes"])),
            num(count(row["occurrences"])), num(count(row["id"])),
        )
        for row in card["longest_tokens"]
    ]  # fmt: skip
    first = [element("li", {"class": "pair"}, token(r["left"]), token(r["right"])) for r in card["first_merges"]]
    columns = ("Entry", "Bytes", "Occurrences", "Id")
    return fragment(
        element("h3", None, "First merges") if first else None,
        element("ul", {"class": "tokens"}, first) if first else None,
        table("measures", "Longest entries", columns, [element("tbody", None, longest)], columns[1:]),
    )
