"""Who may see whom in a packed row, and attention over that.

Reads:  queries, keys and values; the document each position belongs to
Writes: the weighted values
Cost:   4 * T * T * dim operations per row and block under a mask; see `choose` for who does less
Source: grouped-query attention: Ainslie et al. 2023; attention within documents: Grattafiori et al. 2024, section 3.2;
        the kernel for documents of any length: FlashAttention 2 (Dao 2023), as torch has it

Shapes: B rows, T queries' positions, S keys' positions, H query heads, K key/value heads, D width of a head.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""q [B, T, H, D], k and v [B, S, K, D] -> [B, T, H, D]. Made once per forward pass, used by every block."""

QUERY_BLOCK = 128  # on CPU 64 to 128 are the fastest at T = 512: a third less time than one call over all queries
HALF = (torch.float16, torch.bfloat16)  # all that FlashAttention computes in


def visible(segment_BT: Tensor, causal: bool, prefix_BT: Tensor | None = None) -> Tensor:
    """Bool [B, 1, T, T], true where the query (third axis) may see the key: same segment, and where `causal`, not later
    or in the prefix."""
    same_BTT = segment_BT[:, :, None] == segment_BT[:, None, :]
    if not causal:
        return same_BTT[:, None]
    seen_BTT = same_BTT.tril()
    if prefix_BT is not None:
        seen_BTT = seen_BTT | (same_BTT & prefix_BT[:, None, :])
    return seen_BTT[:, None]


def visible_across(segment_BT: Tensor, memory_segment_BS: Tensor) -> Tensor:
    """Bool [B, 1, T, S]: a query sees what was read in its own segment."""
    return (segment_BT[:, :, None] == memory_segment_BS[:, None, :])[:, None]


def choose(segment_BT: Tensor, causal: bool, prefix_BT: Tensor | None, dtype: torch.dtype, head_dim: int) -> Attend:
    """The fastest that this device has. `UnderMask` is the reference the others are tested against.

    On CPU, queries go in blocks, each to the keys up to its own end, so that the later half is not computed. On a
    GPU in half precision nothing outside the documents is.
    """
    length = segment_BT.shape[1]
    if prefix_BT is None and has_varlen(segment_BT.device.type, dtype, head_dim):
        return within_documents(segment_BT, causal)
    mask = visible(segment_BT, causal, prefix_BT)
    if causal and prefix_BT is None and segment_BT.device.type == "cpu" and length > QUERY_BLOCK:
        ends = [*range(QUERY_BLOCK, length, QUERY_BLOCK), length]
        return InQueryBlocks(tuple(mask[:, :, end - _rest(end) : end, :end] for end in ends))
    return UnderMask(mask)


def _rest(end: int) -> int:
    return end % QUERY_BLOCK or QUERY_BLOCK


@dataclass(frozen=True)
class UnderMask:
    """Torch's attention with a mask, bool [B, 1, T, S]. A query that may see nothing gets zeros."""

    mask: Tensor

    def __call__(self, q_BTHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor) -> Tensor:
        q_BHTD, k_BHSD, v_BHSD = _heads_first(q_BTHD, k_BSKD, v_BSKD)
        return _attention(q_BHTD, k_BHSD, v_BHSD, self.mask).transpose(1, 2)


@dataclass(frozen=True)
class InQueryBlocks:
    """As UnderMask for a causal mask, given as the rows of each block of queries up to the block's last key."""

    masks: tuple[Tensor, ...]

    def __call__(self, q_BTHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor) -> Tensor:
        q_BHTD, k_BHSD, v_BHSD = _heads_first(q_BTHD, k_BSKD, v_BSKD)
        found = []
        for mask in self.masks:
            size, end = mask.shape[-2:]
            found.append(_attention(q_BHTD[:, :, end - size : end], k_BHSD[:, :, :end], v_BHSD[:, :, :end], mask))
        return torch.cat(found, dim=2).transpose(1, 2)


def _heads_first(q_BTHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """With as many key heads as query heads where the device's kernels ask for it."""
    group = q_BTHD.shape[2] // k_BSKD.shape[2]
    if group > 1 and q_BTHD.device.type != "cpu":  # there only a kernel that stores all scores takes fewer
        k_BSKD, v_BSKD = k_BSKD.repeat_interleave(group, dim=2), v_BSKD.repeat_interleave(group, dim=2)
    return q_BTHD.transpose(1, 2), k_BSKD.transpose(1, 2), v_BSKD.transpose(1, 2)


def _attention(q_BHTD: Tensor, k_BKSD: Tensor, v_BKSD: Tensor, mask: Tensor) -> Tensor:
    grouped = q_BHTD.shape[1] != k_BKSD.shape[1]
    return F.scaled_dot_product_attention(q_BHTD, k_BKSD, v_BKSD, attn_mask=mask, enable_gqa=grouped)


@dataclass(frozen=True)
class WithinDocuments:
    """FlashAttention over documents laid end to end, in memory that grows with T and not T * T."""

    start_N: Tensor
    """Int32: where each document starts in the B * T positions, and their end."""
    longest: int
    causal: bool

    def __call__(self, q_BTHD: Tensor, k_BSKD: Tensor, v_BSKD: Tensor) -> Tensor:
        varlen = importlib.import_module("torch.nn.attention.varlen")
        found: Tensor = varlen.varlen_attn(
            q_BTHD.flatten(0, 1), k_BSKD.flatten(0, 1), v_BSKD.flatten(0, 1), self.start_N, self.start_N,
            self.longest, self.longest, window_size=(-1, 0) if self.causal else (-1, -1),
            enable_gqa=q_BTHD.shape[2] != k_BSKD.shape[2],
        )  # fmt: skip
        return found.unflatten(0, q_BTHD.shape[:2])


def within_documents(segment_BT: Tensor, causal: bool) -> WithinDocuments:
    """For rows whose segments each lie in one piece."""
    begins_BT = torch.ones_like(segment_BT, dtype=torch.bool)
    begins_BT[:, 1:] = segment_BT[:, 1:] != segment_BT[:, :-1]
    start_N = F.pad(begins_BT.flatten().nonzero().flatten(), (0, 1), value=segment_BT.numel())
    return WithinDocuments(start_N.int(), segment_BT.shape[1], causal)


def has_varlen(device: str, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether torch has a kernel for documents of any length, for these heads on this device."""
    if device != "cuda" or dtype not in HALF or head_dim % 8 or head_dim > 256:
        return False
    if not _varlen_fits():
        return False
    return torch.cuda.get_device_capability() >= (8, 0)


@functools.cache
def _varlen_fits() -> bool:
    """Whether this torch has the kernel's function, with the arguments it is called with here."""
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return False
    function = importlib.import_module("torch.nn.attention.varlen").varlen_attn
    return {"window_size", "enable_gqa"} <= set(inspect.signature(function).parameters)


class Cache:
    """Keys and values of the tokens so far, for every block; forward passes then take new tokens only."""

    def __init__(self, num_blocks: int, num_rows: int, length: int, heads: tuple[int, int], like: Tensor) -> None:
        """`heads` are K and D. Device and type of what is kept are those of `like`."""
        shape = (num_blocks, num_rows, length, *heads)
        self.key_NBSKD = like.new_zeros(shape)
        self.value_NBSKD = like.new_zeros(shape)
        self.segment_BS = torch.zeros((num_rows, length), dtype=torch.int64, device=like.device)
        self.prefix_BS = torch.zeros((num_rows, length), dtype=torch.bool, device=like.device)
        self.num_tokens = 0

    @property
    def length(self) -> int:
        """Tokens it has room for."""
        return self.segment_BS.shape[1]

    def admit(self, segment_BT: Tensor, prefix_BT: Tensor | None) -> UnderMask:
        """Make room for the next T tokens, which see those before them; `Past.extend` then fills it."""
        before, num_new = self.num_tokens, segment_BT.shape[1]
        end = before + num_new
        if end > self.length:
            raise ValueError(f"{end} tokens do not fit into a cache of {self.length}")
        self.segment_BS[:, before:end] = segment_BT
        if prefix_BT is not None:
            self.prefix_BS[:, before:end] = prefix_BT
        self.num_tokens = end
        place_S = torch.arange(end, device=segment_BT.device)
        seen_BTS = (place_S <= place_S[before:, None]) | self.prefix_BS[:, None, :end]
        return UnderMask((seen_BTS & (segment_BT[:, :, None] == self.segment_BS[:, None, :end]))[:, None])

    def reorder(self, row_B: Tensor) -> None:
        """Row i goes on from what is now row `row_B[i]`, as beams do."""
        for kept in (self.key_NBSKD, self.value_NBSKD):
            kept[:, :, : self.num_tokens] = kept[:, row_B, : self.num_tokens]
        self.segment_BS, self.prefix_BS = self.segment_BS[row_B], self.prefix_BS[row_B]

    def block(self, number: int) -> Past:
        return Past(self, number)


@dataclass(frozen=True)
class Past:
    """One block's part of a cache."""

    cache: Cache
    number: int

    def extend(self, k_BTKD: Tensor, v_BTKD: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the new tokens' keys and values; returns all so far, [B, S, K, D]."""
        end = self.cache.num_tokens
        keys, values = self.cache.key_NBSKD[self.number], self.cache.value_NBSKD[self.number]
        keys[:, end - k_BTKD.shape[1] : end] = k_BTKD
        values[:, end - v_BTKD.shape[1] : end] = v_BTKD
        return keys[:, :end], values[:, :end]
