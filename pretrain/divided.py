"""Work on whole matrices, divided among the ranks that hold their parts: each matrix is computed on one rank.

Reads:  parts of matrices that are cut by rows
Writes: parts of what was computed of them
Cost:   each matrix is sent to its rank and back, once; a rank holds one whole matrix at a time
Source: Jordan et al. 2024 and Liu et al. 2025 divide Muon's work so, the first with replicated weights
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor, Shard

Compute = Callable[[Tensor], Tensor]  # of a whole matrix, one of the same shape


def row_group(tensor: Tensor) -> ProcessGroup | None:
    """The ranks that a tensor's rows (its first axis) are cut over in equal runs; None where it is cut otherwise."""
    if not isinstance(tensor, DTensor):
        return None
    cut = [axis for axis, placement in enumerate(tensor.placements) if not placement.is_replicate()]
    if len(cut) != 1 or tensor.placements[cut[0]] != Shard(0):
        return None
    return tensor.device_mesh.get_group(cut[0])


def on_owners(parts: Sequence[Tensor], num_rows: Sequence[int], group: ProcessGroup, compute: Compute) -> list[Tensor]:
    """This rank's parts of `compute` of each matrix. All ranks call it together, for no more matrices than ranks.

    `parts` are this rank's, of matrices with `num_rows` rows in all, cut as DTensor cuts them.
    """
    rank, num_ranks = dist.get_rank(group), dist.get_world_size(group)
    assert len(parts) <= num_ranks, "a rank would own two matrices"
    computed: Tensor | None = None
    for owner, (part, count) in enumerate(zip(parts, num_rows, strict=True)):
        padded = _padded(part, count, num_ranks)
        received = [torch.empty_like(padded) for _ in range(num_ranks)] if rank == owner else None
        dist.gather(padded, received, group=group, group_dst=owner)
        if received:
            computed = compute(torch.cat(received)[:count])
    results = []
    for owner, (part, count) in enumerate(zip(parts, num_rows, strict=True)):
        received_part = torch.empty_like(_padded(part, count, num_ranks))
        sent = list(_runs(computed, count, num_ranks)) if rank == owner and computed is not None else None
        dist.scatter(received_part, sent, group=group, group_src=owner)
        results.append(received_part[: len(part)])
    return results


def _padded(part: Tensor, num_rows: int, num_ranks: int) -> Tensor:
    """A part with as many rows as the first rank's; the last ranks have fewer, or none."""
    missing = -(-num_rows // num_ranks) - len(part)
    return torch.cat([part, part.new_zeros(missing, *part.shape[1:])]) if missing else part.contiguous()


def _runs(matrix: Tensor, num_rows: int, num_ranks: int) -> Iterator[Tensor]:
    size = -(-num_rows // num_ranks)
    return (_padded(matrix[rank * size :][:size], num_rows, num_ranks) for rank in range(num_ranks))
