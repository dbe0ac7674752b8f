"""Counters named `table/row/column` are shown as tables."""

from __future__ import annotations

from pipeline.report_counters import counter_tables, split_counters

COUNTERS = {"pages": 3, "characters/a & b/kept": 5, "characters/a & b/in": 7, "characters/c/in": 0, "a/b": 1, "x//y": 2}


def test_split_counters_three_parts_are_a_table_all_others_stand_alone() -> None:
    alone, tables = split_counters(COUNTERS)
    assert alone == {"pages": 3, "a/b": 1, "x//y": 2}
    assert tables == {"characters": {"a & b": {"kept": 5, "in": 7}, "c": {"in": 0}}}


def test_counter_tables_largest_first_without_rows_of_zeros_and_with_sums() -> None:
    counters = {**COUNTERS, "characters/d/in": 1200, "characters/d/kept": 2}
    (table,) = counter_tables(counters)
    text = " ".join(str(table).replace("<", " <").split())
    assert text.index("In <") < text.index("Kept <")
    assert text.index("D <") < text.index("A &amp; b <") < text.index("All <")
    assert "1,207" in text and "> C <" not in text


def test_counter_tables_hostile_names_are_escaped() -> None:
    (table,) = counter_tables({"t/<script>/in": 1})
    assert "<script>" not in str(table).lower()
