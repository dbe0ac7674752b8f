"""Batches of pages: what is decoded together is what is decoded alone."""

from __future__ import annotations

import codecs
import itertools
import random

import numpy as np
import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from stages.decoding.batch import Pages, decode_batch
from stages.decoding.charset import decode
from stages.kernels.plain_utf8 import find_plain
from stages.kernels.utf8 import is_padded
from tests.shared_data import SHARED, needs_shared
from tests.stages.decoding.test_charset import CHINESE, FRENCH, JAPANESE, KOREAN, TRADITIONAL, page

Given = list[tuple[bytes | None, str | None]]  # payload, Content-Type
SHELL = "<div class='column wide'><a href='/archive/2026/04/index.html' title=archive>Archive</a> and more</div>\n"


def arrays(given: Given) -> tuple[pa.Array, pa.Array]:
    payload, content_type = [list(values) for values in zip(*given, strict=True)] if given else ([], [])
    return pa.array(payload, pa.large_binary()), pa.array(content_type, pa.string())


def texts(pages: Pages) -> list[bytes]:
    offsets = pages.utf8.offsets
    return [pages.utf8.data[a:b].tobytes() for a, b in itertools.pairwise(offsets)]


def assert_as_alone(given: Given) -> None:
    pages = decode_batch(*arrays(given))
    alone = [decode(payload, header) if payload is not None else None for payload, header in given]
    assert texts(pages) == [d.text.encode() if d else b"" for d in alone]
    assert pages.charset.to_pylist() == [d.charset if d else None for d in alone]
    assert pages.charset_from.to_pylist() == [d.how if d else None for d in alone]
    np.testing.assert_array_equal(pages.bad_share_N, [d.bad_share if d else np.nan for d in alone])
    assert is_padded(pages.utf8)


def is_plain(page: bytes) -> bool:
    """By Python's codec."""
    try:
        page.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return not page.startswith(codecs.BOM_UTF8) and b"\0" not in page and b"\x1b" not in page


def found_plain(pages: list[bytes], spare: int = 0) -> list[bool]:
    data = np.frombuffer(b"".join(pages) + b"\xff" * spare, np.uint8)
    offsets = np.append(0, np.cumsum([len(p) for p in pages])).astype(np.int64)
    offsets.flags.writeable = False
    plain_N = np.empty(len(pages), np.bool_)
    find_plain(data, offsets, plain_N)
    found: list[bool] = plain_N.tolist()
    return found


def test_find_plain_every_sequence_of_edge_bytes_is_as_the_codec_has_it() -> None:
    edges = bytes.fromhex("00 1b 41 7f 80 8f 90 9f a0 bf c0 c1 c2 df e0 e1 ec ed ee ef f0 f1 f3 f4 f5 ff bb bf")
    pages = [bytes(p) for size in range(4) for p in itertools.product(edges, repeat=size)]
    pages += [bytes(p) + b"\x80" for p in itertools.product(edges, repeat=3)]
    assert found_plain(pages) == [is_plain(p) for p in pages]


@pytest.mark.parametrize("spare", [0, 1, 63, 64, 200])
def test_find_plain_sequences_across_groups_are_as_the_codec_has_them(spare: int) -> None:
    """A sequence at every place around the 64th byte, whatever follows the page."""
    sequences = ["é", "委", "한", "😀", "\U0010ffff", "ก", "\ud7ff", "\ue000", "\ufeff"]
    good = [s.encode() for s in sequences]
    bad = [s[:k] for s in good for k in range(1, len(s))] + [
        b"\xed\xa0\x80", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xc1\xbf", b"\x80",
    ]  # fmt: skip
    pages = [
        b"a" * before + s + b"a" * after for s in good + bad for before in range(58, 67) for after in (0, 1, 3, 64)
    ]
    assert found_plain(pages, spare) == [is_plain(p) for p in pages]


def test_find_plain_random_text_with_random_damage_is_as_the_codec_has_it() -> None:
    rng = random.Random(7)
    alphabet = "aaaaaaaa <>é–委한ก😀"
    pages = []
    for _ in range(3000):
        raw = bytearray("".join(rng.choices(alphabet, k=rng.randrange(90))).encode())
        for _ in range(rng.choice([0, 0, 1, 2]) if raw else 0):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        pages.append(bytes(raw))
    found = found_plain(pages)
    assert found == [is_plain(p) for p in pages]
    assert 500 < sum(found) < 2500


def test_decode_batch_mixed_pages_are_as_each_alone() -> None:
    rng = random.Random(8)
    charsets = ["utf-8", "utf-8", "gb18030", "cp932", "cp1252", "utf-16", "utf-8-sig", "iso2022_jp"]
    headers = [None, "", "text/html", "text/html; charset=gbk", "text/html; charset=utf-8", "x; charset=' latin1"]
    for _ in range(150):
        given: Given = []
        for _ in range(rng.randrange(9)):
            raw = page(rng.choice([CHINESE, JAPANESE, FRENCH, "plain"])).encode(rng.choice(charsets), "ignore")
            damaged = bytearray(raw[: rng.choice([0, 3, 40, 9999])])
            if damaged and rng.random() < 0.4:
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            given.append((None if rng.random() < 0.1 else bytes(damaged), rng.choice(headers)))
        assert_as_alone(given)


def test_decode_batch_slice_and_bytes_behind_nulls_do_not_matter() -> None:
    given: Given = [
        (b"one", None),
        (page(FRENCH).encode("cp1252"), None),
        (None, None),
        (b"\xff", None),
        (b"two", None),
    ]
    payload, content_type = arrays(given)
    for start, stop in itertools.combinations(range(6), 2):
        pages = decode_batch(payload.slice(start, stop - start), content_type.slice(start, stop - start))
        assert texts(pages) == [
            decode(p, h).text.encode() if p is not None else b"" for p, h in given[start:stop]
        ]  # fmt: skip
    hidden = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), 2, [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 2, 4])), pa.py_buffer(b"\xff\xffab")]
    )  # fmt: skip
    assert texts(decode_batch(hidden, pa.nulls(2, pa.string()))) == [b"", b"ab"]


def test_decode_batch_plain_pages_are_not_copied() -> None:
    payload, content_type = arrays([(b"plain", None), ("größer".encode(), None), (b"x" * 100, None)])
    pages = decode_batch(payload.slice(0, 2), content_type.slice(0, 2))
    assert np.shares_memory(pages.utf8.data, np.frombuffer(payload.buffers()[2], np.uint8))


@pytest.mark.parametrize(
    "text, charset",
    [(CHINESE, "gb2312"), (CHINESE, "gbk"), (TRADITIONAL, "big5"), (JAPANESE, "shift_jis"), (KOREAN, "euc_kr")],
)
@pytest.mark.parametrize("before, after", [(20, 20), (600, 600), (30, 1500), (1500, 30), (3000, 3000)])
def test_decode_batch_few_sentences_among_much_markup_without_declaration_come_out_right(
    text: str, charset: str, before: int, after: int
) -> None:
    whole = f"<html><body>{SHELL * before}<p>{text}</p>{SHELL * after}</body></html>"
    for header in (None, "text/html", "text/html; charset=ISO-8859-1"):
        assert texts(decode_batch(*arrays([(whole.encode(charset), header)]))) == [whole.encode()]


@needs_shared
def test_decode_batch_real_pages_are_as_each_alone() -> None:
    with (SHARED / "data/warc/DEV-MAIN-00005.warc.gz").open("rb") as file:
        records = ArchiveIterator(file, record_types=WarcRecordType.response)
        given: Given = [(r.reader.read(), r.http_headers.get("Content-Type")) for r in itertools.islice(records, 150)]
    assert_as_alone(given)
