from __future__ import annotations

import hashlib
import inspect
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.errors import StoreError
from stages.sample import build, docstrings
from stages.sample.build import sample_pages, write_sample_crawl
from stages.sample.labelled import labelled_texts, rows
from stages.sample.sites import Page

NUM_PAGES = 600


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crawl")
    write_sample_crawl(folder, NUM_PAGES, 3)
    return folder


@pytest.fixture(scope="module")
def pages() -> list[Page]:
    return sample_pages(NUM_PAGES)


def responses(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Status and HTTP body by address, of every whole response."""
    found = {}
    for path in sorted(folder.glob("*.warc.gz")):
        for record in ArchiveIterator(io.BytesIO(path.read_bytes()), record_types=WarcRecordType.response):
            body = record.reader.read()
            found[record.headers["WARC-Target-URI"]] = (record.http_headers.status_code or 0, body)
    return found


def test_sample_crawl_built_twice_has_the_same_bytes(crawl: Path, tmp_path: Path) -> None:
    write_sample_crawl(tmp_path, NUM_PAGES, 3)
    names = [p.name for p in sorted(crawl.iterdir())]
    assert names == [f"SAMPLE-0000{i}.warc.gz" for i in range(3)]
    for name in names:
        digests = {hashlib.sha256((folder / name).read_bytes()).hexdigest() for folder in (crawl, tmp_path)}
        assert len(digests) == 1, name


def test_sample_crawl_read_by_fastwarc_has_all_pages_but_the_cut_one(crawl: Path, pages: list[Page]) -> None:
    found = responses(crawl)
    expected = {p.url: p for p in pages}
    assert len(expected) == len(pages) == NUM_PAGES
    cut = pages[2::3][-1].url
    assert {url for url in expected if url not in found} <= {cut}
    for url, (status, body) in found.items():
        if url != cut:
            assert status == int(expected[url].status.split()[0]) and body == expected[url].body, url


def test_sample_crawl_records_are_laid_out_as_common_crawls(crawl: Path) -> None:
    kinds: Counter[str] = Counter()
    path = crawl / "SAMPLE-00000.warc.gz"
    for record in ArchiveIterator(io.BytesIO(path.read_bytes()), parse_http=False):
        kinds[record.headers["WARC-Type"]] += 1
        if record.headers["WARC-Type"] in ("request", "response"):
            assert record.verify_block_digest(), record.headers["WARC-Target-URI"]
    assert kinds["warcinfo"] == 1 and kinds["revisit"] == build.NUM_REVISITS
    assert kinds["request"] == kinds["response"] == kinds["metadata"] == NUM_PAGES / 3


def test_sample_pages_hold_every_kind_and_trap(pages: list[Page]) -> None:
    kinds = Counter(p.kind for p in pages)
    assert set(kinds) == {"docs", "article", "near_duplicate", "exact_duplicate", "spam", "boilerplate", "toxic",
                          "language", "trap", "not_html"}  # fmt: skip
    names = {p.url.rsplit("/", 1)[1] for p in pages if p.kind == "trap"}
    assert names >= {"unclosed-tags", "huge-attribute", "nested-tables", "script-heavy", "entities", "empty-body",
                     "gb2312-undeclared", "latin-1-undeclared", "right-to-left", "emoji", "gone", "chunked",
                     "gzip-encoded"}  # fmt: skip
    assert {p.content_type for p in pages if p.kind == "not_html"} >= {"application/json", "image/png"}


def test_sample_undeclared_charsets_decode_to_what_was_written(pages: list[Page]) -> None:
    by_name = {p.url.rsplit("/", 1)[1]: p for p in pages if p.kind == "trap"}
    for name, charset, words in (
        ("gb2312-undeclared", "gb2312", "水车的原理"),
        ("big5-undeclared", "big5", "水車"),
        ("latin-1-undeclared", "latin-1", "Gäste"),
    ):
        page = by_name[name]
        assert page.content_type == "text/html" and b"charset" not in page.body
        assert words in page.body.decode(charset)
        with pytest.raises(UnicodeDecodeError):
            page.body.decode("utf-8")


def test_sample_exact_duplicates_repeat_bytes_and_near_ones_do_not(pages: list[Page]) -> None:
    bodies = Counter(p.body for p in pages)
    assert all(bodies[p.body] > 1 for p in pages if p.kind == "exact_duplicate")
    assert all(bodies[p.body] == 1 for p in pages if p.kind == "near_duplicate")


def test_sample_crawl_is_built_into_the_cache_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(build.write_sample_crawl, "__defaults__", (300, 2))
    first = build.sample_crawl()
    stamps = {p.name: p.stat().st_mtime_ns for p in Path(first).iterdir()}
    assert len(stamps) == 2 and Path(first).parent == tmp_path / "crawlmill"
    assert build.sample_crawl() == first
    assert {p.name: p.stat().st_mtime_ns for p in Path(first).iterdir()} == stamps
    assert [p.name for p in Path(first).parent.iterdir()] == [Path(first).name]


def test_docstrings_parsed_block_kinds_and_markup() -> None:
    text = """Add two numbers that were given by the caller, slowly.

    The sum is kept in ``total``, see :class:`Counter` for *more* than this one.

    Parameters
    ----------
    a : int
        The first number that is added to the other one here.

    Notes
    -----
    This note is long enough to be kept as a paragraph of prose.

    - one item of the list
    - another item that goes on
      in the next line

    >>> add(1, 2)
    3
    """
    blocks = [(b.kind, b.lines) for b in docstrings.parse(inspect.cleandoc(text))]
    assert blocks == [
        ("prose", ("Add two numbers that were given by the caller, slowly.",)),
        ("prose", ("The sum is kept in `total`, see `Counter` for more than this one.",)),
        ("prose", ("This note is long enough to be kept as a paragraph of prose.",)),
        ("list", ("one item of the list", "another item that goes on in the next line")),
        ("code", (">>> add(1, 2)", "3")),
    ]


@pytest.mark.parametrize(("kind", "labels"), [("quality", {"good", "bad"}), ("toxicity", {"toxic", "clean"})])
def test_labelled_texts_every_slot_is_filled_and_both_languages_there(kind: str, labels: set[str]) -> None:
    found = list(rows(kind))
    assert {(r["label"], r["lang"]) for r in found} == {(label, lang) for label in labels for lang in ("en", "zh")}
    assert not any("<" in r["text"] for r in found)
    assert len({r["text"] for r in found}) > 0.8 * len(found) > 800


def test_labelled_texts_file_holds_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = labelled_texts("toxicity")
    assert [json.loads(line) for line in Path(path).read_text(encoding="utf-8").split("\n")[:-1]] == list(
        rows("toxicity")
    )
    assert labelled_texts("toxicity") == path
    with pytest.raises(StoreError, match="Did you mean 'toxicity'"):
        labelled_texts("toxicty")
