"""What a supervised fastText model says of prepared lines: the probabilities of all its labels.

Reads:  lines of stages/kernels/fasttext_text.py, and a ScoringTable
Writes: float32[N, L]: the probabilities as fastText gives them (each 1e-5 too large), 0 where it gives none
Cost:   45 ns per byte of a line with character 3- to 5-grams in 16 dimensions, 8 without them; the model's matrices, 4
        bytes per vocabulary word and n-gram of it, one vector per line
Source: fastText 0.9.3: dictionary.cc (FNV-1a hash, n-grams, the order of a line's rows), densematrix.cc, loss.cc

Rows are added in fastText's order, in float32, so that the sums are the same to the last bit. Characters are those of
UTF-8; a word is what stands between spaces, and a line ends with fastText's own word `</s>`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.utf8 import Utf8

FNV_START, FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
NGRAM_PRIME = np.uint64(116049371)  # of word n-grams
SPACE, WORD_START, WORD_END = 32, ord("<"), ord(">")
LINE_END = np.frombuffer(b"</s>", np.uint8)
LOG_FLOOR = np.float32(1e-5)  # fastText adds it before every logarithm
GATHERED = 1024  # rows are added when so many are known
STARTS = 256  # of n-grams whose rows are looked up in one go
NO_TREE = np.empty((0, 2), np.int32)


class ScoringTable(NamedTuple):
    """W words, L labels, D dimensions.

    `slot_word` int32[power of two]: open addressing by a word's hash, -1 is empty. `word_hash` uint32[W]. The input
    rows of word w are `rows[row_start[w]:row_start[w + 1]]`, itself and its character n-grams. `pruned_row` int32:
    a bucket's row after the words', -1 for none; empty where each bucket has its own. `tree` int32[L - 1, 2]: the
    children of inner node L + i; empty for a model with plain softmax.
    """

    word_bytes: np.ndarray
    word_start: np.ndarray
    word_hash: np.ndarray
    slot_word: np.ndarray
    rows: np.ndarray
    row_start: np.ndarray
    pruned_row: np.ndarray
    min_chars: int
    max_chars: int
    word_ngrams: int
    bucket: int
    input_RD: np.ndarray
    output_LD: np.ndarray
    tree: np.ndarray


def table(
    *, word_bytes: np.ndarray, word_start: np.ndarray, pruned_row: np.ndarray, min_chars: int, max_chars: int,
    word_ngrams: int, bucket: int, input_RD: np.ndarray, output_LD: np.ndarray, tree: np.ndarray,
) -> ScoringTable:  # fmt: skip
    """A model's tables with what is computed once: where words are found, and the rows of each."""
    num_words = len(word_start) - 1
    word_hash = np.empty(num_words, np.uint32)
    slot_word = np.full(1 << (2 * num_words + 1).bit_length(), -1, np.int32)
    _index_words(word_bytes, word_start, word_hash, slot_word)
    num_sizes = max(0, max_chars - min_chars + 1)  # of character n-grams
    longest = int(np.diff(word_start).max(initial=0)) + 2
    scratch, found = np.empty(longest, np.uint8), np.empty(longest * num_sizes, np.int32)
    rows, row_start = np.empty(0, np.int32), np.zeros(num_words + 1, np.int64)
    settings = (min_chars, max_chars, bucket, pruned_row)
    for fill in (False, True):  # first counted, then written
        _rows_of_words(word_bytes, word_start, scratch, found, *settings, rows, row_start, fill)
        rows = rows if fill else np.empty(row_start[-1], np.int32)
    return ScoringTable(
        word_bytes, word_start, word_hash, slot_word, rows, row_start, pruned_row, min_chars, max_chars, word_ngrams,
        bucket, input_RD, output_LD, tree,
    )  # fmt: skip


def probabilities(lines: Utf8, model: ScoringTable) -> np.ndarray:
    """float32[N, L]; a row of zeros where the model knows nothing in the line."""
    out_NL = np.zeros((len(lines), len(model.output_LD)), np.float32)
    longest = int(np.diff(lines.offsets).max(initial=0))
    hashes, scratch = np.empty(longest // 2 + 2, np.int32), np.empty(longest + 2, np.uint8)
    most = max(int(np.diff(model.row_start).max(initial=0)), STARTS * _most_per_start(model))
    found = np.empty(GATHERED + most, np.int32)
    _score_lines(lines.data, lines.offsets, model, hashes, scratch, found, out_NL)
    return out_NL


def _most_per_start(model: ScoringTable) -> int:
    """N-grams that can begin at one character, or at one word."""
    return max(1, model.max_chars - model.min_chars + 1, model.word_ngrams - 1)


@kernel
def _hash(data: np.ndarray, start: int, end: int) -> Any:
    """FNV-1a, 32 bits, with fastText's sign extension of bytes from 0x80 on."""
    value = FNV_START
    for i in range(start, end):
        value = _hash_byte(value, data[i])
    return value


@kernel
def _hash_byte(value: Any, byte: Any) -> Any:
    return np.uint32(np.uint32(value ^ np.uint32(np.int32(np.int8(byte)))) * FNV_PRIME)


@kernel
def _index_words(word_bytes: np.ndarray, word_start: np.ndarray, word_hash: np.ndarray, slot_word: np.ndarray) -> None:
    mask = len(slot_word) - 1
    for w in range(len(word_hash)):
        word_hash[w] = _hash(word_bytes, word_start[w], word_start[w + 1])
        slot = np.int64(word_hash[w]) & mask
        while slot_word[slot] >= 0:
            slot = (slot + 1) & mask
        slot_word[slot] = w


@kernel
def _find(
    data: np.ndarray, start: int, end: int, value: Any, slot_word: np.ndarray, word_hash: np.ndarray,
    word_start: np.ndarray, word_bytes: np.ndarray,
) -> int:  # fmt: skip
    """The number of the word data[start:end] with hash `value`, -1 for an unknown one."""
    mask = len(slot_word) - 1
    slot = np.int64(value) & mask
    while True:
        w = np.int64(slot_word[slot])
        if w < 0:
            return -1
        if word_hash[w] == value and word_start[w + 1] - word_start[w] == end - start:
            first, k = word_start[w], 0
            while k < end - start and word_bytes[first + k] == data[start + k]:
                k += 1
            if k == end - start:
                return w  # type: ignore[return-value]
        slot = (slot + 1) & mask


@kernel
def _is_line_end(data: np.ndarray, start: int, end: int) -> bool:
    if end - start != len(LINE_END):
        return False
    for k in range(len(LINE_END)):  # noqa: SIM110 - Numba
        if data[start + k] != LINE_END[k]:
            return False
    return True


@kernel
def _bracket(data: np.ndarray, start: int, end: int, scratch: np.ndarray) -> int:
    """`<word>` to scratch; its length."""
    scratch[0] = WORD_START
    for k in range(end - start):
        scratch[k + 1] = data[start + k]
    scratch[end - start + 1] = WORD_END
    return end - start + 2


@kernel
def _row_of(value: Any, bucket: int, num_words: int, pruned_row: np.ndarray) -> int:
    """The input row of an n-gram's hash (uint64), -1 for none."""
    place = np.int64(value % np.uint64(bucket))
    if len(pruned_row):
        place = np.int64(pruned_row[place])
        if place < 0:
            return -1
    return num_words + place  # type: ignore[return-value]


@kernel
def _character_ngrams(
    word: np.ndarray, first: int, last: int, size: int, min_chars: int, max_chars: int, bucket: int, num_words: int,
    pruned_row: np.ndarray, rows: np.ndarray, at: int,
) -> int:  # fmt: skip
    """Rows of the n-grams of word[:size] that begin in word[first:last], to rows[at:]; the position after them."""
    for i in range(first, last):
        if word[i] & 0xC0 == 0x80:
            continue
        value, j, n = FNV_START, i, 1
        while j < size and n <= max_chars:
            value = _hash_byte(value, word[j])
            j += 1
            while j < size and word[j] & 0xC0 == 0x80:
                value = _hash_byte(value, word[j])
                j += 1
            if n >= min_chars and not (n == 1 and (i == 0 or j == size)):
                row = _row_of(np.uint64(value), bucket, num_words, pruned_row)
                rows[at] = row
                at += row >= 0
            n += 1
    return at


@kernel
def _word_ngrams(
    hashes: np.ndarray, first: int, last: int, size: int, most_words: int, bucket: int, num_words: int,
    pruned_row: np.ndarray, rows: np.ndarray, at: int,
) -> int:  # fmt: skip
    """Rows of the n-grams of 2 to `most_words` of the words hashes[:size] that begin in hashes[first:last]."""
    for i in range(first, last):
        value = np.uint64(np.int64(hashes[i]))
        for j in range(i + 1, min(size, i + most_words)):
            value = np.uint64(value * NGRAM_PRIME + np.uint64(np.int64(hashes[j])))
            row = _row_of(value, bucket, num_words, pruned_row)
            rows[at] = row
            at += row >= 0
    return at


@kernel
def _rows_of_words(
    word_bytes: np.ndarray, word_start: np.ndarray, scratch: np.ndarray, found: np.ndarray, min_chars: int,
    max_chars: int, bucket: int, pruned_row: np.ndarray, rows: np.ndarray, row_start: np.ndarray, fill: bool,
) -> None:  # fmt: skip
    num_words, at = len(word_start) - 1, 0
    for w in range(num_words):
        count = 0
        if max_chars > 0 and not _is_line_end(word_bytes, word_start[w], word_start[w + 1]):
            size = _bracket(word_bytes, word_start[w], word_start[w + 1], scratch)
            count = _character_ngrams(
                scratch, 0, size, size, min_chars, max_chars, bucket, num_words, pruned_row, found, 0
            )
        if fill:
            rows[at] = w
            rows[at + 1 : at + 1 + count] = found[:count]
        at += 1 + count
        row_start[w + 1] = at


@kernel
def _copy_rows(rows: np.ndarray, first: int, last: int, found: np.ndarray, at: int) -> int:
    """rows[first:last] to found[at:]; unsigned positions spare a test for negative ones."""
    source, target = np.uint64(first), np.uint64(at)
    for r in range(np.uint64(last) - source):
        found[target + r] = rows[source + r]
    return at + last - first


@kernel
def _add_rows(input_RD: np.ndarray, rows: np.ndarray, count: int, sum_D: np.ndarray) -> None:
    """Add the rows `rows[:count]`, eight at a time, which halves the time; each sum is as if one by one."""
    r, past, one = np.uint64(0), np.uint64(count), np.uint64(1)
    while r + np.uint64(8) <= past:
        a, b = np.uint64(rows[r]), np.uint64(rows[r + one])
        c, d = np.uint64(rows[r + np.uint64(2)]), np.uint64(rows[r + np.uint64(3)])
        e, f = np.uint64(rows[r + np.uint64(4)]), np.uint64(rows[r + np.uint64(5)])
        g, h = np.uint64(rows[r + np.uint64(6)]), np.uint64(rows[r + np.uint64(7)])
        for k in range(len(sum_D)):
            half = sum_D[k] + input_RD[a, k] + input_RD[b, k] + input_RD[c, k] + input_RD[d, k]
            sum_D[k] = half + input_RD[e, k] + input_RD[f, k] + input_RD[g, k] + input_RD[h, k]
        r += np.uint64(8)
    while r < past:
        a = np.uint64(rows[r])
        for k in range(len(sum_D)):
            sum_D[k] += input_RD[a, k]
        r += one


@kernel
def _score_lines(
    data: np.ndarray, offsets: np.ndarray, model: ScoringTable, hashes: np.ndarray, scratch: np.ndarray,
    found: np.ndarray, out_NL: np.ndarray,
) -> None:  # fmt: skip
    sum_D = np.empty(model.output_LD.shape[1], np.float32)
    for n in range(len(offsets) - 1):
        sum_D[:] = 0
        num_rows = _sum_line(data, offsets[n], offsets[n + 1], model, hashes, scratch, found, sum_D)
        if num_rows:
            sum_D *= np.float32(1.0 / num_rows)
            if len(model.tree):
                _hierarchical(model.output_LD, model.tree, sum_D, out_NL[n])
            else:
                _softmax(model.output_LD, sum_D, out_NL[n])


@kernel
def _sum_line(
    data: np.ndarray, i: int, end: int, model: ScoringTable, hashes: np.ndarray, scratch: np.ndarray,
    found: np.ndarray, sum_D: np.ndarray,
) -> int:  # fmt: skip
    """Add up the rows of a line; how many there were.

    The arrays are taken out of the tuple once a line: Numba counts references wherever that is done.
    """
    slot_word, word_hash, word_start, word_bytes = model.slot_word, model.word_hash, model.word_start, model.word_bytes
    rows, row_start, input_RD, pruned_row = model.rows, model.row_start, model.input_RD, model.pruned_row
    min_chars, max_chars, bucket, num_words = model.min_chars, model.max_chars, model.bucket, len(word_hash)
    num_rows = num_hashes = at = 0
    ended = False
    while not ended:
        start, value = i, FNV_START
        while i < end and data[i] != SPACE:
            value = _hash_byte(value, data[i])
            i += 1
        if i > start:
            ended = _is_line_end(data, start, i)
            w = _find(data, start, i, value, slot_word, word_hash, word_start, word_bytes)
        else:
            ended, value = True, _hash(LINE_END, 0, len(LINE_END))
            w = _find(LINE_END, 0, len(LINE_END), value, slot_word, word_hash, word_start, word_bytes)
        hashes[num_hashes] = np.int32(value)
        num_hashes += 1
        if w >= 0:
            at = _copy_rows(rows, row_start[w], row_start[w + 1], found, at)
        elif not ended and max_chars > 0:
            size = _bracket(data, start, i, scratch)
            for first in range(0, size, STARTS):
                if at >= GATHERED:
                    _add_rows(input_RD, found, at, sum_D)
                    num_rows, at = num_rows + at, 0
                at = _character_ngrams(
                    scratch, first, min(size, first + STARTS), size, min_chars, max_chars, bucket, num_words,
                    pruned_row, found, at,
                )  # fmt: skip
        if at >= GATHERED:
            _add_rows(input_RD, found, at, sum_D)
            num_rows, at = num_rows + at, 0
        i += 1
    for first in range(0, num_hashes if model.word_ngrams > 1 else 0, STARTS):
        at = _word_ngrams(
            hashes, first, min(num_hashes, first + STARTS), num_hashes, model.word_ngrams, bucket, num_words,
            pruned_row, found, at,
        )  # fmt: skip
        if at >= GATHERED:
            _add_rows(input_RD, found, at, sum_D)
            num_rows, at = num_rows + at, 0
    _add_rows(input_RD, found, at, sum_D)
    return num_rows + at


@kernel
def _dot(matrix: np.ndarray, row: int, vector_D: np.ndarray) -> Any:
    total = np.float32(0)
    for d in range(len(vector_D)):
        total += matrix[row, d] * vector_D[d]
    return total


@kernel
def _softmax(output_LD: np.ndarray, vector_D: np.ndarray, out_L: np.ndarray) -> None:
    for k in range(len(out_L)):
        out_L[k] = _dot(output_LD, k, vector_D)
    highest = out_L.max()
    total = np.float32(0)
    for k in range(len(out_L)):
        out_L[k] = np.exp(out_L[k] - highest)
        total += out_L[k]
    for k in range(len(out_L)):
        out_L[k] = out_L[k] / total + LOG_FLOOR


@kernel
def _hierarchical(output_LD: np.ndarray, tree: np.ndarray, vector_D: np.ndarray, out_L: np.ndarray) -> None:
    """Down from the root; inner node L + i has a row of `output_LD`, and children that come before it."""
    num_labels = len(out_L)
    log_of_node = np.zeros(2 * num_labels - 1, np.float32)
    lowest = np.log(LOG_FLOOR)  # fastText leaves out what is less probable
    for i in range(num_labels - 2, -1, -1):
        score = log_of_node[num_labels + i]
        if score < lowest:
            score = np.float32(-np.inf)
        right = np.float32(1.0 / (1.0 + np.exp(-_dot(output_LD, i, vector_D))))
        log_of_node[tree[i, 0]] = score + np.log(np.float32(np.float32(1.0) - right) + LOG_FLOOR)
        log_of_node[tree[i, 1]] = score + np.log(right + LOG_FLOOR)
    for k in range(num_labels):
        out_L[k] = np.exp(log_of_node[k]) if log_of_node[k] >= lowest else 0
