"""Reading lists: plain, gzip, over HTTP, and what is no list."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import DataError, StoreError
from stages.kernels.list_entries import entry_spans
from stages.wordlists import reading
from tests.stages.commoncrawl_server import CrawlServer

LIST = "# a comment\n\none two\r\n  é#x \n\t\nlast".encode()
ENTRIES = ["one two", "é#x", "last"]


@pytest.mark.parametrize(
    "data",
    [
        LIST, LIST + b"\n", b"\xef\xbb\xbf" + LIST, gzip.compress(LIST),
        gzip.compress(LIST[:20]) + gzip.compress(LIST[20:]), gzip.compress(LIST) + gzip.compress(b""),
    ],
    ids=["plain", "line_end", "bom", "gzip", "two_members", "empty_member"],
)  # fmt: skip
def test_words_list_is_read(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "list").write_bytes(data)
    assert reading.words(str(tmp_path / "list")) == ENTRIES


def test_words_small_blocks_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"word {k} " + "x" * (k % 50) for k in range(3000)]
    (tmp_path / "list").write_bytes("\n".join(lines).encode())
    (tmp_path / "list.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.setattr(reading, "_BLOCK_BYTES", 37)
    for name in ("list", "list.gz"):
        assert reading.words(str(tmp_path / name)) == [line.strip() for line in lines]


def test_words_list_is_read_over_http(tmp_path: Path) -> None:
    (tmp_path / "list.gz").write_bytes(gzip.compress(LIST))
    with CrawlServer(tmp_path) as server:
        assert reading.words(f"{server.url}/list.gz") == ENTRIES


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "no entries"), (b"# only\n\n", "no entries"), (b"a\0b", "zero byte"), (b"\xff\xfe", "not UTF-8"),
        (gzip.compress(LIST)[:-9], "cut off"), (b"\x1f\x8b\x08nonsense", "damaged gzip"),
        (gzip.compress(LIST) + b"nonsense", "damaged gzip"), (b"x" * (2 << 20), "a line of more than"),
        (gzip.compress(b"x\n" * (9 << 20)), "a list of more than"), (b"word\n<p>404</p>\n", "a line of HTML"),
        (b"word\tcount\n", "a line of a table"),
    ],
)  # fmt: skip
def test_words_what_is_no_list_is_refused(tmp_path: Path, data: bytes, found: str) -> None:
    (tmp_path / "list").write_bytes(data)
    with pytest.raises(DataError, match=found):
        reading.words(str(tmp_path / "list"))


def test_words_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        reading.words(str(tmp_path / "none"))


def test_entry_spans_lines_of_any_bytes_equal_python() -> None:
    for data in (LIST, b"", b"\n\n", b"#", b" # x\n a ", bytes(range(1, 256)) * 3):
        starts, stops = entry_spans(np.frombuffer(data, np.uint8))
        white = bytes(range(33))
        lines = [line.strip(white) for line in data.split(b"\n")]
        assert [data[a:b] for a, b in zip(starts, stops, strict=True)] == [
            x for x in lines if x and not x.startswith(b"#")
        ]
