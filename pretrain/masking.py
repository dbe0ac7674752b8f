"""Masked language modelling: tokens are hidden here and there, and are to be told from what is on both sides.

Reads:  the segments of a batch
Writes: examples of an encoder
Cost:   see pretrain/layout.py
Source: Devlin et al. 2019 (BERT), appendix A.1; the share is drawn token by token, as in RoBERTa's code (Liu et al.
        2019)

Only tokens at or after a segment's loss start are hidden, and no end-of-text token is. An overlapped prefix is shown as
it is: it can be hidden in the chunk before. With whole words, a word that begins in an overlapped prefix is left alone,
and one cut by the end of a chunk counts as a word as far as it goes.

Next-sentence prediction: segments of enough tokens are cut in two at a place drawn evenly, and turned into `C first
half P second half`, C and P being inserted tokens. Two and two in a row, in the row's order, they exchange their second
halves or both do not, with equal chances; what is to be said at C is one of two more reserved tokens, so the output
matrix is the head, and each answer counts as much as a token (in BERT, all answers count as much as all tokens). A
segment without a partner in its row is left whole. Segments of a row are never of the same document, so neither are the
halves.
"""

from __future__ import annotations

import numpy as np
import torch

from pretrain import draws
from pretrain.example import IGNORED, Example
from pretrain.layout import Pieces, Rows, Segments, inserted, joined, lay_out, run
from pretrain.objective_config import PAIR_TOKENS, ObjectiveConfig
from pretrain.special_ids import SpecialIds, Words

HIDDEN, SHOWN_AS, RANDOM_TOKEN, CUT, EXCHANGED = range(20, 25)  # purposes of draws
MIN_HALF_TOKENS = 8  # of a half, that it can be told where it belongs


def example(cfg: ObjectiveConfig, segments: Segments, width: int, special: SpecialIds) -> Example:
    first, second = _pairs(segments, width) if cfg.next_sentence else (np.empty(0, np.int64), np.empty(0, np.int64))
    is_exchanged = segments.uniform(EXCHANGED)[first] < 0.5
    is_paired_S = np.zeros(len(segments.row_S), np.bool_)
    is_paired_S[first] = is_paired_S[second] = True
    pieces = joined(
        [
            *_whole(segments, np.flatnonzero(~is_paired_S)),
            *_halves(segments, first, np.where(is_exchanged, second, first), special),
            *_halves(segments, second, np.where(is_exchanged, first, second), special),
        ]
    )
    rows = lay_out(segments, pieces, width, special.pad)
    is_hidden_BT = _hidden(cfg, rows, segments.key_B, special.words)
    target_BT = np.where(is_hidden_BT, rows.ids_BT, IGNORED)
    if cfg.next_sentence:
        before_pair, _, apart, neighbours = special.pair
        answer_S = np.full(len(is_paired_S), neighbours)
        answer_S[first[is_exchanged]] = answer_S[second[is_exchanged]] = apart
        target_BT[rows.source_BT == -1 - before_pair] = answer_S[is_paired_S]
    return Example(
        ids_BT=torch.from_numpy(_shown(cfg, rows, is_hidden_BT, segments.key_B, special)),
        segment_BT=torch.from_numpy(rows.segment_BT), position_BT=torch.from_numpy(rows.position_BT),
        target_BT=torch.from_numpy(target_BT),
    )  # fmt: skip


def _hidden(cfg: ObjectiveConfig, rows: Rows, key_B: np.ndarray, words: Words | None) -> np.ndarray:
    """Bool [B, T]: what is to be told."""
    draw_BT = _uniform(rows, key_B, HIDDEN)
    if words is None:
        return rows.is_target_BT & (draw_BT < cfg.mask_rate)
    begins_BT = words.begins(rows.ids_BT)
    begins_BT[:, 1:] |= rows.source_BT[:, 1:] != rows.source_BT[:, :-1] + 1
    starts = np.flatnonzero(begins_BT)  # a row's first position is one
    is_free = np.logical_and.reduceat(rows.is_target_BT.ravel(), starts)
    is_hidden = is_free & (draw_BT.ravel()[starts] < cfg.mask_rate)
    return np.repeat(is_hidden, np.diff(starts, append=begins_BT.size)).reshape(begins_BT.shape)


def _shown(
    cfg: ObjectiveConfig, rows: Rows, is_hidden_BT: np.ndarray, key_B: np.ndarray, special: SpecialIds
) -> np.ndarray:
    """The ids with hidden tokens replaced by the mask, by a random token, or by nothing else."""
    [mask] = special.mask
    draw_BT = _uniform(rows, key_B, SHOWN_AS)
    random_BT = special.ordinary_V[
        draws.whole_below(np.array(len(special.ordinary_V)), _uniform(rows, key_B, RANDOM_TOKEN))
    ]
    is_mask_BT = is_hidden_BT & (draw_BT < cfg.mask_token_share)
    is_random_BT = is_hidden_BT & ~is_mask_BT & (draw_BT < cfg.mask_token_share + cfg.random_token_share)
    return np.where(is_mask_BT, mask, np.where(is_random_BT, random_BT, rows.ids_BT))


def _uniform(rows: Rows, key_B: np.ndarray, purpose: int) -> np.ndarray:
    return draws.uniform(key_B[:, None], np.arange(rows.ids_BT.shape[1]), purpose)


def _pairs(segments: Segments, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of segments that are partners: the first ones, and the second ones."""
    fitting = np.flatnonzero(segments.num_body_S >= 2 * MIN_HALF_TOKENS)
    row = segments.row_S[fitting]
    place = np.arange(len(fitting)) - np.searchsorted(row, row)  # among the fitting ones of the row
    is_first = (place % 2 == 0) & (np.append(row[1:], -1) == row)
    first, second = fitting[is_first], fitting[np.flatnonzero(is_first) + 1]
    wants_S = np.zeros(len(segments.row_S), np.bool_)
    wants_S[first] = wants_S[second] = True
    cost_S = np.full(len(wants_S), PAIR_TOKENS)
    fits = segments.accepted(wants_S, (cost_S, width - segments.num_tokens_B))[second]  # and then the first one does
    return first[fits], second[fits]


def _whole(segments: Segments, number: np.ndarray) -> list[Pieces]:
    begin, first, last = segments.begin_S[number], segments.first_loss_S[number], segments.last_body_S[number]
    return [
        run(number, 0, begin, first, False), run(number, 1, first, last, True),
        run(number, 2, last, segments.end_S[number], False),
    ]  # fmt: skip


def _halves(segments: Segments, number: np.ndarray, second: np.ndarray, special: SpecialIds) -> list[Pieces]:
    """The first halves of `number`, with the second halves of `second`."""
    num_places_S = np.maximum(segments.num_body_S - 2 * MIN_HALF_TOKENS + 1, 1)
    cut_S = segments.first_loss_S + MIN_HALF_TOKENS + draws.whole_below(num_places_S, segments.uniform(CUT))
    before_pair, between = special.pair[:2] if special.pair else (0, 0)
    last = segments.last_body_S[second]
    return [
        inserted(number, 0, before_pair, False),
        run(number, 1, segments.begin_S[number], segments.first_loss_S[number], False),
        run(number, 2, segments.first_loss_S[number], cut_S[number], True),
        inserted(number, 3, between, False),
        run(number, 4, cut_S[second], last, True),
        run(number, 5, last, segments.end_S[second], False),
    ]
