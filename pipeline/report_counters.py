"""Counters that belong together, as a table: those a stage names `table/row/column`.

Reads:  a report's counters
Writes: the other counters; a table of HTML for each name of a table
Cost:   none
Source: stages/extract.py counts characters in, kept and dropped by kind of block this way
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.markup import Markup, element
from pipeline.report_parts import table
from pipeline.wording import count, one_line, title, whole

MAX_TABLES, MAX_ROWS, MAX_COLUMNS = 8, 60, 6
Cells = dict[str, dict[str, int]]  # row -> column -> count


def split_counters(counters: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Cells]]:
    """(those that stand alone, those of tables by the table's name)."""
    alone: dict[str, Any] = {}
    tables: dict[str, Cells] = {}
    for name, value in counters.items():
        parts = name.split("/")
        if len(parts) == 3 and all(parts):
            tables.setdefault(parts[0], {}).setdefault(parts[1], {})[parts[2]] = whole(value)
        else:
            alone[name] = value
    return alone, tables


def counter_tables(counters: Mapping[str, Any]) -> list[Markup]:
    """A table each: rows and columns with the largest sums first, rows of zeros left out."""
    _, tables = split_counters(counters)
    return [_table(name, cells) for name, cells in sorted(tables.items())[:MAX_TABLES]]


def _table(name: str, cells: Cells) -> Markup:
    totals: dict[str, int] = {}
    for row in cells.values():
        for column, value in row.items():
            totals[column] = totals.get(column, 0) + value
    columns = sorted(totals, key=lambda column: (-totals[column], column))[:MAX_COLUMNS]
    rows = sorted((row for row in cells if any(cells[row].values())), key=lambda row: (-max(cells[row].values()), row))
    body = [_row(row, [cells[row].get(column, 0) for column in columns]) for row in rows[:MAX_ROWS]]
    foot = element("tfoot", None, _row("All", [totals[column] for column in columns]))
    heads = [title(column) for column in columns]
    return table("counters", title(name), ("", *heads), [element("tbody", None, body), foot], heads)


def _row(name: str, values: list[int]) -> Markup:
    cells = [element("td", {"class": "num"}, count(value)) for value in values]
    return element("tr", None, element("th", {"scope": "row"}, one_line(title(name), 60)), cells)
