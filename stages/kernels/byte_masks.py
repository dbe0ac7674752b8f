"""Sixty-four bytes at a time: which of them are white space, letters, digits, not ASCII.

Reads:  uint8 data
Writes: bits: bit k of entry j says something of byte 64 * j + k
Cost:   about 0.1 ns per byte and set; one bit per byte and set
Source: Langdale and Lemire 2019, "Parsing gigabytes of JSON per second" (arXiv 1902.08318), section 3: one bit per byte
        from vector comparisons, positions from the bits

Numba has no vector types, so a comparison of 64 bytes is written here in LLVM's language; LLVM makes of it what the
processor has (one instruction with AVX-512, two with AVX2, four with SSE2 or NEON).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from stages.kernels.compiled import kernel

WIDTH = 64
_BYTES = ir.VectorType(ir.IntType(8), WIDTH)
_WORD = ir.IntType(64)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _address(context: Any, builder: Any, data_type: Any, data: Any, i: Any) -> Any:
    is_array = isinstance(data_type, types.Array)
    return builder.gep(arrayobj.make_array(data_type)(context, builder, data).data if is_array else data, [i])


def _filled(value: int) -> Any:
    return ir.Constant(_BYTES, [value] * WIDTH)


def mask_of(*ranges: tuple[int, int], fold_case: bool = False) -> Callable[[np.ndarray, int], np.uint64]:
    """A function for kernels, `(data, i) -> uint64`: bit k is set if data[i + k] lies in one of the ranges, ends
    included; 64 bytes from i on must exist. With `fold_case` bytes are compared with bit 0x20 set."""

    @intrinsic
    def mask(typing_context: Any, data: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = _address(context, builder, signature.args[0], *arguments)
            group = builder.load(builder.bitcast(address, _BYTES.as_pointer()), align=1)
            if fold_case:
                group = builder.or_(group, _filled(0x20))
            found = ir.Constant(ir.VectorType(ir.IntType(1), WIDTH), [0] * WIDTH)
            for low, high in ranges:
                shifted = builder.sub(group, _filled(low))
                found = builder.or_(found, builder.icmp_unsigned("<=", shifted, _filled(high - low)))
            return builder.bitcast(found, _WORD)

        return types.uint64(data, types.int64), codegen

    return mask


@intrinsic
def address_of(typing_context: Any, data: Any, i: Any) -> Any:
    """The address of data[i], to be indexed like an array, for kernels that call others per word.

    An array is seven arguments and a reference count to each kernel that is not inlined; an address is one argument.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _address(context, builder, signature.args[0], *arguments)

    return types.CPointer(data.dtype)(data, types.int64), codegen


@intrinsic
def load_8(typing_context: Any, data: Any, i: Any) -> Any:
    """data[i:i + 8] as a little-endian uint64; the eight bytes must exist."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(address, _WORD.as_pointer()), align=1)

    return types.uint64(data, types.int64), codegen


@intrinsic
def store_8(typing_context: Any, data: Any, i: Any, number: Any) -> Any:
    """Write a number to data[i:i + 8], lowest byte first; the eight bytes must exist."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _address(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], builder.bitcast(address, _WORD.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), codegen


@intrinsic
def first_bit(typing_context: Any, bits: Any) -> Any:
    """Number of zeros below the lowest bit that is set; 64 if none is."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.false_bit)

    return types.int64(types.uint64), codegen


@intrinsic
def last_bit(typing_context: Any, bits: Any) -> Any:
    """Number of the highest bit that is set; -1 if none is."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.sub(ir.Constant(_WORD, 63), builder.ctlz(arguments[0], cgutils.false_bit))

    return types.int64(types.uint64), codegen


@intrinsic
def num_bits(typing_context: Any, bits: Any) -> Any:
    """How many bits are set."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), codegen


_spaces_at = mask_of((9, 13), (28, 32))
_letters_at = mask_of((97, 122), fold_case=True)
_digits_at = mask_of((48, 57))
_non_ascii_at = mask_of((0x80, 0xFF))
_continuations_at = mask_of((0x80, 0xBF))
_wide_at = mask_of((0xE1, 0xFF))
_breaks_at = mask_of((10, 13), (28, 30), (0x85, 0x85), (0xA8, 0xA9))


class Masks(NamedTuple):
    """A bit per byte of a batch, from its first text on; uint64 each, with an entry of zeros at the end, so that a
    window of 64 bits may begin at any byte.

    `spaces`, `letters`, `digits`: of ASCII. `non_ascii`: 0x80 and more. `continuations`: 0x80 to 0xBF, which begin no
    character. `wide`: 0xE1 and more, which every Han, kana and Hangul character begins with. `breaks`: ASCII line
    breaks, and the last bytes of the others.
    """

    spaces: np.ndarray
    letters: np.ndarray
    digits: np.ndarray
    non_ascii: np.ndarray
    continuations: np.ndarray
    wide: np.ndarray
    breaks: np.ndarray


def survey(data: np.ndarray, start: int, end: int) -> Masks:
    """The masks of data[start:end]; WIDTH more bytes must exist behind them."""
    num_groups = (end - start + WIDTH - 1) // WIDTH
    masks = Masks(*(np.zeros(num_groups + 1, np.uint64) for _ in Masks._fields))
    _survey(data, start, num_groups, *masks)
    return masks


@kernel
def _survey(
    data: np.ndarray, start: int, num_groups: int, spaces: np.ndarray, letters: np.ndarray, digits: np.ndarray,
    non_ascii: np.ndarray, continuations: np.ndarray, wide: np.ndarray, breaks: np.ndarray,
) -> None:  # fmt: skip
    for k in range(num_groups):
        i = start + k * WIDTH
        spaces[k], letters[k], digits[k] = _spaces_at(data, i), _letters_at(data, i), _digits_at(data, i)
        non_ascii[k], continuations[k] = _non_ascii_at(data, i), _continuations_at(data, i)
        wide[k], breaks[k] = _wide_at(data, i), _breaks_at(data, i)


@kernel
def window(bits: np.ndarray, i: int) -> np.uint64:
    """The 64 bits from bit i on."""
    entry, shift = np.uint64(i) >> np.uint64(6), np.uint64(i) & np.uint64(63)
    return bits[entry] >> shift | bits[entry + np.uint64(1)] << np.uint64(1) << (np.uint64(63) - shift)


@kernel
def lowest(count: int) -> np.uint64:
    """The lowest `count` bits set, 1 to 64."""
    return ALL >> np.uint64(64 - count)


@kernel
def count_between(bits: np.ndarray, start: int, end: int) -> int:
    """How many of the bits start..end are set."""
    count, i = 0, start
    while i + WIDTH <= end:
        count += num_bits(window(bits, i))
        i += WIDTH
    if i < end:
        count += num_bits(window(bits, i) & lowest(end - i))
    return count
