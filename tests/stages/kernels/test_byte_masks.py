"""Bits of sixty-four bytes at a time against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.kernels import byte_masks
from stages.kernels.compiled import kernel

EXPECTED = {
    "spaces": lambda d: np.isin(d, [b for b in range(128) if chr(b).isspace()]),
    "letters": lambda d: np.isin(d, [b for b in range(128) if chr(b).isalpha()]),
    "digits": lambda d: np.isin(d, [b for b in range(128) if chr(b).isdigit()]),
    "non_ascii": lambda d: d >= 0x80,
    "continuations": lambda d: (d & 0xC0) == 0x80,
    "wide": lambda d: d >= 0xE1,
    "breaks": lambda d: np.isin(d, [10, 11, 12, 13, 28, 29, 30, 0x85, 0xA8, 0xA9]),
}


def read_only(data: np.ndarray) -> np.ndarray:
    data.flags.writeable = False
    return data


def bits_of(entries: np.ndarray) -> np.ndarray:
    return np.unpackbits(entries.view(np.uint8), bitorder="little").astype(bool)


@pytest.mark.parametrize("name", byte_masks.Masks._fields)
def test_survey_any_bytes_sets_the_bits_of_their_class(name: str) -> None:
    data = read_only(np.random.default_rng(1).integers(0, 256, 1000).astype(np.uint8))
    for start, end in ((0, 900), (7, 71), (3, 3), (100, 101), (64, 128)):
        masks = byte_masks.survey(data, start, end)
        found = bits_of(getattr(masks, name))
        assert (found[: end - start] == EXPECTED[name](data[start:end])).all()
        assert len(found) >= end - start + 64


def test_survey_all_bytes_of_a_class_leaves_the_last_entry_empty() -> None:
    data = read_only(np.full(256, 32, np.uint8))
    assert byte_masks.survey(data, 0, 128).spaces.tolist() == [2**64 - 1, 2**64 - 1, 0]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 100), st.integers(0, 60))
def test_window_and_count_agree_with_the_bits_one_by_one(low: int, high: int, start: int, length: int) -> None:
    entries = np.array([low, high, 0, 0], np.uint64)
    every = bits_of(entries)
    window = int(byte_masks.window(entries, start))
    assert [window >> k & 1 for k in range(64)] == every[start : start + 64].astype(int).tolist()
    assert byte_masks.count_between(entries, start, start + length) == every[start : start + length].sum()


@kernel
def _bit_numbers(bits: int, data: np.ndarray, i: int) -> tuple[int, int, int, int, int]:
    number = byte_masks.load_8(data, i)
    of_address = byte_masks.address_of(data, i)[1]
    return byte_masks.first_bit(bits), byte_masks.last_bit(bits), byte_masks.num_bits(bits), number, of_address


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**64 - 1) | st.integers(0, 63).map(lambda k: 1 << k), st.integers(0, 12))
def test_bit_numbers_any_number_agree_with_python(bits: int, i: int) -> None:
    data = read_only(np.arange(20, dtype=np.uint8) * 13)
    first, last, count, number, of_address = _bit_numbers(np.uint64(bits), data, i)
    assert first == ((bits & -bits).bit_length() - 1 if bits else 64)
    assert last == bits.bit_length() - 1
    assert count == bits.bit_count()
    assert int(number) == int.from_bytes(data[i : i + 8].tobytes(), "little")
    assert of_address == data[i + 1]
