"""Bags of words beside what the feature kernels look up: the same table must give the same sums."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa

from stages.html.judging import first_stage
from stages.html.model import TABLES
from stages.html.scanning import scan
from stages.kernels import utf8
from stages.kernels.html_features import WORD_SUM
from stages.kernels.html_word_bags import word_bags
from stages.kernels.html_words import HALF_WORDS

PAGES = [
    "<body class='a b'><div id=main role=main><p class=lead>Some words, of a page.<p>汉字 and kana かな</div><p>End",
    "",
    "<table><tr><td class='x y z'>One<td>Two words</table><ul><li><a href=/>Link text here</a></ul>",
]


def bag_sums(hashes: np.ndarray, starts_B: np.ndarray, table: np.ndarray) -> np.ndarray:
    weights = table[hashes & (len(table) - 1)].astype(np.int64)
    return np.array([weights[first:end].sum() for first, end in pairwise(starts_B)])


def test_word_bags_give_the_word_sum_of_the_features() -> None:
    html = utf8.padded(utf8.view(pa.array(PAGES, pa.large_string())))
    of = scan(html)
    rows, num_blocks = of.rows, len(of.rows.blocks)
    table = np.random.default_rng(2).integers(-20, 21, TABLES["vocabulary"]).astype(np.int8)
    hashes, words = np.empty(2 * len(rows.text) + 2, np.uint32), np.empty(len(rows.text) + 1, np.uint32)
    starts_B, half_words_B = np.empty(num_blocks + 1, np.int64), np.empty(num_blocks, np.int64)
    count = word_bags(rows.text, rows.blocks, words, hashes, starts_B, half_words_B)
    others = [np.zeros(TABLES[name], np.int8) for name in ("structure", "following")]
    features = first_stage(html, of, others[0], table, others[1])
    sums = bag_sums(hashes[:count], starts_B, table)
    means = sums / np.sqrt(np.maximum(np.diff(starts_B), 1))
    assert np.abs(features.features[:, WORD_SUM].astype(int) - 128 - means).max() <= 1.0 + np.abs(means).max() / 256
    assert half_words_B.tolist() == features.counts[:, HALF_WORDS].tolist()
