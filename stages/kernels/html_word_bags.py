"""What the tables of words are asked about a block: its words and pairs of words.

Reads:  `text` and `blocks` of a scan
Writes: bags: `hashes` uint32 of all blocks and, int64[B + 1], where each block's begin
Cost:   about 5 ns a word
Source: the hashes are those that html_word_sums.py looks up, less the masks; for learning only
"""

from __future__ import annotations

import numpy as np

from stages.kernels.compiled import kernel
from stages.kernels.html_text import B_END, B_START
from stages.kernels.html_word_sums import pair_hash
from stages.kernels.html_words import FIRST_WORD, HALF_WORDS, NUM_COUNTS, count_block


@kernel
def word_bags(
    text: np.ndarray, blocks: np.ndarray, words: np.ndarray, hashes: np.ndarray, starts_B: np.ndarray,
    half_words_B: np.ndarray,
) -> int:  # fmt: skip
    """Fill `hashes` (uint32) with each word and its pair with the word before, `starts_B` int64[B + 1], `half_words_B`
    int64[B]; how many hashes there are. `words`: scratch, uint32, one more than the text has bytes."""
    counts = np.empty(NUM_COUNTS, np.int32)
    count = 0
    for b in range(len(blocks)):
        starts_B[b] = count
        num_words = count_block(text, blocks[b, B_START], blocks[b, B_END], counts, words, 0)
        half_words_B[b] = counts[HALF_WORDS]
        before = np.uint32(0)
        for k in range(counts[FIRST_WORD], num_words):
            hashes[count] = words[k]
            hashes[count + 1] = pair_hash(before, words[k])
            before = words[k]
            count += 2
    starts_B[len(blocks)] = count
    return count
