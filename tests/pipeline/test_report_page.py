"""The report page: nothing crawled becomes markup, nothing outside is loaded, the numbers are the report's."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import re
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from pipeline import report_graph, report_lines, report_steps
from pipeline.report_axes import ticks
from pipeline.report_page import render
from tests.pipeline import report_fixtures as fixtures
from tests.pipeline.hostile_report import hostile_run
from tests.pipeline.parsed_page import Page


def realistic_page() -> str:
    run = fixtures.realistic_run()
    return render(run, fixtures.realistic_reports(run))


@pytest.fixture(scope="module")
def page() -> str:
    return realistic_page()


@pytest.fixture(scope="module")
def hostile_page() -> str:
    run, reports = hostile_run()
    return render(run, reports)


def test_hostile_strings_add_no_element_and_no_attribute(page: str, hostile_page: str) -> None:
    """Every tag and attribute name of the hostile page is one that the harmless page has too."""
    honest, attacked = Page(page), Page(hostile_page)
    known = {(tag, name) for tag, attributes in honest.tags for name in attributes}
    extra = {(tag, name) for tag, attributes in attacked.tags for name in attributes} - known
    assert extra <= {("pre", "class"), ("pre", "role")}  # the run's error, which the honest run has not
    assert not {tag for tag, _ in attacked.tags} & {"img", "iframe", "object", "embed", "form", "base", "link"}
    assert len(attacked.attributes("script")) == len(attacked.attributes("style")) == 1
    assert all(not name.startswith("on") and name != "style" for _, attributes in attacked.tags for name in attributes)


def test_hostile_strings_are_shown_as_text(hostile_page: str) -> None:
    text = "".join(text for _, text in Page(hostile_page).texts)
    for wanted in ("</script><img src=x onerror=alert(1)>", '"><svg onload=alert(2)>', "&lt;b&gt; &amp; {{7*7}}"):
        assert wanted in text
    assert "⟨U+202E⟩gnp.exe⟨U+202C⟩" in text


def test_unseen_characters_never_reach_the_page(hostile_page: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", hostile_page)
    hostile_page.encode()


def test_links_go_only_to_sections_or_to_http_without_referrer(page: str, hostile_page: str) -> None:
    for document in (Page(page), Page(hostile_page)):
        ids = {attributes.get("id") for _, attributes in document.tags}
        for attributes in document.attributes("a"):
            href = attributes["href"] or ""
            if href.startswith("#"):
                assert href[1:] in ids
            else:
                assert href.startswith(("http://", "https://"))
                assert attributes["rel"] == "noreferrer noopener"


def test_ids_are_unique(page: str, hostile_page: str) -> None:
    for document in (Page(page), Page(hostile_page)):
        counted = Counter(a["id"] for _, a in document.tags if "id" in a)
        assert max(counted.values()) == 1


def test_policy_allows_exactly_our_style_and_script(page: str) -> None:
    document = Page(page)
    (policy,) = [a["content"] for a in document.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in (policy or "").split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_page_loads_nothing(page: str, hostile_page: str) -> None:
    for text in (page, hostile_page):
        for tag, attributes in Page(text).tags:
            assert not {"src", "srcset", "data", "action", "background", "poster"} & set(attributes), tag
        style = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)[0]
        script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[0]
        assert "url(" not in style and "@import" not in style
        assert not re.search(r"fetch|XMLHttpRequest|import\(|WebSocket|innerHTML|eval|https?:", script)


def test_same_json_gives_the_same_bytes_whatever_the_order_of_reports() -> None:
    run = fixtures.realistic_run()
    reports = fixtures.realistic_reports(run)
    names = list(reports)
    random.Random(1).shuffle(names)
    shuffled = {name: reports[name] for name in names}
    assert render(run, reports) == render(json.loads(json.dumps(run)), json.loads(json.dumps(shuffled)))


def test_render_leaves_its_input_alone() -> None:
    run = fixtures.realistic_run()
    reports = fixtures.realistic_reports(run)
    before = copy.deepcopy((run, reports))
    render(run, reports)
    assert (run, reports) == before


def test_headline_and_books_are_the_runs_numbers(page: str) -> None:
    text = "".join(text for _, text in Page(page).texts)
    assert "Of 4,162 records, 1,265 documents remain (30.4 %), as 1,254,332 tokens." in text
    assert "2,897 dropped in all" in text
    assert 4162 - 1265 == 2897


def test_books_that_do_not_balance_are_named() -> None:
    run = fixtures.realistic_run()
    run["steps"][5]["docs_out"] -= 1
    text = render(run, {})
    assert "The books do not balance in gopher" in text
    assert "The books balance" not in text


def test_reasons_are_in_words_with_the_raw_name_beside_and_add_up(page: str) -> None:
    section = re.findall(r'<section id="step-gopher".*?</section>', page, re.DOTALL)[0]
    table = Page(re.findall(r'<table class="reasons".*?</table>', section, re.DOTALL)[0])
    assert {"class": "named", "title": "too_few_stop_words"} in table.attributes("span")
    assert "too few stop words" in table.inside("span")
    cells = [text for text in table.inside("td") if text.replace(",", "").isdigit()]
    counts = [int(text.replace(",", "")) for text in cells]
    assert counts == [402, 97, 31, 22, 9, 561]
    assert sum(counts[:-1]) == counts[-1]


def test_reasons_of_a_step_that_counts_no_bytes_have_no_bytes_column() -> None:
    run = fixtures.realistic_run()
    reports = fixtures.realistic_reports(run)
    for report in reports.values():
        report["bytes_dropped"] = {}
    tables = re.findall(r'<table class="reasons".*?</table>', render(run, reports), re.DOTALL)
    assert len(tables) == 7
    assert all("Bytes" not in Page(table).inside("th") for table in tables)


def test_tally_shows_the_top_and_sums_the_rest(page: str) -> None:
    table = Page(re.findall(r'<table class="tally"><caption>Host:.*?</table>', page, re.DOTALL)[0])
    counts = [int(t.replace(",", "")) for t in table.inside("td") if t.replace(",", "").isdigit()]
    assert len(counts) == report_steps.TOP_VALUES + 1
    assert sum(counts) == sum(900 // (i + 1) for i in range(240))
    assert "220 others" in table.inside("bdi")


def test_step_that_annotates_shows_what_it_would_drop_and_nothing_dropped() -> None:
    run = fixtures.realistic_run()
    row = run["steps"][5]
    would_drop, row["dropped"], row["docs_out"] = row["dropped"], {}, row["docs_in"]
    report = fixtures.report_of(
        row, annotates=True, would_drop=would_drop,
        samples_would_drop={reason: [fixtures.sample(1, value=3.0)] for reason in would_drop},
    )  # fmt: skip
    page = render(run, {row["step"]: report})
    section = re.findall(r'<section id="step-gopher".*?</section>', page, re.DOTALL)[0]
    words = "".join(text for _, text in Page(section).texts)
    assert "This step annotates: it drops nothing" in words
    assert "Why documents would be dropped" in words and "Why documents were dropped" not in words
    assert "Would drop561 (19.9 %)" in words and "Dropped0 (0.0 %)" in words
    assert "5 of 2,263 it would keep" in words
    assert words.count("Would drop ") == len(would_drop)
    assert Page(page).inside("span").count("would drop 561") == 2, "in the funnel and at the heading"
    assert "The books balance" in page


def path_points(data: dict[str, Any]) -> list[list[tuple[float, float]]]:
    """The stretches of the first line's path."""
    document = Page(report_lines.line_chart("x", data))
    path = next(a["d"] or "" for a in document.attributes("path") if len(a["d"] or "") and a["class"] == "line line-0")
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.]+) ([\d.]+)", part)]
        for part in re.split("(?=M)", path)
        if part
    ]


def test_line_chart_goes_past_null_and_breaks_at_nan() -> None:
    x = list(range(6))
    (stretch,) = path_points({"x_label": "x", "x": x, "lines": {"y": [1, None, 3, None, None, 2]}})
    assert len({p[0] for p in stretch}) == 3
    assert len(path_points({"x_label": "x", "x": x, "lines": {"y": [1, 2, float("nan"), 4, 5, 6]}})) == 2


def test_line_chart_thinned_keeps_a_single_spike() -> None:
    y = [1.0] * 50_000
    y[31_337] = 9.0
    (stretch,) = path_points({"x_label": "x", "x": list(range(50_000)), "lines": {"y": y}})
    assert len(stretch) <= report_lines.MAX_POINTS + 3
    heights = sorted(p[1] for p in stretch)
    assert heights[0] < heights[1] - 100


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.7, 12.2), (0, 3e-4), (1e6, 9e9), (4.4, 9.3)])
def test_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    values = ticks(low, high, 6)
    assert 3 <= len(values) <= 7
    assert all(low - 1e-9 <= v <= high + 1e-9 * abs(high) for v in values)
    steps = {f"{b - a:.6e}" for a, b in pairwise(values)}
    assert len(steps) == 1 and next(iter(steps))[0] in "125"


def test_lanes_never_share_a_rail_while_it_is_taken() -> None:
    """Random DAGs: no two edges that run down the same lane overlap, unless one step or one chain owns both."""
    for seed in range(200):
        generator = random.Random(seed)
        steps = [
            {
                "step": str(i),
                "inputs": {str(j): str(j) for j in generator.sample(range(i), min(i, generator.randint(0, 3)))},
            }
            for i in range(12)
        ]
        lane = report_graph.lanes(steps)
        last = [max([k for k, s in enumerate(steps) if str(i) in s["inputs"]], default=i) for i in range(12)]
        for i in range(12):
            for j in range(i + 1, 12):
                assert lane[i] != lane[j] or last[i] <= j, (seed, i, j)


def test_lanes_of_a_chain_are_one_rail() -> None:
    steps = [{"step": str(i), "inputs": {"documents": str(i - 1)} if i else {}} for i in range(9)]
    assert report_graph.lanes(steps) == [0] * 9


def test_navigation_draws_every_edge_once(page: str) -> None:
    run = fixtures.realistic_run()
    edges = [a for a in Page(page).attributes("path") if a["class"] == "edge"]
    assert len(edges) == sum(len(step["inputs"]) for step in run["steps"])


def test_failed_run_shows_its_error_and_what_was_not_reached() -> None:
    run = fixtures.realistic_run()
    reports = fixtures.realistic_reports(run)
    for step in run["steps"][7:]:
        step.update(state="pending", docs_in=0, docs_out=0, dropped={}, bytes_in=0, bytes_out=0, artifact=None)
        del reports[step["step"]]
    text = render({**run, "status": "failed", "error": "unique: <disk> full"}, reports)
    words = "".join(text for _, text in Page(text).texts)
    assert "unique: <disk> full" in words
    assert "1,675 documents remain (40.2 %) after unique." in words
    assert words.count("did not run") >= 5
    assert "The books balance" in words


def test_empty_run_is_a_page() -> None:
    assert "No step has finished yet." in render({"steps": []}, {})


def test_size_is_bounded_whatever_the_report_holds() -> None:
    """Everything a report may hold, in absurd amounts: the page stays small, and within seconds."""
    many = [fixtures.sample(i, "word " * 5000, value=1.0, threshold=2.0) for i in range(300)]
    row = fixtures.step("big", "x", "narrow", "documents", {}, 10**9, {f"reason_{i}": 1000 - i for i in range(900)})
    report = fixtures.report_of(
        row,
        tallies={"host": {f"host{i}.example": 20_000 - i for i in range(10_000)}},
        counters={f"counter_{i}": i for i in range(2000)},
        histograms={f"h{i}": fixtures.histogram(0, 1, [3] * 5000, 0.5, None) for i in range(100)},
        bars={"sizes": {"labels": [str(i) for i in range(10_000)], "counts": [1] * 10_000}},
        series={
            "loss": {
                "x_label": "step",
                "x": list(range(30_000)),
                "lines": {str(k): [1.0] * 30_000 for k in range(20)},
            }
        },
        samples_kept=many,
        samples_dropped={f"reason_{i}": many for i in range(900)},
        tables={f"t{i}": [{f"c{k}": "x" * 1000 for k in range(50)} for _ in range(200)] for i in range(3)},
    )
    text = render({"dag": "big", "steps": [row]}, {"big": report})
    assert len(text) < 2_000_000
    assert "10,000 values" in text  # told of, although not listed


def test_every_chart_and_table_has_a_name_for_those_who_cannot_see_it(page: str) -> None:
    document = Page(page)
    for attributes in document.attributes("svg"):
        assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
    assert len(document.attributes("caption")) == len(document.attributes("table"))
    assert len(document.inside("h1")) >= 1 and len(document.attributes("h1")) == 1
    assert len(document.attributes("h2")) == len(fixtures.realistic_run()["steps"]) + 1


def luminance(color: str) -> float:
    """WCAG 2's relative luminance of `#rrggbb`."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_colours_have_the_contrast_wcag_asks_for(page: str) -> None:
    """At least 4.5 to 1 for text on the page's ground, and 3 to 1 for bars, in the light and in the dark colours."""
    light, dark = re.findall(r":root \{(.*?)\}", page, re.DOTALL)
    for block in (light, dark):
        colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for name, color in colors.items():
            if name not in ("paper", "raised", "rule"):
                bright, dim = sorted((luminance(color), luminance(colors["paper"])), reverse=True)
                assert (bright + 0.05) / (dim + 0.05) >= (3.0 if name == "plain" else 4.5), name
