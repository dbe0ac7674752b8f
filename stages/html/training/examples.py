"""All blocks of the gold pages with what learning needs of them: label, weight, site, bags of tokens, the scans.

Reads:  gold pages
Writes: Examples
Cost:   about 4 ms a page, nearly all of it for labels; memory about 5 times the pages
Source: stages/html/scanning.py, labelling.py, stages/kernels/html_structure.py, html_word_bags.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from stages.html.scanning import Scan, scan
from stages.html.training.gold import GoldPage, broken_gold
from stages.html.training.labelling import block_labels
from stages.html.training.settings import Settings
from stages.kernels import utf8
from stages.kernels.html_structure import path_tokens
from stages.kernels.html_text import B_END, B_START, B_TEXT_ELEMENT
from stages.kernels.html_word_bags import word_bags

BATCH_BYTES = 1 << 25
MAX_PATH_TOKENS = 200  # of a block, from its element outwards; 1.3 % of the gold pages' have more


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some pages and their scan; `blocks` and `pages` say which of all they are."""

    html: utf8.Utf8
    scan: Scan
    pages: slice
    blocks: slice


@dataclass(frozen=True, kw_only=True)
class Bags:
    """Hashes of the tokens of B blocks: those of block b are `hashes[starts_B[b]:starts_B[b + 1]]` (uint32, int64)."""

    hashes: np.ndarray
    starts_B: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Examples:
    """P pages in the order of their sites, and their B blocks.

    `fold_P` int64, `site_P` int32 (a number, rising), `whole_P` bool: whose gold is a text, not snippets or none.
    `page_B` int32. `label_B` float32, NaN where nothing is known; of pages with broken gold nothing is. `weight_B`
    float64, 0 there. `half_words_B` int64.
    """

    pages: list[GoldPage]
    batches: list[Batch]
    fold_P: np.ndarray
    site_P: np.ndarray
    whole_P: np.ndarray
    page_B: np.ndarray
    label_B: np.ndarray
    weight_B: np.ndarray
    half_words_B: np.ndarray
    paths: Bags
    words: Bags


def make_examples(gold_pages: Iterable[GoldPage], settings: Settings) -> Examples:
    """Scan and label pages. Their order does not matter."""
    pages = sorted(gold_pages, key=lambda page: (page.fold, page.site, page.gold.uri))
    batches = list(_batches(pages))
    words, half_words_B = _word_bags(batches)
    page_B = np.concatenate([_page_of_block(batch) for batch in batches]).astype(np.int32)
    label_B = np.concatenate([_labels(pages[batch.pages], batch.scan) for batch in batches])
    numbers = {site: n for n, site in enumerate(dict.fromkeys(page.site for page in pages))}
    return Examples(
        pages=pages, batches=batches, fold_P=np.array([page.fold for page in pages], np.int64),
        site_P=np.array([numbers[page.site] for page in pages], np.int32),
        whole_P=np.array([isinstance(page.gold.main_text, str) for page in pages]), page_B=page_B,
        label_B=label_B, weight_B=page_weights(label_B, half_words_B, page_B, len(pages), settings),
        half_words_B=half_words_B, paths=_path_bags(batches), words=words,
    )  # fmt: skip


def page_weights(
    label_B: np.ndarray, half_words_B: np.ndarray, page_B: np.ndarray, num_pages: int, settings: Settings
) -> np.ndarray:
    """float64[B]: `page_weight` for each page with a known label, divided among its blocks that have one."""
    lengths_B = np.maximum(half_words_B, 1).astype(np.float64) ** settings.length_exponent
    weight_B = np.where(np.isnan(label_B), 0.0, lengths_B)
    total_P = np.bincount(page_B, weight_B, num_pages)
    shares_B: np.ndarray = settings.page_weight * weight_B / np.where(total_P > 0, total_P, 1.0)[page_B]
    return shares_B


def html_bytes(pages: Sequence[GoldPage]) -> utf8.Utf8:
    """The pages' HTML, padded for kernels."""
    encoded = [page.html.encode("utf-8", "replace") for page in pages]
    return utf8.padded(utf8.view(pa.array(encoded, pa.large_binary()).view(pa.large_string())))


def _batches(pages: list[GoldPage]) -> Iterator[Batch]:
    first_block = 0
    for part in page_runs(pages):
        html = html_bytes(pages[part])
        scanned = scan(html)
        num_blocks = len(scanned.rows.blocks)
        yield Batch(html=html, scan=scanned, pages=part, blocks=slice(first_block, first_block + num_blocks))
        first_block += num_blocks


def page_runs(pages: Sequence[GoldPage]) -> Iterator[slice]:
    """Runs of pages of one fold and about BATCH_BYTES."""
    first, size = 0, 0
    for n, page in enumerate(pages):
        if n > first and (size > BATCH_BYTES or page.fold != pages[first].fold):
            yield slice(first, n)
            first, size = n, 0
        size += len(page.html)
    if first < len(pages):
        yield slice(first, len(pages))


def _page_of_block(batch: Batch) -> np.ndarray:
    return np.repeat(np.arange(batch.pages.start, batch.pages.stop), np.diff(batch.scan.block_offsets))


def _labels(pages: Sequence[GoldPage], scanned: Scan) -> np.ndarray:
    text, labels = scanned.rows.text.tobytes(), []
    for page, first, end in zip(pages, scanned.block_offsets[:-1], scanned.block_offsets[1:], strict=True):
        places = scanned.rows.blocks[first:end][:, [B_START, B_END]].tolist()
        if page.gold.uri in broken_gold():
            labels.append(np.full(len(places), np.nan, np.float32))
        else:
            blocks = [text[start:stop].decode("utf-8", "replace") for start, stop in places]
            labels.append(block_labels(page, blocks))
    return np.concatenate(labels)


def _path_bags(batches: Sequence[Batch]) -> Bags:
    parts = []
    for batch in batches:
        rows, num_blocks = batch.scan.rows, len(batch.scan.rows.blocks)
        page_B = np.repeat(np.arange(len(batch.html)), np.diff(batch.scan.block_offsets))
        hashes, starts_B = np.empty(num_blocks * MAX_PATH_TOKENS, np.uint32), np.empty(num_blocks + 1, np.int64)
        count = path_tokens(
            rows.elements, rows.tokens, batch.scan.element_offsets, batch.scan.token_offsets,
            rows.blocks[:, B_TEXT_ELEMENT].copy(), page_B, MAX_PATH_TOKENS, hashes, starts_B,
        )  # fmt: skip
        parts.append(Bags(hashes=hashes[:count].copy(), starts_B=starts_B))
    return _joined(parts)


def _word_bags(batches: Sequence[Batch]) -> tuple[Bags, np.ndarray]:
    """The bags, and int64[B]: half words."""
    parts, half_words = [], []
    for batch in batches:
        rows, num_blocks = batch.scan.rows, len(batch.scan.rows.blocks)
        hashes, words = np.empty(2 * len(rows.text) + 2, np.uint32), np.empty(len(rows.text) + 1, np.uint32)
        starts_B, half_words_B = np.empty(num_blocks + 1, np.int64), np.empty(num_blocks, np.int64)
        count = word_bags(rows.text, rows.blocks, words, hashes, starts_B, half_words_B)
        parts.append(Bags(hashes=hashes[:count].copy(), starts_B=starts_B))
        half_words.append(half_words_B)
    return _joined(parts), np.concatenate(half_words)


def _joined(parts: Sequence[Bags]) -> Bags:
    sizes = np.cumsum([0, *(len(part.hashes) for part in parts)])
    starts = [part.starts_B[:-1] + size for part, size in zip(parts, sizes[:-1], strict=True)]
    return Bags(hashes=np.concatenate([part.hashes for part in parts]), starts_B=np.concatenate([*starts, sizes[-1:]]))
