"""The bytes of a shard, gzip members inflated, each piece with the span of the file it came from.

Reads:  a file-like object with `read(n)`
Writes: Pieces, in file order; their spans [start, end) follow each other without gap or overlap
Costs:  about 300 MB/s inflated through isal (zlib: half of it); a window of READ_BYTES and one piece in memory
Source: RFC 1952 (gzip members); annex D of ISO 28500 (WARC), which asks for one member per record

Where the pieces are cut depends on the file's content alone, never on how the stream delivered it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from stages.warc.headers import starts_record
from stages.warc.inflate import GZIP_WBITS, InflateError, inflater

MAGIC = b"\x1f\x8b\x08"  # RFC 1952: ID1, ID2, CM = deflate
READ_BYTES = 1 << 20
SLICE_BYTES = 1 << 16  # compressed bytes given to the inflater at once: most pages of a crawl fit into one slice
PIECE_BYTES = 1 << 20  # of inflated bytes in a piece; bounds what a gzip bomb can make of one slice
PROBE_BYTES = 4096  # inflated to see whether a member found after damage begins with a record


class ByteStream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """Inflated bytes and the span of the file they took up. `member` is the file offset at which their gzip member
    begins (a plain file's piece is its own member). A piece with a `problem` is a gap: no data, only a span."""

    data: bytes
    start: int
    end: int
    member: int
    begins_member: bool = False
    plain: bool = False
    problem: str = ""


class Window:
    """A moving view of a stream: `data[at:]` is what comes next, `offset` its place in the file."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._ended = False
        self.data = b""
        self.at = 0
        self.offset = 0

    def fill(self, num_bytes: int) -> int:
        """See to it that `num_bytes` are in the window, or all that are left; how many of them there are."""
        left = len(self.data) - self.at
        if left < num_bytes and not self._ended:
            parts = [self.data[self.at :]]
            while left < num_bytes and not self._ended:
                block = self._stream.read(READ_BYTES)
                self._ended = not block
                parts.append(block)
                left += len(block)
            self.data, self.at = b"".join(parts), 0
        return min(left, num_bytes)

    def view(self, num_bytes: int) -> memoryview:
        return memoryview(self.data)[self.at : self.at + num_bytes]

    def advance(self, num_bytes: int) -> None:
        self.at += num_bytes
        self.offset += num_bytes


def pieces(stream: ByteStream, name: str) -> Iterator[Piece]:
    """All of a stream; whether it is gzip is seen from its first bytes, and from its name where they are damaged."""
    window = Window(stream)
    window.fill(SLICE_BYTES)
    head = bytes(window.view(1 << 10))
    if head.startswith(MAGIC) or (name.endswith(".gz") and not starts_record(head)):
        return _gzip_pieces(window)
    return _plain_pieces(window)


def _plain_pieces(window: Window) -> Iterator[Piece]:
    while num_bytes := window.fill(PIECE_BYTES):
        start, data = window.offset, bytes(window.view(num_bytes))
        window.advance(num_bytes)
        yield Piece(data, start, window.offset, start, plain=True)


def _gzip_pieces(window: Window) -> Iterator[Piece]:
    while window.fill(SLICE_BYTES):
        if window.view(len(MAGIC)) == MAGIC:
            yield from _member(window)
        else:
            yield _gap(window, window.offset, "garbage")


def _member(window: Window) -> Iterator[Piece]:
    """One member's pieces. Damage ends it with a gap up to the next readable member; the end of the file, with an
    empty `truncated_member` piece."""
    member = window.offset
    gunzip = inflater(GZIP_WBITS)
    while not gunzip.eof:
        start, num_bytes = window.offset, window.fill(SLICE_BYTES)
        if not num_bytes:
            yield Piece(b"", start, start, member, problem="truncated_member")
            return
        try:
            data = gunzip.decompress(window.view(num_bytes), PIECE_BYTES)
        except InflateError:
            yield _gap(window, member, "damaged_member")
            return
        used = num_bytes - len(gunzip.unconsumed_tail) - len(gunzip.unused_data)
        if not used and not data and not gunzip.eof:
            yield _gap(window, member, "damaged_member")
            return
        window.advance(used)
        yield Piece(data, start, window.offset, member, begins_member=start == member)


def _gap(window: Window, member: int, problem: str) -> Piece:
    """The span from the window's place to the next member that begins with a record, or to the end of the file."""
    start = window.offset
    window.advance(1)
    while left := window.fill(SLICE_BYTES):
        found = window.data.find(MAGIC, window.at)
        if found < 0:
            rest = len(window.data) - window.at
            window.advance(left if left < len(MAGIC) else rest - len(MAGIC) + 1)
            continue
        window.advance(found - window.at)
        if _holds_record(window.view(window.fill(SLICE_BYTES))):
            break
        window.advance(1)
    return Piece(b"", start, window.offset, member, problem=problem)


def _holds_record(view: memoryview) -> bool:
    try:
        return starts_record(inflater(GZIP_WBITS).decompress(view, PROBE_BYTES))
    except InflateError:
        return False
