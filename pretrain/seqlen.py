"""Sequence-length warm-up: the first steps of a run see packed rows cut into shorter ones.

Reads:  a row's length, the length in the first steps, over how many steps it grows
Writes: a length per step; planes [B, T] as [B * T / length, length]
Cost:   cutting copies nothing; attention over the pieces costs length / T of what it costs over the rows
Source: Li et al. 2022 (the stability-efficiency dilemma: short sequences first keep large learning rates stable); there
        rows are cut short and the rest is lost, here all pieces are trained on

The length doubles until it is the row's, each length for as many steps. Targets are made on whole rows and cut with
them: a piece's last position predicts the next piece's first token. So every target of the row is one exactly once, at
any length, and a step has as many; it is only seen with less before it. Where pieces are made into examples of their
own instead, the targets at pieces' last positions are lost: `num_lost` counts them.
Shapes: B rows, T positions.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pipeline.errors import FieldError

Plane = TypeVar("Plane", bound=Any)  # an array or tensor [B, T]


def lengths(row_length: int, start_length: int) -> list[int]:
    """All lengths of a warm-up, the row's own last. FieldError where start_length does not double up to it."""
    found = [row_length]
    while found[0] > max(start_length, 1) and found[0] % 2 == 0:
        found.insert(0, found[0] // 2)
    if found[0] != start_length:
        raise FieldError(
            "warmup_length", start_length, f"a length that doubles up to the rows' {row_length}: one of {found}"
        )
    return found


def warmup_length(step: int, row_length: int, start_length: int, num_steps: int) -> int:
    """The length of the pieces in step 0, 1, ...; from step `num_steps` on the row's own."""
    if step >= num_steps:
        return row_length
    *shorter, _ = lengths(row_length, start_length)
    return shorter[step * len(shorter) // num_steps] if shorter else row_length


def cut(plane_BT: Plane, length: int) -> Plane:
    """The pieces of all rows, [B * T / length, length], one row's after the other; a view."""
    num_rows, row_length = plane_BT.shape
    assert row_length % length == 0, "pieces of different lengths"
    pieces: Plane = plane_BT.reshape(num_rows * (row_length // length), length)
    return pieces


def num_lost(target_BT: Any, length: int, ignored: int) -> int:
    """How many targets of whole rows lie beyond their piece's end, so that the pieces alone do not have them."""
    last_BN = target_BT[:, length - 1 : -1 : length]
    return int((last_BN != ignored).sum())
