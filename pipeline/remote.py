"""Reading a file from front to back, wherever it is: local, s3://, gs://, https://.

Reads:  one location
Writes: InputStream, a file-like object whose `read(n)` gives n bytes until the file ends
Costs:  one open file or connection; nothing is stored
"""

from __future__ import annotations

from typing import Any

from pipeline.errors import StoreError
from pipeline.http_reader import HttpReader, RetryPolicy, is_http, kind_of_error, shown
from pipeline.store import filesystem, is_remote


class InputStream:
    """A file being read from front to back. `num_bytes_read` counts what was given out so far."""

    def __init__(self, source: Any, location: str) -> None:
        self._source = source
        self._location = location
        self.num_bytes_read = 0
        self.closed = False

    def read(self, size: int, /) -> bytes:
        """`size` bytes, or all that are left of the file."""
        parts = []
        left = size
        try:
            while left > 0 and (part := self._source.read(left)):
                parts.append(part)
                left -= len(part)
        except OSError as error:
            raise StoreError(
                kind_of_error(error), where=shown(self._location), expected="a file that can be read to its end"
            ) from None
        self.num_bytes_read += size - left
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        self.closed = True
        self._source.close()

    def __enter__(self) -> InputStream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_stream(location: str, policy: RetryPolicy | None = None) -> InputStream:
    """Open a local path, an s3:// or gs:// location, or an http(s) URL. Raises StoreError where that fails."""
    if is_http(location):
        return InputStream(HttpReader(location, policy), location)
    try:
        if is_remote(location):
            system, path = filesystem(location)
            return InputStream(system.open_input_file(path), location)
        return InputStream(open(location, "rb", buffering=0), location)
    except OSError as error:
        raise StoreError(kind_of_error(error), where=shown(location), expected="a readable file") from None
