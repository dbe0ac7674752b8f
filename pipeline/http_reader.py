"""Reading one file over http(s) from front to back, through servers that are busy and connections that break.

Reads:  one URL
Writes: HttpReader: `read(n)` gives up to n bytes; `head()` what the server says of the file
Costs:  one connection
Source: RFC 9110 (Range, If-Range, Retry-After, redirects); Common Crawl answers 503 SlowDown to those who ask too fast

A transfer that is cut goes on from the byte it had reached. The server must then name the same ETag (without one, the
same Last-Modified) and the same length: a file that changes while it is read is an error, never a mixture. A server
that names neither is held to the length alone. Messages carry no user names, passwords or query strings.
"""

from __future__ import annotations

import email.utils
import re
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3

from pipeline.errors import StoreError

HTTP_SCHEMES = ("https://", "http://")
_RETRY_STATUS = frozenset({429, 500, 502, 503, 504})
_FOUND_STATUS = frozenset({200, 206})
_NO_HEAD_STATUS = frozenset({403, 405, 501})  # addresses signed for GET refuse HEAD with 403
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS = 5
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """After failure k in a row the wait is `first_wait_s * 2**k`, at most `longest_wait_s`; a server's Retry-After is
    waited for up to `longest_retry_after_s`. A byte of progress starts the row anew; `total_failures` bounds them all.
    """

    failures_in_a_row: int = 8
    total_failures: int = 1000
    first_wait_s: float = 0.5
    longest_wait_s: float = 60.0
    longest_retry_after_s: float = 300.0
    connect_timeout_s: float = 20.0
    read_timeout_s: float = 60.0

    def wait_s(self, num_failures: int, retry_after: str | None) -> float:
        asked = _seconds(retry_after)
        if asked is not None:
            return min(asked, self.longest_retry_after_s)
        return min(self.first_wait_s * 2.0 ** (num_failures - 1), self.longest_wait_s)


def is_http(location: str) -> bool:
    return location.startswith(HTTP_SCHEMES)


def shown(location: str) -> str:
    """A location as it may be printed: no user name, password, query or fragment."""
    if "://" not in location:
        return location
    scheme, _, rest = location.partition("://")
    authority, slash, path = re.split(r"[?#]", rest, maxsplit=1)[0].partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def _seconds(retry_after: str | None) -> float | None:
    """A Retry-After header in seconds from now: a number, or a date."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


@dataclass(frozen=True)
class HttpFile:
    """What a server says of a file. `num_bytes` is -1 where it does not say."""

    etag: str = ""
    last_modified: str = ""
    num_bytes: int = -1

    @property
    def stamp(self) -> str:
        """Which content it is, as far as the server tells; empty where it tells nothing."""
        known = {"etag": self.etag, "modified": "" if self.etag else self.last_modified, "size": str(self.num_bytes)}
        return " ".join(f"{k}:{v}" for k, v in known.items() if v) if self.etag or self.num_bytes >= 0 else ""

    def same_as(self, other: HttpFile) -> bool:
        same_size = self.num_bytes == other.num_bytes or -1 in (self.num_bytes, other.num_bytes)
        if self.etag or other.etag:
            return same_size and self.etag == other.etag
        return same_size and self.last_modified == other.last_modified


class HttpReader:
    """A file behind a URL, read forwards. Raises StoreError when the retries are used up or the file changed."""

    def __init__(self, url: str, policy: RetryPolicy | None = None) -> None:
        self._url = url
        self._policy = policy or RetryPolicy()
        timeout = urllib3.Timeout(connect=self._policy.connect_timeout_s, read=self._policy.read_timeout_s)
        self._pool = urllib3.PoolManager(timeout=timeout, retries=False, maxsize=1)
        self._response: urllib3.BaseHTTPResponse | None = None
        self._file: HttpFile | None = None
        self._at = 0
        self._known = 0  # bytes of this answer to read over: the server ignored the range it was asked for
        self._failures = 0
        self._failures_in_a_row = 0

    def head(self) -> HttpFile:
        """What the server says of the file, without reading it; by a GET of one byte where HEAD is not allowed."""
        method = "HEAD"
        headers: dict[str, str] = {}
        while True:
            response = self._request(method, headers)
            if response is None:
                continue
            response.close()
            if response.status in _NO_HEAD_STATUS and method == "HEAD":
                method, headers = "GET", {"Range": "bytes=0-0"}
            elif response.status in _FOUND_STATUS:
                return _described(response)
            else:
                raise self._status_error(response)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none only at the end of the file."""
        while True:
            if self._file is not None and self._at == self._file.num_bytes:
                return b""
            if self._response is None:
                self._open()
                continue
            try:
                data: bytes = self._response.read1(size)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._drop_response()
                self._failed(kind_of_error(error), None)
                continue
            if data:
                num_known = min(self._known, len(data))
                self._known -= num_known
                if num_known == len(data):
                    continue
                self._at += len(data) - num_known
                self._failures_in_a_row = 0
                return data[num_known:]
            if self._file is None or self._file.num_bytes < 0:
                return b""
            self._drop_response()
            self._failed(f"the transfer ended at byte {self._at} of {self._file.num_bytes}", None)

    def close(self) -> None:
        self._drop_response()
        self._pool.clear()

    def _drop_response(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _open(self) -> None:
        """Ask for the file from the byte reached on."""
        headers = {}
        if self._at:
            headers["Range"] = f"bytes={self._at}-"
            validator = self._file.etag or self._file.last_modified if self._file else ""
            if validator and not validator.startswith("W/"):
                headers["If-Range"] = validator
        response = self._request("GET", headers)
        if response is None:
            return
        if response.status not in _FOUND_STATUS:
            response.close()
            raise self._status_error(response)
        self._check_unchanged(response)
        self._response = response
        self._known = self._at if response.status == 200 else 0

    def _check_unchanged(self, response: urllib3.BaseHTTPResponse) -> None:
        """The first answer says which file it is; every later one must say the same."""
        found = _described(response)
        if self._file is None:
            self._file = found
            return
        content_range = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        starts_right = response.status == 200 or (content_range is not None and int(content_range[1]) == self._at)
        if not found.same_as(self._file) or not starts_right:
            response.close()
            before, after = self._file.stamp or "no stamp", found.stamp or "no stamp"
            raise self._error(
                f"the file changed while it was read ({before} became {after})",
                "the same file to the end", "Run again; what was finished stays.",
            )  # fmt: skip

    def _request(self, method: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse | None:
        """One answer, redirects followed; None after a failure worth another attempt, which was waited for."""
        url = self._url
        for _ in range(_MAX_REDIRECTS):
            try:
                response = self._pool.request(
                    method, url, headers={"Accept-Encoding": "identity", **_authorization(url), **headers},
                    preload_content=False, redirect=False,
                )  # fmt: skip
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._failed(kind_of_error(error), None)
                return None
            if response.status in _RETRY_STATUS:
                retry_after = response.headers.get("Retry-After")
                response.close()
                self._failed(f"HTTP status {response.status}", retry_after)
                return None
            if response.status not in _REDIRECTS:
                return response
            response.close()
            url = self._redirected(url, response.headers.get("Location", ""))
        raise self._error(f"more than {_MAX_REDIRECTS} redirects", "the file")

    def _redirected(self, url: str, target: str) -> str:
        target = urllib.parse.urljoin(url, target)
        if not is_http(target) or (url.startswith("https:") and not target.startswith("https:")):
            raise self._error(f"a redirect to {shown(target)}", "an https address")
        return target

    def _failed(self, what: str, retry_after: str | None) -> None:
        """Count a failure and wait, or give up."""
        self._failures += 1
        self._failures_in_a_row += 1
        policy = self._policy
        if self._failures_in_a_row >= policy.failures_in_a_row or self._failures >= policy.total_failures:
            row = f"{self._failures_in_a_row} of them in a row, at byte {self._at}"
            raise self._error(
                f"{what}; {self._failures} attempts failed, {row}",
                "an answer with the file", "Run again later; what was finished stays.",
            )  # fmt: skip
        time.sleep(policy.wait_s(self._failures_in_a_row, retry_after))

    def _status_error(self, response: urllib3.BaseHTTPResponse) -> StoreError:
        return self._error(f"HTTP status {response.status} {response.reason or ''}".rstrip(), "status 200 or 206")

    def _error(self, found: str, expected: str, mend: str = "Check the address.") -> StoreError:
        return StoreError(found, where=shown(self._url), expected=expected, mend=mend)


def _described(response: urllib3.BaseHTTPResponse) -> HttpFile:
    content_range = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    length = content_range[2] if content_range else response.headers.get("Content-Length", "")
    return HttpFile(
        response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""),
        int(length) if length.isdigit() else -1,
    )  # fmt: skip


def _authorization(url: str) -> dict[str, str]:
    """Basic authentication for an address that holds a user name."""
    auth = urllib3.util.parse_url(url).auth
    return dict(urllib3.make_headers(basic_auth=urllib.parse.unquote(auth))) if auth else {}


def kind_of_error(error: BaseException) -> str:
    """What went wrong, without the address that urllib3 puts into its messages."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{type(error).__name__}: {cause.strerror}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
