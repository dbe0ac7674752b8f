"""Pages made to break the scan: linear time, arrays never outgrown, nothing read or written outside them."""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.html.scanning import MAX_BYTES, scan
from stages.kernels.html_attributes import MAX_TOKENS
from stages.kernels.html_text import Scanned
from stages.kernels.html_tree import MAX_DEPTH
from stages.kernels.utf8 import PADDING, Utf8
from tests.shared_data import REPOSITORY, SHARED
from tests.stages.kernels.html_pages import PIECES, laid_out, mutated, random_page, real_pages, scanned, texts_of
from tests.stages.kernels.text_spans import between_closed_pages

# (what stands once before, what is repeated): each would take quadratic time somewhere if nothing was remembered.
FLOODS = {
    "nested": ("", "<div>"), "spans": ("", "<span>"), "formatting": ("", "<b><i><a href=x>"), "closed": ("", "</div>"),
    "blocks": ("", "<p>a"), "breaks": ("a", "<br>a"), "headings": ("<span>" * 500, "</h1>"),
    "items": ("<li>" + "<span>" * 500, "<li>"), "item_ends": ("<ul><li><ul>" + "<span>" * 500, "</li>"),
    "paragraph_ends": ("<p><table><td>" + "<span>" * 500, "</p>"), "cells": ("<table>" + "<span>" * 500, "</td>"),
    "unknown_ends": ("<x><div>" + "<span>" * 500, "</x>"), "tables": ("", "<table><tr><td>"),
    "double_quotes": ("", '<a href="'), "single_quotes": ("", "<a href='x>"), "mixed_quotes": ("'", "<a b=\"'c>"),
    "attributes": ("<div ", "a=b "), "names": ("<div ", "a"), "classes": ("<div class='", "aB "),
    "equals": ("<a ", "="), "less": ("", "<"), "less_slash": ("", "</"), "bang": ("", "<!"), "comments": ("", "<!--"),
    "dashes": ("<!--", "-"),
    "scripts": ("", "<script>"), "script_comments": ("", "<script><!--</script>"),
    "inner_scripts": ("", "<script><!--<script></script>"), "far_comment_end": ("", "<script><!---</script>"),
    "titles": ("", "<title>"), "svg": ("", "<svg><svg></svg>"), "templates": ("", "<template>"),
    "all_raw": ("", "<style><title><textarea><iframe><svg><template><select>"), "nul": ("", "\0"), "spaces": ("a", " "),
    "pre_spaces": ("<pre>a", "\r\n "), "ampersands": ("", "&"), "entities": ("", "&nGt;"), "numbers": ("", "&#x1F600;"),
    "digits": ("&#", "1"), "cut_names": ("", "&CounterClockwiseContourIntegra"), "old_names": ("", "&notit"),
    "nbsp": ("a", "&nbsp;"), "zero_width": ("a", "\u200b"), "times": ("", "<time class=author>"),
    "metas": ("", "<meta name=a>"), "images": ("", "<img alt=a>"), "letters": ("", "a"), "words": ("", "a b "),
}  # fmt: skip


def flood(name: str, size: int) -> bytes:
    before, piece = (part.encode() for part in FLOODS[name])
    return before + piece * (max(size - len(before), 0) // len(piece))


def seconds(page: bytes) -> float:
    pages, best = laid_out([page]), 1e9
    for _ in range(2):
        start = time.perf_counter()
        scan(pages)
        best = min(best, time.perf_counter() - start)
    return best


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOODS)
def test_hostile_pages_of_ten_times_the_size_take_about_ten_times_as_long(name: str) -> None:
    """Arrays of the smaller size are new memory too; twice over, since others use the machine."""
    small, large = seconds(flood(name, 800_000)), seconds(flood(name, 8_000_000))
    assert large < 0.8  # 100 ns per byte; pages in the wild take 1
    assert large < 22 * small + 0.04


@pytest.mark.slow
def test_hostile_pages_of_16_megabytes_are_scanned_within_seconds() -> None:
    pages = [flood(name, 16_000_000) for name in ("nested", "headings", "attributes", "entities", "mixed_quotes")]
    start = time.perf_counter()
    for page in pages:
        scanned([page])
    assert time.perf_counter() - start < 5
    assert len(scanned([b"<p>a" * 100_000]).rows.blocks) == 100_000
    assert len(scanned([b"<h1>a</h1>" * 100_000]).rows.elements) == 100_001


def assert_within_capacity(pages: list[bytes], alt_texts: bool = False) -> None:
    """`scan` cuts arrays to their length, so that what was written behind their end would be missing."""
    found = scanned(pages, alt_texts)
    counts = found.ends[-1]
    for array, count, name in zip(found.rows, counts, Scanned._fields, strict=True):
        whole = array.base if array.base is not None else array
        assert count == len(array) <= len(whole), name


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), min_size=1, max_size=40), st.booleans())
def test_scans_any_pages_never_outgrow_their_arrays(pages: list[str], alt_texts: bool) -> None:
    assert_within_capacity([page.encode() for page in pages], alt_texts)


@pytest.mark.parametrize("name", FLOODS)
def test_scans_hostile_pages_never_outgrow_their_arrays(name: str) -> None:
    assert_within_capacity([flood(name, size) for size in (0, 1, 7, 50, 20_000)] * 3, alt_texts=True)


def test_scans_of_short_pages_never_outgrow_their_arrays() -> None:
    for piece in (
        "<time class=author>",
        "<html class=author>",
        "<p>",
        "<a href>",
        "<b",
        "a<p",
        "&nGt;",
        "",
        "<br><br>a",
    ):
        for repeats in (1, 8, 12):
            assert_within_capacity([(piece * repeats).encode()] * 500)


def test_scans_memory_is_bounded_by_the_size_of_the_pages() -> None:
    for piece in (b"<", b"<p>", b"<a>x", b"a"):
        rows = scanned([piece * (1_000_000 // len(piece))]).rows
        assert sum(array.base.nbytes for array in rows if array.base is not None) < 45_000_000


def test_scans_of_too_large_a_batch_say_so() -> None:
    pages = Utf8(offsets=np.array([0, MAX_BYTES + 1]), data=np.empty(0, np.uint8), null_N=np.zeros(1, np.bool_))
    with pytest.raises(ValueError, match="make batches smaller"):
        scan(pages)


def test_scans_of_a_batch_that_begins_behind_other_bytes_are_the_same() -> None:
    page = b"<p>a <a href=x>b</a>"
    data = np.frombuffer(b"<p>zz" + page * 2 + bytes(PADDING), np.uint8)
    pages = Utf8(offsets=np.array([5, 5 + len(page), 5 + 2 * len(page)]), data=data, null_N=np.zeros(2, np.bool_))
    assert scan(pages).rows.text.tobytes() == b"a ba b"


@pytest.mark.parametrize("seed", range(6))
def test_scans_between_closed_memory_pages_stay_within_them(seed: int) -> None:
    rng = random.Random(seed)
    size = mmap.PAGESIZE - PADDING
    cuts = [
        "<p class='a",
        "<a href",
        "&amp",
        "&#x1",
        "<!--",
        "<!-",
        "</",
        "<",
        "<script",
        "<script><!-",
        "é"[:1],
        "<b a=",
    ]
    for ending in cuts:
        content = random_page(rng, 200).encode()[:size].ljust(size - len(ending.encode())) + ending.encode()
        content = content[-size:]
        with between_closed_pages(content + bytes(PADDING)) as data:
            pages = Utf8(offsets=np.array([0, 100, size]), data=data, null_N=np.zeros(2, np.bool_))
            assert (scan(pages).ends >= 0).all()


def test_scans_of_bytes_that_are_no_utf_8_end() -> None:
    for tail in (b"\xe2", b"\xe2\x80", b"\xc2", b"\xef\xbb", b"\xf0\x9f\x98", b"\xff\xfe", b"\x80" * 9):
        assert scanned([b"<p>a" + tail, b"<p>b"]).rows.text.tobytes() == b"a" + tail + b"b"


def test_tokens_of_a_million_attributes_are_few() -> None:
    page = b"<div " + b"class=ab-cd " * 100_000 + b">x"
    assert len(scanned([page]).rows.tokens) == MAX_TOKENS


def test_unclosed_quotes_and_raw_text_do_not_swallow_the_page() -> None:
    assert texts_of('<p>a<a href="x>b</a><p>c') == ["ab", "c"]
    assert texts_of('<p>a<a href=\'x>b</a><p title="y">c') == ["ab", "c"]
    for name in ("title", "textarea", "iframe", "noscript", "svg", "template", "select", "xmp", "object", "canvas"):
        assert texts_of(f"<p>a<{name}>b<p>c")[-1] == "c"


def test_formatting_nested_deeply_leaves_text_in_place() -> None:
    page = "<p>a" + "<b><i>" * 100_000 + "b" + "</i></b>" * 100_000 + "c</p><p>d"
    assert texts_of(page) == ["abc", "d"]
    assert len(scanned(["<span>" * 100_000 + "a"]).rows.elements) == 100_001
    assert texts_of("<span>" * 2 * MAX_DEPTH + "a<p>b</p>c") == ["a", "b", "c"]


def hostile_scans(seed: int, num_pages: int) -> int:
    """Scan generated pages and mutated real ones, for a process with NUMBA_BOUNDSCHECK; how many."""
    rng = random.Random(seed)
    pages = [random_page(rng, 100).encode() for _ in range(num_pages)]
    pages += [flood(name, 30_000) for name in FLOODS]
    if (SHARED / "data").is_dir():
        real = real_pages("DEV-MAIN-00020")
        pages += [mutated(page, rng) for page in real for _ in range(2)]
        pages += [page[: rng.randrange(len(page) + 1)] for page in real]
    rng.shuffle(pages)
    for start in range(0, len(pages), 50):
        assert_within_capacity(pages[start : start + 50], alt_texts=start % 100 == 0)
    return len(pages)


@pytest.mark.slow
def test_scans_of_hostile_pages_index_nothing_out_of_bounds(tmp_path: object) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": f"{tmp_path}/cache", "NUMBA_OPT": "1"}
    code = "from tests.stages.kernels.test_html_hostile import hostile_scans; print(hostile_scans(1, 600))"
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 600
