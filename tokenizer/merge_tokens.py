"""Tokens by their bytes, for tokenizer/merge_kernels.py: two merges that make the same bytes make the same token.

Reads:  tokens that are joined
Writes: arrays
Cost:   one hash and one comparison of a token's bytes a merge
Source: open addressing with linear probing
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tokenizer.compiled import MIX, grown, kernel

NUM_BYTES = 256
_NONE = np.int32(-1)


class Tokens(NamedTuple):
    """Token t is `data[start_T[t]:start_T[t] + length_T[t]]`; `cells` is a hash table of tokens by their bytes.
    `size[0]` tokens and `size[1]` bytes are in use."""

    data: np.ndarray
    start_T: np.ndarray
    length_T: np.ndarray
    cells: np.ndarray
    size: np.ndarray


@kernel
def _bytes_of_two(tokens: Tokens, left: Any, right: Any) -> tuple[np.ndarray, Any]:
    """The bytes of a pair, and their hash."""
    data = np.empty(tokens.length_T[left] + tokens.length_T[right], np.uint8)
    data[: tokens.length_T[left]] = tokens.data[tokens.start_T[left] :][: tokens.length_T[left]]
    data[tokens.length_T[left] :] = tokens.data[tokens.start_T[right] :][: tokens.length_T[right]]
    state = np.uint64(len(data))
    for byte in data:
        state = (state ^ np.uint64(byte)) * MIX
        state ^= state >> np.uint64(32)
    return data, state


@kernel
def token_of(tokens: Tokens, left: Any, right: Any) -> Any:
    """The token that a pair makes; a new one where no token has its bytes."""
    data, state = _bytes_of_two(tokens, left, right)
    mask = np.uint64(len(tokens.cells) - 1)
    at = state & mask
    while tokens.cells[at] >= 0:
        token = tokens.cells[at]
        start = tokens.start_T[token]
        if tokens.length_T[token] == len(data) and (tokens.data[start : start + len(data)] == data).all():
            return token
        at = (at + np.uint64(1)) & mask
    token = np.int32(tokens.size[0])
    tokens.size[0] += 1
    tokens.start_T[token], tokens.length_T[token] = tokens.size[1], len(data)
    tokens.data[tokens.size[1] : tokens.size[1] + len(data)] = data
    tokens.size[1] += len(data)
    tokens.cells[at] = token
    return token


@kernel
def with_token_room(tokens: Tokens, num_bytes: Any) -> Tokens:
    data = tokens.data
    while tokens.size[1] + num_bytes > len(data):
        data = grown(data, np.uint8(0))
    return Tokens(data, tokens.start_T, tokens.length_T, tokens.cells, tokens.size)


@kernel
def byte_tokens(byte_of_id: np.ndarray, num_tokens: Any) -> Tokens:
    cells = 16
    while cells < 2 * num_tokens:
        cells *= 2
    room = max(num_tokens, NUM_BYTES) + 1
    start_T, length_T = np.zeros(room, np.int64), np.ones(room, np.int32)
    start_T[:NUM_BYTES] = np.arange(NUM_BYTES)
    data = np.zeros(1 << 16, np.uint8)
    data[:NUM_BYTES] = byte_of_id
    return Tokens(data, start_T, length_T, np.full(cells, _NONE, np.int32), np.array([NUM_BYTES, NUM_BYTES], np.int64))
