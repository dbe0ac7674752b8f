"""Fill in the middle: text rearranged so that a model reading left to right learns to complete gaps.

Reads:  the segments of a batch
Writes: examples of a decoder; every token from the loss start on is a target exactly once, as without rearranging
Cost:   see pretrain/layout.py
Source: Bavarian et al. 2022: document level, half of the documents; orders PSM, and SPM in its second variant

A segment `head text end` becomes, P, S and M being inserted tokens,

    PSM: head P prefix S suffix M middle end        SPM: head P S suffix M prefix middle end

`head` is its first token or its overlapped prefix (context only: it stays in front and is no target), `end` is
end-of-text where the segment has it: it comes behind the middle and says that the middle is complete. A segment is a
whole document or, of a document longer than a row, a piece of it, rearranged by itself; a piece cut off before its
document's end has no `end`, so nothing is said on where its middle stops. P, S and M are given to the model when it is
used, and no targets. The two cuts lie between tokens, not inside them.
"""

from __future__ import annotations

import numpy as np

from pretrain import draws
from pretrain.example import Example, left_to_right
from pretrain.layout import Pieces, Segments, inserted, joined, lay_out, run
from pretrain.objective_config import FIM_TOKENS, ObjectiveConfig
from pretrain.special_ids import SpecialIds

REARRANGED, ORDER, FIRST_CUT, SECOND_CUT = range(4)  # purposes of draws


def example(cfg: ObjectiveConfig, segments: Segments, width: int, special: SpecialIds) -> Example:
    """Segments beyond their row's room, and those without text, are predicted left to right."""
    wants_S = (segments.uniform(REARRANGED) < cfg.fim_rate) & (segments.num_body_S > 0)
    fits_S = segments.accepted(wants_S, (np.full(len(wants_S), FIM_TOKENS), width - segments.num_tokens_B))
    pieces = joined(
        [
            *_as_they_are(segments, np.flatnonzero(~fits_S)),
            *_rearranged(segments, np.flatnonzero(fits_S), cfg.spm_share, special),
        ]
    )
    return left_to_right(lay_out(segments, pieces, width, special.pad))


def _as_they_are(segments: Segments, number: np.ndarray) -> list[Pieces]:
    begin, first_loss, end = segments.begin_S[number], segments.first_loss_S[number], segments.end_S[number]
    return [run(number, 0, begin, first_loss, False), run(number, 1, first_loss, end, True)]


def _rearranged(segments: Segments, number: np.ndarray, spm_share: float, special: SpecialIds) -> list[Pieces]:
    begin, first, end = segments.begin_S[number], segments.first_loss_S[number], segments.end_S[number]
    last = segments.last_body_S[number]
    one, other = (
        first + draws.whole_below(last - first + 1, segments.uniform(purpose)[number])
        for purpose in (FIRST_CUT, SECOND_CUT)
    )
    left, right = np.minimum(one, other), np.maximum(one, other)
    is_spm = segments.uniform(ORDER)[number] < spm_share
    suffix_place = np.where(is_spm, 3, 4)
    before_prefix, before_suffix, before_middle = special.fim
    return [
        run(number, 0, begin, first, False),
        inserted(number, 1, before_prefix, False),
        inserted(number, suffix_place - 1, before_suffix, False),
        run(number, suffix_place, right, last, True),
        inserted(number, 5, before_middle, False),
        run(number, np.where(is_spm, 6, 2), first, left, True),
        run(number, 7, left, right, True),
        run(number, 8, last, end, True),
    ]
