"""Extraction: real pages, hand-made ones, hostile ones, and that batches do not matter."""

from __future__ import annotations

import datetime
import itertools
import random
import time
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

import stages.extract
import stages.html.reading
from pipeline.errors import DataError, FieldError, StoreError
from pipeline.stage import BatchFunction, NarrowContext, Verdict
from stages.extract import METADATA, Config, extract
from tests.shared_data import SHARED, needs_shared

CONTEXT = NarrowContext(step="extract")
PARAGRAPHS = [
    "The harbour wall was finished in the spring, after three winters of work, and the first boats came in by May.",
    "Nobody had expected the second storm, which took the lower quay and most of the cranes that stood upon it.",
    "They began again the same week; the masons had not even unpacked their tools when the order came to rebuild.",
]
ARTICLE = (
    "<html><head><title>The harbour</title><script>var hidden = 'script text';</script></head><body>"
    "<nav><ul><li><a href=/>Home</a></li><li><a href=/b>Boats</a></li></ul></nav>"
    f"<main><article><h1>The harbour</h1>{''.join(f'<p>{p}</p>' for p in PARAGRAPHS)}</article></main>"
    "<footer>Imprint and privacy</footer></body></html>"
)
DEEP = b"<div>" * 60_000 + b"x"  # quadratic time in resiliparse: over a minute
CRAWLED = datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC)
LINKS: tuple[Literal["text", "drop", "markdown"], ...] = ("text", "drop", "markdown")
HEAD = (
    '<html lang="en-GB"><head><meta property="og:title" content="The harbour wall">'
    '<meta name="author" content="Ada Mason"><meta property="og:site_name" content="The Quay">'
    '<meta property="article:published_time" content="2026-03-02T10:00:00Z"></head>'
)
Page = tuple[bytes | None, str | None, str | None]  # payload, content type, text


def batch_of(pages: list[Page]) -> pa.RecordBatch:
    payload, content_type, text = zip(*pages, strict=True)
    return pa.record_batch(
        {
            "payload": pa.array(payload, pa.large_binary()),
            "content_type": pa.array(content_type, pa.string()),
            "text": pa.array(text, pa.large_string()),
            "date": pa.array([CRAWLED] * len(pages), pa.timestamp("s", tz="UTC")),
            "url": pa.array([f"https://example.com/{n}" for n in range(len(pages))], pa.string()),
        }
    )


def html(payload: str | bytes, content_type: str | None = "text/html") -> Page:
    return payload.encode() if isinstance(payload, str) else payload, content_type, None


def open_stage(config: Config | None = None) -> BatchFunction:
    function: BatchFunction = extract.function(config or Config(), CONTEXT)
    return function


@pytest.fixture(scope="module")
def default() -> BatchFunction:
    return open_stage()


def reasons(verdict: Verdict) -> list[str | None]:
    assert verdict.drops is not None
    return [verdict.drops.reasons[c] if c >= 0 else None for c in verdict.drops.code_N]


def texts(verdict: Verdict) -> list[str | None]:
    found: list[str | None] = verdict.columns["text"].to_pylist()
    return found


@pytest.mark.parametrize("engine", ["crawlmill", "resiliparse", "trafilatura"])
def test_extract_article_keeps_paragraphs_on_lines_without_boilerplate(engine: str) -> None:
    verdict = open_stage(Config(engine=engine))(batch_of([html(ARTICLE)]))  # type: ignore[arg-type]
    [text] = texts(verdict)
    assert text is not None
    assert [line for line in text.splitlines() if line in PARAGRAPHS] == PARAGRAPHS
    assert not any(word in text for word in ("Boats", "Imprint", "script text"))
    assert reasons(verdict) == [None]


def test_extract_row_with_text_passes_through(default: BatchFunction) -> None:
    verdict = default(batch_of([(None, None, " WET text\nof two lines "), html(ARTICLE), (b"<p>no</p>", None, "yes")]))
    assert texts(verdict)[0] == " WET text\nof two lines "
    assert texts(verdict)[2] == "yes"
    assert PARAGRAPHS[0] in (texts(verdict)[1] or "")
    assert reasons(verdict) == [None] * 3
    assert verdict.counters["had_text"] == 2
    assert verdict.tallies["charset"].to_pylist() == ["none", "utf-8", "none"]


@pytest.mark.parametrize("engine", ["crawlmill", "resiliparse"])
def test_extract_metadata_is_read_whatever_the_engine_and_null_for_rows_with_text(engine: str) -> None:
    page = HEAD + ARTICLE.partition("</head>")[2]
    verdict = open_stage(Config(engine=engine))(batch_of([html(page), (None, None, "WET"), html(ARTICLE)]))  # type: ignore[arg-type]
    found = {name: verdict.columns[name].to_pylist() for name in METADATA}
    assert {name: values[0] for name, values in found.items()} == {
        "title": "The harbour wall", "byline": "Ada Mason", "site_name": "The Quay", "declared_language": "en-GB",
        "published": datetime.datetime(2026, 3, 2, 10, tzinfo=datetime.UTC),
    }  # fmt: skip
    assert [values[1] for values in found.values()] == [None] * len(METADATA)
    assert found["title"][2] == "The harbour"
    assert {name: verdict.columns[name].type for name in METADATA} == METADATA


def test_extract_every_drop_has_its_reason_value_and_threshold() -> None:
    config = Config(engine="resiliparse", min_chars=20, max_text_chars=200, max_payload_bytes=5000)
    binary = b"\x89PNG\r\n\x1a\n" + random.Random(3).randbytes(3000)
    pages = [
        html("<p>" + "x" * 5000), html(b""), html("<p>short</p>"), html(f"<p>{PARAGRAPHS[0]}</p>" * 3), html(binary),
        (None, None, None), (None, None, ""), html(f"<p>{PARAGRAPHS[0]}</p>"),
    ]  # fmt: skip
    verdict = open_stage(config)(batch_of(pages))
    assert reasons(verdict) == [
        "payload_too_large", "no_text", "no_text", "text_too_long", "undecodable", "no_text", "no_text", None,
    ]  # fmt: skip
    assert verdict.drops is not None
    np.testing.assert_array_equal(verdict.drops.threshold_N, [5000, 20, 20, 200, 0.05, 20, 20, np.nan])
    np.testing.assert_array_equal(verdict.drops.value_N[[0, 1, 2, 5, 6]], [5003, 0, 5, 0, 0])
    assert verdict.drops.value_N[3] == len(texts(verdict)[3] or "") > 200
    assert 0.05 < verdict.drops.value_N[4] < 1


def test_extract_learned_engine_drops_by_the_same_limits() -> None:
    config = Config(min_chars=20, max_text_chars=200, max_payload_bytes=5000)
    binary = b"\x89PNG\r\n\x1a\n" + random.Random(3).randbytes(3000)
    pages = [html("<p>" + "x" * 5000), html(b""), html(ARTICLE), html(binary), (None, None, None)]
    assert reasons(open_stage(config)(batch_of(pages))) == [
        "payload_too_large", "no_text", "text_too_long", "undecodable", "no_text",
    ]  # fmt: skip


def test_extract_page_of_too_many_blocks_is_dropped_whole_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    many = "<html><body>" + "".join(f"<p>Paragraph {n} of a log.</p>" for n in range(50)) + "</body></html>"
    for piece_tags in (1 << 19, 20):  # of the second a page is looked at before it is judged
        monkeypatch.setattr(stages.html.reading, "PIECE_TAGS", piece_tags)
        verdict = open_stage(Config(max_blocks=49))(batch_of([html(ARTICLE), html(many), html(ARTICLE)]))
        assert reasons(verdict) == [None, "too_many_blocks", None]
        assert verdict.drops is not None
        assert (verdict.drops.value_N[1], verdict.drops.threshold_N[1]) == (50, 49)
    assert reasons(open_stage(Config(max_blocks=50))(batch_of([html(many)]))) != ["too_many_blocks"]


def test_extract_page_that_hangs_a_parser_is_dropped_and_its_neighbours_are_not() -> None:
    config = Config(engine="resiliparse", page_timeout_s=1.0)
    verdict = open_stage(config)(batch_of([html(ARTICLE), html(DEEP), html(ARTICLE)]))
    assert reasons(verdict) == [None, "extraction_timeout", None]
    assert verdict.drops is not None
    assert verdict.drops.threshold_N[1] == 1.0
    assert texts(verdict)[0] == texts(verdict)[2] != ""
    assert texts(verdict)[1] is None


HOSTILE = {
    "nested tags": b"<div>" * 800_000 + b"x",
    "nested tags closed in the wrong order": b"<div><b><i><span>" * 20_000 + b"x</div></b>" * 20_000,
    "unclosed quote": b"<p>before</p><a href='" + b"x > " * 500_000,
    "quotes": b"<a b=\"'\" c='\"' " * 100_000,
    "100,000 blocks": b"<p>A word or two." * 100_000,
    "lists in lists": b"<ul><li>item " * 30_000,
    "cells": b"<table><tr>" + b"<td>cell" * 100_000,
    "tables in tables": b"<table><tr><td>cell" * 20_000,
    "entities": b"<p>" + b"&amp;&lt;&#x1F600;&nGt;&notanentity;&#" * 50_000,
    "numbers": b"<p>" + b"&#99999999999999999999;" * 50_000,
    "less-than": b"<" * 1_000_000,
    "attributes": b"<p " + b"a=1 " * 300_000 + b">text",
    "classes": b"<p class='" + b"aa bb " * 300_000 + b"'>text",
    "one word": b"<p>" + b"w" * 2_000_000,
    "comments": b"<!--" * 300_000,
    "scripts": b"<script>" * 200_000,
    "links": b"<a href=/>x</a>" * 100_000,
    "titles": b"<title>a b c</title>" * 100_000,
    "json": b'<script type="application/ld+json">' + b'{"@graph":[' * 100_000 + b"</script>",
    "line breaks": b"<p>" + b"a<br>" * 300_000,
    "white space": b"<p>a" + b" \n" * 1_000_000,
    "spaces before a charset": b"<meta" * 98 + b"charset=" + b" " * 7500 + b"\xff",
    "undefined bytes": b"\x81" * 2_000_000,
    "combining marks": b"<p>e" + "\u0301".encode() * 500_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_extract_hostile_page_is_read_in_bounded_time_and_its_neighbours_stay(
    default: BatchFunction, name: str
) -> None:
    default(batch_of([html(ARTICLE)]))  # compiles
    start_s = time.thread_time()
    verdict = default(batch_of([html(ARTICLE), html(HOSTILE[name]), html(ARTICLE)]))
    assert time.thread_time() - start_s < 5
    assert texts(verdict)[0] == texts(verdict)[2]
    assert reasons(verdict)[::2] == [None, None]
    for column in verdict.columns.values():
        column.validate(full=True)


def test_extract_oddities_and_characters_by_kind_are_counted(default: BatchFunction) -> None:
    pages = [html(ARTICLE), html(ARTICLE + "<!-- unclosed"), html("<div>" * 600 + ARTICLE), html("<script>")]
    counters = default(batch_of(pages)).counters
    assert [counters[n] for n in ("unclosed_comment", "unclosed_raw_text", "nested_over_512")] == [1, 1, 1]
    counters = default(batch_of([html(ARTICLE)] * 2)).counters
    assert counters["characters by kind of block/paragraph/kept"] == 2 * sum(map(len, PARAGRAPHS))
    assert counters["characters by kind of block/navigation/dropped"] == 2 * len("HomeBoats")
    assert counters["characters by kind of block/footer/dropped"] == 2 * len("Imprint and privacy")


@pytest.mark.parametrize("charset", ["gb2312", "gbk", "gb18030"])
@pytest.mark.parametrize("header", [None, "text/html", "text/html; charset=iso-8859-1", "text/html; charset=utf-8"])
def test_extract_chinese_page_without_a_true_declaration_comes_out_right(
    default: BatchFunction, charset: str, header: str | None
) -> None:
    chinese = "委员会将于春季再次开会，讨论港口应如何重建。天气很好，大家都去公园散步，孩子们在草地上玩耍。"
    page = f"<html><body><div id=menu><a href=/>Home</a></div><article><p>{chinese}</p></article></body></html>"
    verdict = default(batch_of([html(page.encode(charset), header)]))
    assert chinese in (texts(verdict)[0] or "")
    assert verdict.tallies["charset"].to_pylist() == ["gb18030"]


@pytest.mark.parametrize("engine", ["crawlmill", "resiliparse", "trafilatura"])
def test_extract_nuls_and_surrogates_do_not_come_through(engine: str) -> None:
    page = "<html><body><article><p>Left&#0;&#xD800;&#x0;right. " + PARAGRAPHS[0] + "\0 end</p></article></body></html>"
    verdict = open_stage(Config(engine=engine))(batch_of([html(page)]))  # type: ignore[arg-type]
    text = texts(verdict)[0] or ""
    assert PARAGRAPHS[0] in text
    assert "\0" not in text
    verdict.columns["text"].validate(full=True)


def test_extract_mangled_pages_any_batch_layout_gives_the_same(
    default: BatchFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(11)
    pages: list[Page] = []
    for i in range(60):
        raw = bytearray(ARTICLE.encode())
        for _ in range(rng.randrange(40)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        pages.append((None, None, f"text {i}") if i % 9 == 4 else html(bytes(raw[: rng.randrange(1, len(raw))])))
    whole = default(batch_of(pages))
    monkeypatch.setattr(stages.extract, "SLICE_BYTES", 1500)
    monkeypatch.setattr(stages.html.reading, "PIECE_TAGS", 40)
    cuts = [0, *sorted(rng.sample(range(1, 60), 7)), 60]
    parts = [default(batch_of(pages[a:b])) for a, b in itertools.pairwise(cuts)]
    assert [t for p in parts for t in texts(p)] == texts(whole)
    assert [r for p in parts for r in reasons(p)] == reasons(whole)
    assert sum((Counter(p.counters) for p in parts), Counter()) == +Counter(whole.counters)
    titles = [p.columns["title"] for p in parts]
    assert pa.concat_arrays(titles) == whole.columns["title"]
    whole.columns["text"].validate(full=True)


def test_extract_trafilatura_text_does_not_depend_on_the_pages_before() -> None:
    """With its `deduplicate` on, the third copy of a paragraph would be left out."""
    verdict = open_stage(Config(engine="trafilatura"))(batch_of([html(ARTICLE)] * 6))
    assert len(set(texts(verdict))) == 1


def test_extract_measures_count_text_and_its_share_of_the_page(default: BatchFunction) -> None:
    verdict = default(batch_of([html(ARTICLE), (None, None, "four")]))
    length = len(texts(verdict)[0] or "")
    np.testing.assert_array_equal(verdict.measures["text_chars"].value_N, [length, 4])
    np.testing.assert_allclose(verdict.measures["text_per_html_byte"].value_N, [length / len(ARTICLE), np.nan])


@pytest.mark.parametrize(
    "fields",
    [
        {"min_chars": 0},
        {"max_text_chars": 0},
        {"max_payload_bytes": -1},
        {"max_blocks": 0},
        {"page_timeout_s": 0.0},
        {"max_undecodable": 2.0},
    ],
)
def test_config_impossible_value_is_refused(fields: dict[str, float]) -> None:
    with pytest.raises(FieldError):
        Config(**fields)  # type: ignore[arg-type]


def test_config_model_of_another_engine_is_refused() -> None:
    with pytest.raises(FieldError, match="model"):
        Config(engine="trafilatura", model="model.npz")


def test_extract_model_is_part_of_what_the_result_depends_on() -> None:
    assert extract.files(Config()) == [str(stages.extract.MODEL_FILE)]
    assert extract.files(Config(model="other.npz")) == ["other.npz"]
    assert extract.files(Config(engine="resiliparse")) == []


def test_extract_unusable_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="missing"):
        open_stage(Config(model=str(tmp_path / "missing.npz")))
    (tmp_path / "model.npz").write_bytes(b"no model")
    with pytest.raises(DataError, match=r"model\.npz"):
        open_stage(Config(model=str(tmp_path / "model.npz")))


def test_extract_options_change_what_is_text() -> None:
    page = html(ARTICLE.replace("harbour wall", "<a href='https://example.com/wall'>harbour wall</a>"))
    linked = "[harbour wall](https://example.com/wall)"
    found = {links: texts(open_stage(Config(links=links))(batch_of([page])))[0] or "" for links in LINKS}
    assert "The harbour wall was" in found["text"]
    assert f"The {linked} was" in found["markdown"]
    assert "harbour wall" not in found["drop"]
    heading = "The harbour\n"
    assert found["text"].startswith(heading)
    body = texts(open_stage(Config(mode="body"))(batch_of([page])))[0] or ""
    assert body == found["text"].removeprefix(heading).lstrip("\n")


def test_extract_array_of_a_larger_one_gives_the_same(default: BatchFunction) -> None:
    pages = [html(ARTICLE), (None, None, "x"), html(HEAD + ARTICLE), html(ARTICLE.encode("utf-16"))]
    whole, part = default(batch_of(pages)), default(batch_of(pages).slice(1, 3))
    for name in whole.columns:
        assert whole.columns[name].slice(1) == part.columns[name]


def test_extract_no_rows_give_no_rows(default: BatchFunction) -> None:
    verdict = default(batch_of([html(ARTICLE)]).slice(0, 0))
    assert [len(column) for column in verdict.columns.values()] == [0] * 6


@needs_shared
def test_extract_real_pages_nearly_all_have_text(default: BatchFunction) -> None:
    """A hundred real pages; in the whole crawl gold text exists for 94 in a hundred."""
    with (SHARED / "data/warc/DEV-MAIN-00003.warc.gz").open("rb") as file:
        records = ArchiveIterator(file, record_types=WarcRecordType.response)
        pages = [html(r.reader.read(), r.http_headers.get("Content-Type")) for r in itertools.islice(records, 100)]
    verdict = default(batch_of(pages))
    kept = [t for t, r in zip(texts(verdict), reasons(verdict), strict=True) if r is None]
    assert len(pages) == 100
    assert len(kept) >= 0.94 * len(pages)
    assert np.median([len(t or "") for t in kept]) > 500
    verdict.columns["text"].validate(full=True)
