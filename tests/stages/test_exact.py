"""Exact dedup against dictionaries of texts and URLs, normalised in plain Python."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes, urlsplit

import numpy as np
import pyarrow as pa
import pytest
import xxhash

from pipeline.artifact import Artifact
from pipeline.errors import FieldError
from stages import exact
from stages.dedup import corpus
from stages.dedup.urls import url_hashes
from tests.shared_data import REPOSITORY
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
from tests.wide_context import Outcome, document_table, run_wide

TEXTS = [
    "Hello  World",
    "hello world\n",
    "HELLO\tWORLD",
    "hello, world",
    "",
    None,
    "  ",
    "Caf\u00e9",
    "cafe\u0301",
    "cafe",
    "42",
    "43",
]


def _table(texts: list[str | None], **columns: pa.Array) -> pa.Table:
    ids = [xxhash.xxh3_128_digest(f"{number}".encode()) for number in range(len(texts))]
    return document_table(ids, texts, **columns)


def _expected(table: pa.Table) -> dict[bytes, bytes | None]:
    """The longest of each group, then the smallest id; without text: kept."""
    groups: dict[str, list[tuple[int, bytes]]] = {}
    fates: dict[bytes, bytes | None] = {}
    for id_, text in zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True):
        fates[id_] = None
        key = " ".join(unicodedata.normalize("NFD", (text or "").lower()).split())
        if key:
            groups.setdefault(key, []).append((-len(text), id_))
    for members in groups.values():
        for _, id_ in members:
            fates[id_] = None if id_ == min(members)[1] else min(members)[1]
    return fates


def _layout(table: pa.Table, num_shards: int, seed: int) -> list[pa.Table]:
    order = np.random.default_rng(seed).permutation(table.num_rows)
    return [table.take(pa.array(part)) for part in np.array_split(order, num_shards)]


@pytest.mark.parametrize("num_shards, task_docs", [(1, 10**6), (2, 1), (5, 40), (13, 10**6), (13, 30), (13, 1)])
def test_exact_any_layout_keeps_what_a_dictionary_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_shards: int, task_docs: int
) -> None:
    monkeypatch.setattr(corpus, "TASK_DOCS", task_docs)
    table = _table(TEXTS * 7 + [f"unique {n}" for n in range(50)])
    outcome = run_wide("stages.exact", exact.Config(), _layout(table, num_shards, num_shards), tmp_path)
    assert outcome.fates() == _expected(table)
    assert outcome.report.docs_in == table.num_rows
    assert set(outcome.dropped["reason"].to_pylist()) == {"exact_duplicate"}


def test_exact_many_small_shards_are_exchanged_as_one_group(tmp_path: Path) -> None:
    shards = _layout(_table(TEXTS * 7), 30, 0)
    run_wide("stages.exact", exact.Config(), [shards[0].slice(0, 0), *shards], tmp_path)
    assert len(list((tmp_path / "work" / "exchanges" / "contents").iterdir())) == 1


def test_exact_tasks_take_no_artifact_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(artifact: Artifact, protocol: object) -> None:
        pytest.fail(f"artifact {artifact.step} goes into a task, with a manifest of all its files")

    monkeypatch.setattr(Artifact, "__reduce_ex__", refuse)
    assert run_wide("stages.exact", exact.Config(), _layout(_table(TEXTS * 7), 3, 0), tmp_path).dropped.num_rows


def test_exact_counts_sum_to_the_documents_also_over_two_passes(tmp_path: Path) -> None:
    table = _table(["a b", "a  b", "A B", "c", "c", None])
    first = run_wide("stages.exact", exact.Config(normalisation="none"), _layout(table, 2, 0), tmp_path / "first")
    second = run_wide("stages.exact", exact.Config(), [first.kept], tmp_path / "second")
    assert _counts(first) == {"A B": 1, "a  b": 1, "a b": 1, "c": 2, None: 1}
    assert _counts(second) == {"a  b": 3, "c": 2, None: 1}


def _counts(outcome: Outcome) -> dict[str | None, int]:
    return dict(zip(outcome.kept["text"].to_pylist(), outcome.kept["duplicate_count"].to_pylist(), strict=True))


@pytest.mark.parametrize("keep, expected", [("earliest", 1), ("latest", 2), ("shortest_url", 3), ("quality", 4)])
def test_exact_policy_decides_who_is_kept(tmp_path: Path, keep: str, expected: int) -> None:
    table = _table(
        ["same"] * 6,
        date=pa.array([None, 10, 90, 50, 50, 50], pa.timestamp("s", tz="UTC")),
        url=pa.array([None, "http://a/1", "http://a/1", "http://a", "http://a/1", "http://a/1"]),
        quality=pa.array([None, 0.5, 0.5, 0.5, 0.9, float("nan")]),
    )
    outcome = run_wide("stages.exact", exact.Config(keep=keep), [table.slice(3), table.slice(0, 3)], tmp_path)  # type: ignore[arg-type]
    assert outcome.kept["id"].to_pylist() == [table["id"][expected].as_py()]


def test_exact_cluster_sizes_are_reported(tmp_path: Path) -> None:
    table = _table(["one", *["two"] * 2, *["three"] * 3, *["five"] * 5, *["nine"] * 9])
    report = run_wide("stages.exact", exact.Config(), [table], tmp_path).report
    sizes = report.bars["cluster sizes"]
    assert dict(zip(sizes["labels"], sizes["counts"], strict=True)) == {"1": 1, "2": 1, "3-4": 1, "5-8": 1, "9-16": 1}
    assert [row["documents"] for row in report.tables["largest clusters"]] == [9, 5, 3, 2]
    assert report.tables["largest clusters"][0]["excerpt"] == "nine"


def test_exact_empty_shards_stay_empty(tmp_path: Path) -> None:
    table = _table(["x", "x"])
    outcome = run_wide("stages.exact", exact.Config(), [table.slice(0, 0), table, table.slice(0, 0)], tmp_path)
    assert outcome.kept.num_rows == 1


SAME_URLS = [
    ("http://example.com/a", "HTTP://Example.COM/a"),
    ("http://example.com", "http://example.com/"),
    ("http://example.com?q=1", "http://example.com/?q=1"),
    ("http://example.com:80/a", "http://example.com/a"),
    ("https://example.com:443/a", "https://example.com/a"),
    ("https://example.com:/a", "https://example.com/a"),
    ("http://example.com:08080/a", "http://example.com:8080/a"),
    ("http://example.com./a", "http://example.com/a"),
    ("http://example.com/a#part", "http://example.com/a"),
    ("http://example.com/a?q=1#part?x", "http://example.com/a?q=1"),
    ("http://example.com/a#", "http://example.com/a"),
    ("http://example.com/%7euser/%41", "http://example.com/~user/A"),
    ("http://example.com/a%2fb", "http://example.com/a%2Fb"),
    ("http://example.com/caf\u00e9?\u00e9", "http://example.com/caf%c3%a9?%C3%A9"),
    ("http://example.com/a b", "http://example.com/a%20b"),
    ("http://example.com/a/./b/../c", "http://example.com/a/c"),
    ("http://example.com/../a", "http://example.com/a"),
    ("http://example.com/a/..", "http://example.com/"),
    ("http://example.com/a/%2e%2E/b/.", "http://example.com/b/"),
    ("http://example.com\\a\\b", "http://example.com/a/b"),
    ("http://b\u00fccher.example/", "http://XN--bcher-kva.example"),
    ("http://[2001:DB8:0:0:0:0:0:1]:80/", "http://[2001:db8::1]/"),
    ("  http://example.com/a\n", "http://example.com/a"),
    ("mailto:a@example.com ", "mailto:a@example.com"),
]
OTHER_URLS = [
    ("http://example.com/a", "https://example.com/a"),
    ("http://example.com/a", "http://www.example.com/a"),
    ("http://example.com/a", "http://example.com/a/"),
    ("http://example.com/a", "http://example.com/A"),
    ("http://example.com/a", "http://example.com/a?"),
    ("http://example.com/?a=1&b=2", "http://example.com/?b=2&a=1"),
    ("http://example.com/?a=1", "http://example.com/?a=1&utm_source=x"),
    ("http://example.com/?q=a+b", "http://example.com/?q=a%20b"),
    ("http://example.com/?q=a/../b", "http://example.com/?q=b"),
    ("http://example.com/a%2Fb", "http://example.com/a/b"),
    ("http://example.com/a%25b", "http://example.com/a%b"),
    ("http://example.com/a//b", "http://example.com/a/b"),
    ("http://example.com/...", "http://example.com/"),
    ("http://example.com:443/", "http://example.com/"),
    ("http://example.com:x/", "http://example.com/"),
    ("http://me@example.com/", "http://example.com/"),
    ("http://example.com/#!/a", "http://example.com/#!/b"),
    ("http://example.com/#/a#x", "http://example.com/#/a#y"),
    ("http://[::1]x/", "http://[::1]/x/"),
    ("ftp://example.com", "ftp://example.com/"),
    ("example.com/a", "http://example.com/a"),
    ("urn:ISBN:1", "urn:isbn:1"),
]


def _by_url(urls: list[str | None] | pa.Array, tmp_path: Path, **settings: str) -> Outcome:
    table = _table([f"text {n}" for n in range(len(urls))], url=pa.array(urls, pa.string()))
    return run_wide("stages.exact", exact.Config(by="url", **settings), _layout(table, 2, 0), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("first, second", SAME_URLS)
def test_exact_same_page_by_the_rules_of_urls_is_kept_once(tmp_path: Path, first: str, second: str) -> None:
    outcome = _by_url([first, second], tmp_path)
    assert outcome.dropped["reason"].to_pylist() == ["same_url"]
    assert outcome.kept["duplicate_count"].to_pylist() == [2]


@pytest.mark.parametrize("first, second", OTHER_URLS)
def test_exact_urls_a_server_can_tell_apart_are_both_kept(tmp_path: Path, first: str, second: str) -> None:
    assert _by_url([first, second], tmp_path).kept.num_rows == 2


def test_exact_documents_without_a_url_are_kept(tmp_path: Path) -> None:
    outcome = _by_url([None, None, "", "", " ", "http://a/", "http://a"], tmp_path)
    assert outcome.kept.num_rows == 6


def test_exact_urls_without_normalisation_are_compared_byte_for_byte(tmp_path: Path) -> None:
    outcome = _by_url(["http://a/", "http://a", "http://a/", "HTTP://a/"], tmp_path, normalisation="none")
    assert sorted(outcome.kept["url"].to_pylist()) == ["HTTP://a/", "http://a", "http://a/"]


def test_exact_policy_that_cannot_decide_between_equal_urls_is_refused() -> None:
    with pytest.raises(FieldError, match="equally long") as error:
        exact.Config(by="url", normalisation="none", keep="shortest_url")
    assert error.value.field == "keep"


def _normal(url: str) -> str:
    """The normal form of an http URL with an ASCII host, through urllib."""
    before_query = re.match("[^?#]*", url)
    assert before_query
    parts = urlsplit(before_query.group().replace("\\", "/") + url[before_query.end() :])
    host = (parts.hostname or "").rstrip(".")
    port = "" if parts.port in (None, {"http": 80, "https": 443}[parts.scheme]) else f":{parts.port}"
    path = _encoded(parts.path) or "/"
    last = path.rsplit("/", 1)[1]
    segments: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    path = "/" + "/".join(segments) + ("/" if last in (".", "..") and segments else "")
    query = "?" + _encoded(parts.query) if "?" in url.split("#")[0] else ""
    fragment = "#" + _encoded(parts.fragment) if parts.fragment[:1] in ("!", "/") and parts.fragment else ""
    return f"{parts.scheme}://{host}{port}{path}{query}{fragment}"


def _encoded(text: str) -> str:
    """Unreserved characters plain, others as they are or percent-encoded; a stray % stays."""
    raw = quote(text, safe="".join(map(chr, range(33, 127))))
    return re.sub("%[0-9A-Fa-f]{2}", lambda found: _one(found.group()), raw)


def _one(code: str) -> str:
    character = unquote_to_bytes(code).decode("latin-1")
    return character if re.fullmatch("[A-Za-z0-9._~-]", character) else code.upper()


def test_exact_random_urls_are_grouped_as_urllib_would_group_them(tmp_path: Path) -> None:
    rng = random.Random(5)
    pieces = ["a", "B", ".", "..", "%2e", "%2E%2e", "", "%41", "%2f", "\u00e9", "%C3%a9", "%", "%zz", "a b", "\\"]

    def made() -> str:
        path = "".join(rng.choice(["/", "/", "\\"]) + rng.choice(pieces) for _ in range(rng.randint(0, 4)))
        query = rng.choice(["", "", "?", "?a=%7E", "?a=~", "?a=/../b"])
        fragment = rng.choice(["", "", "#", "#x", "#!x", "#/a%41", "#/aA"])
        host = rng.choice(["h.example", "H.Example", "h.example.", "h.example:80", "h.example:443", "h.example:"])
        return f"{rng.choice(['http', 'HTTP', 'https'])}://{host}{path}{query}{fragment}"

    urls = [made() for _ in range(4000)]
    outcome = _by_url(urls, tmp_path)
    groups: dict[str, int] = {}
    for url in urls:
        groups[_normal(url)] = groups.get(_normal(url), 0) + 1
    kept = zip(outcome.kept["url"].to_pylist(), outcome.kept["duplicate_count"].to_pylist(), strict=True)
    assert {_normal(url): count for url, count in kept} == groups
    assert len(groups) < 2000


def test_exact_urls_of_any_bytes_are_all_accounted_for(tmp_path: Path) -> None:
    rows = hostile_rows(5, 600)
    urls = [b"http://" + row[: len(row) // 2] + b".example/" + row[len(row) // 2 :] for row in rows]
    hashes, is_known_N = url_hashes(raw_texts(urls), "plain")
    alone = [url_hashes(raw_texts([url], b"%", b"41/.."), "plain")[0][0].tolist() for url in urls]
    assert hashes.tolist() == alone
    assert is_known_N.all()


CHECKED = """
from stages import exact
from stages.dedup.urls import url_hashes
from tests.shared_data import REPOSITORY
from tests.stages.test_text_filters_fuzz import hostile_rows, raw_texts
rows = [prefix + row for row in hostile_rows(7, 800) for prefix in (b"", b"https://h.example", b"http://h.example/%")]
for urls in (raw_texts(rows), *(raw_texts([row]) for row in rows[-90:])):
    url_hashes(urls, "plain")
"""


@pytest.mark.slow
def test_exact_hostile_urls_index_nothing_out_of_bounds(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_OPT": "1"}
    checked = subprocess.run(
        [sys.executable, "-c", CHECKED], cwd=REPOSITORY, env=environment, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
