"""Documents one can look at: samples kept and dropped, and the tables a wide stage wrote.

Reads:  `samples_kept`, `samples_dropped` and `tables` of a step's report
Writes: Markup; crawled text is shown as text, its direction left to the browser and kept from what stands around it
Cost:   at most the MAX_ amounts below, whatever the report holds; the page says how many were left out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.markup import Markup, element, outside_link
from pipeline.report_parts import MAX_CELL_CHARS, cell_text, named, table, url_link
from pipeline.wording import count, is_number, number, one_line, plural, shortened, title, visible, whole

MAX_KEPT = 12
MAX_PER_REASON = 8
MAX_REASONS = 24
MAX_TABLES = 12
MAX_ROWS = 30
MAX_COLUMNS = 12
MAX_EXCERPT_CHARS = 600


def kept(words: str, samples: Sequence[Mapping[str, Any]], num_kept: Any) -> Markup | None:
    """Samples of what the step let through; `words` say so."""
    if not samples:
        return None
    shown = samples[:MAX_KEPT]
    amount = f"{len(shown)} of {count(num_kept)} {words}" if is_number(num_kept) else f"{len(shown)} {words}"
    summary = element("summary", None, f"Samples {words} ", element("span", {"class": "amount"}, amount))
    return element("details", {"class": "samples"}, summary, element("ul", None, [_sample(s) for s in shown]))


def dropped(
    words: str, samples: Mapping[str, Sequence[Mapping[str, Any]]], amounts: Mapping[str, Any]
) -> Markup | None:
    """Samples of what the step dropped, by reason, the most frequent reason first; `words` say that it did."""
    reasons = sorted((r for r in samples if samples[r]), key=lambda r: (-whole(amounts.get(r)), r))
    if not reasons:
        return None
    groups = [_reason_group(words, reason, samples[reason], amounts.get(reason)) for reason in reasons[:MAX_REASONS]]
    left_out = len(reasons) - MAX_REASONS
    note = element("p", {"class": "note"}, f"Samples of {plural(left_out, 'more reason')} are in the report's JSON.")
    return element("div", {"class": "dropped-samples"}, groups, note if left_out > 0 else None)


def _reason_group(tag_words: str, reason: str, samples: Sequence[Mapping[str, Any]], amount: Any) -> Markup:
    shown = samples[:MAX_PER_REASON]
    words = f"{len(shown)} of {count(amount)}" if is_number(amount) else str(len(shown))
    tag = element("span", {"class": "tag"}, tag_words)
    summary = element("summary", None, tag, " ", named(reason), " ", element("span", {"class": "amount"}, words))
    return element("details", {"class": "samples"}, summary, element("ul", None, [_sample(s) for s in shown]))


def _sample(sample: Mapping[str, Any]) -> Markup:
    """One document: its URL, what was measured, an excerpt, its id for `crawlmill explain`."""
    head = element("p", {"class": "sample-head"}, url_link(sample.get("url")), " ", _measured(sample))
    return element("li", {"data-find": True}, head, _excerpt(sample.get("excerpt")), _identity(sample))


def _measured(sample: Mapping[str, Any]) -> Markup | None:
    value, threshold = sample.get("value"), sample.get("threshold")
    if not is_number(value):
        return None
    against = [" against ", element("b", None, number(threshold))] if is_number(threshold) else []
    return element("span", {"class": "measured"}, "measured ", element("b", None, number(value)), *against)


def _excerpt(text: Any) -> Markup | None:
    if not isinstance(text, str) or not text.strip():
        return None
    return element("blockquote", {"dir": "auto"}, shortened(text.strip(), MAX_EXCERPT_CHARS))


def _identity(sample: Mapping[str, Any]) -> Markup | None:
    parts: list[Any] = []
    if sample.get("id"):
        parts += ["id ", element("code", None, str(sample["id"])[:64])]
    if sample.get("place") and not sample.get("url"):
        parts += [" at ", element("code", None, one_line(str(sample["place"]), 120))]
    if sample.get("duplicate_of"):
        parts += [" duplicate of ", element("code", None, str(sample["duplicate_of"])[:64])]
    return element("p", {"class": "identity"}, *parts) if parts else None


def tables(tables_: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Markup]:
    """The tables a wide stage put into its report."""
    return [_table(name, rows) for name, rows in list(tables_.items())[:MAX_TABLES] if rows]


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> Markup:
    columns = list(dict.fromkeys(column for row in rows[:MAX_ROWS] for column in row))[:MAX_COLUMNS]
    numeric = {c for c in columns if all(isinstance(r.get(c), (int, float, type(None))) for r in rows[:MAX_ROWS])}
    body = [
        element("tr", {"data-find": True}, [_cell(row.get(c), c in numeric) for c in columns])
        for row in rows[:MAX_ROWS]
    ]
    more = f", the first {MAX_ROWS} of {count(len(rows))} rows" if len(rows) > MAX_ROWS else ""
    heads = [title(visible(column)) for column in columns]
    return table(
        "rows", f"{title(name)}{more}", heads, [element("tbody", None, body)], {title(visible(c)) for c in numeric}
    )


def _cell(value: Any, numeric: bool) -> Markup:
    text = shortened(value, MAX_CELL_CHARS) if isinstance(value, str) else cell_text(value)
    if numeric:
        return element("td", {"class": "num"}, text)
    if isinstance(value, str) and value.startswith(("http://", "https://")):
        return element("td", None, outside_link(value, text))
    return element("td", {"dir": "auto"}, text)
