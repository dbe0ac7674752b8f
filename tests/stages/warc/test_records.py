from __future__ import annotations

import gzip
import io
import random
import tracemalloc
import zlib

import pytest

from stages.warc.members import pieces
from stages.warc.records import Record, cut_records
from tests.stages.warc_files import HTML, crawl, http, members, page, record

LIMIT = 1 << 20


def cut(data: bytes, name: str = "a.warc.gz", limit: int = LIMIT) -> list[Record]:
    """All records; the conservation of bytes holds for whatever was read."""
    records = list(cut_records(pieces(io.BytesIO(data), name), limit))
    assert sum(r.num_bytes for r in records) == len(data)
    assert all(r.num_bytes >= 0 for r in records)
    return records


def kinds(records: list[Record]) -> list[str]:
    return [r.problem or r.fields[b"warc-type"].decode() for r in records]


def block(r: Record) -> bytes:
    return r.data[r.start : r.end]


def test_records_gzip_members_give_each_members_span() -> None:
    written = [gzip.compress(r, mtime=0) for r in crawl(3)]
    found = cut(b"".join(written))
    assert [r.length for r in found] == [len(m) for m in written]
    assert [r.offset for r in found] == [sum(map(len, written[:i])) for i in range(len(written))]
    assert kinds(found) == ["warcinfo"] + ["request", "response"] * 3


def test_records_plain_file_gives_same_blocks_and_exact_spans() -> None:
    written = crawl(3, 300)
    found = cut(b"".join(written), "a.warc")
    assert [r.length for r in found] == [len(r) for r in written]
    assert [block(r) for r in found] == [block(r) for r in cut(members(written))]


@pytest.mark.parametrize("chunk", [997, 65536])
def test_records_many_in_one_member_and_members_cut_anywhere_are_all_found(chunk: int) -> None:
    written = b"".join(crawl(40, 3000))
    expected = [block(r) for r in cut(written, "a.warc")]
    one_member = gzip.compress(written)
    blocked = b"".join(gzip.compress(written[i : i + chunk]) for i in range(0, len(written), chunk))
    assert [block(r) for r in cut(one_member)] == expected
    assert [block(r) for r in cut(blocked)] == expected


def test_records_do_not_depend_on_how_the_stream_delivers() -> None:
    class Drip(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(random.Random(self.tell()).randint(1, 5000))

    data = bytearray(members(crawl(30, 4000)))
    data[len(data) // 2] ^= 255
    dripped = list(cut_records(pieces(Drip(data), "a.warc.gz"), LIMIT))
    assert [(r.offset, r.length, r.problem) for r in dripped] == [
        (r.offset, r.length, r.problem) for r in cut(bytes(data))
    ]


def test_records_truncated_member_keeps_those_before_it() -> None:
    data = members(crawl(3))
    found = cut(data[:-20])
    assert kinds(found)[-1] == "truncated_member"
    assert found[-1].fields[b"warc-target-uri"] == b"http://example.org/2"
    assert kinds(found)[:-1] == kinds(cut(data))[:-1]


@pytest.mark.parametrize("where", [2, 10, 40, -6, -2])
def test_records_damaged_member_in_the_middle_costs_only_itself(where: int) -> None:
    written = [gzip.compress(page(i, 500), mtime=0) for i in range(5)]
    damaged = bytearray(written[2])
    damaged[where] ^= 0xFF
    found = cut(b"".join([*written[:2], bytes(damaged), *written[3:]]))
    urls = [r.fields[b"warc-target-uri"][-1:] for r in found if not r.problem]
    assert urls == [b"0", b"1", b"3", b"4"]
    assert sum(r.num_bytes for r in found if r.problem) == len(damaged)


def test_records_garbage_between_members_is_quarantined() -> None:
    written = [gzip.compress(page(i), mtime=0) for i in range(2)]
    found = cut(written[0] + b"\0" * 5000 + b"\x1f\x8b\x08" + b"junk" + written[1] + b"tail")
    assert kinds(found) == ["response", "garbage", "response", "garbage"]
    assert [r.num_bytes for r in found] == [len(written[0]), 5007, len(written[1]), 4]


def test_records_broken_header_in_plain_file_resyncs_at_next_record() -> None:
    broken = page(1).replace(b"WARC/1.0", b"WORC/1.0")
    found = cut(page(0) + broken + page(2), "a.warc")
    assert kinds(found) == ["response", "broken_header", "response"]
    assert found[1].num_bytes == len(broken)


@pytest.mark.parametrize("declared", [10, 10_000, 10**12, 10**30])
def test_records_wrong_length_in_plain_file_does_not_swallow_the_next(declared: int) -> None:
    wrong = record(http(HTML % 1), length=declared)
    found = cut(page(0) + wrong + page(2) + page(3), "a.warc")
    urls = [r.fields[b"warc-target-uri"] for r in found if not r.problem]
    if declared == 10**12:  # larger than any record may be: it is skipped without looking into it
        assert kinds(found) == ["response", "truncated_record"]
    else:
        assert urls[0] == b"http://example.org/0" and urls[-2:] == [b"http://example.org/2", b"http://example.org/3"]


def test_records_wrong_length_in_a_member_does_not_swallow_the_next() -> None:
    found = cut(members([record(http(HTML % 1), length=100_000), page(2)]))
    assert kinds(found) == ["truncated_record", "response"]


@pytest.mark.parametrize("compressed", [True, False])
def test_records_without_length_end_where_the_next_begins(compressed: bool) -> None:
    written = [page(0), record(http(HTML % 1), length=-1), page(2)]
    found = cut(members(written)) if compressed else cut(b"".join(written), "a.warc")
    assert kinds(found) == ["response"] * 3
    assert block(found[1]) == http(HTML % 1)


def test_records_line_feeds_without_carriage_returns_and_doubled_headers_are_read() -> None:
    head = b"WARC/1.1\nWARC-Type: response\nWARC-Type: request\nX-Long: a\n  b\nContent-Length: 5\n\n"
    found = cut(head + b"hello\n\n" + head + b"again\n\n", "a.warc")
    assert [block(r) for r in found] == [b"hello", b"again"]
    assert found[0].fields[b"warc-type"] == b"response" and found[0].fields[b"x-long"] == b"a b"


def test_records_empty_members_are_padding() -> None:
    empty = gzip.compress(b"", mtime=0)
    found = cut(gzip.compress(page(0), mtime=0) + empty * 3)
    assert kinds(found) == ["response", "padding"]
    assert found[1].num_bytes == 3 * len(empty)


def test_records_gzip_bomb_is_skipped_in_bounded_memory() -> None:
    squeeze = zlib.compressobj(9, wbits=31)
    head = record(b"", length=300 << 20).removesuffix(b"\r\n\r\n")
    bomb = squeeze.compress(head) + b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(300)) + squeeze.flush()
    data = gzip.compress(page(0)) + bomb + gzip.compress(page(2))
    tracemalloc.start()
    found = cut(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kinds(found) == ["response", "block_too_large", "response"]
    assert found[1].num_block_bytes == 300 << 20
    assert peak < 16 << 20


def test_records_newlines_without_end_stay_in_bounded_memory() -> None:
    data = page(0) + b"\r\n" * (8 << 20)
    tracemalloc.start()
    cut(data, "a.warc")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("compressed", [True, False])
def test_records_cut_at_any_byte_conserve_bytes_and_keep_the_whole_ones(compressed: bool) -> None:
    written = [gzip.compress(r, mtime=0) if compressed else r for r in crawl(3, 200)]
    data = b"".join(written)
    ends = [sum(map(len, written[: i + 1])) for i in range(len(written))]
    for size in range(0, len(data), 5):
        found = cut(data[:size], "a.warc.gz" if compressed else "a.warc")
        whole = sum(end <= size for end in ends)
        assert [r.problem for r in found[:whole]] == [""] * whole
        assert len(found) <= whole + 1


@pytest.mark.parametrize("form", ["members", "one_member", "plain"])
def test_records_random_damage_never_raises_and_conserves_bytes(form: str) -> None:
    written = crawl(8, 400)
    clean = {"members": members(written), "one_member": gzip.compress(b"".join(written)), "plain": b"".join(written)}
    rng = random.Random(form)
    num_whole = 0
    for _ in range(400):
        data = bytearray(clean[form])
        for _ in range(rng.choice([1, 1, 2, 10])):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if rng.random() < 0.3:
            at = rng.randrange(len(data))
            del data[at : at + rng.randrange(200)]
        if rng.random() < 0.3:
            at = rng.randrange(len(data))
            data[at:at] = rng.randbytes(rng.randrange(200))
        found = cut(bytes(data), "a.warc" if form == "plain" else "a.warc.gz", rng.choice([LIMIT, 1000]))
        num_whole += sum(not r.problem for r in found)
    if form != "one_member":  # damage in the only member of a file costs the rest of the file
        assert num_whole > 400 * len(written) * 0.5


def test_records_arc_versions_1_and_2_are_read() -> None:
    body = http(HTML % 1)
    version_1 = b"http://example.org/a b 192.0.2.1 20080430204825 text/html %d\n" % len(body)
    version_2 = b"http://example.org/c 192.0.2.1 20080430204825 text/html 200 - - 0 f.arc %d\n" % len(body)
    about = b"filedesc://f.arc 0.0.0.0 20080430204825 text/plain 4\n1 0\n\n"
    found = cut(members([about, version_1 + body + b"\n", version_2 + body + b"\n"]), "f.arc.gz")
    assert kinds(found) == ["filedesc", "response", "response"]
    assert [r.fields[b"warc-target-uri"] for r in found[1:]] == [b"http://example.org/a b", b"http://example.org/c"]
    assert [block(r) for r in found[1:]] == [body, body]
