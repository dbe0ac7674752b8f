from __future__ import annotations

import email.utils
import random
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.http_reader import HttpReader, RetryPolicy, shown
from pipeline.remote import InputStream, open_stream
from tests.stages.commoncrawl_server import CrawlServer, Fault

QUICK = RetryPolicy(first_wait_s=0.001, failures_in_a_row=4, total_failures=60)
CONTENT = random.Random(5).randbytes(700_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CrawlServer]:
    (tmp_path / "file.bin").write_bytes(CONTENT)
    (tmp_path / "empty").write_bytes(b"")
    with CrawlServer(tmp_path) as running:
        yield running


def read_all(stream: InputStream, size: int = 65536) -> bytes:
    parts = []
    with stream:
        while part := stream.read(size):
            parts.append(part)
    return b"".join(parts)


def test_open_stream_local_and_http_give_the_same_bytes_in_the_same_portions(server: CrawlServer) -> None:
    local, remote = open_stream(str(server.folder / "file.bin")), open_stream(f"{server.url}/file.bin", QUICK)
    for size in (1, 1000, 65536, 10**9, 5):
        assert remote.read(size) == local.read(size)
    assert remote.num_bytes_read == local.num_bytes_read == len(CONTENT)
    assert read_all(open_stream(f"{server.url}/empty", QUICK)) == b""


def test_read_with_connection_cut_resumes_where_it_was(server: CrawlServer) -> None:
    server.faults = deque([Fault(cut_after=100_000), Fault(cut_after=0), None])
    assert read_all(open_stream(f"{server.url}/file.bin", QUICK)) == CONTENT
    assert [asked for _, _, asked in server.requests] == ["", "bytes=100000-", "bytes=100000-"]


def test_read_with_many_cuts_and_progress_outlasts_the_failures_in_a_row(server: CrawlServer) -> None:
    server.faults = deque(Fault(cut_after=50_000) for _ in range(13))
    assert read_all(open_stream(f"{server.url}/file.bin", QUICK)) == CONTENT


def test_read_total_failures_are_bounded_in_spite_of_progress(server: CrawlServer) -> None:
    server.faults = deque(Fault(cut_after=1000) for _ in range(200))
    with pytest.raises(StoreError, match="60 attempts failed"):
        read_all(open_stream(f"{server.url}/file.bin", QUICK))
    assert len(server.requests) == 60


def test_read_where_server_ignores_ranges_skips_what_is_known(server: CrawlServer) -> None:
    cut = Fault(cut_after=300_000)
    server.faults = deque([cut, Fault(ignore_range=True, cut_after=400_000), Fault(ignore_range=True)])
    assert read_all(open_stream(f"{server.url}/file.bin", QUICK)) == CONTENT


def test_read_of_file_replaced_in_the_middle_is_an_error(server: CrawlServer) -> None:
    server.faults = deque([Fault(cut_after=1000), Fault(replace_with=CONTENT[::-1])])
    with pytest.raises(StoreError, match="changed while it was read"):
        read_all(open_stream(f"{server.url}/file.bin", QUICK))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_read_busy_server_is_asked_again(server: CrawlServer, status: int) -> None:
    server.faults = deque([Fault(status=status), Fault(status=status), None])
    assert read_all(open_stream(f"{server.url}/file.bin", QUICK)) == CONTENT


def test_read_waits_as_long_as_the_server_asks(server: CrawlServer) -> None:
    server.faults = deque([Fault(status=503, retry_after="1"), None])
    start = time.monotonic()
    assert read_all(open_stream(f"{server.url}/file.bin", QUICK)) == CONTENT
    assert time.monotonic() - start >= 1


def test_wait_grows_and_is_bounded() -> None:
    policy = RetryPolicy()
    assert [policy.wait_s(k, None) for k in (1, 2, 3, 20)] == [0.5, 1, 2, 60]
    assert policy.wait_s(1, "7") == 7 and policy.wait_s(1, "100000") == 300
    assert policy.wait_s(1, "Thu, 01 Jan 1970 00:00:00 GMT") == 0 and policy.wait_s(1, "soon") == 0.5
    assert 25 < policy.wait_s(1, email.utils.formatdate(time.time() + 30, usegmt=True)) <= 30


def test_read_server_that_stays_busy_gives_up_and_says_so(server: CrawlServer) -> None:
    server.faults = deque(Fault(status=503) for _ in range(100))
    address = server.url.replace("http://", "http://user:secret@") + "/file.bin?token=hidden#x"
    with pytest.raises(StoreError) as caught:
        read_all(open_stream(address, QUICK))
    message = str(caught.value)
    assert message.startswith(f"{server.url}/file.bin: HTTP status 503; 4 attempts failed")
    assert "secret" not in message and "hidden" not in message and caught.value.__cause__ is None
    assert len(server.requests) == 4
    assert server.authorizations == ["Basic dXNlcjpzZWNyZXQ="] * 4


def test_read_missing_file_is_not_retried(server: CrawlServer) -> None:
    with pytest.raises(StoreError, match="HTTP status 404"):
        read_all(open_stream(f"{server.url}/none", QUICK))
    assert len(server.requests) == 1


def test_read_refused_connection_names_the_cause_without_the_query() -> None:
    with pytest.raises(StoreError, match="Connection refused") as caught:
        read_all(open_stream("http://127.0.0.1:9/x?key=hidden", QUICK))
    assert "hidden" not in str(caught.value)


def test_read_follows_redirects_but_not_away_from_http(server: CrawlServer) -> None:
    server.faults = deque([Fault(redirect_to="/file.bin"), None])
    assert read_all(open_stream(f"{server.url}/empty", QUICK)) == CONTENT
    server.faults = deque([Fault(redirect_to="ftp://127.0.0.1/x")])
    with pytest.raises(StoreError, match="redirect to ftp"):
        read_all(open_stream(f"{server.url}/empty", QUICK))
    server.faults = deque(Fault(redirect_to="/empty") for _ in range(9))
    with pytest.raises(StoreError, match="redirects"):
        read_all(open_stream(f"{server.url}/empty", QUICK))


def test_read_without_length_ends_with_the_connection(server: CrawlServer) -> None:
    server.faults = deque([Fault(no_length=True)])
    assert read_all(open_stream(f"{server.url}/file.bin", QUICK)) == CONTENT


def test_head_tells_content_apart(server: CrawlServer) -> None:
    first, again = (HttpReader(f"{server.url}/file.bin", QUICK).head() for _ in range(2))
    server.replaced["/file.bin"] = CONTENT[::-1]
    other = HttpReader(f"{server.url}/file.bin", QUICK).head()
    assert first.num_bytes == len(CONTENT)
    assert first.stamp == again.stamp != other.stamp


@pytest.mark.parametrize(
    "location, printed",
    [
        ("https://u:p@h.org/a/b?x=1#y", "https://h.org/a/b"),
        ("s3://key:secret@bucket/a?endpoint_override=h", "s3://bucket/a"),
        ("https://h.org?x=a@b", "https://h.org"),
        ("a folder/x?y", "a folder/x?y"),
    ],
)
def test_shown_hides_what_may_be_secret(location: str, printed: str) -> None:
    assert shown(location) == printed


def test_open_stream_missing_local_file_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="No such file"):
        open_stream(str(tmp_path / "none"))
    with pytest.raises(StoreError, match="directory"):
        open_stream(str(tmp_path)).read(1)
