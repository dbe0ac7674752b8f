"""Header lines of WARC records, HTTP messages and ARC records.

Reads:  the bytes of a header block
Writes: fields by lower-case name; the first of several fields of one name wins, as in browsers for Content-Type, but
        for REPEATED ones
Costs:  3 us per block of a dozen lines (a binding's header object costs as much)
Source: ISO 28500 (WARC 1.0 and 1.1), RFC 9112 (HTTP/1.1), the Internet Archive's ARC file format, versions 1 and 2
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

Fields = dict[bytes, bytes]

# All values count, a line each: joined by commas, as RFC 9110 allows, `googlebot: noindex` would take what the next
# header says to everybody for its own.
REPEATED = frozenset({b"x-robots-tag"})
HEAD_BYTES = 1 << 16  # longest header block that is read; web servers stop at 8 to 64 KiB
HEAD_END = re.compile(rb"\n\r?\n")
_ARC_LINE = re.compile(
    rb"(?P<url>[a-z][a-z0-9+.-]*:[^\n]{0,8000}?) [0-9a-fA-F.:]+ (?P<date>\d{14}) "
    rb"(?P<type>\S*)(?: [^\n]*?)? (?P<length>\d+)\r?\n"
)

_FIRST_SECOND = -62135596800  # 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: an offset can lead out of Python's years
_LAST_SECOND = 253402300799


def starts_record(data: bytes) -> bool:
    return data.startswith(b"WARC/") or _ARC_LINE.match(data) is not None


def parse_fields(block: bytes) -> Fields:
    """The `name: value` lines of a block; a line that begins with white space goes on with the field before it."""
    fields: Fields = {}
    name = b""
    for line in block.split(b"\n"):
        if name and line.startswith((b" ", b"\t")):
            fields[name] = (fields[name] + b" " + line.strip()).strip()
            continue
        key, colon, value = line.partition(b":")
        name = key.strip().lower() if colon else b""
        if name in REPEATED and name in fields:
            fields[name] += b"\n" + value.strip()
        elif name in fields:
            name = b""
        elif name:
            fields[name] = value.strip()
    return fields


def arc_fields(data: bytes, at: int) -> tuple[Fields, int] | None:
    """An ARC record's one header line as WARC fields, and where its block begins; None where no such line is at `at`.

    The line holds URL, IP address, date, content type and length; in version 2, four more fields before the length.
    """
    line = _ARC_LINE.match(data, at)
    if line is None:
        return None
    url = line["url"]
    fields = {
        b"warc-type": b"filedesc" if url.startswith(b"filedesc:") else b"response",
        b"warc-target-uri": url,
        b"warc-date": line["date"][:8] + b"T" + line["date"][8:] + b"Z",
        b"content-length": line["length"],
        b"content-type": line["type"] if url.startswith(b"dns:") else b"application/http",
    }
    return fields, line.end()


def parse_date(text: bytes) -> int | None:
    """Seconds since 1970 (UTC) of an ISO 8601 date; None where it is none."""
    try:
        date = datetime.fromisoformat(text.decode("ascii"))
    except ValueError:
        return None
    seconds = int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    return seconds if _FIRST_SECOND <= seconds <= _LAST_SECOND else None
