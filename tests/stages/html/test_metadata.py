"""The columns of a batch, and those of real pages held against trafilatura's and json's."""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from pipeline.stage import NarrowContext
from stages.commoncrawl import Config, commoncrawl
from stages.decoding.charset import decode
from stages.html.metadata import MetadataColumns, crawled_of, metadata_columns
from tests.shared_data import SHARED, needs_shared
from tests.stages.kernels.html_notes import JSON_LD, Notes, laid_out, of_page, of_pages

_YEAR = re.compile(r"(?:19|20)\d\d")
TEXTS = ("title", "byline", "site_name")


def columns(notes: Notes, crawled: pa.Array | None = None, urls: pa.Array | None = None) -> MetadataColumns:
    notes.data.flags.writeable = False
    found = metadata_columns(
        notes.data, notes.note_offsets, notes.kind, notes.start, notes.end,
        crawled_of(len(notes.note_offsets) - 1, crawled, urls),
    )  # fmt: skip
    for name in (*TEXTS, "published", "declared_language"):
        getattr(found, name).validate(full=True)
    return found


@functools.cache
def real_pages() -> list[bytes]:
    """Two shards of real pages as UTF-8."""
    return [page for name in ("DEV-MAIN-00004", "DEV-MAIN-00016") for page in _pages_of(f"{name}.warc.gz")]


def _pages_of(name: str) -> Iterator[bytes]:
    reader = commoncrawl.function(Config(source=str(SHARED / "data" / "warc" / name)), NarrowContext(step="crawl"))
    for shard in reader.shards():
        for batch in reader.read(shard):
            rows = batch.documents
            for payload, header in zip(rows["payload"].to_pylist(), rows["content_type"].to_pylist(), strict=True):
                yield decode(payload, header).text.encode("utf-8", "replace")


def test_metadata_columns_of_a_batch_have_their_types_and_nulls() -> None:
    pages = [
        b'<html lang="de"><title>A</title><meta name=author content="B C"><meta name=date content=2013-05-04>'
        b'<meta property="og:site_name" content="D">',
        b"",
        b"<title>E</title>",
    ]
    found = columns(of_pages(pages))
    assert {name: getattr(found, name).type for name in TEXTS} == dict.fromkeys(TEXTS, pa.large_string())
    assert found.published.type == pa.timestamp("s", tz="UTC") and found.declared_language.type == pa.string()
    assert found.title.to_pylist() == ["A", None, "E"]
    assert found.byline.to_pylist() == ["B C", None, None]
    assert found.published.to_pylist() == [datetime.datetime(2013, 5, 4, tzinfo=datetime.UTC), None, None]
    assert found.site_name.to_pylist() == ["D", None, None]
    assert found.declared_language.to_pylist() == ["de", None, None]


def test_metadata_columns_of_no_pages_are_empty() -> None:
    found = columns(of_pages([]), pa.array([], pa.timestamp("s", tz="UTC")), pa.array([], pa.string()))
    assert [len(getattr(found, name)) for name in (*TEXTS, "published", "declared_language")] == [0] * 5


def test_metadata_columns_crawl_dates_bound_those_of_publication() -> None:
    pages = [b"<meta name=date content=2020-01-03>"] * 3
    crawled = pa.array([datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 2), None], pa.timestamp("ms"))
    found = columns(of_pages(pages), crawled.cast(pa.timestamp("ms", tz="UTC")))
    assert found.published.is_valid().to_pylist() == [False, True, True]


def test_metadata_columns_addresses_name_the_site() -> None:
    pages = [b"<title>A page - Example</title>"] * 3
    urls = pa.array(["https://www.example.org/x", None, "https://other.org/"])
    assert columns(of_pages(pages), urls=urls).title.to_pylist() == ["A page", *["A page - Example"] * 2]
    assert columns(of_pages(pages[:1]), urls=urls.slice(2)).title.to_pylist() == ["A page - Example"]


def alike(ours: str, theirs: str) -> bool:
    """Whether one has the other's letters, whatever stands between them and behind it."""
    a, b = (re.sub(r"[\W_]+", "", text).lower() for text in (ours, theirs))
    return a in b or b in a


@needs_shared
def test_metadata_columns_of_real_pages_are_mostly_as_trafilatura_has_them() -> None:
    """It guesses where a page says nothing, and leaves the sites' names in titles: what both have is compared."""
    trafilatura = pytest.importorskip("trafilatura")
    pages = real_pages()[::4]
    found = columns(of_pages(pages))
    dates = [moment and moment.date().isoformat() for moment in found.published.to_pylist()]
    theirs = [trafilatura.extract_metadata(page.decode()) for page in pages]
    for ours, name, least in (
        (found.title.to_pylist(), "title", 0.85),
        (found.byline.to_pylist(), "author", 0.75),
        (found.site_name.to_pylist(), "sitename", 0.85),
        (dates, "date", 0.8),
    ):
        pairs = [(a, getattr(b, name)) for a, b in zip(ours, theirs, strict=True) if a and b and getattr(b, name)]
        assert len(pairs) >= 20
        assert np.mean([alike(a, b) for a, b in pairs]) >= least, name


@needs_shared
def test_metadata_columns_of_real_json_ld_are_as_json_has_them() -> None:
    documents = [page[a:b] for page in real_pages() for kind, a, b in of_page(page) if kind == JSON_LD]
    valid = [raw for raw in documents if _article(raw) is not None]
    found = columns(laid_out(valid, [[(JSON_LD, 0, len(raw))] for raw in valid]))
    articles = [_article(raw) or {} for raw in valid]
    headlines = [" ".join(str(article.get("headline") or "").split()) for article in articles]
    published = [_YEAR.findall(str(article.get("datePublished"))) for article in articles]
    assert sum(map(bool, headlines)) > 20 and len(valid) > 40
    for ours, headline in zip(found.title.to_pylist(), headlines, strict=True):
        assert not headline or "&" in headline or (ours and headline.startswith(ours))
    for moment, years in zip(found.published.to_pylist(), published, strict=True):
        assert not years or (moment is not None and abs(moment.year - int(years[0])) <= 1)


def _article(raw: bytes) -> dict[str, object] | None:
    """The first article among the entities; None for what is no JSON."""
    try:
        top = json.loads(raw, strict=False)
    except ValueError:
        return None
    entities = [top] if isinstance(top, dict) else top
    entities = [e for entity in entities if isinstance(entity, dict) for e in (*entity.get("@graph", ()), entity)]
    kinds = ("Article", "BlogPosting", "Recipe")
    articles = [e for e in entities if isinstance(e, dict) and str(e.get("@type", "")).endswith(kinds)]
    return articles[0] if articles else {}
