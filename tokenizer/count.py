"""How often each pretoken occurs in texts: an open-addressing hash table, filled straight from Arrow's buffers.

Reads:  Arrow's offsets and bytes
Writes: Counts, in the order of the pretokens' bytes (tokenizer/sorted_counts.py)
Cost:   one thread, 150 to 270 MB of text per second; 36 to 72 bytes per distinct pretoken, and its bytes where it has
        more than 15; as much again while the table grows or its content is sorted
Source: open addressing with linear probing. A pretoken of at most 15 bytes is its own key; a longer one is found by a
        64-bit hash (multiply and shift-xor over eight bytes at a time) and compared by its bytes

To count more than fits into memory: `WordCounts.arrays()`, written away in `chunks`, and `WordCounts.clear()` whenever
`num_bytes` is too much; in the end `merge_sorted` of what was written.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np import arrayobj

from tokenizer.compiled import kernel, piece, prefetch
from tokenizer.errors import TokenizerError
from tokenizer.pretokenize import Pretokenizer, read_only
from tokenizer.sorted_counts import Counts, combine

START_BITS = 12  # of the number of slots
START_ARENA = 1 << 16


class WordCounts:
    """Counts the pretokens of texts. With `cap`, a pretoken counts at most so many times per text."""

    def __init__(self, pretokenizer: Pretokenizer, cap: int | None = None) -> None:
        if cap is not None and cap < 1:
            raise TokenizerError(f"cap {cap}; expected at least 1, or None for no cap")
        self._pretokenizer = pretokenizer
        self._cap = cap or 0
        self.clear()

    def clear(self) -> None:
        """Forget all counts, and give their memory back."""
        self._slot_S3 = np.zeros((1 << START_BITS, 3), np.uint64)
        self._seen_S2 = np.zeros((1 << START_BITS if self._cap else 0, 2), np.int64)
        self._long_start = np.zeros(1 << 8, np.int64)
        self._arena = np.empty(START_ARENA, np.uint8)
        self._state = np.zeros(4, np.int64)

    @property
    def num_words(self) -> int:
        """How many distinct pretokens there are."""
        return int(self._state[_WORDS])

    @property
    def num_bytes(self) -> int:
        """Memory that the counts take."""
        return self._slot_S3.nbytes + self._seen_S2.nbytes + self._long_start.nbytes + self._arena.nbytes

    def add(self, offsets: np.ndarray, data: np.ndarray, weight: int = 1) -> None:
        """Count the pretokens of N texts, `weight` for each of them; text n is `data[offsets[n]:offsets[n + 1]]`."""
        if weight < 1:
            raise TokenizerError(f"weight {weight}; expected at least 1")
        offsets, data = read_only(offsets, np.int64), read_only(data, np.uint8)
        start = int(offsets[0])
        self._state[_TEXT] = 0
        for end_K in self._pretokenizer.chunks(offsets, data):
            done = 0
            while done < len(end_K):
                done = _count(
                    self._slot_S3, self._seen_S2, self._long_start, self._arena, self._state, offsets, data, start,
                    end_K, done, weight, self._cap,
                )  # fmt: skip
                start = int(end_K[done - 1]) if done else start
                if done < len(end_K):
                    self._make_room(int(end_K[done]) - start)
        self._state[_EARLIER_TEXTS] += len(offsets) - 1

    def arrays(self) -> Counts:
        """The counts so far."""
        num_words, num_long = self.num_words, int(self._state[_LONG])
        short_bytes = int((self._slot_S3[:, 1] >> np.uint64(56))[self._slot_S3[:, 1] < _LONG_KEY].sum())
        data = np.empty(short_bytes + int(self._long_start[num_long]), np.uint8)
        offsets, counts = np.zeros(num_words + 1, np.int64), np.empty(num_words, np.int64)
        _dump(self._slot_S3, self._long_start, self._arena, data, offsets, counts)
        return combine([Counts(data, offsets, counts)])

    def _make_room(self, length: int) -> None:
        """For one more pretoken of that many bytes."""
        words, num_long = self.num_words, int(self._state[_LONG])
        if not _has_slot(words, len(self._slot_S3)):
            slot_S3 = np.zeros((2 * len(self._slot_S3), 3), np.uint64)
            seen_S2 = np.zeros((2 * len(self._seen_S2), 2), np.int64)
            _move(self._slot_S3, self._seen_S2, slot_S3, seen_S2)
            self._slot_S3, self._seen_S2 = slot_S3, seen_S2
        if num_long + 1 == len(self._long_start):
            self._long_start = np.concatenate([self._long_start, np.zeros(num_long + 1, np.int64)])
        used = int(self._long_start[num_long])
        if used + length > len(self._arena):
            arena = np.empty(max(used + length, len(self._arena) * 3 // 2), np.uint8)
            arena[:used] = self._arena[:used]
            self._arena = arena


# A slot is three numbers. Up to 15 bytes: the first eight, the other seven with the length above them, the count. More:
# their hash, _LONG_KEY plus the row of `long_start` (row r is arena[long_start[r]:long_start[r + 1]]), the count. An
# empty slot's second number is 0. `seen_S2`, with a cap: the text a pretoken was last seen in, and how often there.
_WORDS, _LONG, _TEXT, _EARLIER_TEXTS = range(4)  # of `state`: distinct words, long ones, the text at hand, those before
_SHORT = 15
_BLOCK = 32  # pretokens whose slots are fetched from memory together
_LONG_KEY = np.uint64(0xFF << 56)
_LENGTH_SHIFT = np.uint64(56)
_FACTOR_1, _FACTOR_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x243F6A8885A308D3)
_32, _1 = np.uint64(32), np.uint64(1)
# the first n of 16 bytes: those among the first eight, and those among the others
_LOW_MASK = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(16)], np.uint64)
_HIGH_MASK = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(16)], np.uint64)


@intrinsic
def _load_8(typing_context: Any, data: Any, i: Any) -> Any:
    """data[i:i + 8] as a little-endian uint64; the eight bytes must exist."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = arrayobj.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(address, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), codegen


@piece
def _few(data: np.ndarray, start: int, length: int) -> Any:
    """At most eight bytes as a little-endian number."""
    number = np.uint64(0)
    for i in range(length):
        number |= np.uint64(data[start + i]) << np.uint64(8 * i)
    return number


@piece
def _short_key(data: np.ndarray, start: int, length: int) -> Any:
    """The first two numbers of its slot."""
    top = np.uint64(length) << _LENGTH_SHIFT
    if start + 16 <= len(data):
        return _load_8(data, start) & _LOW_MASK[length], (_load_8(data, start + 8) & _HIGH_MASK[length]) | top
    return _few(data, start, min(length, 8)), _few(data, start + 8, max(length - 8, 0)) | top


@piece
def _hash_long(data: np.ndarray, start: int, length: int) -> Any:
    state = np.uint64(length)
    end = start + length
    for i in range(start, end - 8, 8):
        state = (state ^ _load_8(data, i)) * _FACTOR_1
        state ^= state >> _32
    state = (state ^ _load_8(data, end - 8)) * _FACTOR_1
    return (state ^ state >> _32) * _FACTOR_2


@piece
def _first_slot(low: Any, high: Any, shift: Any) -> Any:
    """Where the search for a key begins."""
    if high >= _LONG_KEY:
        return np.int64(low >> shift)
    state = low * _FACTOR_1
    state = (state ^ state >> _32 ^ high) * _FACTOR_2
    state = (state ^ state >> _32) * _FACTOR_1
    return np.int64(state >> shift)


@piece
def _shift_of(num_slots: int) -> Any:
    """How far a hash is shifted to give one of that many slots, a power of two."""
    shift = np.uint64(64)
    while num_slots > 1:
        num_slots >>= 1
        shift -= _1
    return shift


@piece
def _common(a: np.ndarray, i: int, b: np.ndarray, j: int, length: int) -> int:
    """How many of so many bytes from a[i] and b[j] on are equal before the first that are not."""
    k = 0
    while k + 8 <= length and _load_8(a, i + k) == _load_8(b, j + k):
        k += 8
    while k < length and a[i + k] == b[j + k]:
        k += 1
    return k


@kernel
def _has_slot(words: int, num_slots: int) -> bool:
    """Whether one more word may come into a table: two thirds of its slots are used."""
    return 3 * words < 2 * num_slots


@piece
def _prepare(
    slot_S3: np.ndarray, data: np.ndarray, start: int, end_K: np.ndarray, k: int, shift: Any, key_B2: np.ndarray,
    slot_B: np.ndarray,
) -> int:  # fmt: skip
    """Keys and first slots of a block of pretokens from the k-th on, which begins at `start`; returns its end."""
    for b in range(min(_BLOCK, len(end_K) - k)):
        length = end_K[k + b] - start
        if length <= _SHORT:
            low, high = _short_key(data, start, length)
        else:
            low, high = _hash_long(data, start, length), _LONG_KEY
        key_B2[b, 0], key_B2[b, 1], slot_B[b] = low, high, _first_slot(low, high, shift)
        prefetch(slot_S3, 3 * slot_B[b])
        start += length
    return start


@piece
def _look_up(
    slot_S3: np.ndarray, long_start: np.ndarray, arena: np.ndarray, data: np.ndarray, start: int, length: int,
    low: Any, high: Any, s: int,
) -> int:  # fmt: skip
    """The slot of data[start:start + length], or the empty one where it belongs; the search begins at slot s."""
    while slot_S3[s, 1] != 0:
        if slot_S3[s, 0] == low:
            if slot_S3[s, 1] == high and length <= _SHORT:
                break
            if length > _SHORT and slot_S3[s, 1] >= _LONG_KEY:
                row = np.int64(slot_S3[s, 1] - _LONG_KEY)
                begin = long_start[row]
                if long_start[row + 1] - begin == length and _common(arena, begin, data, start, length) == length:
                    break
        s = (s + 1) & (len(slot_S3) - 1)
    return s


@piece
def _insert(
    slot_S3: np.ndarray, long_start: np.ndarray, arena: np.ndarray, state: np.ndarray, data: np.ndarray, start: int,
    length: int, low: Any, high: Any, s: int,
) -> bool:  # fmt: skip
    """Put data[start:start + length] into the empty slot s; False where there is no room."""
    if not _has_slot(state[_WORDS], len(slot_S3)):
        return False
    if length > _SHORT:
        row = state[_LONG]
        begin = long_start[row]
        if row + 1 == len(long_start) or begin + length > len(arena):
            return False
        for i in range(length):
            arena[begin + i] = data[start + i]
        long_start[row + 1] = begin + length
        high += np.uint64(row)
        state[_LONG] += 1
    slot_S3[s, 0], slot_S3[s, 1] = low, high
    state[_WORDS] += 1
    return True


@kernel
def _count(
    slot_S3: np.ndarray, seen_S2: np.ndarray, long_start: np.ndarray, arena: np.ndarray, state: np.ndarray,
    offsets: np.ndarray, data: np.ndarray, start: int, end_K: np.ndarray, first: int, weight: int, cap: int,
) -> int:  # fmt: skip
    """Count the pretokens that end at end_K[first:], the first of which begins at `start`; returns the number of the
    first that there is no room for, K if there is for all."""
    shift, ahead = _shift_of(len(slot_S3)), start
    key_B2, slot_B = np.empty((_BLOCK, 2), np.uint64), np.empty(_BLOCK, np.int64)
    for k in range(first, len(end_K)):
        b = (k - first) & (_BLOCK - 1)
        if b == 0:
            ahead = _prepare(slot_S3, data, ahead, end_K, k, shift, key_B2, slot_B)
        length, low, high = end_K[k] - start, key_B2[b, 0], key_B2[b, 1]
        s = _look_up(slot_S3, long_start, arena, data, start, length, low, high, slot_B[b])
        if slot_S3[s, 1] == 0 and not _insert(
            slot_S3, long_start, arena, state, data, start, length, low, high, s
        ):  # fmt: skip
            return k
        if cap == 0 or _is_below_cap(seen_S2, s, state, offsets, start, cap):
            slot_S3[s, 2] += np.uint64(weight)
        start = end_K[k]
    return len(end_K)


@piece
def _is_below_cap(seen_S2: np.ndarray, s: int, state: np.ndarray, offsets: np.ndarray, start: int, cap: int) -> bool:
    """Note that the pretoken of slot s occurs at `start`; whether that counts."""
    while offsets[state[_TEXT] + 1] <= start:
        state[_TEXT] += 1
    text = state[_EARLIER_TEXTS] + state[_TEXT] + 1  # 0: in no text so far
    if seen_S2[s, 0] != text:
        seen_S2[s, 0], seen_S2[s, 1] = text, 0
    seen_S2[s, 1] += 1
    return seen_S2[s, 1] <= cap


@kernel
def _move(slot_S3: np.ndarray, seen_S2: np.ndarray, new_slot_S3: np.ndarray, new_seen_S2: np.ndarray) -> None:
    """Into a larger table."""
    shift, last_slot = _shift_of(len(new_slot_S3)), len(new_slot_S3) - 1
    for old in range(len(slot_S3)):
        if slot_S3[old, 1] != 0:
            s = _first_slot(slot_S3[old, 0], slot_S3[old, 1], shift)
            while new_slot_S3[s, 1] != 0:
                s = (s + 1) & last_slot
            for k in range(3):
                new_slot_S3[s, k] = slot_S3[old, k]
            for k in range(2 * (len(seen_S2) > 0)):
                new_seen_S2[s, k] = seen_S2[old, k]


@kernel
def _dump(
    slot_S3: np.ndarray, long_start: np.ndarray, arena: np.ndarray, data: np.ndarray, offsets: np.ndarray,
    counts: np.ndarray,
) -> None:  # fmt: skip
    """Write the words one after the other, as they lie in the table."""
    v = 0
    for s in range(len(slot_S3)):
        low, high = slot_S3[s, 0], slot_S3[s, 1]
        if high == 0:
            continue
        i = offsets[v]
        if high >= _LONG_KEY:
            row = np.int64(high - _LONG_KEY)
            length = long_start[row + 1] - long_start[row]
            for k in range(length):
                data[i + k] = arena[long_start[row] + k]
        else:
            length = np.int64(high >> _LENGTH_SHIFT)
            for k in range(length):
                data[i + k] = (low if k < 8 else high) >> np.uint64(8 * (k & 7)) & np.uint64(0xFF)
        offsets[v + 1] = i + length
        counts[v] = slot_S3[s, 2]
        v += 1
