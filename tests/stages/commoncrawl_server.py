"""A real HTTP server over a folder, for tests: ranges, validators, and faults on demand.

`with CrawlServer(folder) as server:` serves the folder's files at `server.url`; the faults in `server.faults` befall
one GET request each, in order (None: that request is served as it should be).
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Fault:
    status: int = 0  # answer with it instead of the file
    retry_after: str | None = None
    cut_after: int = -1  # close the connection after so many bytes of the body
    ignore_range: bool = False
    redirect_to: str = ""
    replace_with: bytes | None = None  # the file is another one from this request on
    no_length: bool = False  # neither length nor validators


@dataclass
class CrawlServer:
    folder: Path
    faults: deque[Fault | None] = field(default_factory=deque)
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, Range
    replaced: dict[str, bytes] = field(default_factory=dict)
    authorizations: list[str] = field(default_factory=list)

    def __enter__(self) -> CrawlServer:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def content(self, path: str) -> bytes | None:
        file = self.folder / path.lstrip("/")
        return self.replaced.get(path) or (file.read_bytes() if file.is_file() else None)


class _Handler(BaseHTTPRequestHandler):
    site: CrawlServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(None)

    def do_GET(self) -> None:
        self._answer(self.site.faults.popleft() if self.site.faults else None)

    def _answer(self, fault: Fault | None) -> None:
        fault = fault or Fault()
        path = self.path.partition("?")[0]
        asked = self.headers.get("Range", "")
        self.site.requests.append((self.command, path, asked))
        self.site.authorizations.append(self.headers.get("Authorization", ""))
        if fault.replace_with is not None:
            self.site.replaced[path] = fault.replace_with
        content = self.site.content(path)
        if fault.status or content is None:
            self._empty(fault.status or 404, {"Retry-After": fault.retry_after} if fault.retry_after else {})
        elif fault.redirect_to:
            self._empty(302, {"Location": fault.redirect_to})
        else:
            self._file(content, asked, fault)

    def _empty(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, content: bytes, asked: str, fault: Fault) -> None:
        etag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        partial = wanted is not None and not fault.ignore_range and self.headers.get("If-Range", etag) == etag
        start, end = 0, len(content)
        if partial and wanted is not None:
            start, end = int(wanted[1]), int(wanted[2] or len(content) - 1) + 1
        self.send_response(206 if partial else 200)
        if partial:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        if fault.no_length:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(end - start))
            self.send_header("ETag", etag)
        self.end_headers()
        if self.command == "HEAD":
            return
        body = content[start:end]
        self.wfile.write(body if fault.cut_after < 0 else body[: fault.cut_after])
        self.close_connection = fault.cut_after >= 0 or fault.no_length
