"""Learn BPE merges from the counts of distinct words.

Reads:  words as bytes with their counts (int64, from any number of texts)
Writes: merges in the order they were learned
Cost:   one thread; 26 MB of web pages, 270,000 distinct words: 32,512 merges in 3 s. Some 50 bytes of memory per byte
        of distinct words
Source: Sennrich, Haddow, Birch 2016. Pairs are counted once and then kept up to date as words change; the most frequent
        one comes from a heap whose outdated entries are corrected when they come up. Merges and ties are those of
        `tokenizers`' BpeTrainer, but for its 32-bit counts, and for pairs that occur anew after they were merged (where
        a token can be made in two ways), which it counts too high

The next merge is the pair with the highest count, of equal ones the one with the smallest ids, left before right. A
pair counts once for every place where its two tokens stand side by side: twice in `aaa`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tokenizer.merge_kernels import Words, learn_merges, tokens_of
from tokenizer.merge_tokens import NUM_BYTES


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop: at so many tokens (bytes included), or when no pair occurs `min_frequency` times. No token gets
    longer than `max_token_bytes`."""

    num_tokens: int
    min_frequency: int
    max_token_bytes: int


@dataclass(frozen=True, kw_only=True)
class Learned:
    """Merge m joins tokens `left_M[m]` and `right_M[m]` into `token_M[m]` (int32); `count_M[m]` (int64) is how often
    the pair occurred then.

    Tokens 0 to 255 are the bytes, as `id_of_byte` numbers them; new ones follow as they are learned. Two merges may
    make the same token.
    """

    left_M: np.ndarray
    right_M: np.ndarray
    token_M: np.ndarray
    count_M: np.ndarray


def learn(
    words: np.ndarray, offsets: np.ndarray, count_W: np.ndarray, id_of_byte: np.ndarray, limits: Limits
) -> Learned:
    """Learn merges from W distinct words: word w is `words[offsets[w]:offsets[w + 1]]` (uint8), with a count (int64).

    `id_of_byte`: int32[256], the token of each byte. The order of the words does not change the result.
    """
    start_W = offsets.astype(np.int64) + np.arange(len(offsets))
    num_tokens = min(limits.num_tokens, NUM_BYTES + len(words))  # each merge makes a word shorter
    dtype: Any = np.uint16 if num_tokens < 1 << 16 else np.int32
    end = np.iinfo(dtype).max
    text = Words(
        token_N=tokens_of(words, start_W, id_of_byte.astype(dtype), end), start_W=start_W,
        count_W=count_W.astype(np.int64), end=end,
    )  # fmt: skip
    byte_of_id = np.argsort(id_of_byte).astype(np.uint8)
    left_M, right_M, token_M, count_M = learn_merges(
        text, byte_of_id, num_tokens, max(1, limits.min_frequency), limits.max_token_bytes
    )
    return Learned(left_M=left_M, right_M=right_M, token_M=token_M, count_M=count_M)
