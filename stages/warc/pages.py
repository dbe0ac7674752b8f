"""What a record is to the pipeline: a page, a record of a kind that holds no document, or a drop with its reason.

Reads:  Records of records.py
Writes: Page or Drop
Costs:  10 us per page plus two copies of the body
Source: the rules are this project's; the reasons are listed below

Kinds `warcinfo`, `request`, `metadata` (WAT files hold nothing else), ARC's `filedesc` and `padding` are no documents
by nature: they are counted, not entered into the ledger. All others are documents, and come out as a page or as a drop:

    revisit                                 it refers to another record's payload
    segmented_record, record_type_continuation   a part of a document that other records go on with
    record_type_unknown                     ISO 28500 knows no such type
    not_a_response                          a response record that holds no HTTP (dns:, ftp:)
    not_html                                its content type is another one; without any, it does not look like HTML
    http_status                             the status is not 200 (value: the status)
    empty_payload, undecodable_body, payload_too_large (value: bytes, at least; threshold: max_record_bytes)

and the problems of records.py under their own names.
"""

from __future__ import annotations

from dataclasses import dataclass

from stages.warc.headers import Fields, parse_date
from stages.warc.records import Record
from stages.warc.response import BodyTooLarge, UndecodableBody, decode_body, looks_like_html, parse_response

KINDS_WITHOUT_DOCUMENT = frozenset({"warcinfo", "request", "metadata", "filedesc", "padding"})
KINDS = KINDS_WITHOUT_DOCUMENT | {"response", "resource", "conversion", "revisit", "continuation"}
HTML_TYPES = (b"text/html", b"application/xhtml+xml")
_OK = 200
_EXCERPT_BYTES = 200


@dataclass(frozen=True, slots=True)
class Page:
    """`payload` of an HTML page, or `text` of a record that is text already. `notes` are names of counters; `robots` is
    what pipeline.schemas.PAGE says."""

    content_type: str
    payload: bytes | None
    text: str | None
    notes: tuple[str, ...] = ()
    robots: str | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    reason: str
    value: float | None = None
    threshold: float | None = None
    excerpt: str = ""


def kind_of(record: Record) -> str:
    """The record's type in lower case; empty where no header could be read."""
    return record.fields.get(b"warc-type", b"").decode("latin-1").lower()


def url_of(record: Record) -> str | None:
    """The target URI, without the angle brackets some tools write around it."""
    raw = record.fields.get(b"warc-target-uri", b"").strip(b"<> \t")
    return raw.decode("utf-8", "replace") if raw else None


def date_of(record: Record) -> int | None:
    return parse_date(record.fields.get(b"warc-date", b""))


def page_of(record: Record, max_bytes: int) -> Page | Drop:
    """The page in a record that is of a kind with documents, or why there is none."""
    if record.problem == "block_too_large":
        return Drop("payload_too_large", record.num_block_bytes, max_bytes)
    if record.problem:
        return Drop(record.problem, excerpt=_printable(record.data[record.start : record.start + _EXCERPT_BYTES]))
    if b"warc-segment-number" in record.fields:
        return Drop("segmented_record")
    match kind_of(record):
        case "response":
            return _response(record, max_bytes)
        case "resource":
            return _html(record.data[record.start : record.end], record.fields.get(b"content-type", b""), max_bytes)
        case "conversion":
            return _text(record, max_bytes)
        case "revisit":
            return Drop("revisit")
        case "continuation":
            return Drop("record_type_continuation")
        case other:
            return Drop("record_type_unknown", excerpt=_printable(other.encode("latin-1")))


def _response(record: Record, max_bytes: int) -> Page | Drop:
    block_type = _media_type(record.fields.get(b"content-type", b"application/http"))
    if not block_type.startswith(b"application/http"):
        return Drop("not_a_response", excerpt=_printable(block_type))
    response = parse_response(record.data, record.start, record.end)
    if response.status is not None and response.status != _OK:
        return Drop("http_status", response.status, excerpt=url_of(record) or "")
    content_type = response.fields.get(b"content-type", b"")
    if _media_type(content_type) not in (*HTML_TYPES, b""):
        return Drop("not_html", excerpt=_printable(content_type))
    try:
        body = decode_body(record.data[response.body : record.end], response.fields, max_bytes)
    except BodyTooLarge as signal:
        return Drop("payload_too_large", signal.args[0], max_bytes)
    except UndecodableBody as signal:
        return Drop("undecodable_body", excerpt=signal.args[0])
    notes = () if response.status is not None else ("responses_without_status_line",)
    if b"warc-truncated" in record.fields:
        notes = (*notes, "payloads_truncated_by_the_crawler")
    return _html(body, content_type, max_bytes, notes, robots_of(response.fields))


def robots_of(fields: Fields) -> str | None:
    """What an HTTP response's headers say to crawlers, as in pipeline.schemas.PAGE; None where they say nothing."""
    lines = [fields[b"x-robots-tag"]] if b"x-robots-tag" in fields else []
    if b"tdm-reservation" in fields:
        lines.append(b"tdm-reservation: " + fields[b"tdm-reservation"])
    return b"\n".join(lines).decode("latin-1") or None


def _html(
    body: bytes, content_type: bytes, max_bytes: int, notes: tuple[str, ...] = (), robots: str | None = None
) -> Page | Drop:
    media_type = _media_type(content_type)
    if media_type not in (*HTML_TYPES, b""):
        return Drop("not_html", excerpt=_printable(content_type))
    if not body:
        return Drop("empty_payload")
    if len(body) > max_bytes:
        return Drop("payload_too_large", len(body), max_bytes)
    if not media_type and not looks_like_html(body):
        return Drop("not_html", excerpt=_printable(body[:_EXCERPT_BYTES]))
    return Page(content_type.decode("latin-1"), body, None, notes, robots)


def _text(record: Record, max_bytes: int) -> Page | Drop:
    content_type = record.fields.get(b"content-type", b"text/plain")
    if not content_type.lower().startswith(b"text/"):
        return Drop("not_text", excerpt=_printable(content_type))
    raw = record.data[record.start : record.end]
    if not raw:
        return Drop("empty_payload")
    if len(raw) > max_bytes:
        return Drop("payload_too_large", len(raw), max_bytes)
    try:
        return Page(content_type.decode("latin-1"), None, raw.decode("utf-8"))
    except UnicodeDecodeError:
        text = raw.decode("utf-8", "replace")
        return Page(content_type.decode("latin-1"), None, text, ("texts_with_invalid_utf8",))


def _media_type(content_type: bytes) -> bytes:
    """`text/html` of `Text/HTML; charset=utf-8`; some servers send two types with a comma."""
    return content_type.replace(b",", b";").partition(b";")[0].strip(b" \t\"'").lower()


def _printable(raw: bytes) -> str:
    text = raw.decode("latin-1")
    return "".join(c if c.isprintable() else "." for c in text)
