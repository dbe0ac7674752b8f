"""Cuts a shard's inflated bytes into records, each with the span of the file it takes up.

Reads:  the pieces of members.py
Writes: Records in file order; the sum of their `num_bytes` is the size of the file, whatever the file holds
Costs:  10 us per record; one record of up to `max_block_bytes` in memory
Source: ISO 28500 (WARC): a header block, a blank line, Content-Length bytes, two line ends

A record may span gzip members, and a member may hold many records. What cannot be read as a record comes out as one
with a `problem`:

    truncated_member   the file ends inside the record's gzip member
    truncated_record   the file or the member ends before the length the header gives
    damaged_member     inflating or the member's checksum failed; the span reaches to the next readable member
    garbage            bytes between members that are no member
    broken_header      no record begins here, or its header has no type; the span reaches to the next record
    wrong_length       another record begins before the length the header gives; the span ends there
    block_too_large    the block is larger than `max_block_bytes`; it was skipped
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from stages.warc.headers import HEAD_BYTES, HEAD_END, Fields, arc_fields, parse_fields, starts_record
from stages.warc.members import Piece

_NEXT_RECORD = re.compile(rb"\n\r?\n(?=WARC/[01]\.\d{1,2}\r?\n)")
_NEXT_RECORD_BYTES = 16  # longest match with what it looks ahead at
_LINE_ENDS = b"\r\n"


@dataclass(slots=True)
class Record:
    """`data[start:end]` is the block. `offset` is the file offset of the gzip member (plain: of the header) it begins
    in, `length` the file's bytes from there to its end. `num_bytes` is its share of the file: of several records in
    one piece of a member, the last has all of it. `num_block_bytes` is the declared length of the block."""

    fields: Fields
    data: bytes
    start: int
    end: int
    offset: int
    length: int
    num_bytes: int
    num_block_bytes: int
    problem: str = ""


@dataclass(slots=True)
class Tape:
    """Pieces laid end to end. `data[at:]` is unread; `data[anchor:]` is kept, so that reading can go back to it."""

    pieces: Iterator[Piece]
    next: Piece | None = None
    data: bytes = b""
    at: int = 0
    anchor: int = 0
    end: int = 0  # file offset after the last piece laid
    _runs: list[tuple[int, Piece]] = field(default_factory=list)  # where in `data` each piece begins

    def __post_init__(self) -> None:
        self.next = next(self.pieces, None)

    def left(self) -> int:
        return len(self.data) - self.at

    def fill(self, num_bytes: int, *, inside: bool = True) -> bool:
        """Whether `num_bytes` are unread, once pieces were laid on. Inside a record, a member that begins with another
        record, an empty member, a gap and the end of the file are boundaries."""
        left = len(self.data) - self.at
        if left >= num_bytes:
            return True
        dropped = self._drop_before_anchor()
        parts = [self.data[dropped:]]
        size = len(parts[0])
        while left < num_bytes and not self._at_boundary(inside):
            assert self.next is not None
            self._runs.append((size, self.next))
            parts.append(self.next.data)
            size += len(self.next.data)
            left += len(self.next.data)
            self.end = self.next.end
            self.next = next(self.pieces, None)
        self.data = parts[-1] if len(parts) == 2 and not parts[0] else b"".join(parts)
        return left >= num_bytes

    def start_record(self) -> bool:
        """Whether a byte or a gap comes next; what came before is forgotten."""
        self.anchor = self.at
        return self.fill(1, inside=False) or self.next is not None

    def _at_boundary(self, inside: bool) -> bool:
        piece = self.next
        if piece is None or piece.problem:
            return True
        return inside and piece.begins_member and (not piece.data or starts_record(piece.data))

    def _drop_before_anchor(self) -> int:
        """Forget the runs before the anchor; how many bytes of `data` go with them."""
        dropped = self.anchor
        first = max((i for i, (begin, _) in enumerate(self._runs) if begin <= dropped), default=0)
        self._runs = [(begin - dropped, piece) for begin, piece in self._runs[first:]]
        self.at -= dropped
        self.anchor = 0
        return dropped

    def skip(self, num_bytes: int) -> int:
        """Read over `num_bytes` without keeping them; how many there were before a boundary."""
        skipped = 0
        while skipped < num_bytes and (self.left() or self.fill(1)):
            step = min(self.left(), num_bytes - skipped)
            self.at += step
            self.anchor = max(self.anchor, self.at - 1)
            skipped += step
        return skipped

    def pop_gap(self) -> Piece | None:
        """The gap that comes next, if one does and nothing is unread before it."""
        piece = self.next
        if self.left() or piece is None or not piece.problem:
            return None
        self.end, self.next = piece.end, next(self.pieces, None)
        return piece

    def pop_damage(self) -> Piece | None:
        """The gap that comes next, if it is in the same member as the byte read last."""
        if self.next is None or self.next.plain or self.next.member != self._runs[-1][1].member:
            return None
        return self.pop_gap()

    def _piece_at(self, index: int) -> tuple[int, Piece]:
        for begin, piece in reversed(self._runs):
            if begin <= index and piece.data:
                return begin, piece
        raise AssertionError("no piece holds this byte")

    def place(self) -> int:
        """File offset up to which everything belongs to what was read so far."""
        if not self.left():
            return self.end
        begin, piece = self._piece_at(self.at)
        return piece.start + (self.at - begin if piece.plain else 0)

    def member(self) -> int:
        """File offset from which the next unread byte can be reached: its member's, or its own in a plain file."""
        begin, piece = self._piece_at(self.at)
        return piece.start + self.at - begin if piece.plain else piece.member

    def reach(self) -> int:
        """File offset up to which the file must be read to have the last byte read so far."""
        if not self.left():
            return self.end
        begin, piece = self._piece_at(self.at - 1)
        return piece.start + self.at - begin if piece.plain else piece.end


def cut_records(pieces: Iterator[Piece], max_block_bytes: int) -> Iterator[Record]:
    """All records and gaps of a file. A rest without a byte in it (empty members) comes out as type `padding`."""
    tape = Tape(pieces)
    place = 0  # everything before it has been given to a record
    while tape.start_record():
        gap = tape.pop_gap()
        if gap is None:
            record = _cut(tape, max_block_bytes)
        else:
            record = Record({}, b"", 0, 0, gap.member, gap.end - gap.member, 0, 0, gap.problem)
        record.num_bytes = tape.place() - place
        place += record.num_bytes
        yield record
    if tape.end > place:
        yield Record({b"warc-type": b"padding"}, b"", 0, 0, place, tape.end - place, tape.end - place, 0)


def _cut(tape: Tape, max_block_bytes: int) -> Record:
    """The record at the tape's place, which holds at least one unread byte."""
    offset = tape.member()
    fields = _head(tape)
    if fields is None:
        record = _unreadable(tape)
    else:
        record = _block(tape, fields, max_block_bytes)
    record.offset, record.length = offset, tape.reach() - offset
    gap = tape.pop_damage()
    if gap is not None:  # the member's checksum failed, or never came: the record is not what was written
        record.problem, record.length = gap.problem, gap.end - offset
    return record


def _head(tape: Tape) -> Fields | None:
    """The fields of the header at the tape's place, which moves to the block; None, unmoved, where there is none."""
    want = 1
    while True:
        tape.fill(want)
        if tape.data.startswith(b"WARC/", tape.at):
            end = HEAD_END.search(tape.data, tape.at, tape.at + HEAD_BYTES)
            if end is not None:
                fields = parse_fields(tape.data[tape.at : end.start()])
                if not fields.get(b"warc-type"):
                    return None
                tape.at = end.end()
                return fields
        else:
            arc = arc_fields(tape.data, tape.at)
            if arc is not None:
                tape.at = arc[1]
                return arc[0]
        if tape.left() < want or tape.left() >= HEAD_BYTES:
            return None
        want = min(tape.left() + (HEAD_BYTES >> 3), HEAD_BYTES)


def _unreadable(tape: Tape) -> Record:
    """What lies between the tape's place and the next record, or the next boundary."""
    start = tape.at
    excerpt = tape.data[start : start + 200]
    _seek_next_record(tape, keep=False)
    return Record({}, excerpt, 0, len(excerpt), 0, 0, 0, 0, "broken_header")


def _seek_next_record(tape: Tape, *, keep: bool) -> None:
    """Move to where the next record begins, at least one byte on; to the boundary where none does before it."""
    while True:
        found = _NEXT_RECORD.search(tape.data, tape.at)
        if found is not None:
            tape.at = found.end()
            return
        tape.at = max(tape.at, len(tape.data) - _NEXT_RECORD_BYTES)
        if not keep:
            tape.anchor = max(tape.anchor, tape.at - 1)
        if not tape.fill(tape.left() + 1):
            tape.at = len(tape.data)
            return


def _block(tape: Tape, fields: Fields, max_block_bytes: int) -> Record:
    """The record whose header was just read: its block, and the line ends after it."""
    declared = fields.get(b"content-length", b"")
    if not declared.isdigit() or len(declared) > 18:
        return _block_without_length(tape, fields, max_block_bytes)
    size = int(declared)
    if size > max_block_bytes:
        whole = tape.skip(size) == size
        _skip_line_ends(tape)
        return Record(fields, b"", 0, 0, 0, 0, 0, size, "block_too_large" if whole else "truncated_record")
    whole = tape.fill(size)
    start = tape.at - tape.anchor  # `anchor` is the record's first byte; filling may have moved it to 0
    tape.at += min(size, tape.left())
    length = tape.at - tape.anchor - start
    ended = _skip_line_ends(tape)
    begin = tape.anchor + start
    if not whole or not ended:
        early = _NEXT_RECORD.search(tape.data, begin, begin + length)
        if early is not None:
            tape.at = early.end()
            return Record(fields, tape.data, begin, early.start(), 0, 0, 0, size, "wrong_length")
    return Record(fields, tape.data, begin, begin + length, 0, 0, 0, size, "" if whole else "truncated_record")


def _block_without_length(tape: Tape, fields: Fields, max_block_bytes: int) -> Record:
    """A block that ends where the next record begins; skipped, with an unknown length, where it grows too large."""
    start = tape.at - tape.anchor
    if tape.fill(max_block_bytes) and _NEXT_RECORD.search(tape.data, tape.at) is None:
        _seek_next_record(tape, keep=False)
        return Record(fields, b"", 0, 0, 0, 0, 0, max_block_bytes + 1, "block_too_large")
    _seek_next_record(tape, keep=True)
    begin = tape.anchor + start
    end = len(tape.data[begin : tape.at].rstrip(_LINE_ENDS)) + begin
    _skip_line_ends(tape)
    return Record(fields, tape.data, begin, end, 0, 0, 0, end - begin)


def _skip_line_ends(tape: Tape) -> bool:
    """Move over line ends, and over whatever empty pieces follow; whether there was one, or nothing more to read."""
    num_skipped = 0
    while num_skipped < HEAD_BYTES and tape.fill(1) and tape.data[tape.at] in _LINE_ENDS:
        tape.at += 1
        num_skipped += 1
    return num_skipped > 0 or not tape.left()
