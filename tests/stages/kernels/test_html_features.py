"""Arithmetic of features, words, weights along paths and sums over elements, against plain Python."""

from __future__ import annotations

import math
import random
import re

import numpy as np
import pyarrow as pa
import pytest

from stages.html.judging import Features, first_stage
from stages.html.model import TABLES
from stages.html.scanning import Scan, scan
from stages.kernels import utf8
from stages.kernels.compiled import kernel
from stages.kernels.html_context import SINCE_H1, SINCE_LONG, SINCE_TITLE
from stages.kernels.html_features import LENGTH, LINK_SHARE, octaves, quotient
from stages.kernels.html_structure import TOTAL, path_tokens
from stages.kernels.html_text import B_ELEMENT, B_TEXT_ELEMENT, E_PARENT
from stages.kernels.html_totals import T_BLOCKS, T_LENGTH
from stages.kernels.html_words import CAPITALS, CHARS, COMMAS, DIGITS, HALF_WORDS, STOPS, WORDS

LONG = "It was a long paragraph of more than twenty words, which said a good deal about the sea, the weather and boats."
PAGE = f"""<title>Boats of the harbour</title><body class=home><nav id=top-menu><a href=/>Home</a></nav>
<div class="entry-content post2"><h1>Boats of the harbour</h1><p class=lead>{LONG}</p><p>Él vio 12 barcos; ¿sí? No!</p>
<ul><li>one<li>two, <a href=x>three</a></ul></div><p>船舶2号，已经到港。</p>"""


@kernel
def _apply(numbers: np.ndarray, wholes: np.ndarray, out: np.ndarray) -> None:
    for k in range(len(numbers)):
        out[k, 0], out[k, 1] = octaves(numbers[k]), quotient(numbers[k], wholes[k])


def features_of(*pages: str, seed: int | None = None) -> tuple[Scan, Features, list[np.ndarray]]:
    view = utf8.padded(utf8.view(pa.array(pages, pa.large_string())))
    rng = np.random.default_rng(seed)
    tables = [
        np.zeros(size, np.int8) if seed is None else rng.integers(-40, 40, size, dtype=np.int8)
        for size in TABLES.values()
    ]
    found = scan(view)
    return found, first_stage(view, found, *tables), tables


def texts_of(found: Scan) -> list[str]:
    return [found.rows.text[a:b].tobytes().decode() for a, b in found.rows.blocks[:, :2]]


def test_octaves_and_quotients_are_those_of_whole_numbers() -> None:
    rng = random.Random(1)
    numbers = [*range(70), *(rng.randrange(1 << rng.randrange(1, 45)) for _ in range(3000))]
    wholes = [rng.randrange(1, 1 << rng.randrange(1, 44)) for _ in numbers]
    numbers += [w * k - d for w in (3, 7, 999_983, (1 << 40) - 1) for k in (1, 2, 15) for d in (0, 1)]
    wholes += [w for w in (3, 7, 999_983, (1 << 40) - 1) for _ in range(6)]
    out = np.zeros((len(numbers), 2), np.int64)
    _apply(np.array(numbers), np.array(wholes), out)
    assert out[:, 1].tolist() == [a // b for a, b in zip(numbers, wholes, strict=True)]
    for number, octave in zip(numbers, out[:, 0].tolist(), strict=True):
        # straight lines lie 1.4 below the logarithm at most, and are rounded down
        assert abs(octave - min(16 * math.log2(1 + number), 255)) <= 2.4


def test_counts_of_blocks_are_those_of_regular_expressions() -> None:
    found, of, _ = features_of(PAGE)
    for text, counts in zip(texts_of(found), of.counts, strict=True):
        han, words = re.findall(r"[\u4e00-\u9fff]", text), re.findall(r"[^\W\u4e00-\u9fff]+", text)
        assert counts[CHARS] == len(text)
        assert counts[WORDS] == len(words)
        assert counts[HALF_WORDS] == 2 * len(words) + len(han)
        assert counts[CAPITALS] == sum("A" <= word[0] <= "Z" for word in words)
        assert counts[DIGITS] == sum(map(str.isdigit, text))
        assert counts[COMMAS] == len(re.findall("[,;，、；]", text))
        assert counts[STOPS] == len(re.findall("[.!?。！？]", text))


@pytest.mark.parametrize("seed", [1, 2])
def test_weight_of_a_path_is_the_sum_over_the_tokens_it_is_learned_from(seed: int) -> None:
    found, of, (structure, *_) = features_of(PAGE, PAGE[::-1], "<p>x", seed=seed)
    blocks = found.rows.blocks
    page_B = np.repeat(np.arange(3), np.diff(found.block_offsets))
    tokens, starts = np.zeros(200 * len(blocks), np.uint32), np.zeros(len(blocks) + 1, np.int64)
    path_tokens(
        found.rows.elements, found.rows.tokens, found.element_offsets, found.token_offsets,
        blocks[:, B_TEXT_ELEMENT].copy(), page_B, 200, tokens, starts,
    )  # fmt: skip
    for b, element in enumerate(blocks[:, B_TEXT_ELEMENT]):
        of_block = tokens[starts[b] : starts[b + 1]] & np.uint32(len(structure) - 1)
        assert of.path[element, TOTAL] == structure[of_block].astype(np.int64).sum()


def test_totals_of_elements_are_sums_over_the_blocks_below_them() -> None:
    found, of, _ = features_of(PAGE, PAGE)
    elements, blocks = found.rows.elements, found.rows.blocks
    below = np.zeros((len(elements), 2), np.int64)
    for element, half_words in zip(blocks[:, B_ELEMENT], of.counts[:, HALF_WORDS], strict=True):
        at = int(element)
        while True:
            below[at] += (half_words, 1)
            if elements[at, E_PARENT] == at:
                break
            at = int(elements[at, E_PARENT])
    assert np.array_equal(of.totals[:, [T_LENGTH, T_BLOCKS]], below)


def test_distances_are_counted_from_the_last_heading_title_and_long_block() -> None:
    found, of, _ = features_of(PAGE)
    texts = texts_of(found)
    headline, paragraph = texts.index("Boats of the harbour"), texts.index(LONG)
    for b in range(len(texts)):
        for column, since in ((SINCE_H1, headline), (SINCE_TITLE, headline), (SINCE_LONG, paragraph)):
            exact = 16 * math.log2(1 + b - since) if b > since else 255
            assert abs(of.features[b, column] - exact) <= 2.4, (texts[b], column)
    assert of.features[0, LINK_SHARE] == 255 and of.features[headline, LINK_SHARE] == 0
    assert of.features[paragraph, LENGTH] == max(of.features[:, LENGTH])


def test_features_of_a_page_do_not_depend_on_the_pages_before_it() -> None:
    pages = ["", "<p>***", PAGE, "<ul>" + "<li>x" * 300 + "</ul>", PAGE, "<p>?"]
    found, of, _ = features_of(*pages, seed=3)
    for n, page in enumerate(pages):
        _, alone, _ = features_of(page, seed=3)
        assert np.array_equal(of.features[found.block_offsets[n] : found.block_offsets[n + 1]], alone.features)
