"""The tables of a fastText model, read from its file for the scoring kernel.

Reads:  a `.bin` or `.ftz` of a supervised model
Writes: ModelFile: settings, words, labels, the input matrix (unpacked where it is quantized) and the output matrix
Cost:   one pass over the file; the matrices in memory, of a quantized one 4 bytes per row and dimension
Source: fastText 0.9.3: fasttext.cc (checkModel), args.cc, dictionary.cc, densematrix.cc, quantmatrix.cc and
        productquantizer.cc, all little-endian

Read after fastText itself opened the file, so a damaged one has been refused. What the kernel has no code for is said
by Unsupported: the model is then left to fastText.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

MAGIC, VERSIONS = 793712314, (11, 12)
HIERARCHICAL_SOFTMAX, SOFTMAX = 1, 3  # values of `loss`
SUPERVISED = 3
WORD = 0  # an entry's type; 1 is a label


class Unsupported(Exception):  # noqa: N818 - a signal to the caller, not a user's error
    """The kernel cannot score this model; the argument says why."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """W words and L labels of a model with D dimensions and R input rows.

    Word w is `word_bytes[word_start[w]:word_start[w + 1]]` (uint8, int64[W + 1]). `pruned_row` int32[bucket]: the row
    (after the words') of each n-gram bucket, -1 for none; empty where every bucket has its own row.
    """

    loss: int
    min_chars: int  # of character n-grams; max_chars 0: none
    max_chars: int
    word_ngrams: int
    bucket: int
    labels: tuple[str, ...]
    label_counts: np.ndarray
    word_bytes: np.ndarray
    word_start: np.ndarray
    pruned_row: np.ndarray
    input_RD: np.ndarray
    output_LD: np.ndarray


class _Reader:
    """A position in the file's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def values(self, layout: str) -> tuple[int, ...]:
        found = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return found

    def array(self, dtype: type, count: int) -> np.ndarray:
        found = np.frombuffer(self.data, np.dtype(dtype).newbyteorder("<"), count, self.at)
        self.at += found.nbytes
        return found

    def name(self) -> bytes:
        end = self.data.index(b"\0", self.at)
        found, self.at = self.data[self.at : end], end + 1
        return found


def read(path: Path) -> ModelFile:
    """The tables of the model at `path`. Unsupported where the kernel has no code for them."""
    try:
        return _read(_Reader(path.read_bytes()))
    except (struct.error, ValueError, IndexError) as error:
        raise Unsupported(f"its file reads differently: {error}") from error


def _read(reader: _Reader) -> ModelFile:
    magic, version = reader.values("ii")
    if magic != MAGIC or version not in VERSIONS:
        raise Unsupported(f"file format {version}")
    dim, _, _, _, _, word_ngrams, loss, model, bucket, minn, maxn, _ = reader.values("12i")
    reader.values("d")
    if model != SUPERVISED or loss not in (HIERARCHICAL_SOFTMAX, SOFTMAX):
        raise Unsupported("not a supervised model with softmax or hierarchical softmax")
    maxn = 0 if version == 11 else max(maxn, 0)  # fastText: models of version 11 have no character n-grams
    words, labels, label_counts, pruned_row = _dictionary(reader, bucket)
    input_RD = _quantized(reader, dim) if reader.values("?")[0] else _dense(reader, dim)
    if reader.values("?")[0]:
        raise Unsupported("its output matrix is quantized")
    output_LD = _dense(reader, dim)
    num_buckets = int(pruned_row.max(initial=-1)) + 1 if len(pruned_row) else bucket
    uses_buckets = maxn > 0 or word_ngrams > 1
    if uses_buckets and (bucket < 1 or len(words) + num_buckets > len(input_RD)):
        raise Unsupported("its input matrix has fewer rows than its settings name")
    if len(words) > len(input_RD) or len(labels) != len(output_LD) or not labels:
        raise Unsupported("its matrices do not go with its dictionary")
    return ModelFile(
        loss=loss, min_chars=minn, max_chars=maxn, word_ngrams=word_ngrams, bucket=bucket, labels=labels,
        label_counts=label_counts, word_bytes=np.frombuffer(b"".join(words), np.uint8),
        word_start=np.cumsum([0, *map(len, words)], dtype=np.int64), pruned_row=pruned_row, input_RD=input_RD,
        output_LD=output_LD,
    )  # fmt: skip


def _dictionary(reader: _Reader, bucket: int) -> tuple[list[bytes], tuple[str, ...], np.ndarray, np.ndarray]:
    """(words, labels, label counts, rows of the n-gram buckets that pruning left)."""
    size, num_words, _, _, num_pruned = reader.values("3i2q")
    words, labels, label_counts = [], [], []
    for _ in range(size):
        name = reader.name()
        count, kind = reader.values("qb")
        if kind == WORD:
            words.append(name)
        else:
            labels.append(name.decode("utf-8", "replace"))
            label_counts.append(count)
    if len(words) != num_words:
        raise Unsupported("its dictionary counts other words than it holds")
    pruned_row = np.empty(0, np.int32)
    if num_pruned >= 0:
        pairs = reader.array(np.int32, 2 * num_pruned).reshape(-1, 2)
        pruned_row = np.full(max(bucket, 1), -1, np.int32)
        pruned_row[pairs[:, 0]] = pairs[:, 1]
    return words, tuple(labels), np.array(label_counts, np.int64), pruned_row


def _dense(reader: _Reader, dim: int) -> np.ndarray:
    num_rows, num_columns = reader.values("2q")
    if num_columns != dim:
        raise Unsupported(f"a matrix has {num_columns} columns, and not {dim}")
    matrix = _aligned(num_rows, dim)
    matrix[:] = reader.array(np.float32, num_rows * dim).reshape(num_rows, dim)
    return matrix


def _aligned(num_rows: int, dim: int) -> np.ndarray:
    """float32[num_rows, dim] that begins at a cache line: a row of 16 is then one line and not two."""
    return np.frombuffer(pa.allocate_buffer(4 * num_rows * dim), np.float32).reshape(num_rows, dim)


def _quantized(reader: _Reader, dim: int) -> np.ndarray:
    """A product-quantized matrix as float32: each part of a row is one of 256 centroids, times the row's norm."""
    has_norms, num_rows, num_columns, num_codes = reader.values("?2qi")
    codes = reader.array(np.uint8, num_codes).reshape(num_rows, -1)
    centroids, dims = _centroids(reader)
    if num_columns != dim or sum(dims) != dim:
        raise Unsupported(f"its quantized matrix has {num_columns} columns, and not {dim}")
    matrix = _aligned(num_rows, dim)
    column = 0
    for part, size in enumerate(dims):
        values = centroids[256 * column : 256 * (column + size)].reshape(256, size)
        matrix[:, column : column + size] = values[codes[:, part]]
        column += size
    if has_norms:
        norm_codes = reader.array(np.uint8, num_rows)
        norms, _ = _centroids(reader)
        matrix *= norms[norm_codes][:, None]
    return matrix


def _centroids(reader: _Reader) -> tuple[np.ndarray, list[int]]:
    """(a quantizer's centroids, 256 per part, one part after the other; the dimensions of each part)."""
    dim, num_parts, part_dim, last_dim = reader.values("4i")
    return reader.array(np.float32, dim * 256), [part_dim] * (num_parts - 1) + [last_dim]
