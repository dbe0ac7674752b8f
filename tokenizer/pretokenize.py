"""Cut texts into pretokens, as the regex of a pattern does, by a state machine over their UTF-8 bytes.

Reads:  Arrow's offsets and bytes; character_classes.npz beside this file
        (`python -m tokenizer.generate_character_classes` writes it)
Writes: where each pretoken ends
Cost:   one thread, 300 to 570 MB of text per second; linear in the bytes, whatever they are; 3 s to compile, once
Source: the patterns of GPT-2, Llama 3 and GPT-4o (tiktoken's o200k_base); Unicode as the regex engine inside
        `tokenizers` has it, which is newer than Python's

A pretoken ends where a backtracking search for the pattern's alternatives, tried in their order, ends. The patterns let
no character go unmatched, so pretokens lie end to end, and none reaches over two texts. Where bytes are not UTF-8, each
that begins no character counts as a sign that is no letter, digit or space.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj

from tokenizer.compiled import kernel, piece
from tokenizer.errors import TokenizerError

Pattern = Literal["llama3", "gpt2", "gpt4o"]
Digits = Literal["1", "1-3"]

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
PATTERNS: dict[Pattern, str] = {
    # From tokenizer.json of Meta-Llama-3-8B.
    "llama3": (
        _CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "gpt4o": (
        rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}?"
        rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
_KERNEL_NUMBER: dict[Pattern, int] = {"llama3": 0, "gpt2": 1, "gpt4o": 2}

FILE = Path(__file__).with_name("character_classes.npz")
BLOCK_BITS = 7
# Bits of a character's class; none of the first three: a sign, as it is called below.
LETTER = 1 << 0  # \p{L}
NUMBER = 1 << 1  # \p{N}
SPACE = 1 << 2  # \s
UPPER = 1 << 3  # what may stand before lower case: \p{Lu}, \p{Lt}, and the next one's without \p{Ll}
LOWER = 1 << 4  # \p{Ll}, and what has no case: \p{Lm}, \p{Lo}, \p{M}
NEWLINE = 1 << 5  # \r, \n
_NO_SIGN = LETTER | NUMBER | SPACE
CHUNK = 1 << 15  # pretokens whose ends are found at a time: 256 KiB, which stay in the cache


class Classes(NamedTuple):
    """A character's class is `blocks[index[code >> 7] << 7 | code & 127]`; the first 128 of `blocks` are ASCII.

    `index` uint16, `blocks` uint8.
    """

    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index, which nobody calls here
    blocks: np.ndarray


@functools.cache
def load_classes() -> Classes:
    """The committed table."""
    with np.load(FILE) as stored:
        return Classes(*(stored[name] for name in Classes._fields))


def classes_version() -> str:
    """The version of `tokenizers` that was asked."""
    with np.load(FILE) as stored:
        return str(stored["tokenizers_version"])


def expression(pattern: Pattern, digits: Digits | None = None) -> str:
    """The regex whose pretokens are found: for the Split of a tokenizer.json. `digits` None: the pattern's own.

    TokenizerError for digits with gpt2, which takes a space before them and any number of them.
    """
    if digits is None:
        return PATTERNS[pattern]
    if pattern == "gpt2":
        raise TokenizerError(f"digits {digits!r} with the pattern 'gpt2'; expected 'llama3' or 'gpt4o', or no digits")
    return PATTERNS[pattern].replace(r"\p{N}{1,3}", {"1": r"\p{N}", "1-3": r"\p{N}{1,3}"}[digits])


class Pretokenizer:
    """Finds the ends of pretokens. Text n is `data[offsets[n]:offsets[n + 1]]`: int64 [N + 1] and uint8, as Arrow has
    them; a null must be an empty text."""

    def __init__(self, pattern: Pattern, digits: Digits | None = None) -> None:
        self.expression = expression(pattern, digits)
        self._settings = (_KERNEL_NUMBER[pattern], 1 if digits == "1" else 3)

    def chunks(self, offsets: np.ndarray, data: np.ndarray) -> Iterator[np.ndarray]:
        """Ends in `data`, ascending, int64, at most CHUNK at a time; each array is overwritten by the next."""
        offsets, data = read_only(offsets, np.int64), read_only(data, np.uint8)
        end_K = np.empty(CHUNK, np.int64)
        place = np.array([0, offsets[0]], np.int64)
        num = CHUNK
        while num == CHUNK:
            num = _fill(*load_classes(), *self._settings, offsets, data, place, end_K)
            yield end_K[:num]

    def ends(self, offsets: np.ndarray, data: np.ndarray) -> np.ndarray:
        """All of them. The first pretoken begins at `offsets[0]`, every other one where the one before it ends."""
        return np.concatenate([chunk.copy() for chunk in self.chunks(offsets, data)])


def read_only(array: np.ndarray, kind: Any) -> np.ndarray:
    """As Arrow's buffers are: kernels are compiled for such arrays, and once."""
    view = np.ascontiguousarray(array, kind).view()
    view.flags.writeable = False
    return view


# Kernels.
_WIDTH = 32
_BYTES, _MASK = ir.VectorType(ir.IntType(8), _WIDTH), ir.IntType(_WIDTH)


def _first_outside(low: int, high: int, fold_case: bool) -> Any:
    """A function for kernels, `(data, i) -> int64`: how many of the 32 bytes from i on, which must exist, lie in
    low..high before the first that does not. With `fold_case` they are compared with bit 0x20 set."""

    @intrinsic
    def count(typing_context: Any, data: Any, i: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = arrayobj.make_array(signature.args[0])(context, builder, arguments[0])
            address = builder.bitcast(builder.gep(array.data, [arguments[1]]), _BYTES.as_pointer())
            group = builder.load(address, align=1)
            if fold_case:
                group = builder.or_(group, ir.Constant(_BYTES, [0x20] * _WIDTH))
            shifted = builder.sub(group, ir.Constant(_BYTES, [low] * _WIDTH))
            outside = builder.icmp_unsigned(">", shifted, ir.Constant(_BYTES, [high - low] * _WIDTH))
            first = builder.cttz(builder.bitcast(outside, _MASK), cgutils.false_bit)
            return builder.zext(first, ir.IntType(64))

        return types.int64(data, types.int64), codegen

    return count


_letters_at = _first_outside(0x61, 0x7A, True)
_upper_at = _first_outside(0x41, 0x5A, False)
_lower_at = _first_outside(0x61, 0x7A, False)


@piece
def _class_at(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int) -> tuple[int, int]:
    """(class bits, length in bytes) of the character at data[i], i < end."""
    lead: Any = np.int64(data[i])
    if lead < 0x80:
        bits: Any = np.int64(blocks[lead])
        return bits, 1
    size = 2 if 0xC2 <= lead < 0xE0 else 3 if 0xE0 <= lead < 0xF0 else 4 if 0xF0 <= lead < 0xF5 else 0
    if size == 0 or i + size > end:
        return 0, 1
    code = lead & (0x7F >> size)
    for k in range(1, size):
        follow = np.int64(data[i + k])
        if follow & 0xC0 != 0x80:
            return 0, 1
        code = code << 6 | follow & 0x3F
    if code > 0x10FFFF:
        return 0, 1
    block: Any = np.int64(index[code >> BLOCK_BITS]) << BLOCK_BITS
    bits = np.int64(blocks[block | code & ((1 << BLOCK_BITS) - 1)])
    return bits, size


@piece
def _run(
    index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, wanted: int, value: int, limit: int
) -> int:
    """End of the longest run from i on of at most `limit` characters whose class has, of the bits `wanted`, either
    some (`value` 1) or none (0)."""
    while i < end and limit > 0:
        bits, size = _class_at(index, blocks, data, i, end)
        if (bits & wanted != 0) != (value != 0):
            break
        i += size
        limit -= 1
    return i


@piece
def _ascii_run(data: np.ndarray, i: int, end: int, kind: int) -> int:
    """End of the run from i on of ASCII letters of a kind: LETTER, UPPER or LOWER."""
    while i + _WIDTH <= len(data):
        count = _letters_at(data, i) if kind == LETTER else _upper_at(data, i) if kind == UPPER else _lower_at(data, i)
        i += count
        if i >= end:
            return end
        if count < _WIDTH:
            return i
    low, fold = 0x41 if kind == UPPER else 0x61, 0x20 if kind == LETTER else 0
    while i < end and low <= data[i] | fold < low + 26:
        i += 1
    return i


@piece
def _letter_run(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int) -> int:
    """End of the run of letters from i on."""
    i = _ascii_run(data, i, end, LETTER)
    if i < end and data[i] >= 0x80:
        i = _run(index, blocks, data, i, end, LETTER, 1, end)
    return i


@piece
def _contraction(data: np.ndarray, i: int, end: int, fold: int) -> int:
    """End of the contraction at i, or i; `fold` 0x20: in either case, and 's also with a long s (U+017F)."""
    if i + 2 > end or data[i] != 0x27:
        return i
    a = data[i + 1] | fold
    if a == 0x73 or a == 0x74 or a == 0x6D or a == 0x64:  # s t m d
        return i + 2
    if i + 3 > end:
        return i
    b = data[i + 2] | fold
    if (b == 0x65 and (a == 0x72 or a == 0x76)) or (a == 0x6C and b == 0x6C):  # re ve ll
        return i + 3
    if fold != 0 and data[i + 1] == 0xC5 and data[i + 2] == 0xBF:
        return i + 3
    return i


@piece
def _signs_end(
    index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, newlines: bool, slashes: bool
) -> int:
    r"""End of `[^\s\p{L}\p{N}]*` from i on, and of what may follow: newlines, or newlines and slashes."""
    i = _run(index, blocks, data, i, end, _NO_SIGN, 0, end)
    if newlines:
        while i < end and (data[i] == 0x0A or data[i] == 0x0D or (slashes and data[i] == 0x2F)):
            i += 1
    return i


@piece
def _space_end(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, newlines: bool) -> int:
    r"""End of `\s*[\r\n]+|\s+(?!\S)|\s+` at i, the first alternative only with `newlines`: after the last newline of
    the run, else before its last character, which goes with the word behind it."""
    start, last, after_newline = i, i, i
    while i < end:
        bits, size = _class_at(index, blocks, data, i, end)
        if bits & SPACE == 0:
            break
        last = i
        i += size
        if bits & NEWLINE != 0:
            after_newline = i
    if newlines and after_newline > start:
        return after_newline
    return i if i == end or last == start else last


@piece
def _after_words(
    index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, max_digits: int, slashes: bool
) -> int:
    """End of the pretoken at i where no word begins: digits, signs or spaces, as Llama 3 and GPT-4o have them."""
    bits, _ = _class_at(index, blocks, data, i, end)
    if bits & NUMBER != 0:
        return _run(index, blocks, data, i, end, NUMBER, 1, max_digits)
    if bits & _NO_SIGN == 0:
        return _signs_end(index, blocks, data, i, end, True, slashes)
    if data[i] == 0x20 and i + 1 < end:
        bits, _ = _class_at(index, blocks, data, i + 1, end)
        if bits & _NO_SIGN == 0:
            return _signs_end(index, blocks, data, i + 1, end, True, slashes)
    return _space_end(index, blocks, data, i, end, True)


@piece
def _llama3(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, max_digits: int) -> int:
    after = _contraction(data, i, end, 0x20)
    if after > i:
        return after
    bits, size = _class_at(index, blocks, data, i, end)
    if bits & (NUMBER | NEWLINE) == 0:
        after = _letter_run(index, blocks, data, i + size, end)
        if after > i + size or bits & LETTER != 0:
            return after
    return _after_words(index, blocks, data, i, end, max_digits, False)


@piece
def _gpt2(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int) -> int:
    after = _contraction(data, i, end, 0)
    if after > i:
        return after
    j = i + 1 if data[i] == 0x20 and i + 1 < end else i
    bits, _ = _class_at(index, blocks, data, j, end)
    if bits & LETTER != 0:
        return _letter_run(index, blocks, data, j, end)
    if bits & NUMBER != 0:
        return _run(index, blocks, data, j, end, NUMBER, 1, end)
    if bits & SPACE == 0:
        return _signs_end(index, blocks, data, j, end, False, False)
    return _space_end(index, blocks, data, i, end, False)


@piece
def _cased_word(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, bits: int, size: int) -> int:
    """End of the word at i without its contraction, or i; `bits` and `size` are those of its first character.

    The first alternative is prefix? upper* lower+, where characters without case are both. Where nothing lower follows
    the upper run, it gives back characters up to its last one without case; where it has none, the prefix is given up,
    which must then be a mark, one without case itself. Only then comes prefix? upper+.
    """
    if bits & (NUMBER | NEWLINE) != 0:
        return i
    start = i if bits & LETTER != 0 else i + size
    if data[i] < 0x80:
        after = _ascii_run(data, _ascii_run(data, start, end, UPPER), end, LOWER)
        if after > start and (after == end or data[after] < 0x80):
            return after
    upper_end, after_caseless = start, start
    while upper_end < end:
        found, length = _class_at(index, blocks, data, upper_end, end)
        if found & UPPER == 0:
            break
        upper_end += length
        if found & LOWER != 0:
            after_caseless = upper_end
    lower_end = _run(index, blocks, data, upper_end, end, LOWER, 1, end)
    if lower_end > upper_end:
        return lower_end
    if after_caseless > start:
        return after_caseless
    if start > i and bits & LOWER != 0:
        return start
    return upper_end if upper_end > start else i


@piece
def _gpt4o(index: np.ndarray, blocks: np.ndarray, data: np.ndarray, i: int, end: int, max_digits: int) -> int:
    bits, size = _class_at(index, blocks, data, i, end)
    after = _cased_word(index, blocks, data, i, end, bits, size)
    if after > i:
        return _contraction(data, after, end, 0x20)
    return _after_words(index, blocks, data, i, end, max_digits, True)


@kernel
def _fill(
    index: np.ndarray, blocks: np.ndarray, pattern: int, max_digits: int, offsets: np.ndarray, data: np.ndarray,
    place: np.ndarray, end_K: np.ndarray,
) -> int:  # fmt: skip
    """Fill `end_K` from `place` (text, byte) on, which is moved on; returns how many, fewer than K only at the end."""
    i, num = place[1], 0
    for n in range(place[0], len(offsets) - 1):
        end = offsets[n + 1]
        while i < end:
            if num == len(end_K):
                place[0], place[1] = n, i
                return num
            if pattern == 0:
                i = _llama3(index, blocks, data, i, end, max_digits)
            elif pattern == 1:
                i = _gpt2(index, blocks, data, i, end)
            else:
                i = _gpt4o(index, blocks, data, i, end, max_digits)
            end_K[num] = i
            num += 1
    place[0], place[1] = len(offsets) - 1, i
    return num
