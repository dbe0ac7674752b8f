"""Eight bytes at a time against the same bytes one by one."""

from __future__ import annotations

import mmap

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import byte_masks, eight_bytes
from stages.kernels.compiled import kernel
from tests.stages.kernels.text_spans import between_closed_pages


@kernel
def load_each(data: np.ndarray, numbers: np.ndarray) -> None:
    for i in range(len(numbers)):
        numbers[i] = byte_masks.load_8(data, i)


@kernel
def store_at(data: np.ndarray, i: int, number: np.uint64) -> None:
    byte_masks.store_8(data, i, number)


def test_load_any_position_is_little_endian_number() -> None:
    data = np.random.default_rng(1).integers(0, 256, 40, np.uint8)
    numbers = np.zeros(32, np.uint64)
    load_each(data, numbers)
    assert numbers.tolist() == [int.from_bytes(data[i : i + 8].tobytes(), "little") for i in range(32)]


def test_store_odd_position_writes_eight_bytes_and_no_more() -> None:
    data = np.full(20, 7, np.uint8)
    store_at(data, 5, np.uint64(0x0102030405060708))
    assert data.tolist() == [7] * 5 + [8, 7, 6, 5, 4, 3, 2, 1] + [7] * 7


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 8), st.integers(0, 39), st.integers(0, 1))
def test_equal_and_hash_copy_with_or_without_a_changed_byte_tell_it(text: bytes, gap: int, at: int, by: int) -> None:
    changed = bytearray(text)
    if text:
        changed[at % len(text)] ^= by
    data = np.frombuffer(b"x" + text + b"y" * gap + bytes(changed) + b"z", np.uint8)
    a, b, same = 1, 1 + len(text) + gap, text == bytes(changed)
    assert eight_bytes.equal(data, a, b, len(text)) == same
    hashes = [eight_bytes.hash_bytes(data, i, len(text)) for i in (a, b)]
    assert (hashes[0] == hashes[1]) == same


def test_hash_bytes_zeros_of_every_length_differ() -> None:
    data = np.zeros(100, np.uint8)
    assert len({int(eight_bytes.hash_bytes(data, 0, n)) for n in range(101)}) == 101


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="aé中🙂\x00", max_size=40))
def test_count_chars_any_text_counts_code_points(text: str) -> None:
    data = np.frombuffer(b"\x80" + text.encode() + b"\x80", np.uint8)
    assert eight_bytes.count_chars(data, 1, len(data) - 1) == len(text)


def test_bytes_between_closed_pages_are_read_no_further() -> None:
    with between_closed_pages(b"ab" * (mmap.PAGESIZE // 2)) as data:
        for length in range(0, 40, 2):
            last = len(data) - length
            assert eight_bytes.equal(data, 0, last, length)
            assert eight_bytes.hash_bytes(data, 0, length) == eight_bytes.hash_bytes(data, last, length)
            assert eight_bytes.count_chars(data, last, len(data)) == length
