"""Which charset a page's bytes are in, and the bytes as a string.

Reads:  one page's payload and the value of its HTTP Content-Type header
Writes: nothing; `decode` returns a `Decoded`
Cost:   20 us for a page of 55 KB in valid UTF-8, 0.1 ms where another charset is declared, 0.3 ms where it has to be
        detected (most of it uchardet); at most 0.25 us a byte, whatever the bytes
Source: https://encoding.spec.whatwg.org/#names-and-labels (labels, and that latin1 means windows-1252),
        https://html.spec.whatwg.org/#determining-the-character-encoding (BOM, header, meta, in this order),
        uchardet through resiliparse (detection). The order differs from the browsers' on purpose: bytes that are
        valid UTF-8 are UTF-8 whatever they were declared to be, since other charsets hardly ever look like it.
"""

from __future__ import annotations

import codecs
import functools
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

How = Literal["bom", "valid", "declared", "repaired", "overridden", "detected", "fallback"]

BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
FALLBACK = "cp1252"  # WHATWG's fallback for most locales

# Python's codec for each name resiliparse's WHATWG mapping gives, where its namesake knows fewer characters.
SUPERSETS = {
    "gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-11": "cp874",
    "iso8859-13": "cp1257", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "ascii": "cp1252",
}  # fmt: skip
# Labels outside the WHATWG list that pages and uchardet use.
OTHER_LABELS = {
    "cp949": "cp949", "uhc": "cp949", "ms949": "cp949", "johab": "johab", "cp936": "gb18030", "ms936": "gb18030",
    "gb": "gb18030", "cp950": "big5hkscs", "cp932": "cp932", "utf-8-sig": "utf-8", "utf-8mb4": "utf-8",
    "iso-2022-kr": "iso2022_kr", "x-mac-cyrillic": "mac_cyrillic", "mac-cyrillic": "mac_cyrillic",
    "mac-centraleurope": "mac_latin2", "viscii": "cp1258",
}  # fmt: skip

MULTI_BYTE = frozenset({"gb18030", "big5hkscs", "cp932", "euc_jp", "cp949", "johab"})
# Single-byte charsets of scripts other than Latin: their texts are runs of non-ASCII bytes.
NON_LATIN = frozenset(
    {"cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866", "mac_cyrillic", "cp1253", "iso8859-7", "cp1255", "iso8859-8",
     "cp1256", "iso8859-6", "cp874"}
)  # fmt: skip

META_BYTES = 8192  # browsers look at 1,024; real pages put scripts and comments before their meta tag
# Between two `\s*` at most one can match the same white space: hostile pages have thousands of it.
META_CHARSET = re.compile(rb"""<meta[^>]{0,500}?charset\s*=\s*(?:["']\s*)?([\w.:+-]{2,40})""", re.IGNORECASE)
XML_ENCODING = re.compile(rb"""^\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:+-]{2,40})["']""", re.IGNORECASE)
HEADER_CHARSET = re.compile(r"""charset\s*=\s*(?:["']\s*)?([\w.:+-]{2,40})""", re.IGNORECASE)

# A single byte is found at memory speed, where Python looks for two bytes, or for a character, ten times slower.
ESCAPE = b"\x1b"
NUL = b"\0"
CONTROLS = bytes(c for c in range(32) if c not in b"\t\n\x0b\f\r\x1b")
NOT_C1 = bytes(range(0xA0, 0x100))
# Quotes, dashes and other signs of windows-1252: a page with no other non-ASCII bytes says nothing of its language.
CP1252_SIGNS = bytes.fromhex("8082848586878889 8b 919293949596979899 9b a0a2a3a9abadaeb0b1b2b3b7bbbcbdbe")
# An ISO charset has controls where its Windows sibling has quotes and dashes; pages hold the latter.
WINDOWS = {
    "iso8859-2": "cp1250", "iso8859-5": "cp1251", "iso8859-7": "cp1253", "iso8859-8": "cp1255", "iso8859-6": "cp1256",
    "iso8859-4": "cp1257", "iso8859-15": "cp1252",
}  # fmt: skip
DETECT_BYTES = 1 << 16
AROUND_BYTES = 64  # of ASCII kept on either side of other bytes
DENSE_RUNS = (
    0.6  # share of non-ASCII bytes beside another one: over 0.8 in Cyrillic or CJK pages, under 0.3 in Latin ones
)
SPARSE_RUNS = 0.3
FEW_BYTES = 16  # of non-ASCII: fewer say little about a script (Portuguese `ção` looks dense)
BROKEN_UTF8 = 0.1  # errors per non-ASCII byte: GBK, Big5 and Latin-1 read as UTF-8 have 0.4 to 1.0, cut UTF-8 0.01
BROKEN_DECLARED_UTF8 = 0.3  # where the page says it is UTF-8, a few damaged characters among few others are no wonder
OTHER_MULTI_BYTE = (
    0.002  # errors from which on the detector's other one is preferred: GBK read as Big5 has 0.003 to 0.01
)
BROKEN_MULTI_BYTE = 0.02  # errors per non-ASCII byte a declared or detected multi-byte charset may have


@dataclass(frozen=True, slots=True)
class Decoded:
    """`text` without NULs and lone surrogates; the Python codec it was read with; how that was chosen.

    `bad_share` is the share, 0 to 1, of characters that are U+FFFD or control characters no text has: high for
    images, archives and other binaries sent as HTML, 0 for bytes that are valid UTF-8 without NULs.
    """

    text: str
    charset: str
    how: How
    bad_share: float


def decode(payload: bytes, content_type: str | None) -> Decoded:
    """The page as a string. Never raises: bytes the charset does not have become U+FFFD."""
    for bom, charset in BOMS:
        if payload.startswith(bom):
            return _decoded(payload[len(bom) :], charset, "bom")
    wide = _utf16_without_bom(payload)
    if wide:
        return _decoded(payload, wide, "detected")
    if ESCAPE in payload and b"\x1b$" in payload and payload.isascii():
        return _decoded(payload, "iso2022_jp", "detected")
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError:
        return _decoded(payload, *_choose(payload, declared(payload, content_type)))
    if NUL not in payload:
        return Decoded(text, "utf-8", "valid", 0.0)
    return Decoded(text.replace("\0", ""), "utf-8", "valid", _num_controls(payload) / len(text))


def declared(payload: bytes, content_type: str | None) -> str | None:
    """The codec named by the HTTP header, else by the meta tag or XML declaration; null where no known one is."""
    found = HEADER_CHARSET.search(content_type) if content_type else None
    codec = codec_of(found.group(1)) if found else None
    if codec:
        return codec
    head = payload[:META_BYTES]
    for pattern in (META_CHARSET, XML_ENCODING):
        match = pattern.search(head)
        codec = codec_of(match.group(1).decode("ascii", "ignore")) if match else None
        if codec:
            # a tag that could be read as ASCII is not UTF-16, whatever it says (WHATWG)
            return "utf-8" if codec.startswith("utf-16") else codec
    return None


def codec_of(label: str) -> str | None:
    """Python's codec for a charset label, by the WHATWG table; null where the label is unknown."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip().lower()
    name = map_encoding_to_html5(label, fallback_utf8=False)
    if name is None:
        return OTHER_LABELS.get(label)
    return SUPERSETS.get(name, name)


@dataclass(frozen=True, slots=True)
class _NonAscii:
    """A page's non-ASCII bytes, and where they stand; the same with a space for every run of ASCII between them; the
    share of them, 0 to 1, that stand beside another one."""

    data: bytes
    places: np.ndarray
    runs: bytes
    run_share: float


def _non_ascii(payload: bytes) -> _NonAscii:
    """Of a payload that has some."""
    data = np.frombuffer(payload, np.uint8)
    places = np.flatnonzero(data >= 128)
    high = data[places]
    joined = places[1:] - places[:-1] == 1
    spaces = int(places[0] > 0) + np.append(0, np.cumsum(~joined))  # before every byte
    spaced = np.full(len(places) + int(spaces[-1]) + int(places[-1] < len(data) - 1), ord(" "), np.uint8)
    spaced[np.arange(len(places)) + spaces] = high
    beside = np.append(joined, False) | np.append(False, joined)
    return _NonAscii(
        data=high.tobytes(), places=places, runs=spaced.tobytes(), run_share=float(beside.mean())
    )  # fmt: skip


def _choose(payload: bytes, label: str | None) -> tuple[str, How]:
    """The codec for bytes that are not valid UTF-8, given the declared one."""
    high = _non_ascii(payload)
    allowed = BROKEN_DECLARED_UTF8 if label == "utf-8" else BROKEN_UTF8
    if _errors(high.runs, "utf-8") <= allowed * len(high.data):  # ASCII ends a broken character, whatever it is
        return "utf-8", "repaired" if label in ("utf-8", None) else "overridden"
    if label is None or label == "utf-8":
        guess = _detect(_around(payload, high)) if _says_something(high) else None
        return _plausible(payload, high, guess), "overridden" if label else "detected" if guess else "fallback"
    if label in MULTI_BYTE:
        errors = _errors(payload, label)
        if errors <= OTHER_MULTI_BYTE * len(high.data):
            return label, "declared"
        guess = _detect(_around(payload, high))
        if guess in MULTI_BYTE and _errors(payload, guess) < errors:
            return guess, "overridden"
        if errors <= BROKEN_MULTI_BYTE * len(high.data):
            return label, "declared"
        return _plausible(payload, high, guess), "overridden"
    if label == "cp1252" and high.run_share >= DENSE_RUNS:
        better = _plausible(payload, high, _detect(_around(payload, high)))
        if better in MULTI_BYTE or better in NON_LATIN:
            return better, "overridden"
    return label, "declared"


def _plausible(payload: bytes, high: _NonAscii, guess: str | None) -> str:
    """The detected codec, unless the bytes contradict it."""
    if not _says_something(high):
        return FALLBACK
    is_dense = high.run_share >= DENSE_RUNS and len(high.data) >= FEW_BYTES
    if guess not in MULTI_BYTE and guess not in NON_LATIN and is_dense:
        # few foreign words among much English: without the English the detector sees them
        among = _detect(high.runs)
        guess = among if among in NON_LATIN else guess
    if guess in MULTI_BYTE and _errors(payload, guess) > BROKEN_MULTI_BYTE * len(high.data) + 1:
        return FALLBACK
    if guess is None or (high.run_share < SPARSE_RUNS and guess in NON_LATIN):
        return FALLBACK
    return WINDOWS.get(guess, guess) if high.data.translate(None, NOT_C1) else guess


def _says_something(high: _NonAscii) -> bool:
    """Whether there is more than the signs that texts of all languages have."""
    return bool(high.data.translate(None, CP1252_SIGNS))


def _around(payload: bytes, high: _NonAscii) -> bytes:
    """What the detector is to see: of a page that is too long for it, what stands around the non-ASCII bytes."""
    if len(payload) <= DETECT_BYTES:
        return payload
    parts, size = [], 0
    start = int(high.places[0])
    cuts = np.flatnonzero(high.places[1:] - high.places[:-1] > 2 * AROUND_BYTES)
    for cut in [*cuts.tolist(), len(high.places) - 1]:
        end = int(high.places[cut]) + 1
        parts.append(payload[max(0, start - AROUND_BYTES) : end + AROUND_BYTES])
        size += len(parts[-1])
        if size >= DETECT_BYTES or end > high.places[-1]:
            break
        start = int(high.places[cut + 1])
    return b" ".join(parts)[:DETECT_BYTES]


def _detect(payload: bytes) -> str | None:
    """uchardet's guess as a Python codec; null where it has none."""
    from resiliparse.parse.encoding import detect_encoding

    name = detect_encoding(payload, DETECT_BYTES, html5_compatible=False)
    return codec_of(name) if name else None


def _errors(payload: bytes, codec: str) -> int:
    """How many U+FFFD reading `payload` with `codec` makes."""
    return _read(payload, codec).count("\ufffd")


def _read(payload: bytes, codec: str) -> str:
    """`payload` with U+FFFD for what the codec does not have."""
    table = _table(codec)
    if table is None:
        return payload.decode(codec, "replace")
    return codecs.charmap_decode(payload, "strict", table)[0]


@functools.cache
def _table(codec: str) -> str | None:
    """The 256 characters of a single-byte codec, U+FFFD among them: replacing is several times as slow."""
    if codec in MULTI_BYTE or codec.startswith(("utf", "iso2022")):
        return None
    characters = [bytes([byte]).decode(codec, "replace") for byte in range(256)]
    return "".join(characters) if all(len(c) == 1 for c in characters) else None


def _num_controls(payload: bytes) -> int:
    """Control characters that no text has."""
    return len(payload) - len(payload.translate(None, CONTROLS))


def _utf16_without_bom(payload: bytes) -> str | None:
    """UTF-16 that says so by its zero bytes alone: nearly every other byte of the first 512 is zero."""
    head = payload[:512]
    if len(head) < 16 or b"\0" not in head:
        return None
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 0.7 * len(head) / 2 and even < 0.05 * len(head):
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * len(head) / 2 and odd < 0.05 * len(head) else None


def _decoded(payload: bytes, charset: str, how: How) -> Decoded:
    text = _read(payload, charset)
    controls = 0 if charset.startswith("utf-16") else _num_controls(payload)
    bad_share = (text.count("\ufffd") + controls) / max(1, len(text))
    return Decoded(text.replace("\0", "") if NUL in payload else text, charset, how, bad_share)
