"""Words and lines of texts with arrays as the kernels take them, built from Python strings; bytes at a page's edge."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from stages.kernels import utf8
from stages.kernels.analysis import TextAnalysis
from stages.kernels.chunks import NON_ASCII
from stages.kernels.lines import Lines
from stages.kernels.utf8 import Utf8
from stages.kernels.words import Words


def english(text: Utf8) -> TextAnalysis:
    """Texts whose words are split by English rules."""
    return TextAnalysis(text, np.zeros(len(text), np.int8))


def text_of(texts: list[str]) -> Utf8:
    return utf8.padded(utf8.view(pa.array(texts, pa.large_string())))


def with_words(texts: list[list[str]], separator: str = " ") -> tuple[Utf8, Words]:
    """Texts of these words with a separator between them."""
    bounds, starts, ends, kinds = [0], [], [], []
    for words in texts:
        at = 0
        for word in words:
            size = len(word.encode())
            starts.append(at)
            ends.append(at + size)
            kinds.append(0 if word.isascii() else NON_ASCII)
            at += size + len(separator.encode())
        bounds.append(len(starts))
    return text_of([separator.join(words) for words in texts]), Words(
        begin=np.array(bounds[:-1], np.int64), end=np.array(bounds[1:], np.int64), starts=np.array(starts, np.int32),
        ends=np.array(ends, np.int32), kinds=np.array(kinds, np.uint8),
    )  # fmt: skip


def with_lines(texts: list[str]) -> tuple[Utf8, Lines]:
    """Texts with their lines as str.splitlines finds them."""
    bounds, stops, nexts = [0], [], []
    for text in texts:
        at = 0
        for line, whole in zip(text.splitlines(), text.splitlines(keepends=True), strict=True):
            stops.append(at + len(line.encode()))
            at += len(whole.encode())
            nexts.append(at)
        bounds.append(len(stops))
    return text_of(texts), Lines(
        begin=np.array(bounds[:-1], np.int64), end=np.array(bounds[1:], np.int64), stops=np.array(stops, np.int32),
        nexts=np.array(nexts, np.int32),
    )  # fmt: skip


@contextmanager
def between_closed_pages(content: bytes) -> Iterator[np.ndarray]:
    """The bytes, a whole number of pages, in memory with pages around them that cannot be read: one byte more ends the
    process."""
    page = mmap.PAGESIZE
    assert len(content) % page == 0
    memory = mmap.mmap(-1, len(content) + 2 * page)
    memory[page : page + len(content)] = content
    anchor = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(anchor)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    edges = [ctypes.c_void_p(address), ctypes.c_void_p(address + page + len(content))]
    try:
        for edge in edges:
            assert protect(edge, ctypes.c_size_t(page), 0) == 0
        yield np.frombuffer((ctypes.c_uint8 * len(content)).from_address(address + page), np.uint8)
    finally:
        for edge in edges:
            protect(edge, ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE)
        del anchor
        memory.close()
